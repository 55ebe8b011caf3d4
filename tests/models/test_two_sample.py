"""A network that tells real from drawn: strong where it can be, at a loss where it can't."""

from __future__ import annotations

import numpy as np
import pytest

from models.two_sample import _halves, two_sample, two_sample_in_features
from sorter.errors import InputError
from tests.models.gans import TELLING
from tests.models.toy import draw


def crops(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([draw(kind, 32, rng) for _ in range(n)])


def test_real_from_real_is_a_coin() -> None:
    found = two_sample(crops("healthy", 200, 1), crops("healthy", 200, 2), settings=TELLING)
    assert found.n == 200
    assert found.interval[0] <= 0.5 <= found.interval[1]


def test_rings_from_discs_is_plain() -> None:
    found = two_sample(crops("healthy", 120, 1), crops("ring", 150, 2), settings=TELLING)
    assert found.value > 0.95


def test_no_body_is_on_both_sides() -> None:
    body = np.repeat(np.arange(30), 4).astype(np.str_)
    first, second = _halves(120, body, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(120))
    assert not set(body[first]) & set(body[second])


def test_too_few() -> None:
    with pytest.raises(InputError, match="too few"):
        two_sample(crops("ring", 39, 1), crops("ring", 100, 2), settings=TELLING)


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (n, 8)).astype(np.float32)


def test_in_features_the_same_distribution_is_a_coin() -> None:
    found = two_sample_in_features(features(300, 1), features(400, 2))
    assert found.n == 600
    assert found.interval[0] <= 0.5 <= found.interval[1]


def test_in_features_the_accuracy_is_that_of_the_best_line() -> None:
    """Two normal distributions 2·0.5·√8 standard deviations apart: Φ(0.5·√8) = 0.921."""
    found = two_sample_in_features(features(2000, 1), features(2000, 2, 1.0))
    assert found.value == pytest.approx(0.9214, abs=0.012)


def test_in_features_a_body_is_never_asked_after_it_was_learnt() -> None:
    """Views of a body are alike, bodies are not: learnt by heart they would all be known."""
    rng = np.random.default_rng(0)
    body = np.repeat(np.arange(80), 5).astype(np.str_)
    views = np.repeat(rng.normal(size=(80, 200)), 5, axis=0).astype(np.float32)
    first = np.arange(400) < 200
    found = two_sample_in_features(
        views[first], views[~first], real_body=body[first], drawn_body=body[~first]
    )
    assert found.value < 0.75


def test_in_features_too_few() -> None:
    with pytest.raises(InputError, match="too few"):
        two_sample_in_features(features(39, 1), features(100, 2))
