"""Emergency stop, hold and queue of the firmware, against a model kept here."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.firmware.safety import NUMBERS_KEPT_S, Newest
from drivers.protocol import frame
from tests.drivers.dialogues import OUTLETS, SteppedBoard

WATCHDOG_US = 1_000_000


def test_the_pump_is_held_before_anything_else_at_boot() -> None:
    board = SteppedBoard()
    assert board.boot == ["0 pump held", "0 gate waste", "0 lines hold,fault", "0 led off"]


def test_a_board_that_was_held_up_trips_before_it_opens() -> None:
    board = SteppedBoard()
    board.arm(flow=True)
    board.say(f"O 5EED0001 1 collect {board.time(900_000)} 061A80")
    board.events.clear()
    board.passed_us = 1_100_000
    board.core.step()
    assert board.events == ["1100000 pump held", "1100000 lines hold,fault"]


def test_a_line_that_comes_after_the_watchdog_time_finds_it_tripped() -> None:
    board = SteppedBoard()
    board.arm(flow=True)
    board.passed_us = 1_100_000
    board.core.feed(frame("PING 5EED0001 0004"))
    assert board.events[:2] == ["1100000 pump held", "1100000 lines hold,fault"]
    assert board.events[-1] == "1100000 < S 0001 0000 - WATCHDOG 1"


def test_a_line_that_comes_with_the_pin_finds_it_pressed() -> None:
    board = SteppedBoard()
    board.say("HELLO 5EED0001 2 3E8")
    board.say("RESET 5EED0001 0001 0")
    board.pressed = True
    assert board.say("RESET 5EED0001 0002 1")[0] == "S 0001 0002 PIN POWER 1"
    board = SteppedBoard()
    board.arm()
    board.pressed = True
    assert board.say("FLOW 5EED0001 0003")[0] == "S 0001 0003 ESTOP PIN 1"
    assert "0 pump flows" not in board.events


@pytest.mark.parametrize(
    ("first", "then", "after_s", "passed"),
    [
        (5, 5, 0, False),
        (5, 6, 0, False),
        (5, 4, 0, True),
        (5, 0x8004, 0, False),
        (5, 0x8005, 0, True),
        (0xFFFF, 1, 0, False),
        (1, 0xFFFF, 0, True),
        (5, 4, NUMBERS_KEPT_S - 1, True),
        (5, 4, NUMBERS_KEPT_S, False),
    ],
)
def test_which_numbers_were_overtaken(first: int, then: int, after_s: int, passed: bool) -> None:
    newest = Newest()
    assert not newest.has_passed(first, 100)
    assert newest.has_passed(then, 100 + after_s) == passed


class Stops(RuleBasedStateMachine):
    """Any order of lines, pins and silence; the model below says how stop and pump then stand."""

    def __init__(self) -> None:
        super().__init__()
        self.board = SteppedBoard(0xFFFFFFFF - 400_000)
        self.board.say("HELLO 00000001 2 3E8")
        self.session = 1
        self.number = 0
        self.command = 0
        self.heard_us = 0
        self.cause = "POWER"
        self.low = False
        self.held = True
        self.tripped = False
        self.alive: dict[int, tuple[str, int, int]] = {}
        self.out = {"gate": "waste", "pump": "held"}

    # -- the model ------------------------------------------------------------------------

    def latch(self, cause: str) -> None:
        self.cause = self.cause or cause
        self.low = False
        self.held = True
        self.alive.clear()

    def watch(self) -> None:
        """What has become of it by now."""
        if not self.tripped and self.board.passed_us - self.heard_us >= WATCHDOG_US:
            self.tripped = True
            self.latch("WATCHDOG")

    def say(self, verb: str, *words: str, session: int | None = None) -> list[str]:
        self.watch()
        if session is None or session == self.session:
            self.heard_us = self.board.passed_us
            self.tripped = False
        asked = self.session if session is None else session
        return self.board.say(" ".join([verb, f"{asked:08X}", *words]))

    def order(self, verb: str, *words: str) -> str:
        """Say one of the lines that `S` answers; the verdict."""
        self.number += 1
        answers = self.say(verb, f"{self.number:04X}", *words)
        mine = [one.split() for one in answers if one.startswith("S ")]
        return next(one[3] for one in mine if one[2] == f"{self.number:04X}")

    # -- what may happen ------------------------------------------------------------------

    @rule(us=st.integers(0, 300_000))
    def time_passes(self, us: int) -> None:
        self.board.run_to(self.board.passed_us + us)
        self.watch()

    @rule()
    def silence(self) -> None:
        self.board.run_to(self.board.passed_us + WATCHDOG_US + 1)
        self.watch()

    @rule()
    def ping(self) -> None:
        assert self.say("PING", "0000")[0].startswith("PONG")

    @rule(
        outlet=st.sampled_from(OUTLETS[1:]),
        ahead_us=st.integers(1, 300_000),
        length_us=st.integers(1, 300_000),
    )
    def open(self, outlet: str, ahead_us: int, length_us: int) -> None:
        self.command += 1
        start_us = self.board.passed_us + ahead_us
        line = (f"{self.command:X}", outlet, self.board.time(start_us), f"{length_us:06X}")
        answer = self.say("O", *line)[0]
        if self.cause:
            assert answer.endswith(" ESTOP")
        elif answer.startswith("A "):
            self.alive[self.command] = (outlet, start_us, start_us + length_us)
        else:
            assert answer.endswith((" CONFLICT", " FULL"))

    @rule(back=st.integers(0, 5))
    def cancel(self, back: int) -> None:
        one = max(1, self.command - back)
        self.command = max(1, self.command)
        self.say("CANCEL", f"{one:X}")
        self.alive.pop(one, None)

    @rule()
    def take_reports(self) -> None:
        if self.command:
            ids = range(max(1, self.command - 7), self.command + 1)
            self.say("D", *[f"{one:X}" for one in ids])

    @rule()
    def rest(self) -> None:
        self.say("REST", "0001")
        self.alive.clear()

    @rule()
    def hold(self) -> None:
        assert self.order("HOLD") == "OK"
        self.held = True

    @rule()
    def flow(self) -> None:
        assert self.order("FLOW") == ("ESTOP" if self.cause else "OK")
        self.held = self.cause != ""

    @rule()
    def stop(self) -> None:
        assert self.order("STOP") == "OK"
        self.latch("HOST")

    @rule(level=st.integers(0, 1))
    def reset_level(self, level: int) -> None:
        verdict = self.order("RESET", f"{level}")
        if not self.cause or level == 0:
            assert verdict == "OK"
            self.low = self.cause != ""
        elif self.board.pressed:
            assert verdict == "PIN"
            self.low = False
        elif not self.low:
            assert verdict == "EDGE"
        else:
            assert verdict == "OK"
            self.cause = ""
            self.low = False

    @precondition(lambda self: not self.board.pressed)
    @rule(flow=st.booleans())
    def arm(self, flow: bool) -> None:
        self.reset_level(0)
        self.reset_level(1)
        if flow:
            self.flow()

    @rule(verb=st.sampled_from(["FLOW", "RESET 0", "RESET 1", "HOLD", "STOP", "O"]))
    def line_of_another_session(self, verb: str) -> None:
        word, *level = verb.split()
        words = ["0001", *level]
        if word == "O":
            words = ["1", "collect", self.board.time(self.board.passed_us + 1_000), "000100"]
        answers = self.say(word, *words, session=self.session + 100)
        assert answers[0].endswith("SESSION")

    @rule(verb=st.sampled_from(["FLOW", "RESET"]), back=st.integers(1, 3))
    def overtaken(self, verb: str, back: int) -> None:
        """A line from before a stop comes after it."""
        old = self.number + 1
        self.number += back
        self.stop()
        words = ("0",) if verb == "RESET" else ()
        answer = self.say(verb, f"{old:04X}", *words)[0].split()
        assert answer[3] == ("OLD" if verb == "RESET" else "ESTOP")

    @rule()
    def new_session(self) -> None:
        self.watch()
        self.board.say(f"HELLO {self.session + 1:08X} 2 3E8")
        self.session += 1
        self.number = self.command = 0
        if not self.held or self._waiting():
            self.latch("SESSION")
        self.low = False
        self.held = True
        self.alive.clear()
        self.heard_us = self.board.passed_us
        self.tripped = False

    @rule(pressed=st.booleans())
    def pin(self, pressed: bool) -> None:
        rises = pressed and not self.board.pressed
        self.board.pins("pin", "pressed" if pressed else "released")
        self.watch()
        if rises:
            self.latch("PIN")

    # -- what must hold -------------------------------------------------------------------

    def _waiting(self) -> list[tuple[str, int, int]]:
        now_us = self.board.passed_us
        return [one for one in self.alive.values() if one[2] > now_us]

    @invariant()
    def stands_as_the_model_says(self) -> None:
        now_us = self.board.passed_us
        state = self.board.say("STATUS 00000000")[0].split()
        assert state[15:17] == [self.cause or "-", str(int(self.held))]
        assert int(state[4], 16) == len(self._waiting())
        covering = {one[0] for one in self.alive.values() if one[1] <= now_us < one[2]}
        assert state[3] == (covering.pop() if covering else "waste")
        if self.cause:
            assert state[3:5] == ["waste", "0"]
            assert self.held
        for event in self.board.events:
            _, kind, what = event.split(" ", 2)
            self.out[kind] = what
        assert self.out["gate"] == state[3]
        assert self.out["pump"] == ("held" if self.held else "flows")
        self.held_before_rest()
        self.board.events.clear()

    def held_before_rest(self) -> None:
        """At the time at which the pump comes to be held, nothing else has happened before it."""
        new = [one for one in self.board.events if " < STATE " not in one]
        for place, event in enumerate(new):
            if event.endswith(" pump held"):
                at = event.split(" ")[0]
                assert not [one for one in new[:place] if one.split(" ")[0] == at]


Stops.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestStops = Stops.TestCase
