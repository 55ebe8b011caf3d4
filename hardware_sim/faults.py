"""What can go wrong with a rig in virtual time: kinds of faults, and when they strike.

A kind is a row of `fault_acts.KINDS`: its name, the *place* at which it strikes, how often, and
what it does. A fault is drawn from the seed with its virtual time and three numbers from 0 to 1
that say how bad it is; nothing else about it is random, so a replay meets the same one. At its time
it either acts at once (places ``device``, ``host``, ``port``), or it waits for the next thing that
passes its place: a line to or from the device, a frame, a call of the network or of the recorder.

A fault *changed the trace* when what it struck differs from what would have passed: a byte that was
lost always changes it; one that waited in vain until the run ended does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from random import Random
from typing import Any, Literal

Place = Literal[
    "to_device", "to_host", "ack", "report", "receipt", "frame", "inference", "record", "pump",
    "device", "port", "host",
]  # fmt: skip
AT_ONCE: frozenset[str] = frozenset({"device", "port", "host"})
MS = 1_000_000
_MILD_MS = 30.0  # less than a third of the shortest watchdog

OPENING = ("running", "draining")
WHILE_SORTING = ("priming", *OPENING)
WHILE_LOOKING = (*WHILE_SORTING, "paused")
ON_THE_WIRE = ("connecting", *WHILE_LOOKING)
ALWAYS = (*ON_THE_WIRE, "off")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        number: within its rig, from 0, in the order in which they were drawn.
        at_ns: virtual host time from which it strikes.
        kind: name of a row of `KINDS`.
        u: three numbers from 0 to 1: how bad it is.
        mild: it does not last so long that it ends a run by itself.
    """

    number: int
    at_ns: int
    kind: str
    u: tuple[float, float, float]
    mild: bool = False

    def lasts_ns(self, least_ms: float, most_ms: float) -> int:
        """How long it lasts, by ``u[0]``, evenly spread over orders of magnitude."""
        return int(
            log_between(least_ms, min(most_ms, _MILD_MS) if self.mild else most_ms, self.u[0]) * MS
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: what it is called in reports.
        place: where it strikes.
        weight: how often it is drawn, among those that end runs and among those that need not.
        ends_run: the run ends with it, as it should; the operator starts another.
        states: states of the rig in which it can strike; each must be seen in a long campaign.
        act: what it does; arguments and result depend on the place, see `hardware_sim.fault_acts`.
    """

    name: str
    place: Place
    weight: float
    ends_run: bool
    states: tuple[str, ...]
    act: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that is over.

    Attributes:
        fault: which.
        at_ns: when it struck; its time where it waited in vain.
        state: of the rig then.
        changed: whether it changed what passed its place.
    """

    fault: Fault
    at_ns: int
    state: str
    changed: bool


def log_between(low: float, high: float, u: float) -> float:
    """Evenly spread over orders of magnitude: ``low`` for u = 0, ``high`` for u = 1."""
    return float(low * (high / low) ** u)


class Injector:
    """Hands faults to their places when their time has come, and keeps account of them.

    Args:
        kinds: by name.
        state: the rig's state now, in a word.
        act: does what a fault of a place in `AT_ONCE` does, at its time; whether it changed
            anything.

    Attributes:
        next_ns: when the next fault is due; far away when there is none.
        log: faults that are over, in the order in which they struck.
    """

    NEVER = 1 << 62

    def __init__(
        self,
        kinds: dict[str, Kind],
        state: Callable[[], str],
        act: Callable[[Fault, Kind], bool],
    ) -> None:
        self._kinds = kinds
        self._state = state
        self._act = act
        self._heap: list[tuple[int, int, Fault]] = []
        self._waiting: dict[str, deque[Fault]] = {}
        self.next_ns = self.NEVER
        self.log: list[Struck] = []
        self._drawn = 0

    @property
    def drawn(self) -> int:
        """How many faults there are so far, struck or not."""
        return self._drawn

    def add(
        self, at_ns: int, kind: str, u: tuple[float, float, float], *, mild: bool = False
    ) -> None:
        """A fault that is to strike at ``at_ns``."""
        fault = Fault(self._drawn, at_ns, kind, u, mild)
        self._drawn += 1
        heappush(self._heap, (at_ns, fault.number, fault))
        self.next_ns = self._heap[0][0]

    def fire(self, now_ns: int) -> None:
        """Let all act, or lie in wait, whose time has come by ``now_ns``."""
        while self._heap and self._heap[0][0] <= now_ns:
            fault = heappop(self._heap)[2]
            kind = self._kinds[fault.kind]
            if kind.place in AT_ONCE:
                state = self._state()
                changed = self._act(fault, kind)
                self.log.append(Struck(fault, now_ns, state, changed))
            else:
                self._waiting.setdefault(kind.place, deque()).append(fault)
        self.next_ns = self._heap[0][0] if self._heap else self.NEVER

    def take(self, place: Place, now_ns: int) -> Fault | None:
        """The fault that strikes what passes ``place`` now, or None."""
        waiting = self._waiting.get(place)
        if not waiting or waiting[0].at_ns > now_ns:
            return None
        fault = waiting.popleft()
        self.log.append(Struck(fault, now_ns, self._state(), True))
        return fault

    def changed_nothing(self) -> None:
        """What the fault that was taken last struck passes as it would have."""
        self.log[-1] = replace(self.log[-1], changed=False)

    def give_up(self, places: Sequence[Place]) -> None:
        """Those that wait there strike nothing any more."""
        for place in places:
            for fault in self._waiting.pop(place, ()):
                self.log.append(Struck(fault, fault.at_ns, self._state(), False))

    def close(self) -> None:
        """The rig stops: what was drawn and did not strike changed nothing."""
        self.give_up(tuple(self._waiting))  # type: ignore[arg-type]
        for _, _, fault in sorted(self._heap):
            self.log.append(Struck(fault, fault.at_ns, "off", False))
        self._heap.clear()
        self.next_ns = self.NEVER


def draw_kind(kinds: Sequence[Kind], random: Random) -> Kind:
    """One of them, by weight."""
    return random.choices(kinds, [kind.weight for kind in kinds])[0]


def draw_u(random: Random) -> tuple[float, float, float]:
    """How bad a fault is."""
    return (random.random(), random.random(), random.random())
