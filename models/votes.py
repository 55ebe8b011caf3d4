"""How the views of one object vote.

A spheroid turns as it flows, so a one-sided defect shows in some views only: the mean over views
dilutes it, the maximum trusts a single blurred or cut-off view. The score is a weighted sum of
the *ordered* logits (an L-statistic; Huber & Ronchetti, Robust Statistics, 2nd ed., section 3.3):
part mean over all views, part mean over the most suspicious quarter, without the most suspicious
views themselves once there are enough of them. All weights are at least 0, so the score can't
fall when a view gets more suspicious.

The file lives in `models` because training chooses a threshold on the score; `sorter.votes`
hands it on to the controller.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Floats = NDArray[np.float32] | NDArray[np.float64]


class VoteSettings(BaseModel):
    """How much the worst views count. Stored in the bundle beside the threshold they go with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean_weight: float = Field(
        default=0.5, ge=0, le=1, description="share of the score that is the mean over all views"
    )
    top_share: float = Field(
        default=0.25, gt=0, le=1, description="share of the views that counts as the worst ones"
    )
    trim_share: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        description="share of the views, the very worst, that the worst ones leave out (rounded "
        "down, so few views lose none)",
    )
    logit_limit: float = Field(
        default=8.0, gt=0, description="logits are clipped to ± this; no unit"
    )


DEFAULT_VOTES = VoteSettings()


def aggregate_views(p_unhealthy: Floats, settings: VoteSettings = DEFAULT_VOTES) -> float:
    """One score for an object from the probabilities of its views.

    Args:
        p_unhealthy: (views,) in [0, 1], at least one view; order doesn't matter. The controller
            and the bundle's threshold use the probability of *not being healthy*
            (see `not_healthy`), so that what is not a spheroid is kept out too.
        settings: weights of the vote.

    Returns:
        A score in [0, 1], 0.5 where the views are undecided; it never falls when a view's
        probability rises.

    Raises:
        ValueError: no view, or a probability that is not in [0, 1].
    """
    p = np.asarray(p_unhealthy, dtype=np.float64)
    if p.ndim != 1 or p.size == 0 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"views must be a row of probabilities in [0, 1], got {p!r}")
    return _score(sorted(_logit(float(value), settings.logit_limit) for value in p), settings)


class Votes:
    """The same score, view by view: adding one costs microseconds."""

    __slots__ = ("_ordered", "_settings")

    def __init__(self, settings: VoteSettings = DEFAULT_VOTES) -> None:
        self._settings = settings
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, p_unhealthy: float) -> None:
        """Count one more view; raises ValueError unless the probability is in [0, 1]."""
        if not 0.0 <= p_unhealthy <= 1.0:
            raise ValueError(f"a view's probability must be in [0, 1], got {p_unhealthy}")
        insort(self._ordered, _logit(p_unhealthy, self._settings.logit_limit))

    def score(self) -> float:
        """`aggregate_views` of all views so far; raises ValueError before the first one."""
        if not self._ordered:
            raise ValueError("no view has voted yet")
        return _score(self._ordered, self._settings)


def not_healthy(probabilities: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
    """(n,) probability of everything but ``healthy``, from (n, classes) and the class names."""
    column = tuple(labels).index("healthy")
    return np.asarray(np.clip(1.0 - probabilities[:, column], 0.0, 1.0), dtype=np.float32)


def _logit(p: float, limit: float) -> float:
    edge = 1.0 / (1.0 + math.exp(limit))
    if p <= edge:
        return -limit
    if p >= 1.0 - edge:
        return limit
    return math.log(p / (1.0 - p))


def _score(ordered: Sequence[float], settings: VoteSettings) -> float:
    """Score of ascending logits."""
    n = len(ordered)
    trimmed = int(settings.trim_share * n)
    top = max(1, math.ceil(settings.top_share * (n - trimmed)))
    worst = ordered[n - trimmed - top : n - trimmed]
    mean = math.fsum(ordered) / n
    logit = settings.mean_weight * mean + (1.0 - settings.mean_weight) * math.fsum(worst) / top
    return 1.0 / (1.0 + math.exp(-logit))
