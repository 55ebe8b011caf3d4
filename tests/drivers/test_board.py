"""board.py on a chip that is none: which pins it moves, and when; nothing of its timing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import drivers.firmware
from drivers.protocol import frame, unframe
from tests.drivers.pico import ROUND_US, START_US, Chip

BOARD = Path(drivers.firmware.__file__).parent / "board.py"
STAY_OUT, NO_FAULT, NOT_HELD, READY = 22, 20, 19, 18
COLLECT, RECHECK, PUMP, ESTOP, PEDAL, LED, EXPOSURE, DARK_COLLECT = 15, 14, 13, 12, 11, 10, 9, 7
WELL = {ESTOP: 0, STAY_OUT: 1}


class Bench:
    """A chip, its host, and what both said."""

    def __init__(self, levels: dict[int, int] | None = None) -> None:
        self.chip = Chip(WELL | (levels or {}))
        self.heard = 0

    def passes(self, us: int) -> Iterator[None]:
        for _ in range(us // ROUND_US):
            yield

    def say(self, payload: str) -> Iterator[None]:
        """A byte a round, and a while for the answer."""
        line = frame(payload)
        self.chip.type(line)
        yield from self.passes((len(line) + 20) * ROUND_US)

    def answers(self) -> list[str]:
        """What came since this was asked last."""
        lines = self.chip.said[self.heard :].splitlines()
        self.heard = len(self.chip.said)
        return [unframe(line) for line in lines]

    def arm(self) -> Iterator[None]:
        for line in (
            "HELLO 5EED0001 2 2710",
            *(f"RESET 5EED0001 000{one + 1} {one}" for one in (0, 1)),
        ):
            yield from self.say(line)
        assert self.answers()[-1] == "S 0001 0002 OK - 1"

    def in_us(self, us: int) -> str:
        """Device time so long after now, as on the wire: its clock is the counter, unwrapped."""
        return f"{START_US + self.chip.passed_us + us:08X}"

    def opens(self, length_us: int) -> Iterator[None]:
        """The pump runs, and the gate stands at collect."""
        yield from self.arm()
        yield from self.say("FLOW 5EED0001 0003")
        yield from self.say(f"O 5EED0001 1 collect {self.in_us(20_000)} {length_us:06X}")
        assert self.answers() == ["S 0001 0003 OK - 0", "A 0001 1"]
        yield from self.passes(20_000)
        assert (self.chip.levels[PUMP], self.chip.levels[COLLECT]) == (1, 1)


def test_held_before_rest_and_dark_from_the_first_instruction_on() -> None:
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.passes(1_000)

    bench.chip.run(BOARD, script())
    assert bench.chip.writes[:3] == [(PUMP, 0), (COLLECT, 0), (RECHECK, 0)]
    assert not [one for one in bench.chip.writes if one[1]]
    # And so it ends.
    assert bench.chip.writes[-3:] == [(PUMP, 0), (COLLECT, 0), (RECHECK, 0)]


def test_stays_out_when_asked_to() -> None:
    bench = Bench({STAY_OUT: 0})
    bench.chip.run(BOARD, iter(()))
    assert bench.chip.writes == [(PUMP, 0), (COLLECT, 0), (RECHECK, 0)]


def test_its_name_has_the_chips_own_number() -> None:
    """Boards that are flashed alike are told apart by it."""
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.say("HELLO 5EED0001 2 3E8")
        assert bench.answers()[-1].split()[:4] == [
            "READY",
            "5EED0001",
            "2",
            "pico-e66141040396b22a",
        ]

    bench.chip.run(BOARD, script())


def test_opens_closes_and_shows_its_state() -> None:
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.opens(10_000)
        yield from bench.passes(20_000)
        assert bench.chip.levels[COLLECT] == 0
        assert bench.answers()[0].startswith("E 0001 1 ")
        assert [bench.chip.levels[pin] for pin in (READY, NOT_HELD, NO_FAULT)] == [0, 1, 1]
        yield from bench.say("LINES 5EED0001 0004 01")
        assert bench.chip.levels[READY] == 1
        yield from bench.say("HOLD 5EED0001 0005")
        assert [bench.chip.levels[pin] for pin in (PUMP, READY, NOT_HELD)] == [0, 1, 0]

    bench.chip.run(BOARD, script())
    assert bench.chip.levels[PUMP] == 0


def test_the_stop_takes_the_pins_low_before_the_loop_comes_by() -> None:
    for let_go in (False, True):
        bench = Bench()

        def script(bench: Bench = bench, let_go: bool = let_go) -> Iterator[None]:
            yield from bench.opens(100_000)
            bench.answers()
            bench.chip.writes.clear()
            bench.chip.drive(ESTOP, 1)
            assert bench.chip.writes == [(PUMP, 0), (COLLECT, 0), (RECHECK, 0)]
            if let_go:
                bench.chip.drive(ESTOP, 0)
            yield from bench.passes(1_000)
            answers = bench.answers()
            assert answers[0].startswith("E 0001 1 ")
            assert answers[1] == "S 0001 0000 - PIN 1"
            assert answers[2] == "I 0001 02"
            assert not [one for one in bench.chip.writes if one[1] and one[0] in (PUMP, COLLECT)]

        bench.chip.run(BOARD, script())


@pytest.mark.parametrize("pin", [PUMP, COLLECT])
def test_a_stop_at_the_very_moment_of_a_move_wins(pin: int) -> None:
    bench = Bench()

    def strike() -> None:
        bench.chip.drive(ESTOP, 1)
        bench.chip.drive(ESTOP, 0)

    def script() -> Iterator[None]:
        yield from bench.arm()
        bench.chip.just_before[pin, 1] = strike
        asked = f"O 5EED0001 1 collect {bench.in_us(20_000)} 004E20"
        for _ in chain(bench.say("FLOW 5EED0001 0003"), bench.say(asked), bench.passes(50_000)):
            yield
            # Up between two of the firmware's steps, perhaps, but not between two rounds.
            assert (pin, 1) in bench.chip.just_before or not bench.chip.levels[pin]
        assert (pin, 1) not in bench.chip.just_before
        assert (bench.chip.levels[PUMP], bench.chip.levels[COLLECT]) == (0, 0)
        assert "S 0001 0000 - PIN 1" in bench.answers()

    bench.chip.run(BOARD, script())


def test_a_cut_wire_is_a_pressed_stop() -> None:
    bench = Bench()
    # Nothing ties the pin to ground: its pull-up takes it high.
    del bench.chip.levels[ESTOP]

    def script() -> Iterator[None]:
        for line in ("HELLO 5EED0001 2 2710", "RESET 5EED0001 0001 0", "RESET 5EED0001 0002 1"):
            yield from bench.say(line)
        assert bench.answers()[-1] == "S 0001 0002 PIN POWER 1"

    bench.chip.run(BOARD, script())


def test_pulses_passages_pedal_and_light() -> None:
    bench = Bench()

    def dark(us: int) -> Iterator[None]:
        bench.chip.drive(DARK_COLLECT, 1)
        yield from bench.passes(us)
        bench.chip.drive(DARK_COLLECT, 0)
        yield from bench.passes(1_000)

    def script() -> Iterator[None]:
        yield from bench.arm()
        for _ in range(3):
            bench.chip.drive(EXPOSURE, 1)
            last = bench.in_us(0)
            yield from bench.passes(1_000)
            bench.chip.drive(EXPOSURE, 0)
        yield from bench.say("PING 5EED0001 0003")
        assert bench.answers()[-1].split()[-2:] == ["00000003", last]
        begun = bench.in_us(0)
        yield from dark(5_000)
        assert bench.answers() == [f"G 0001 1 collect {begun} {5_000:06X}"]
        yield from bench.say("SEEN 5EED0001 1")
        yield from dark(100)
        assert bench.answers() == []
        bench.chip.drive(PEDAL, 0)
        bench.chip.drive(DARK_COLLECT, 1)
        yield from bench.passes(1_000)
        assert bench.answers() == ["I 0001 09"]
        lit_us = bench.chip.passed_us + 10_000
        yield from bench.say(f"LED 5EED0001 0004 {bench.in_us(10_000)} 0003E8")
        yield from bench.passes(lit_us - ROUND_US - bench.chip.passed_us)
        assert bench.chip.levels[LED] == 0
        yield from bench.passes(500)
        assert bench.chip.levels[LED] == 1
        yield from bench.passes(1_000)
        assert bench.chip.levels[LED] == 0

    bench.chip.run(BOARD, script())


def test_more_pulses_than_places_are_all_counted() -> None:
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.arm()
        for _ in range(200):
            bench.chip.drive(EXPOSURE, 1)
            bench.chip.drive(EXPOSURE, 0)
        last = bench.in_us(0)
        yield from bench.say("PING 5EED0001 0003")
        assert bench.answers()[-1].split()[-2:] == [f"{200:08X}", last]

    bench.chip.run(BOARD, script())


@pytest.mark.parametrize("rings", [True, False])
def test_the_alarm_moves_the_gate_while_the_loop_is_held_up(rings: bool) -> None:
    """Without it the loop moves the gate when it comes by; both say when it was."""
    bench = Bench()
    bench.chip.alarm_rings = rings

    def script() -> Iterator[None]:
        yield from bench.arm()
        yield from bench.say(f"O 5EED0001 1 collect {bench.in_us(20_000)} 002710")
        opens_us = bench.chip.passed_us
        bench.answers()
        while bench.chip.levels[COLLECT] == 0 and bench.chip.passed_us < opens_us + 4_000:
            yield
        bench.chip.writes.clear()
        bench.chip.stall(30_000)
        moved = [one for one in bench.chip.writes if one[0] == COLLECT]
        assert moved == ([(COLLECT, 1), (COLLECT, 0)] if rings else [])
        yield from bench.passes(1_000)
        report = bench.answers()[0]
        assert report.endswith(" 002710") if rings else report == "N 0001 1 MISSED"

    bench.chip.run(BOARD, script())


def test_a_stop_takes_the_alarms_plan_back() -> None:
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.arm()
        yield from bench.say(f"O 5EED0001 1 collect {bench.in_us(20_000)} 002710")
        bench.answers()
        yield from bench.passes(1_000)
        bench.chip.drive(ESTOP, 1)
        bench.chip.writes.clear()
        bench.chip.stall(30_000)
        assert (COLLECT, 1) not in bench.chip.writes
        yield from bench.passes(1_000)
        assert bench.answers()[0] == "N 0001 1 ESTOP"
        assert (COLLECT, 1) not in bench.chip.writes

    bench.chip.run(BOARD, script())


def test_an_error_in_the_loop_leaves_nothing_to_the_alarm() -> None:
    bench = Bench()

    def script() -> Iterator[None]:
        yield from bench.arm()
        yield from bench.say("FLOW 5EED0001 0003")
        opens_us = bench.chip.passed_us + 20_000
        yield from bench.say(f"O 5EED0001 1 collect {bench.in_us(20_000)} 002710")
        assert bench.answers()[-1] == "A 0001 1"
        yield from bench.passes(opens_us - 3_000 - bench.chip.passed_us)
        assert bench.chip.levels[PUMP] == 1
        bench.chip.writes.clear()
        bench.chip.port_fails = True
        # What is to be told now ends the loop.
        bench.chip.drive(PEDAL, 0)
        yield from bench.passes(1_000)

    with pytest.raises(OSError, match="the port has failed"):
        bench.chip.run(BOARD, script())
    bench.chip.stall(100_000)
    assert (bench.chip.levels[PUMP], bench.chip.levels[COLLECT]) == (0, 0)
    assert (COLLECT, 1) not in bench.chip.writes
