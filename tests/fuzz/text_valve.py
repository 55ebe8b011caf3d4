"""The text valve's driver under a script: a box's bytes and time in; what it says, judged.

Actions: ``!arm``, ``!send ID OUTLET AHEAD_US LENGTH_US``, ``!cancel ID``, ``!rest``, ``!stop``,
``!close``. A `SorterError` ends the run, as a controller's would.
"""

from __future__ import annotations

from drivers.ports import Command, Link
from drivers.text_valve import TextValve
from sorter.errors import SorterError
from tests.drivers.text_bench import COLLECT, RECHECK, strings
from tests.drivers.virtual_time import MS, SteppedClock
from tests.fuzz.host import ScriptLink, turns
from tests.fuzz.oracle import Violation
from tests.fuzz.script import Action, steps

SETTINGS = strings(COLLECT, RECHECK, connect_ms=300)
_OUTLET = {COLLECT.open.encode(): "collect", RECHECK.open.encode(): "recheck"}
_OTHERS = {one.encode() for two in (COLLECT, RECHECK) for one in two.commands[1:]}


class Speech:
    """What the driver may write: an opening string only within an opening that was asked for."""

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        self._asked: dict[int, tuple[str, int, int]] = {}
        self.opened = 0

    def wanted(self, one: int, outlet: str, open_ns: int, close_ns: int) -> None:
        """The caller sends a command; the first of an id stands."""
        self._asked.setdefault(one, (outlet, open_ns, close_ns))

    def withdrawn(self, one: int | None = None) -> None:
        """One command is withdrawn, or all are."""
        for each in [one] if one is not None else list(self._asked):
            self._asked.pop(each, None)

    def heard(self, data: bytes) -> None:
        """The driver writes."""
        if not data.endswith(b"\n"):
            raise Violation(f"not whole strings: {data!r}")
        for line in data.split(b"\n")[:-1]:
            if line in _OTHERS:
                continue
            now_ns, early_ns = self._clock.now_ns(), 20 * MS
            if not any(
                outlet == _OUTLET.get(line) and open_ns - early_ns <= now_ns < close_ns
                for outlet, open_ns, close_ns in self._asked.values()
            ):
                raise Violation(f"nobody asked for this now: {line!r}")
            self.opened += 1


class Watched:
    """A driver and what it may say; ``opened`` counts its opening strings."""

    def __init__(self, link: Link, clock: SteppedClock, speech: Speech) -> None:
        self.clock = clock
        self.speech = speech
        self.valve = TextValve(link, clock, SETTINGS)
        self.error: SorterError | None = None

    def act(self, action: Action) -> None:
        """Do what the words say; nothing for words that say nothing."""
        match action.words:
            case ("arm",):
                self.valve.arm()
            case ("send", one, outlet, ahead, length) if (one + ahead + length).isdigit():
                self._send(int(one), outlet, int(ahead), int(length))
            case ("cancel", one) if one.isdigit():
                self.speech.withdrawn(int(one))
                self.valve.cancel(int(one), self.clock.now_ns())
            case ("rest",):
                self.speech.withdrawn()
                self.valve.rest(self.clock.now_ns())
            case ("stop",):
                self.speech.withdrawn()
                self.valve.stop(self.clock.now_ns())
            case ("close",):
                self.close()

    def _send(self, one: int, outlet: str, ahead_us: int, length_us: int) -> None:
        now_ns = self.clock.now_ns()
        open_us = self.valve.to_device_us(now_ns) + ahead_us
        open_ns = now_ns + ahead_us * 1_000
        self.speech.wanted(one, outlet, open_ns, open_ns + length_us * 1_000)
        self.valve.send(Command(one, outlet, open_us, open_us + length_us), now_ns)

    def step(self) -> None:
        """One turn of the driver."""
        self.valve.step(self.clock.now_ns())

    def close(self) -> None:
        """Let the driver take its leave."""
        self.speech.withdrawn()
        self.valve.close()

    def reached(self) -> dict[str, int]:
        """How deep it got."""
        return {"opened": self.speech.opened > 0, "errors": self.error is not None}


def run(data: bytes) -> Watched:
    """Run one input; raises for a crash, or for an opening that nobody asked for."""
    clock = SteppedClock()
    speech = Speech(clock)
    link = ScriptLink(clock, list(steps(data)), speech)
    watched = Watched(link, clock, speech)
    try:
        watched.valve.connect()
        for action in turns(link, clock, watched.step):
            watched.act(action)
    except SorterError as error:
        watched.error = error
    try:
        watched.close()
    except SorterError:
        # A script's box has nothing more to say: the driver tells that it is not sure.
        return watched
    return watched
