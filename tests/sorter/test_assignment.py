"""The best pairs, against all pairs there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sorter.assignment import best_pairs

NO = -math.inf
CASES: dict[str, tuple[list[list[float]], list[tuple[int, int]]]] = {
    "nothing": ([], []),
    "no columns": ([[], []], []),
    "one": ([[2.0]], [(0, 0)]),
    "not worth it": ([[-1.0, 0.0]], []),
    "impossible": ([[NO]], []),
    "own ones": ([[3.0, 1.0], [1.0, 3.0]], [(0, 0), (1, 1)]),
    "the greedy would take 5 and 1": ([[5.0, 4.0], [4.0, 1.0]], [(0, 1), (1, 0)]),
    "one stays alone": ([[5.0], [4.0], [6.0]], [(2, 0)]),
    "a chain moves": ([[9.0, 8.0, NO], [9.0, NO, 1.0], [9.0, NO, NO]], [(0, 1), (1, 2), (2, 0)]),
}


@pytest.mark.parametrize("case", CASES)
def test_pairs(case: str) -> None:
    gains, pairs = CASES[case]
    assert best_pairs(sparse(gains)) == pairs


def sparse(gains: list[list[float]]) -> list[dict[int, float]]:
    """Without what is impossible."""
    return [{c: gain for c, gain in enumerate(row) if gain > NO} for row in gains]


def total(gains: list[list[float]], pairs: list[tuple[int, int]]) -> float:
    return sum(gains[row][column] for row, column in pairs)


def best_of_all(gains: list[list[float]]) -> float:
    """The greatest sum, by going through every way to pair or leave alone."""
    rows, columns = len(gains), len(gains[0])
    places = [*range(columns), *[None] * rows]
    return max(
        math.fsum(gains[row][c] for row, c in enumerate(choice) if c is not None)
        for choice in itertools.permutations(places, rows)
    )


ODDS = st.one_of(st.just(NO), st.floats(-5, 10), st.integers(-3, 6).map(float))


@st.composite
def tables(draw: st.DrawFn) -> list[list[float]]:
    columns = draw(st.integers(1, 4))
    return draw(
        st.lists(st.lists(ODDS, min_size=columns, max_size=columns), min_size=1, max_size=3)
    )


@settings(max_examples=200, deadline=None)
@given(tables())
def test_nothing_gains_more(gains: list[list[float]]) -> None:
    pairs = best_pairs(sparse(gains))
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(gains[row][column] > 0 for row, column in pairs)
    assert total(gains, pairs) == pytest.approx(best_of_all(gains), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_large_ones_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.normal(0.0, 3.0, (25, 18))
    rows, columns = linear_sum_assignment(np.maximum(gains, 0.0), maximize=True)
    best = float(np.maximum(gains, 0.0)[rows, columns].sum())
    table = gains.tolist()
    assert total(table, best_pairs(sparse(table))) == pytest.approx(best)
