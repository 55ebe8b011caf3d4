"""The host's driver under a script: a device's bytes and time in; what it says, against the oracle.

Actions: ``!send ID OUTLET AHEAD_US LENGTH_US``, ``!cancel ID``, ``!light AHEAD_US LENGTH_US``,
``!lines MASK``, ``!arm``, ``!hold``, ``!flow``, ``!stop``, ``!rest``, ``!ask``, ``!close``.

A `SorterError` is an answer: the run ends with it, as a controller's would. Anything else that is
raised is a crash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.ports import Acknowledged, Command, Executed, Link, Refused
from sorter.errors import SorterError
from tests.drivers.virtual_time import MS, SteppedClock
from tests.fuzz.oracle import Violation
from tests.fuzz.script import Action, Bytes, Passes, Step, steps
from tests.fuzz.speech import Speech

SESSION = 0x5EED0001
# A handshake as the firmware answers it, its stop cleared; see `seeds.armed`.
ARMED = Path(__file__).with_name("armed.txt")
SETTINGS = DispenserSettings(connect_ms=300)
_LONGEST_STEP_NS = 20 * MS
_AFTERWARDS_NS = 500 * MS
_NUMBERS = {"send": (0, 2, 3), "cancel": (0,), "light": (0, 1), "lines": (0,)}
_WORDS = {"send": 4, "cancel": 1, "light": 2, "lines": 1}


class Hears(Protocol):
    """Who judges what a driver writes."""

    def heard(self, data: bytes) -> None:
        """The driver writes this."""
        ...


class ScriptLink:
    """`drivers.ports.Link` to a device that says what a script says, when it says it."""

    def __init__(self, clock: SteppedClock, some: list[Step], speech: Hears) -> None:
        self._clock = clock
        self._speech = speech
        self._waiting: deque[tuple[int, Step]] = deque()
        at_ns = clock.now_ns()
        for step in some:
            self._waiting.append((at_ns, step))
            at_ns += step.us * 1_000 if isinstance(step, Passes) else 0
        self.end_ns = at_ns + _AFTERWARDS_NS
        self.actions: list[Action] = []

    def next_ns(self) -> int:
        """When something happens next."""
        return self._waiting[0][0] if self._waiting else self.end_ns

    def read(self) -> bytes:
        data = b""
        while self._waiting and self._waiting[0][0] <= self._clock.now_ns():
            _, step = self._waiting.popleft()
            if isinstance(step, Bytes):
                data += step.data
            elif isinstance(step, Action):
                self.actions.append(step)
            elif step.held_up:
                self._clock.wait_until(self._clock.now_ns() + step.us * 1_000)
        return data

    def write(self, data: bytes) -> None:
        self._speech.heard(data)

    def close(self) -> None:
        pass


def turns(
    link: ScriptLink,
    clock: SteppedClock,
    step: Callable[[], None],
    longest_ns: int = _LONGEST_STEP_NS,
) -> Iterator[Action]:
    """Let time pass to the script's end; ``step`` each turn, and the actions when they are due."""
    while clock.now_ns() < link.end_ns:
        soon_ns = max(link.next_ns(), clock.now_ns() + MS)
        clock.wait_until(min(soon_ns, clock.now_ns() + longest_ns))
        step()
        while link.actions:
            yield link.actions.pop(0)


class Watched:
    """A driver and what it may say.

    Attributes:
        settled: how many commands were.
        error: what ended it, if anything did.
    """

    def __init__(self, link: Link, clock: SteppedClock, speech: Speech) -> None:
        self.clock = clock
        sessions = count(SESSION)
        self.dispenser = SerialDispenser(link, clock, SETTINGS, draw_session=lambda: next(sessions))
        self.speech = speech
        self.settled = 0
        self.error: SorterError | None = None
        self._acknowledged: set[int] = set()
        self._ended: set[int] = set()

    def act(self, action: Action) -> None:
        """Do what the words say; nothing for words that say nothing."""
        verb, *words = action.words or ("",)
        known = len(words) == _WORDS.get(verb, 0)
        if known and all(words[place].isdigit() for place in _NUMBERS.get(verb, ())):
            self._do(verb, words)

    def _do(self, verb: str, words: list[str]) -> None:
        dispenser, now_ns = self.dispenser, self.clock.now_ns()
        if verb == "send":
            # A caller counts ids upwards: `drivers.ports.Command`.
            if int(words[0]) in self.speech.sent:
                return
            open_us = dispenser.to_device_us(now_ns) + int(words[2])
            command = Command(int(words[0]), words[1], open_us, open_us + int(words[3]))
            self.speech.wanted(command)
            dispenser.send(command, now_ns)
        elif verb == "cancel":
            self.speech.withdrawn(int(words[0]))
            dispenser.cancel(int(words[0]), now_ns)
        elif verb == "light":
            at_us = dispenser.to_device_us(now_ns) + int(words[0])
            dispenser.light(at_us, int(words[1]) & 0xFFFFFF, now_ns)
        elif verb == "lines":
            mask = int(words[0])
            bits = {"ready": bool(mask & 1), "hold": bool(mask & 2), "fault": bool(mask & 4)}
            dispenser.lines(**bits, now_ns=now_ns)
        elif verb in ("hold", "flow", "stop", "rest"):
            self.speech.ordered(verb)
            getattr(dispenser, verb)(now_ns)
        elif verb == "arm":
            self.speech.arms = True
            dispenser.arm()
            self.speech.arms = False
        elif verb == "ask":
            dispenser.ask_state(now_ns)
        elif verb == "close":
            self.close()

    def close(self) -> None:
        """Let the driver take its leave."""
        self.speech.ordered("rest")
        self.speech.ordered("hold")
        self.dispenser.close()

    def step(self) -> None:
        """One turn of the driver."""
        for event in self.dispenser.step(self.clock.now_ns()):
            if isinstance(event, Acknowledged):
                self._once(event.id, self._acknowledged)
            elif isinstance(event, Executed | Refused):
                self._once(event.id, self._ended)
                self.settled += 1
                self.speech.withdrawn(event.id)

    def reached(self) -> dict[str, int]:
        """How deep it got: inputs that settled a command, and that ended with an error."""
        return {"settled": self.settled > 0, "errors": self.error is not None}

    def _once(self, one: int, before: set[int]) -> None:
        if one not in self.speech.sent:
            raise Violation(f"tells of command {one}, which nobody sent")
        if one in before:
            raise Violation(f"tells of command {one} twice")
        before.add(one)


def run(data: bytes) -> Watched:
    """Run one input; raises for a crash, or for a line that nobody asked for."""
    clock = SteppedClock()
    speech = Speech()
    link = ScriptLink(clock, list(steps(data, ARMED.read_bytes())), speech)
    watched = Watched(link, clock, speech)
    try:
        watched.dispenser.connect()
        for action in turns(link, clock, watched.step):
            watched.act(action)
    except SorterError as error:
        watched.error = error
    watched.close()
    return watched
