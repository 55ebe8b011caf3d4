"""Who stands against an opening: those whom it would let in, or shut out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from sorter.liquid import Liquid, Opening, merge
from sorter.opening_plan import JunctionSettings, Window, window
from sorter.under_way import Body, Sent


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What is on its way to the junction at a moment.

    Attributes:
        bodies: all of them.
        sent: commands, by id.
        unsure: ids of those that the device has not confirmed.
        openings: merged, in order of time.
        bound_ns: bound of the dispenser's clock.
        now_ns: the moment.
    """

    bodies: Collection[Body]
    sent: Mapping[int, Sent]
    unsure: AbstractSet[int]
    openings: Sequence[Opening]
    bound_ns: int
    now_ns: int


class Conflicts:
    """Lays arrival windows over openings.

    Args:
        policy: see `sorter.decide`.
    """

    def __init__(
        self,
        liquid: Liquid,
        junction: JunctionSettings,
        policy: Literal["purity", "yield", "single"],
    ) -> None:
        self._liquid = liquid
        self._junction = junction
        self._policy = policy

    def window(self, body: Body, openings: Iterable[Opening]) -> Window:
        """When a body arrives, given these openings."""
        certain = self._policy == "yield"
        return window(body.arrival, self._liquid, tuple(openings), certain=certain)

    def met(self, body: Body, opening: Opening, under_way: UnderWay) -> Iterator[Window]:
        """Windows, with the gate's jitter, of those that opening for `body` would let in, or shut
        out."""
        openings = merge([*under_way.openings, opening])
        coming = [o for o in openings if o.close_ns > under_way.now_ns]
        guard_ns = self.guard_ns(under_way.bound_ns)
        for other in under_way.bodies:
            if other.id == body.id or not self._may_meet(other, coming):
                continue
            theirs = self.window(other, openings)
            let_in = any(theirs.overlaps(o, guard_ns) for o in coming if o.outlet != other.outlet)
            if let_in or (
                other.outlet == body.outlet
                and (
                    (self._policy == "single" and theirs.overlaps(opening, guard_ns))
                    or self._carries_past(other, openings, under_way)
                )
            ):
                yield theirs.widened(guard_ns)
        yield from self._met_without_the_unsure(opening, under_way)

    def guard_ns(self, bound_ns: int) -> int:
        """How much earlier or later than planned the gate may move."""
        return self._junction.jitter_ns + bound_ns

    def _carries_past(self, other: Body, openings: Sequence[Opening], under_way: UnderWay) -> bool:
        """Whether the jumps of `openings` carry a body past its own, which is commanded already."""
        if other.command_id not in under_way.sent:
            return False
        theirs = window(other.covered or other.arrival, self._liquid, openings)
        return theirs.late_ns > under_way.now_ns and not any(theirs.within(o) for o in openings)

    def _met_without_the_unsure(self, opening: Opening, under_way: UnderWay) -> Iterator[Window]:
        """Windows of those whom it lets in if no opening comes that the device has not confirmed:
        it may refuse them, and that may be heard too late."""
        if not under_way.unsure:
            return
        sure = [s.opening for i, s in under_way.sent.items() if i not in under_way.unsure]
        openings = merge([*sure, opening])
        guard_ns = self.guard_ns(under_way.bound_ns)
        for other in under_way.bodies:
            if other.outlet != opening.outlet and self._may_meet(other, [opening]):
                theirs = self.window(other, openings)
                if theirs.overlaps(opening, guard_ns):
                    yield theirs.widened(guard_ns)

    def _may_meet(self, body: Body, openings: Iterable[Opening]) -> bool:
        """Cheap test that spares most bodies the exact window: no jump exceeds `jump_ns`."""
        reach_ns = body.arrival.error_ns + self._liquid.jump_ns + self._junction.guard_ns
        early_ns, late_ns = body.arrival.liquid_ns - reach_ns, body.arrival.liquid_ns + reach_ns
        return any(o.open_ns < late_ns and early_ns < o.close_ns for o in openings)
