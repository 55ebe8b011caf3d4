"""Thresholds from validation objects; metrics from test objects that nothing was chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import OperatingPoint
from models.dataset import LABELS, CropSet
from models.metrics import (
    Operating,
    average_precision,
    choose_threshold,
    expected_calibration_error,
    rate,
    rates_at,
    vote_objects,
)
from models.votes import VoteSettings, not_healthy
from sorter.errors import InputError

HEALTHY, UNHEALTHY, OTHER = (LABELS.index(name) for name in ("healthy", "unhealthy", "other"))
Probabilities = NDArray[np.float32]
NOTE = "simulated crops; performance on real HepG2 spheroids is unvalidated"


def evaluate(
    p_val: Probabilities,
    p_test: Probabilities,
    val: CropSet,
    test: CropSet,
    *,
    views: Sequence[int],
    max_healthy_loss: float,
    votes: VoteSettings,
) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
    """Thresholds chosen on validation runs, and what they give on test runs.

    Args:
        p_val, p_test: (n, classes) probabilities of the crops of ``val`` and ``test``.
        views: numbers of voting views to choose a threshold for; those that fewer than twenty
            healthy or twenty unhealthy objects have are left out.
        max_healthy_loss: of the chosen thresholds, on validation.
        votes: how views vote.

    Returns:
        The operating points with the rates *on test*, and a report that JSON can hold.

    Raises:
        InputError: no number of views is left.
    """
    points, by_views = [], {}
    for count in sorted(set(views)):
        chosen = _at_views(p_val, p_test, val, test, count, max_healthy_loss, votes)
        if chosen is not None:
            point, report = chosen
            points.append(point)
            by_views[str(count)] = report
    if not points:
        raise InputError(
            f"too few objects with {min(views)} views to choose a threshold",
            on="data set",
            do="Add objects (20 healthy and 20 unhealthy in each part at least) or views.",
        )
    metrics: dict[str, Any] = {
        "note": NOTE,
        "view_accuracy": asdict(rate(p_test.argmax(axis=1) == test.label)),
        "view_calibration_error": expected_calibration_error(p_test, test.label),
        "by_views": by_views,
    }
    return tuple(points), metrics


def _at_views(
    p_val: Probabilities,
    p_test: Probabilities,
    val: CropSet,
    test: CropSet,
    count: int,
    max_healthy_loss: float,
    votes: VoteSettings,
) -> tuple[OperatingPoint, dict[str, Any]] | None:
    val_scores, val_first = _objects(p_val, val, count, votes)
    test_scores, test_first = _objects(p_test, test, count, votes)
    for crops, first in ((val, val_first), (test, test_first)):
        labels = crops.label[first]
        if min(np.count_nonzero(labels == HEALTHY), np.count_nonzero(labels == UNHEALTHY)) < 20:
            return None
    spheroid = val.label[val_first] != OTHER
    threshold = choose_threshold(
        val_scores[spheroid], val.label[val_first][spheroid] == UNHEALTHY, max_healthy_loss
    ).threshold
    label = test.label[test_first]
    spheroid = label != OTHER
    unhealthy = label[spheroid] == UNHEALTHY
    found = rates_at(test_scores[spheroid], unhealthy, threshold)
    report = {
        "recall": asdict(found.recall),
        "healthy_loss": asdict(found.healthy_loss),
        "precision_recall_area": asdict(average_precision(test_scores[spheroid], unhealthy)),
        "rejected_by_phenotype": _by_phenotype(test_scores, test, test_first, threshold),
        "other_rejected": asdict(rate(test_scores[label == OTHER] >= threshold)),
    }
    return _point(count, max_healthy_loss, found), report


def _objects(
    p: Probabilities, crops: CropSet, count: int, votes: VoteSettings
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    scores = not_healthy(p, LABELS).astype(np.float64)
    return vote_objects(scores, crops.object, count, votes)


def _by_phenotype(
    scores: NDArray[np.float64], crops: CropSet, first: NDArray[np.intp], threshold: float
) -> dict[str, dict[str, Any]]:
    """Share rejected of every phenotype, harmless ones too, with its label."""
    phenotype, label = crops.phenotype[first], crops.label[first]
    rejected = scores >= threshold
    report = {}
    for which in range(len(LABELS)):
        for name in np.unique(phenotype[label == which]):
            chosen = (label == which) & (phenotype == name)
            report[f"{LABELS[which]}/{name}"] = asdict(rate(rejected[chosen]))
    return report


def _point(count: int, max_healthy_loss: float, found: Operating) -> OperatingPoint:
    return OperatingPoint(
        min_views=count,
        threshold=found.threshold,
        max_healthy_loss=max_healthy_loss,
        healthy_loss=found.healthy_loss.value,
        healthy_loss_interval=found.healthy_loss.interval,
        n_healthy=found.healthy_loss.n,
        recall=found.recall.value,
        recall_interval=found.recall.interval,
        n_unhealthy=found.recall.n,
    )
