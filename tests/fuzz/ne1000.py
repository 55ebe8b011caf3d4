"""The NE-1000's driver under a script: a pump's bytes and time in; what it says, judged.

Actions: ``!start``, ``!stop``, ``!hold``, ``!resume``, ``!reverse UL``, ``!rate UL_S``, ``!close``.
A `PumpError` is an answer: it takes back what was asked for, and the run goes on.
"""

from __future__ import annotations

import re

from drivers.ne1000 import NE1000Pump, NE1000Settings
from drivers.ports import Link
from sorter.errors import PumpError
from tests.drivers.virtual_time import MS, SteppedClock
from tests.fuzz.host import ScriptLink, turns
from tests.fuzz.oracle import Violation
from tests.fuzz.script import Action, steps

_COMMAND = re.compile(rb"(?:\d\d[A-Z0-9.*]*\r)+")
_STARTS = re.compile(rb"\d\d(?:RUN|PUR)[A-Z0-9]*\r")


class Speech:
    """What the driver may write: a start only while the caller wants the pump to run."""

    def __init__(self) -> None:
        self.wants_flow = False
        self.started = 0

    def heard(self, data: bytes) -> None:
        """The driver writes."""
        if _COMMAND.fullmatch(data) is None:
            raise Violation(f"no command of an NE-1000: {data!r}")
        if _STARTS.search(data):
            self.started += 1
            if not self.wants_flow:
                raise Violation(f"nobody wants it to run: {data!r}")


class Watched:
    """A driver and what it may say."""

    def __init__(self, link: Link, clock: SteppedClock, speech: Speech) -> None:
        self.clock = clock
        self.speech = speech
        self.pump = NE1000Pump(link, clock, NE1000Settings())
        self.troubles = 0

    def act(self, action: Action) -> None:
        """Do what the words say; nothing for words that say nothing."""
        now_ns = self.clock.now_ns()
        try:
            match action.words:
                case ("start" | "resume" as verb,):
                    self.speech.wants_flow = True
                    getattr(self.pump, verb)(now_ns)
                case ("stop" | "hold" as verb,):
                    self.speech.wants_flow = False
                    getattr(self.pump, verb)(now_ns)
                case ("reverse", volume) if volume.isdigit():
                    self.speech.wants_flow = True
                    self.pump.reverse(float(volume), now_ns)
                case ("rate", rate) if rate.isdigit():
                    self.pump.set_rate_ul_s(float(rate), now_ns)
                case ("close",):
                    self.close()
        except PumpError:
            self._refused()

    def step(self) -> None:
        """One turn of the driver."""
        try:
            self.pump.step(self.clock.now_ns())
        except PumpError:
            self._refused()

    def _refused(self) -> None:
        self.troubles += 1
        self.speech.wants_flow = False

    def close(self) -> None:
        """Let the driver take its leave."""
        self.speech.wants_flow = False
        self.pump.close()

    def reached(self) -> dict[str, int]:
        """How deep it got."""
        return {"started": self.speech.started > 0, "errors": self.troubles > 0}


def run(data: bytes) -> Watched:
    """Run one input; raises for a crash, or for a start that nobody wants."""
    clock = SteppedClock()
    speech = Speech()
    link = ScriptLink(clock, list(steps(data)), speech)
    watched = Watched(link, clock, speech)
    for action in turns(link, clock, watched.step, MS):
        watched.act(action)
    watched.act(Action(("close",)))
    return watched
