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
from collections.abc import Callable, Sequence
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
_FORBIDDEN = -math.inf


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
        self._darks: list[Dark] = []
        self._look_ns = 0

    @property
    def under_way(self) -> int:
        """Objects that count and have not been ruled on."""
        return sum(one.counts for one in self._objects.values())

    def expect(self, expected: Expected) -> None:
        """An object that was decided; the same id again replaces what was known of it."""
        self._objects[expected.object_id] = expected
        self._look_ns = 0

    def changed(self, object_id: int, outlet: str) -> None:
        """Its decision was changed; nothing happens where it has been ruled on already."""
        if object_id in self._objects:
            self._objects[object_id] = replace(self._objects[object_id], outlet=outlet)

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
        self._darks.append(
            Dark(passed.outlet, begun_ns, end_ns, liquid_ns(begun_ns), liquid_ns(end_ns))
        )
        self._look_ns = 0

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
        verdicts: list[Verdict] = []
        if self._due_ns() + wait_ns <= now_ns:
            for group in self._groups():
                since_ns = now_ns - wait_ns
                if group.last_ns <= since_ns or group.first_ns + patience_ns <= since_ns:
                    verdicts += self._rule(group, since_ns)
        due_ns = self._due_ns() + wait_ns
        self._look_ns = int(max(due_ns, now_ns + _LOOK_AGAIN_NS)) if due_ns < math.inf else 0
        return sorted(verdicts, key=_when)

    def _due_ns(self) -> float:
        """When the first of all is over; infinite where nothing waits."""
        over = [self._over_ns(one) for one in self._objects.values()]
        return min(over + [float(dark.end_ns) for dark in self._darks], default=math.inf)

    def _over_ns(self, expected: Expected) -> float:
        return latest_ns(expected, self._settings)

    def _groups(self) -> list[_Group]:
        """Objects and darks that hang together; `_Group.gains` is what they gain by each other."""
        objects = list(self._objects.values())
        gains = {
            (i, d): odds
            for i, one in enumerate(objects)
            for d, odds in self._near(one)
            if odds[0] > 0
        }
        # Objects are numbered first, then darks; each points at one that it hangs together with.
        leader = list(range(len(objects) + len(self._darks)))
        for i, d in gains:
            low, high = sorted((_head(leader, i), _head(leader, len(objects) + d)))
            leader[high] = low
        members: dict[int, tuple[list[int], list[int]]] = {}
        for node in range(len(leader)):
            theirs = members.setdefault(_head(leader, node), ([], []))
            if node < len(objects):
                theirs[0].append(node)
            else:
                theirs[1].append(node - len(objects))
        nothing = [_FORBIDDEN] * self._settings.sharing
        return [
            self._group(
                [objects[i] for i in mine],
                [self._darks[d] for d in darks],
                [[g for d in darks for g in gains.get((i, d), nothing)] for i in mine],
            )
            for mine, darks in members.values()
        ]

    def _near(self, expected: Expected) -> list[tuple[int, list[float]]]:
        """Darks that the object could have made, by number, with what each gains."""
        return [
            (number, log_odds(expected, dark, self._settings))
            for number, dark in enumerate(self._darks)
        ]

    def _group(
        self, objects: list[Expected], darks: list[Dark], gains: list[list[float]]
    ) -> _Group:
        over = [self._over_ns(one) for one in objects] + [float(dark.end_ns) for dark in darks]
        return _Group(objects, darks, gains, min(over), max(over))

    def _rule(self, group: _Group, since_ns: float) -> list[Verdict]:
        """Verdicts on a group; what is not over yet and not matched goes on waiting."""
        sharing = self._settings.sharing
        pairs = best_pairs(group.gains)
        dark_of = {row: column // sharing for row, column in pairs}
        shared = [list(dark_of.values()).count(d) > 1 for d in range(len(group.darks))]
        verdicts: list[Verdict] = []
        for row, one in enumerate(group.objects):
            if row in dark_of:
                dark = group.darks[dark_of[row]]
                sure = dark.outlet == one.outlet or self._surely_astray(group, row, pairs)
                verdicts.append(
                    Seen(
                        one.object_id,
                        dark.outlet,
                        dark.middle_ns,
                        dark.liquid_ns - guess_ns(one, self._settings),
                        one,
                        shared=shared[dark_of[row]],
                        sure=sure,
                    )
                )
            elif self._over_ns(one) > since_ns:
                continue
            elif one.counts:
                verdicts.append(Lost(one.object_id, one))
            del self._objects[one.object_id]
        for number, dark in enumerate(group.darks):
            if number not in dark_of.values():
                if dark.end_ns > since_ns:
                    continue
                verdicts.append(Unexpected(dark.outlet, dark.middle_ns, dark.length_ns))
            self._darks.remove(dark)
        return verdicts

    def _surely_astray(self, group: _Group, row: int, pairs: Sequence[tuple[int, int]]) -> bool:
        """Whether every explanation in which this object did not go astray is much less likely."""
        one, sharing = group.objects[row], self._settings.sharing
        if not one.counts:
            return True
        gains = list(group.gains)
        gains[row] = [
            gain if group.darks[column // sharing].outlet == one.outlet else _FORBIDDEN
            for column, gain in enumerate(group.gains[row])
        ]
        best = sum(group.gains[r][c] for r, c in pairs)
        without = sum(gains[r][c] for r, c in best_pairs(gains))
        return best - without >= self._settings.sure_nats


@dataclass(frozen=True, slots=True)
class _Group:
    """Objects and darks that can only be ruled on together.

    Attributes:
        gains: (objects, darks × sharing), see `sorter.junction_odds.log_odds`.
        first_ns, last_ns: when the first and the last of them is over.
    """

    objects: list[Expected]
    darks: list[Dark]
    gains: list[list[float]]
    first_ns: float
    last_ns: float


def _head(leader: list[int], node: int) -> int:
    """The first of those that hang together with a node; shortens the way on the way."""
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node


def _when(verdict: Verdict) -> float:
    if isinstance(verdict, Lost):
        return verdict.expected.arrival.liquid_ns
    return verdict.at_ns
