"""The firmware under a script: bytes, time and pins in; its outputs against the oracle.

Actions: ``!pin pressed|released``, ``!pedal down|up``, ``!pulse``, ``!dark OUTLET US``.
"""

from __future__ import annotations

from tests.drivers.alarm_board import AlarmBoard
from tests.drivers.dialogues import OUTLETS
from tests.fuzz.oracle import Opening, Oracle, Violation
from tests.fuzz.script import Action, Bytes, Passes, Step, start_us, steps

START_US = 0x00100000
ARMED = b"~HELLO 5EED0001 2 3E8\n~RESET 5EED0001 0001 0\n~RESET 5EED0001 0002 1"
QUEUE = 4
_PINS = {"pin": ("pressed", "released"), "pedal": ("down", "up"), "pulse": ("",)}
# One input may not keep the device busier than this: reports and passages are sent again 20 times a
# second at most, and all of them could not fill 60 s of it.
MOST_TURNS = 20_000


class Hang(AssertionError):
    """The device has more to do than time passes."""


class _Board(AlarmBoard):
    """Counts its turns."""

    turns = 0

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Hang(f"{self.turns} turns in {self.passed_us} us")


class Watched:
    """A device and its oracle.

    Attributes:
        opened: how often the gate left rest, as it was allowed to.
        flowed: how often the pump was let run.
    """

    def __init__(self, start: int = START_US) -> None:
        self.board = _Board(start, queue=QUEUE)
        self.oracle = Oracle(start, QUEUE)
        self.opened = 0
        self.flowed = 0
        self._at = OUTLETS[0]
        self._held = True

    def do(self, step: Step) -> None:
        """One step; raises `Violation`, or whatever the firmware raises."""
        board, oracle = self.board, self.oracle
        if isinstance(step, Passes) and step.held_up:
            # The loop is held up; what it has planned happens.
            board.stall(step.us)
            self._take_events(oracle.alive)
            return
        if isinstance(step, Passes):
            self._pass(board.passed_us + step.us)
        elif isinstance(step, Bytes):
            oracle.time(board.passed_us)
            # What a line asks for is never due at once: an edge with it was due before it.
            before = dict(oracle.alive)
            oracle.bytes_in(step.data, board.passed_us)
            board.send(step.data)
            self._take_events(before)
        else:
            self._act(step)
        board.run_to(board.passed_us)
        self._take_events(oracle.alive)
        self._look()

    def _pass(self, end_us: int) -> None:
        """Let time pass, with a look whenever the allowance changes."""
        board, oracle = self.board, self.oracle
        while (due_us := oracle.due_us(board.passed_us)) is not None and due_us <= end_us:
            board.run_to(due_us)
            self._take_events(oracle.alive)
            self._look()
        board.run_to(end_us)

    def reached(self) -> dict[str, int]:
        """How deep it got: inputs that opened the gate, and that let the pump run."""
        return {"opened": self.opened > 0, "flowed": self.flowed > 0}

    def _act(self, step: Action) -> None:
        verb, *words = step.words or ("",)
        what = " ".join(words)
        if verb == "dark" and len(words) == 2 and words[0] in OUTLETS and words[1].isdigit():
            self.board.pins(verb, what)
        elif what in _PINS.get(verb, ()):
            self.oracle.time(self.board.passed_us)
            if verb == "pin":
                self.oracle.press(what == "pressed")
            self.board.pins(verb, what)

    def _take_events(self, alive: dict[int, Opening]) -> None:
        events, self.board.events[:] = list(self.board.events), []
        for event in events:
            time, kind, what = event.split(" ", 2)
            self.oracle.time(int(time))
            if kind == "<":
                self.oracle.said(what.encode())
            elif kind == "gate":
                self._moved(what, int(time), alive)
            elif kind == "pump":
                self._held = what == "held"
                self.flowed += not self._held
                if not self._held and self.oracle.held:
                    raise Violation(f"{event}: nobody let the pump run")

    def _moved(self, outlet: str, time_us: int, alive: dict[int, Opening]) -> None:
        self._at = outlet
        if outlet == OUTLETS[0]:
            return
        self.opened += 1
        if self.oracle.stands_at(time_us, alive) != outlet:
            raise Violation(f"{time_us} gate {outlet}: no opening says so")

    def _look(self) -> None:
        """Where it stands now, after all that was due was done."""
        now_us = self.board.passed_us
        self.oracle.time(now_us)
        wanted = self.oracle.stands_at(now_us, self.oracle.alive)
        if self._at != wanted:
            raise Violation(f"{now_us}: stands at {self._at}, not {wanted}")
        if self.oracle.held and not self._held:
            raise Violation(f"{now_us}: the pump runs")


def run(data: bytes) -> Watched:
    """Run one input; raises for a crash, a hang, or an act."""
    watched = Watched(start_us(data, START_US))
    for step in steps(data, ARMED):
        watched.do(step)
    return watched
