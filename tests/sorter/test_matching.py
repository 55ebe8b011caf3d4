"""Costs and pairs of small tables."""

from __future__ import annotations

import numpy as np
import pytest

from sorter.matching import Expected, Seen, cheapest, costs

INF = np.inf


def cost_of(
    x_um: float = 0.0, y_um: float = 0.0, diameter_um: float = 200.0, *, leaves: bool = False
) -> float:
    """Of a detection so far from a track of 200 µm, with gates of 100 and 50 µm."""
    expected = Expected(*(np.array([v]) for v in (1_000.0, 100.0, 300.0, 200.0)))
    seen = Seen(
        np.array([1_000.0 + x_um]), np.array([300.0 + y_um]), np.array([diameter_um]),
        np.array([leaves]),
    )  # fmt: skip
    return float(costs(expected, seen, lateral_gate_um=50.0)[0, 0])


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
    assert cheapest(np.array(table), without=without) == expected
