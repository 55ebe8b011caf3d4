"""The line against an independent fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.line import Line


def line_through(t_s: Sequence[float], x_um: Sequence[float]) -> Line:
    line = Line()
    for t, x in zip(t_s, x_um, strict=True):
        line.add(t, x)
    return line


@given(
    seed=st.integers(0, 1_000),
    n=st.integers(3, 200),
    speed=st.floats(1_000, 40_000),
)
def test_it_is_the_least_squares_line(seed: int, n: int, speed: float) -> None:
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 0.005 * n, n)
    x = 100 + speed * t + rng.normal(0, 20, n)
    (slope, _), covariance = np.polyfit(t, x, 1, cov="unscaled")
    fit = line_through(t.tolist(), x.tolist()).fit(least_error_um=100.0)
    assert fit is not None
    assert fit[0] == pytest.approx(x.mean())
    assert fit[1] == pytest.approx(t.mean())
    assert fit[2] == pytest.approx(slope, rel=1e-6)
    assert fit[3] == pytest.approx(100.0 * math.sqrt(covariance[0, 0]), rel=1e-6)


def test_too_little_for_a_line() -> None:
    assert Line().fit(least_error_um=1.0) is None
    assert line_through([0.0], [0.0]).fit(least_error_um=1.0) is None
    assert line_through([0.0] * 5, [0.0, 1.0, 2.0, 3.0, 4.0]).fit(least_error_um=1.0) is None


def test_two_points_have_no_error_to_judge_by() -> None:
    fit = line_through([0.0, 1.0], [3.0, 8.0]).fit(least_error_um=1.0)
    assert fit is not None
    assert fit[:3] == (5.5, 0.5, 5.0)
    assert fit[3] == math.inf
