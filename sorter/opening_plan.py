"""When the gate has to be open for one body: a pure calculation.

Opening the gate moves the liquid, and with it the body that it opens for; so the opening is found
from the body's arrival in liquid time, with the jump that the opening itself causes (see
`sorter.liquid`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sorter.liquid import FOREVER_NS, Liquid, Opening
from sorter.track import Arrival


class JunctionSettings(BaseModel):
    """The junction and its valve, as calibrated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance_um: float = Field(
        10_000.0, gt=0, description="right edge of the view to the junction, µm"
    )
    valve_on_ms: float = Field(25.0, ge=0, description="lag of the valve when it opens, ms")
    valve_off_ms: float = Field(15.0, ge=0, description="lag of the valve when it closes, ms")
    valve_jitter_ms: float = Field(
        3.0, ge=0, description="half width of the spread of both lags, ms"
    )
    min_dwell_ms: float = Field(
        30.0, gt=0, description="shortest time that the gate stays in one position, ms"
    )
    margin_ms: float = Field(
        2.0, ge=0, description="added on both sides of the arrival interval, ms"
    )

    @property
    def guard_ns(self) -> int:
        """How long before and after an arrival the gate must stand: jitter and margin."""
        return int((self.valve_jitter_ms + self.margin_ms) * 1e6)

    @property
    def jitter_ns(self) -> int:
        """How much earlier or later than planned the valve may really move."""
        return int(self.valve_jitter_ms * 1e6)

    @property
    def min_dwell_ns(self) -> int:
        """Shortest dwell in ns."""
        return int(self.min_dwell_ms * 1e6)


@dataclass(frozen=True, slots=True)
class Window:
    """Host times between which a body reaches the junction."""

    early_ns: int
    late_ns: int

    def overlaps(self, opening: Opening, guard_ns: int) -> bool:
        """Whether the body may arrive while the gate stands there, or within its jitter of it."""
        return (
            self.late_ns > opening.open_ns - guard_ns
            and self.early_ns < opening.close_ns + guard_ns
        )

    def widened(self, by_ns: int) -> Window:
        """The same, longer on both sides."""
        return Window(self.early_ns - by_ns, self.late_ns + by_ns)

    def within(self, opening: Opening) -> bool:
        """Whether the body surely arrives while the gate stands there."""
        return self.early_ns >= opening.open_ns and self.late_ns <= opening.close_ns


def window(
    arrival: Arrival, liquid: Liquid, openings: Sequence[Opening], *, certain: bool = False
) -> Window:
    """Arrival window in host time; with `certain` its expected time alone."""
    error_ns = 0.0 if certain else arrival.error_ns
    return Window(
        liquid.first_passage_ns(arrival.liquid_ns - error_ns, openings),
        liquid.first_passage_ns(arrival.liquid_ns + error_ns, openings),
    )


@dataclass(frozen=True, slots=True)
class Aim:
    """How much of a body's arrival window its opening covers, and where what is left of it goes.

    Attributes:
        before, after: share of the half width that is covered before and after the likeliest
            time, -1 to 1; their sum is above 0.
        dwells_before: an opening shorter than the shortest dwell is made longer at its beginning,
            not at its end, where the gate has been at rest for long enough.
    """

    before: float = 1.0
    after: float = 1.0
    dwells_before: bool = False

    def of(self, arrival: Arrival) -> Arrival:
        """The part of an arrival that is covered."""
        first_ns, last_ns = self.interval_ns(arrival)
        return Arrival((first_ns + last_ns) / 2, (last_ns - first_ns) / 2)

    def interval_ns(self, arrival: Arrival) -> tuple[float, float]:
        """First and last liquid time that is covered."""
        error_ns = arrival.error_ns
        return (
            arrival.liquid_ns - self.before * error_ns,
            arrival.liquid_ns + self.after * error_ns,
        )


WHOLE = Aim()
_STEPS = 6  # each leaves about half of what is spare
# A half width is three standard errors. The gate's guard is kept on top, so with a share of -0.6
# of a narrow window the body still meets its opening more often than not.
_SHARES = (1.0, 0.6, 0.3, 0.0, -0.3, -0.6)


def aims_beside(others: Iterable[Window], at_ns: int, error_ns: float) -> tuple[Aim, ...]:
    """Openings to try for a body whose whole window would let somebody else in; surest first.

    The body may then miss its opening and go to rest, where it would have gone anyway; nobody
    else is let in.

    Args:
        others: windows of those that may not be let in.
        at_ns: host time at which the body is likeliest to arrive.
        error_ns: half width of its window.

    Returns:
        Nothing where the others leave too little of the window.
    """
    before, after = list[Window](), list[Window]()
    for other in others:
        (after if other.early_ns + other.late_ns > 2 * at_ns else before).append(other)
    # Between two, what is covered has to hold the likeliest time.
    beyond_ns = 0.0 if before and after else -_SHARES[-1] * error_ns
    from_ns = max((other.late_ns for other in before), default=at_ns - beyond_ns)
    to_ns = min((other.early_ns for other in after), default=at_ns + beyond_ns)
    if from_ns > at_ns + beyond_ns or to_ns < at_ns - beyond_ns:
        return ()
    if not before:
        return tuple(Aim(after=share, dwells_before=True) for share in _SHARES)
    if not after:
        return tuple(Aim(before=share) for share in _SHARES[1:])
    return tuple(Aim(share, share, dwells_before=True) for share in _SHARES if share > 0)


def plan_opening(
    arrival: Arrival,
    outlet: str,
    openings: Sequence[Opening],
    liquid: Liquid,
    junction: JunctionSettings,
    bound_ns: int,
    aim: Aim = WHOLE,
) -> Opening:
    """The opening that a body needs, given those that are already commanded.

    An opening that would leave the gate at rest for less than the shortest dwell is joined to its
    neighbour of the same outlet.

    Args:
        arrival: when the body arrives, in liquid time.
        outlet: where it is bound.
        openings: merged openings already commanded, in order of time.
        bound_ns: bound of the clock estimate, widens the opening.
        aim: how much of the arrival's interval is covered.
    """
    guard_ns = junction.guard_ns + bound_ns
    first, last = aim.interval_ns(arrival)
    early_ns = liquid.first_passage_ns(first, openings)
    open_ns = liquid.first_passage_ns(first - liquid.lead_ns(guard_ns), openings) - guard_ns
    before = _reached(openings, outlet, open_ns - junction.min_dwell_ns, early_ns)
    if before is not None:
        kept = [o for o in openings if o.open_ns < before.open_ns]
        joined = Opening(outlet, before.open_ns)
        late_ns = liquid.first_passage_ns(last, [*kept, joined])
        # Starting where the other still holds the gate, so that the union has no gap.
        open_ns = min(max(before.open_ns, early_ns - guard_ns), before.close_ns)
        return Opening(outlet, open_ns, max(late_ns + guard_ns, before.close_ns))
    earlier = [o for o in openings if o.close_ns <= open_ns]

    def spare_ns(opens_ns: int) -> int:
        """How much shorter than the shortest dwell the opening would be."""
        late_ns = liquid.first_passage_ns(last, [*earlier, Opening(outlet, opens_ns, FOREVER_NS)])
        return junction.min_dwell_ns - (late_ns + guard_ns - opens_ns)

    spare = spare_ns(open_ns)
    if aim.dwells_before:
        sooner_ns, left = open_ns, spare
        for _ in range(_STEPS):  # the earlier the gate opens, the earlier the body comes
            sooner_ns -= max(left, 0)
            left = spare_ns(sooner_ns)
        rests_from_ns = sooner_ns - junction.min_dwell_ns
        if _reached(openings, outlet, rests_from_ns, open_ns) is None:
            open_ns, spare = sooner_ns, left
    close_ns = open_ns + junction.min_dwell_ns - min(spare, 0)
    for later in openings:
        if later.outlet == outlet and 0 <= later.open_ns - close_ns < junction.min_dwell_ns:
            close_ns = later.open_ns
    return Opening(outlet, open_ns, close_ns)


def stands_until(
    openings: Sequence[Opening], outlet: str, time_ns: int, junction: JunctionSettings
) -> bool:
    """Whether the gate is commanded to stand at `outlet` at `time_ns` already."""
    off_ns = int(junction.valve_off_ms * 1e6)
    return any(
        o.outlet == outlet and o.open_ns <= time_ns and o.close_ns - off_ns > time_ns
        for o in openings
    )


def _reached(openings: Sequence[Opening], outlet: str, from_ns: int, to_ns: int) -> Opening | None:
    """The last opening of `outlet` that begins before `to_ns` and still stands at `from_ns`."""
    for opening in reversed(openings):
        if opening.outlet == outlet and opening.open_ns <= to_ns and opening.close_ns >= from_ns:
            return opening
    return None
