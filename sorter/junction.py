"""Where each object went: passages at the junction's optical gates, tied to what was decided.

A passage is one dark of the optical gate in an outlet. It is compared with all objects that could
have made it (`sorter.junction_odds`), and what hangs together is ruled on together, once nothing
can be added to it any more: the most likely assignment, exactly (`sorter.assignment`). An object
may have gone to another outlet than decided; that is what this is for. Bodies that overlap make one
dark, so a dark can be given to more than one object where that is likelier than that one got lost.

Every object that counts is `Seen` or `Lost`, once; every passage is an object's or `Unexpected`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from drivers.ports import Passed
from sorter.assignment import best_pairs
from sorter.junction_odds import (
    Dark,
    Expected,
    JunctionWatchSettings,
    guess_ns,
    latest_ns,
    log_odds,
)

__all__ = [
    "Expected",
    "JunctionWatch",
    "JunctionWatchSettings",
    "Lost",
    "Seen",
    "Unexpected",
    "Verdict",
]

_LOOK_AGAIN_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """An object was seen to enter an outlet.

    Attributes:
        object_id: which.
        outlet: the outlet that it entered.
        at_ns: host time at which its centre passed the optical gate.
        late_ns: by how much later than predicted, in liquid time, the way from the junction to
            the optical gate taken off.
        expected: what was known of it.
        shared: other objects passed in the same dark: its time is not its own.
        sure: False where it went astray by the likeliest explanation, but not by all likely ones.
    """

    object_id: int
    outlet: str
    at_ns: int
    late_ns: float
    expected: Expected
    shared: bool
    sure: bool

    @property
    def astray(self) -> bool:
        """It counts, and entered another outlet than it was meant for."""
        return self.expected.counts and self.outlet != self.expected.outlet


@dataclass(frozen=True, slots=True)
class Lost:
    """An object that counts was seen nowhere: stuck, or missed by the optical gates."""

    object_id: int
    expected: Expected


@dataclass(frozen=True, slots=True)
class Unexpected:
    """A passage that no object explains: something that was never seen, or a false one.

    Attributes:
        outlet: where.
        at_ns: host time of the middle of the dark.
        length_ns: how long it was dark, in liquid time.
    """

    outlet: str
    at_ns: int
    length_ns: float


Verdict = Seen | Lost | Unexpected


class JunctionWatch:
    """Ties passages to objects. Stepped; no clock, no I/O.

    It is told of objects when they are decided, of what changes afterwards, and of passages when
    their news come, in any order; `step` says what has become certain meanwhile.
    """

    def __init__(self, settings: JunctionWatchSettings) -> None:
        self._settings = settings
        self._objects: dict[int, Expected] = {}
        self._darks: dict[int, Dark] = {}
        self._next_dark = 0
        # When each object can darken a gate no more, and what it gains by each dark.
        self._over_ns: dict[int, float] = {}
        self._odds: dict[int, dict[int, list[float]]] = {}
        self._look_ns = 0

    @property
    def under_way(self) -> int:
        """Objects that count and have not been ruled on."""
        return sum(one.counts for one in self._objects.values())

    def expect(self, expected: Expected) -> None:
        """An object that was decided; the same id again replaces what was known of it."""
        self._objects[expected.object_id] = expected
        self._over_ns[expected.object_id] = latest_ns(expected, self._settings)
        self._odds[expected.object_id] = {}
        for number in self._darks:
            self._weigh(expected, number)
        self._look_ns = 0

    def changed(self, object_id: int, outlet: str) -> None:
        """Its decision was changed; nothing happens where it has been ruled on already."""
        if object_id in self._objects:
            self.expect(replace(self._objects[object_id], outlet=outlet))

    def passed(
        self, passed: Passed, to_host_ns: Callable[[int], int], liquid_ns: Callable[[int], float]
    ) -> None:
        """A passage.

        Args:
            passed: as the dispenser told it.
            to_host_ns: host time of an unwrapped device time.
            liquid_ns: liquid time of a host time, with the openings as they are known now: they
                are forgotten a second after they closed, which the news of a passage must not take.
        """
        begun_ns = to_host_ns(passed.begun_us)
        end_ns = to_host_ns(passed.begun_us + passed.length_us)
        number, self._next_dark = self._next_dark, self._next_dark + 1
        self._darks[number] = Dark(
            passed.outlet, begun_ns, end_ns, liquid_ns(begun_ns), liquid_ns(end_ns)
        )
        for one in self._objects.values():
            self._weigh(one, number)
        self._look_ns = 0

    def forget_objects(self) -> list[int]:
        """Expect none of those under way any more; ids of those that count."""
        counting = [one.object_id for one in self._objects.values() if one.counts]
        self._forget(list(self._objects), ())
        return counting

    def _weigh(self, expected: Expected, number: int) -> None:
        odds = log_odds(expected, self._darks[number], self._settings)
        if odds and odds[0] > 0:
            self._odds[expected.object_id][number] = odds

    def step(self, now_ns: int, *, final: bool = False) -> list[Verdict]:
        """What is certain by now; cheap where nothing is due.

        Args:
            now_ns: host time.
            final: no more news will come: rule on everything that should have passed by now.
        """
        if now_ns < self._look_ns and not final:
            return []
        wait_ns = 0.0 if final else self._settings.wait_ms * 1e6
        patience_ns = 0.0 if final else self._settings.patience_ms * 1e6
        since_ns = now_ns - wait_ns
        verdicts: list[Verdict] = []
        if self._due_ns() <= since_ns:
            for group in self._groups():
                if group.last_ns <= since_ns or group.first_ns + patience_ns <= since_ns:
                    verdicts += self._rule(group, since_ns)
        due_ns = self._due_ns() + wait_ns
        self._look_ns = int(max(due_ns, now_ns + _LOOK_AGAIN_NS)) if due_ns < math.inf else 0
        return sorted(verdicts, key=_when)

    def _due_ns(self) -> float:
        """When the first of all is over; infinite where nothing waits."""
        ends = (float(dark.end_ns) for dark in self._darks.values())
        return min(min(self._over_ns.values(), default=math.inf), min(ends, default=math.inf))

    def _groups(self) -> list[_Group]:
        """Objects and darks that hang together."""
        # Each points at one that it hangs together with: objects as 0, id, darks as 1, number.
        leader = {node: node for node in ((0, i) for i in self._objects)}
        leader |= {node: node for node in ((1, d) for d in self._darks)}
        for object_id, theirs in self._odds.items():
            for number in theirs:
                low, high = sorted((_head(leader, (0, object_id)), _head(leader, (1, number))))
                leader[high] = low
        members: dict[_Node, tuple[list[int], list[int]]] = {}
        for node in leader:
            members.setdefault(_head(leader, node), ([], []))[node[0]].append(node[1])
        return [self._group(objects, darks) for objects, darks in members.values()]

    def _group(self, objects: list[int], darks: list[int]) -> _Group:
        over = {one: self._over_ns[one] for one in objects}
        ends = [float(self._darks[one].end_ns) for one in darks]
        # Nobody waits for a speck: when it passes is known badly, and where it goes is no matter.
        counting = [ns for one, ns in over.items() if self._objects[one].counts]
        last_ns = max([*counting, *ends], default=max(over.values(), default=0.0))
        return _Group(objects, darks, min([*over.values(), *ends]), last_ns)

    def _rule(self, group: _Group, since_ns: float) -> list[Verdict]:
        """Verdicts on a group; what is not over yet and not matched goes on waiting."""
        dark_of, total = self._likeliest(group)
        sharing = Counter(dark_of.values())
        verdicts: list[Verdict] = [
            self._seen(object_id, number, sharing[number] > 1, group, total)
            for object_id, number in dark_of.items()
        ]
        alone = [one for one in group.objects if one not in dark_of]
        over = [one for one in alone if self._over_ns[one] <= since_ns]
        objects = [self._objects[one] for one in over]
        verdicts += [Lost(one.object_id, one) for one in objects if one.counts]
        others = [number for number in group.darks if number not in sharing]
        ended = [number for number in others if self._darks[number].end_ns <= since_ns]
        darks = [self._darks[number] for number in ended]
        verdicts += [Unexpected(dark.outlet, dark.middle_ns, dark.length_ns) for dark in darks]
        self._forget([*dark_of, *over], {*sharing, *ended})
        return verdicts

    def _seen(self, object_id: int, number: int, shared: bool, group: _Group, total: float) -> Seen:
        one, dark = self._objects[object_id], self._darks[number]
        sure = True
        if one.counts and dark.outlet != one.outlet:
            # Every explanation in which it did not go astray must be much less likely.
            sure = total - self._likeliest(group, keeps=one)[1] >= self._settings.sure_nats
        late_ns = dark.liquid_ns - guess_ns(one, self._settings)
        return Seen(object_id, dark.outlet, dark.middle_ns, late_ns, one, shared=shared, sure=sure)

    def _likeliest(
        self, group: _Group, keeps: Expected | None = None
    ) -> tuple[dict[int, int], float]:
        """Object -> dark, and the log odds of that assignment.

        Args:
            group: what hangs together.
            keeps: an object that may only enter its own outlet.
        """
        most = self._settings.sharing
        places = {number: place for place, number in enumerate(group.darks)}
        wanted = Counter(number for one in group.objects for number in self._odds[one])
        gains = [
            {
                places[number] * most + n: gain
                for number, odds in self._odds[object_id].items()
                if keeps is None
                or object_id != keeps.object_id
                or self._darks[number].outlet == keeps.outlet
                for n, gain in enumerate(odds[: wanted[number]])
            }
            for object_id in group.objects
        ]
        pairs = best_pairs(gains)
        dark_of = {group.objects[row]: group.darks[column // most] for row, column in pairs}
        return dark_of, sum(gains[row][column] for row, column in pairs)

    def _forget(self, objects: Collection[int], darks: Collection[int]) -> None:
        for object_id in objects:
            del self._objects[object_id], self._odds[object_id], self._over_ns[object_id]
        for number in darks:
            del self._darks[number]
            for theirs in self._odds.values():
                theirs.pop(number, None)


_Node = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Group:
    """Objects and darks that can only be ruled on together, by id and number.

    Attributes:
        first_ns, last_ns: when the first and the last of them is over; specks count for the first.
    """

    objects: list[int]
    darks: list[int]
    first_ns: float
    last_ns: float


def _head(leader: dict[_Node, _Node], node: _Node) -> _Node:
    """The first of those that hang together with a node; shortens the way on the way."""
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node


def _when(verdict: Verdict) -> float:
    return verdict.expected.arrival.liquid_ns if isinstance(verdict, Lost) else verdict.at_ns
