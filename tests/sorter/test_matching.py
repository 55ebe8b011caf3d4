"""Costs and pairs of small tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.matching import GROWTH, Candidate, Expected, Seen, candidates, cheapest

INF = math.inf
LATERAL_UM = 50.0


def cost_of(
    x_um: float = 0.0,
    y_um: float = 0.0,
    diameter_um: float = 200.0,
    *,
    leaves: bool = False,
    rough: bool = False,
) -> float:
    """Of a detection so far from a track of 200 µm, with gates of 100 and 50 µm."""
    expected = Expected(1_000.0, 100.0, 300.0, 200.0)
    seen = Seen(1_000.0 + x_um, 300.0 + y_um, diameter_um, leaves, rough)
    near = candidates([expected], [seen], lateral_gate_um=LATERAL_UM)
    return near[0].cost if near else INF


def test_costs_are_squares_in_gates() -> None:
    assert cost_of() == 0.0
    assert cost_of(x_um=50.0) == pytest.approx(0.25)
    assert cost_of(y_um=-25.0) == pytest.approx(0.25)
    assert cost_of(diameter_um=500.0) == pytest.approx(0.25)


def test_outside_a_gate_nothing_matches() -> None:
    assert cost_of(x_um=101.0) == INF
    assert cost_of(y_um=51.0) == INF
    assert cost_of(diameter_um=510.0) == INF


def test_what_leaves_may_lag_by_a_radius_and_be_of_any_size() -> None:
    assert cost_of(x_um=-150.0, leaves=True) < 1.0
    assert cost_of(diameter_um=20.0, leaves=True) == 0.0


def test_what_is_rough_is_of_any_size_but_where_it_is() -> None:
    assert cost_of(diameter_um=20.0, rough=True) == 0.0
    assert cost_of(x_um=-150.0, rough=True) == INF


PAIRS = {
    "own ones": ([[0.1, 0.9], [0.9, 0.1]], set(), {0: 0, 1: 1}),
    "cheapest first": ([[0.2, 0.3], [0.1, INF]], set(), {0: 1, 1: 0}),
    "none left": ([[0.2], [0.1]], set(), {0: 1}),
    "out of reach": ([[INF, INF]], set(), {}),
    "one left out": ([[0.1, 0.5]], {0}, {1: 0}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_cheapest_pairs(case: str) -> None:
    table, without, expected = PAIRS[case]
    pairs = sorted(
        Candidate(cost, row, column)
        for row, costs in enumerate(table)
        for column, cost in enumerate(costs)
        if cost < INF
    )
    assert cheapest(pairs, without=without) == expected


PLACES = st.floats(0.0, 2_000.0)
SIZES = st.floats(20.0, 500.0)
EXPECTED = st.builds(Expected, PLACES, st.floats(30.0, 400.0), st.floats(0.0, 800.0), SIZES)
SEEN = st.builds(Seen, PLACES, st.floats(0.0, 800.0), SIZES, st.booleans(), st.booleans())


@given(st.lists(EXPECTED, max_size=6), st.lists(SEEN, max_size=6))
def test_candidates_are_those_of_the_whole_table(
    expected: list[Expected], seen: list[Seen]
) -> None:
    """The same in arrays, all pairs at once."""
    if not expected or not seen:
        assert candidates(expected, seen, lateral_gate_um=LATERAL_UM) == []
        return
    x, gate, y, size = np.array(expected).T[:, :, None]
    seen_x, seen_y, seen_size, leaves, rough = np.array(seen, float).T
    along = (x - seen_x) / np.where(leaves, gate + size / 2, gate)
    across = (y - seen_y) / LATERAL_UM
    growth = np.where((leaves + rough) > 0, 0.0, np.log(size / seen_size) / math.log(GROWTH))
    cost = along**2 + across**2 + growth**2 / 4
    cost[np.abs(np.stack([along, across, growth])).max(axis=0) > 1.0] = INF
    found = candidates(expected, seen, lateral_gate_um=LATERAL_UM)
    assert [pair.cost for pair in found] == sorted(pair.cost for pair in found)
    table = np.full(cost.shape, INF)
    for pair in found:
        table[pair.track, pair.detection] = pair.cost
    np.testing.assert_allclose(table, cost, rtol=1e-9, atol=1e-12)
