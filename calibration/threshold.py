"""Which score of the vote separates healthy from not healthy.

The threshold is chosen on *objects*, not on views, at a stated loss of the healthy, and holds for
one model, one way to vote and at least so many views.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from calibration.store import CalibrationStore, Entry, Value, new_entry
from models.dataset import LABELS, load_crops
from models.infer import Classifier
from models.metrics import choose_threshold, vote_objects
from models.votes import VoteSettings, not_healthy
from sorter.errors import CheckFailed, InputError

KIND = "threshold"


class ThresholdSettings(BaseModel):
    """What the policy wants of a threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_healthy_loss: float = Field(
        default=0.03, gt=0, lt=0.5, description="share of the healthy that may be lost"
    )
    min_recall: float = Field(
        default=0.0, ge=0, le=1, description="share of the unhealthy that must be found; 0: any"
    )
    min_objects: int = Field(
        default=20, ge=1, description="healthy and unhealthy objects needed, of each; count"
    )


def threshold_conditions(model_hash: str, votes: VoteSettings, min_views: int) -> dict[str, Value]:
    """What a threshold holds for: the model, the vote and the number of views."""
    return {
        "model_sha256": model_hash,
        "min_views": min_views,
        **{f"votes_{name}": value for name, value in votes.model_dump().items()},
    }


def calibrate_threshold(
    scores: NDArray[np.float64],
    unhealthy: NDArray[np.bool_],
    conditions: dict[str, Value],
    settings: ThresholdSettings | None = None,
    note: str = "",
) -> Entry:
    """Choose a threshold from scored objects whose health is known.

    Args:
        scores: (n,) one score for each object, in [0, 1], from `aggregate_views`.
        unhealthy: (n,) True for unhealthy, False for healthy.
        conditions: what it holds for, see `threshold_conditions`.
        settings: what the policy wants.
        note: for people.

    Returns:
        An entry with ``threshold``, ``recall`` and ``healthy_loss``; the rates have 95 % Wilson
        intervals. They are of the objects that the threshold was chosen on, so slightly kind.

    Raises:
        InputError: arrays don't match, scores out of range, or too few objects of a kind.
        CheckFailed: the recall asked for can't be had at the loss that is allowed.
    """
    settings = settings or ThresholdSettings()
    _check(scores, unhealthy, settings.min_objects)
    found = choose_threshold(scores, unhealthy, settings.max_healthy_loss)
    if found.recall.value < settings.min_recall:
        raise CheckFailed(
            f"at a healthy loss of {settings.max_healthy_loss:.1%} the recall of the unhealthy is "
            f"{found.recall.value:.1%}, less than the {settings.min_recall:.1%} asked for",
            on="threshold",
            do="Allow more loss, collect more views, or train a better model.",
        )
    return new_entry(
        KIND,
        {
            "threshold": found.threshold,
            "recall": found.recall.value,
            "healthy_loss": found.healthy_loss.value,
            "max_healthy_loss": settings.max_healthy_loss,
            "n_unhealthy": found.recall.n,
            "n_healthy": found.healthy_loss.n,
        },
        unit="1",
        uncertainty={
            "recall": found.recall.interval,
            "healthy_loss": found.healthy_loss.interval,
        },
        conditions=conditions,
        note=note,
    )


def threshold_from_data(
    data: Path, classifier: Classifier, *, max_healthy_loss: float, min_views: int
) -> Entry:
    """Choose a threshold from labelled crops: each object is scored like in a run, by its votes.

    Args:
        data: data set of `models.dataset`; crops that share ``object`` are views of one body.
            What is labelled neither healthy nor unhealthy is left out.
        classifier: of the bundle that the threshold is for.
        max_healthy_loss: share of the healthy that may be lost.
        min_views: how many views vote; objects with fewer are left out.

    Raises:
        InputError: the data set can't be read, or holds too few such objects of a kind.
        BundleError: its crops are of another µm/px than the bundle's.
    """
    crops = load_crops(data)
    bundle = classifier.bundle
    bundle.check_fits(crops.pitch_um)
    known = np.isin(crops.label, [LABELS.index("healthy"), LABELS.index("unhealthy")])
    crops = crops.subset(np.flatnonzero(known))
    probabilities = classifier.predict(crops.images).probabilities
    suspicion = not_healthy(probabilities, bundle.manifest.labels).astype(np.float64)
    votes = bundle.manifest.votes
    scores, first = vote_objects(suspicion, crops.object, min_views, votes)
    return calibrate_threshold(
        scores,
        crops.label[first] == LABELS.index("unhealthy"),
        threshold_conditions(bundle.manifest.sha256, votes, min_views),
        ThresholdSettings(max_healthy_loss=max_healthy_loss),
        note=f"{len(crops)} crops, sha256 {crops.content_hash[:12]}…",
    )


def stored_threshold(store: CalibrationStore, conditions: dict[str, Value]) -> float:
    """The newest threshold that holds; raises `SettingsError` when there is none."""
    return store.latest(KIND, conditions).values["threshold"]


def _check(scores: NDArray[np.float64], unhealthy: NDArray[np.bool_], min_objects: int) -> None:
    if scores.ndim != 1 or scores.shape != unhealthy.shape or unhealthy.dtype != np.bool_:
        raise InputError(
            f"scores {scores.shape} and labels {unhealthy.shape} of {unhealthy.dtype} don't match",
            on="threshold",
            do="Give one score and one True or False for each object.",
        )
    if not np.all((scores >= 0) & (scores <= 1)):
        raise InputError("scores must be in [0, 1]", on="threshold", do="Vote over views first.")
    counts = (int(np.count_nonzero(unhealthy)), int(np.count_nonzero(~unhealthy)))
    if min(counts) < min_objects:
        raise InputError(
            f"{counts[0]} unhealthy and {counts[1]} healthy objects are too few",
            on="threshold",
            do=f"Give at least {min_objects} of each.",
        )
