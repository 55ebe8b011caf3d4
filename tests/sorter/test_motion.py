"""Fitted motion against numpy's polynomials, and its errors against drawn noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sorter.motion import SIGMAS, fit_motion


@given(
    seed=st.integers(0, 1_000),
    n=st.integers(4, 120),
    speed=st.floats(2_000, 40_000),
    acceleration=st.floats(-8_000, 8_000),
)
def test_it_is_the_least_squares_parabola(
    seed: int, n: int, speed: float, acceleration: float
) -> None:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0.0, 0.3, n)) + 0.005 * np.arange(n)
    x = 50.0 + speed * t + acceleration * t**2 / 2 + rng.normal(0, 2, n)
    motion = fit_motion(t, x, noise_um=1.0, roll_s=0.1)
    a, _, c = np.polyfit(t - motion.at_s, x, 2)
    assert motion.at_s == pytest.approx(t.mean())
    assert motion.acceleration_um_s2 == pytest.approx(2 * a, rel=1e-6, abs=1e-3)
    assert motion.x_um == pytest.approx(c, rel=1e-6, abs=0.1)
    assert motion.speed_um_s == pytest.approx(np.polyfit(t, x, 1)[0], rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.sampled_from([18, 25, 60]), roll=st.booleans())
def test_errors_hold_for_noise_that_is_alike_over_a_roll(seed: int, n: int, roll: bool) -> None:
    """A body that rolls swings by some µm: hardly ever is a fit off by more than stated."""
    rng = np.random.default_rng(seed)
    t = 0.005 * np.arange(n, dtype=np.float64)
    off = []
    for phase in rng.uniform(0, math.tau, 100):
        swing = 3.0 * np.sin(math.tau * t / 0.1 + phase) if roll else np.zeros(n)
        x = np.asarray(16_000 * t + swing + rng.normal(0, 1, n), np.float64)
        motion = fit_motion(t, x, noise_um=1.0, roll_s=0.1)
        off.append(
            (
                abs(motion.speed_um_s - 16_000) / motion.speed_error_um_s,
                abs(motion.acceleration_um_s2) / motion.acceleration_error_um_s2,
            )
        )
    assert np.mean(np.array(off) > 1.0) <= 0.05


def test_a_perfect_line_is_no_surer_than_the_noise() -> None:
    t = 0.005 * np.arange(20, dtype=np.float64)
    motion = fit_motion(t, 20_000 * t, noise_um=2.0, roll_s=0.1)
    spread = float(((t - t.mean()) ** 2).sum())
    alike = 20 / (1 + t[-1] / 0.1)
    assert motion.speed_error_um_s == pytest.approx(SIGMAS * 2.0 * math.sqrt(alike / spread))
