"""Metrics against scikit-learn, scipy and counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, recall_score

from models.metrics import (
    average_precision,
    choose_threshold,
    expected_calibration_error,
    rate,
    rates_at,
    vote_objects,
    wilson,
)
from models.votes import DEFAULT_VOTES, aggregate_views


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 10), (97, 100), (1, 1), (0, 1)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    reference = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_nothing_to_count() -> None:
    empty = rate(np.zeros(0, np.bool_))
    assert math.isnan(empty.value)
    assert empty.interval == (0.0, 1.0)


def test_rates_are_scikit_learns_recalls() -> None:
    rng = np.random.default_rng(1)
    unhealthy = rng.random(500) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.4 * unhealthy, 0.15), 0, 1)
    found = rates_at(scores, unhealthy, 0.5)
    assert found.recall.value == pytest.approx(recall_score(unhealthy, scores >= 0.5))
    assert found.healthy_loss.value == pytest.approx(
        1 - recall_score(unhealthy, scores >= 0.5, pos_label=0)
    )


@pytest.mark.parametrize(
    ("healthy", "unhealthy", "loss", "threshold"),
    [
        ([0.1, 0.2], [0.8], 0.0, 0.5),
        ([0.1, 0.9], [0.8], 0.5, 0.45),
        ([0.1, 0.8], [0.8], 0.0, 0.9),
        ([0.1, 0.8], [0.8], 0.4, 0.9),
        ([0.2], [0.1, 0.4], 0.0, 0.3),
    ],
)
def test_threshold_by_hand(
    healthy: list[float], unhealthy: list[float], loss: float, threshold: float
) -> None:
    scores = np.array(healthy + unhealthy)
    truth = np.arange(len(scores)) >= len(healthy)
    assert choose_threshold(scores, truth, loss).threshold == pytest.approx(threshold)


def test_threshold_needs_both() -> None:
    with pytest.raises(ValueError, match="healthy and unhealthy"):
        choose_threshold(np.array([0.1]), np.array([True]), 0.1)


def test_votes_of_objects_use_their_own_first_views() -> None:
    objects = np.array(["b", "a", "b", "a", "b", "c"])
    p = np.array([0.9, 0.1, 0.8, 0.2, 0.1, 0.5])
    scores, first = vote_objects(p, objects, 2, DEFAULT_VOTES)
    assert objects[first].tolist() == ["a", "b"]
    assert first.tolist() == [1, 0]
    assert scores == pytest.approx(
        [aggregate_views(np.array(views), DEFAULT_VOTES) for views in ([0.1, 0.2], [0.9, 0.8])]
    )


def test_calibration_error_by_hand() -> None:
    # Bin of 0.9: 1 of 2 right, gap 0.4; bin of 0.6: 2 of 2 right, gap 0.4.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], np.float32)
    label = np.array([0, 1, 1, 1])
    assert expected_calibration_error(p, label) == pytest.approx(0.4, abs=1e-6)


def test_calibrated_probabilities_have_hardly_any_error() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0.5, 1, 40_000).astype(np.float32)
    label = (rng.random(40_000) > p).astype(np.int64)
    assert expected_calibration_error(np.stack([p, 1 - p], 1), label) < 0.02


def test_area_is_scikit_learns_and_inside_its_interval() -> None:
    rng = np.random.default_rng(3)
    unhealthy = rng.random(300) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.3 * unhealthy, 0.2), 0, 1)
    area = average_precision(scores, unhealthy)
    assert area.value == pytest.approx(average_precision_score(unhealthy, scores))
    assert area.interval[0] < area.value < area.interval[1]
