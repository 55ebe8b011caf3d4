"""Liquid time against direct integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.liquid import Liquid, LiquidSettings, Opening, merge

MS = 1_000_000
LIQUID = Liquid(LiquidSettings())


def test_without_openings_liquid_time_is_time() -> None:
    assert LIQUID.at(123_456_789, []) == 123_456_789
    assert LIQUID.first_passage_ns(5e9, []) == 5_000_000_000


def test_an_opening_ends_up_a_jump_ahead_and_its_close_takes_it_back() -> None:
    opening = Opening("collect", 0, 3_000 * MS)
    ahead = LIQUID.at(2_900 * MS, [opening]) - 2_900 * MS
    assert ahead == pytest.approx(0.117e9, rel=1e-9)  # 2,340 µm at 20,000 µm/s
    assert LIQUID.at(9_000 * MS, [opening]) == pytest.approx(9_000 * MS, abs=1)


def test_lead_is_what_the_liquid_gains() -> None:
    opening = Opening("collect", 1_000 * MS)
    gained = LIQUID.at(1_040 * MS, [opening]) - 1_040 * MS
    assert LIQUID.lead_ns(40 * MS) == pytest.approx(gained)


@pytest.mark.parametrize("since_ms", [1, 40, 100, 250, 600])
def test_its_error_is_the_spread_over_what_the_valve_may_really_have_done(since_ms: int) -> None:
    jitter_ns = 3 * MS
    unsure = Liquid(LiquidSettings(), jitter_ns)
    planned = [Opening("collect", 0, 60 * MS), Opening("collect", 200 * MS, 240 * MS)]
    seen_ns = 250 * MS + since_ms * MS  # after them all
    rng = np.random.default_rng(1)
    really = [
        LIQUID.at(
            seen_ns,
            [
                Opening(o.outlet, *(int(t + rng.uniform(-1, 1) * jitter_ns) for t in switches))
                for o in planned
                for switches in [(o.open_ns, o.close_ns)]
            ],
        )
        for _ in range(2_000)
    ]
    # Spread evenly over a half width, a switch has a third of its square as variance.
    spread_ns = unsure.unrest_ns(seen_ns, planned) / np.sqrt(3.0)
    assert spread_ns == pytest.approx(np.std(really), rel=0.05)


@given(
    liquid_ms=st.integers(500, 3_000),
    opens=st.lists(st.tuples(st.integers(0, 3_000), st.integers(40, 400)), max_size=4),
)
def test_first_passage_is_the_first_time_that_it_is_reached(
    liquid_ms: int, opens: list[tuple[int, int]]
) -> None:
    openings = merge([Opening("collect", a * MS, (a + w) * MS) for a, w in opens])
    passage = LIQUID.first_passage_ns(liquid_ms * MS, openings)
    fine = np.arange(0, 4_000 * MS, MS // 4, dtype=np.int64)
    reached = np.array([LIQUID.at(int(t_ns), openings) for t_ns in fine])
    direct = int(fine[np.argmax(reached >= liquid_ms * MS)])
    assert abs(passage - direct) <= 2.5 * MS


MERGES = {
    "apart": ([(0, 10), (20, 30)], [(0, 10), (20, 30)]),
    "overlap": ([(0, 10), (5, 30)], [(0, 30)]),
    "inside": ([(0, 50), (5, 30)], [(0, 50)]),
    "touch": ([(0, 10), (10, 30)], [(0, 30)]),
    "unordered": ([(20, 30), (0, 25)], [(0, 30)]),
}


@pytest.mark.parametrize("case", MERGES)
def test_merge(case: str) -> None:
    given_, wanted = MERGES[case]
    merged = merge([Opening("collect", a, b) for a, b in given_])
    assert [(o.open_ns, o.close_ns) for o in merged] == wanted


def test_merge_keeps_outlets_apart() -> None:
    merged = merge([Opening("collect", 0, 10), Opening("recheck", 5, 20)])
    assert len(merged) == 2
