"""A network that tells real from drawn: strong where it can be, at a loss where it can't."""

from __future__ import annotations

import numpy as np
import pytest

from models.two_sample import _halves, two_sample
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
