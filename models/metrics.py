"""How good a classifier is: headline figures for a rare class, each with an interval.

At 1 unhealthy in 100, doing nothing is 99 % accurate; so what counts is the recall of the
unhealthy at a stated loss of the healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.votes import VoteSettings, aggregate_views

Interval = tuple[float, float]
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of ``n`` things with its 95 % Wilson interval."""

    value: float
    interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Operating:
    """A threshold, and the two rates that it gives; what scores at or above it is rejected."""

    threshold: float
    recall: Rate
    healthy_loss: Rate


def wilson(successes: int, n: int, z: float = 1.959963984540054) -> Interval:
    """95 % Wilson score interval of ``successes`` of ``n`` (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return (0.0, 1.0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return (low, high)


def rate(hits: Mask) -> Rate:
    """The share of True; NaN with the interval (0, 1) where there is nothing to count."""
    n, k = len(hits), int(np.count_nonzero(hits))
    return Rate(k / n if n else math.nan, wilson(k, n), n)


def choose_threshold(scores: Scores, unhealthy: Mask, max_healthy_loss: float) -> Operating:
    """The threshold that recalls the most unhealthy while losing few enough healthy.

    Args:
        scores: (n,) higher is worse, in [0, 1].
        unhealthy: (n,) True for unhealthy, False for healthy.
        max_healthy_loss: in [0, 1); at most this share of the healthy may score at or above
            the threshold.

    Returns:
        The lowest such threshold, put halfway to the next score below it, so that it doesn't
        sit on an object.

    Raises:
        ValueError: no healthy or no unhealthy objects.
    """
    healthy_scores = np.sort(scores[~unhealthy])[::-1]
    if len(healthy_scores) == 0 or not np.any(unhealthy):
        raise ValueError("a threshold needs healthy and unhealthy objects")
    allowed = math.floor(max_healthy_loss * len(healthy_scores) + 1e-9)
    # This healthy one must stay below the threshold; all scores above it may be rejected.
    keep = float(healthy_scores[min(allowed, len(healthy_scores) - 1)])
    above = scores[scores > keep]
    upper = float(above.min()) if len(above) else max(1.0, math.nextafter(keep, math.inf))
    middle = (keep + upper) / 2
    return rates_at(scores, unhealthy, middle if middle > keep else upper)


def rates_at(scores: Scores, unhealthy: Mask, threshold: float) -> Operating:
    """Recall of the unhealthy and loss of the healthy at a given threshold."""
    rejected = scores >= threshold
    return Operating(threshold, rate(rejected[unhealthy]), rate(rejected[~unhealthy]))


def vote_objects(
    p_not_healthy: Scores, objects: NDArray[np.str_], views: int, votes: VoteSettings
) -> tuple[Scores, NDArray[np.intp]]:
    """Scores of objects from the first ``views`` of their views.

    Args:
        p_not_healthy: (n,) per view.
        objects: (n,) name of the body that each view shows.
        views: how many vote; objects with fewer views are left out.
        votes: how they vote.

    Returns:
        (m,) scores and (m,) the index of each object's first view.
    """
    order = np.argsort(objects, kind="stable")
    starts = np.flatnonzero(np.r_[True, objects[order][1:] != objects[order][:-1]])
    scores, first = [], []
    for start, end in zip(starts, np.r_[starts[1:], len(order)], strict=True):
        if end - start >= views:
            scores.append(aggregate_views(p_not_healthy[order[start : start + views]], votes))
            first.append(order[start])
    return np.array(scores), np.array(first, dtype=np.intp)


def expected_calibration_error(
    probabilities: NDArray[np.float32], label: NDArray[np.int64], bins: int = 15
) -> float:
    """Expected calibration error of the winning class (Guo et al. 2017, section 2).

    Args:
        probabilities: (n, classes).
        label: (n,) column of the true class.
        bins: of equal width in confidence.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == label
    which = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    count = np.bincount(which, minlength=bins)
    gap = np.bincount(which, confidence, bins) - np.bincount(which, right.astype(float), bins)
    return float(np.abs(gap).sum() / max(1, count.sum()))


def average_precision(scores: Scores, unhealthy: Mask, draws: int = 200, seed: int = 0) -> Rate:
    """Area under precision and recall, with a bootstrap interval over the rows.

    Give it one row per *object*: views of one body are not independent.
    """
    # scikit-learn comes with the extra `train`; a rig that only sorts doesn't have it.
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        pick = rng.integers(0, len(scores), len(scores))
        if unhealthy[pick].any():
            values.append(float(average_precision_score(unhealthy[pick], scores[pick])))
    low, high = np.percentile(values, [2.5, 97.5])
    area = float(average_precision_score(unhealthy, scores))
    return Rate(area, (float(low), float(high)), len(scores))
