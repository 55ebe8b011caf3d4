"""Bodies whose command was refused: whether another's opening let them in is told in time."""

from __future__ import annotations

import pytest

from sorter.decide import Reason
from sorter.liquid import Liquid, LiquidSettings, Opening
from sorter.opening_plan import JunctionSettings, window
from sorter.refused import RefusedBodies
from sorter.track import Arrival
from sorter.under_way import Body

MS = 1_000_000
LIQUID, JUNCTION = Liquid(LiquidSettings()), JunctionSettings()
EARLIER = Opening("collect", 900 * MS, 1_000 * MS)
LATER = Opening("collect", 1_060 * MS, 1_110 * MS)


def body(liquid_ms: float) -> Body:
    """It arrives at a liquid time, within a millisecond."""
    return Body(7, Arrival(liquid_ms * MS, 1.0 * MS), "collect")


def carried_in() -> Body:
    """It comes while `LATER` stands open, and only because `EARLIER` moved the liquid."""
    for liquid_ms in range(1_050, 1_400):
        one = body(liquid_ms)
        both, alone = (
            window(one.arrival, LIQUID, openings) for openings in ((EARLIER, LATER), (LATER,))
        )
        if both.within(LATER) and not alone.overlaps(LATER, JUNCTION.guard_ns):
            return one
    raise AssertionError("there is none")


def test_who_has_gone_in_has_though_the_opening_that_moved_the_liquid_is_forgotten() -> None:
    refused = RefusedBodies(LIQUID, JUNCTION)
    refused.add(carried_in(), Reason.LATE)
    assert refused.take_unserved((EARLIER, LATER)) == []
    refused.passed(1_300 * MS, (EARLIER, LATER))
    assert refused.take_unserved((LATER,)) == []
    assert refused.take_unserved(()) == []


def test_who_is_still_to_come_goes_to_rest_where_the_opening_falls_away() -> None:
    refused, late = RefusedBodies(LIQUID, JUNCTION), carried_in()
    refused.add(late, Reason.CONFLICT)
    refused.passed(1_050 * MS, (EARLIER, LATER))
    assert refused.take_unserved((EARLIER,)) == [(late, Reason.CONFLICT)]
    assert refused.take_unserved(()) == []


@pytest.mark.parametrize("now_ms", [1_000, 3_000])
def test_whom_no_opening_lets_in_goes_to_rest(now_ms: int) -> None:
    refused, missed = RefusedBodies(LIQUID, JUNCTION), body(2_000)
    refused.add(missed, Reason.LATE)
    refused.passed(now_ms * MS, (EARLIER, LATER))
    assert refused.take_unserved((EARLIER, LATER)) == [(missed, Reason.LATE)]
