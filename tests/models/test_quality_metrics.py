"""Distances between sets of features, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.quality_metrics import fid, kid, nearest, nearest_other, overlap, spread


def cloud(n: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(n, 6)) * scale + shift
    return np.asarray(values, np.float32)


def test_kid_of_two_draws_from_one_distribution_is_zero_within_its_error() -> None:
    found = [kid(cloud(800, seed=2 * i), cloud(800, seed=2 * i + 1), 100) for i in range(20)]
    scores = [one.value / one.error for one in found]
    assert abs(np.mean(scores)) < 1.0
    assert sum(abs(score) < 2.4 for score in scores) >= 17  # Student's t of 7, 95 %
    assert found[0].n == 8


def test_kid_by_its_definition() -> None:
    a, b = cloud(100, seed=1).astype(np.float64), cloud(100, 0.5, seed=2).astype(np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        found: np.ndarray = (x @ y.T / 6 + 1) ** 3
        return found

    m = 50
    values = []
    rng = np.random.default_rng(0)
    p, q = rng.permutation(100), rng.permutation(100)
    for start in (0, 50):
        x, y = a[p[start : start + m]], b[q[start : start + m]]
        kxx, kyy, kxy = kernel(x, x), kernel(y, y), kernel(x, y)
        within = (kxx.sum() - np.trace(kxx) + kyy.sum() - np.trace(kyy)) / (m * (m - 1))
        values.append(within - 2 * kxy.mean())
    found = kid(a.astype(np.float32), b.astype(np.float32), 50)
    assert found.value == pytest.approx(np.mean(values), rel=1e-4)
    assert found.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(2), rel=1e-3)


def test_fid_of_two_gaussians() -> None:
    n, shift, scale = 20_000, 0.4, 1.5
    wanted = 6 * (shift**2 + (1 - scale) ** 2)
    assert fid(cloud(n), cloud(n, shift, scale, seed=1)) == pytest.approx(wanted, rel=0.05)


def test_overlap_tells_what_is_missing_from_what_is_wrong() -> None:
    two = np.concatenate([cloud(200), cloud(200, 20.0, seed=1)])
    half = cloud(400, seed=2)  # one of the two clusters only
    missing = overlap(two, half)
    assert missing.precision > 0.9
    assert missing.recall < 0.6
    assert missing.coverage < 0.6
    wrong = overlap(half, two)
    assert wrong.precision < 0.6
    assert wrong.recall > 0.9
    same = overlap(cloud(400), cloud(400, seed=3))
    assert min(same.precision, same.recall, same.coverage) > 0.85
    assert same.density == pytest.approx(1.0, abs=0.15)


def test_nearest_finds_copies() -> None:
    real = cloud(50)
    distance, row = nearest(real[[7, 3]] + np.float32(1e-4), real)
    assert row.tolist() == [7, 3]
    assert distance.max() < 1e-2
    assert nearest_other(real).min() > 0.1


def test_spread_is_none_when_all_are_alike() -> None:
    assert spread(np.zeros((20, 6), np.float32)) == 0
    assert spread(cloud(2000)) == pytest.approx(np.sqrt(2 * 6), rel=0.1)


def test_too_few() -> None:
    with pytest.raises(ValueError, match="four images"):
        kid(cloud(3), cloud(100))
