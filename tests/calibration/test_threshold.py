"""The threshold, against brute force over every possible cut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from calibration.store import CalibrationStore
from calibration.threshold import (
    ThresholdSettings,
    calibrate_threshold,
    stored_threshold,
    threshold_conditions,
    threshold_from_data,
)
from models.infer import Classifier, InferSettings
from models.votes import DEFAULT_VOTES, VoteSettings
from sorter.errors import CheckFailed, InputError, SettingsError
from tests.models.test_infer import bundle, linear_model
from tests.models.toy import COLUMNS, write_table

CONDITIONS = threshold_conditions("a" * 64, DEFAULT_VOTES, 12)
# A coarse grid makes ties likely.
SCORES = st.lists(st.integers(1, 19).map(lambda k: k / 20), min_size=1, max_size=40)


@given(SCORES, SCORES, st.floats(0.01, 0.45))
def test_recall_is_the_best_that_brute_force_finds(
    healthy: list[float], unhealthy: list[float], loss: float
) -> None:
    entry = calibrate_threshold(
        np.array(healthy + unhealthy),
        np.array([False] * len(healthy) + [True] * len(unhealthy)),
        CONDITIONS,
        ThresholdSettings(max_healthy_loss=loss, min_objects=1),
    )
    h, u = np.array(healthy), np.array(unhealthy)
    cuts = [cut for cut in np.linspace(0, 1, 81) if np.mean(h >= cut) <= loss + 1e-12]
    cut = entry.values["threshold"]
    assert entry.values["recall"] == max(np.mean(u >= cut) for cut in cuts)
    assert entry.values["healthy_loss"] == np.mean(h >= cut) <= loss + 1e-12
    assert entry.values["recall"] == np.mean(u >= cut)


def test_intervals_are_wilson(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = np.r_[rng.beta(2, 8, 400), rng.beta(8, 2, 100)]
    unhealthy = np.arange(500) >= 400
    entry = calibrate_threshold(scores, unhealthy, CONDITIONS)
    caught = int(np.count_nonzero(scores[unhealthy] >= entry.values["threshold"]))
    reference = binomtest(caught, 100).proportion_ci(method="wilson")
    assert entry.uncertainty["recall"] == pytest.approx((reference.low, reference.high), abs=1e-9)
    store = CalibrationStore(tmp_path)
    store.add(entry)
    assert stored_threshold(store, CONDITIONS) == entry.values["threshold"]


@pytest.mark.parametrize(
    "now",
    [
        threshold_conditions("b" * 64, DEFAULT_VOTES, 12),
        threshold_conditions("a" * 64, VoteSettings(mean_weight=0.9), 12),
        threshold_conditions("a" * 64, DEFAULT_VOTES, 4),
    ],
    ids=["another model", "another vote", "fewer views"],
)
def test_not_for_other_conditions(tmp_path: Path, now: dict[str, str | int | float | bool]) -> None:
    store = CalibrationStore(tmp_path)
    scores = np.r_[np.full(20, 0.1), np.full(20, 0.9)]
    store.add(calibrate_threshold(scores, np.arange(40) >= 20, CONDITIONS))
    with pytest.raises(SettingsError, match="other conditions"):
        stored_threshold(store, now)


SCORES_40 = np.linspace(0.1, 0.9, 40)


@pytest.mark.parametrize(
    ("scores", "unhealthy", "message"),
    [
        (SCORES_40, np.arange(39) > 20, "don't match"),
        (SCORES_40, np.arange(40), "don't match"),
        (SCORES_40 * 2, np.arange(40) >= 20, r"in \[0, 1\]"),
        (SCORES_40 * np.nan, np.arange(40) >= 20, r"in \[0, 1\]"),
        (SCORES_40, np.arange(40) >= 21, "19 unhealthy and 21 healthy"),
    ],
    ids=["lengths", "labels", "range", "nan", "too few"],
)
def test_bad_input(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    unhealthy: np.ndarray[tuple[int], np.dtype[np.bool_]],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        calibrate_threshold(scores, unhealthy, CONDITIONS)


def test_a_recall_that_cannot_be_had_is_told() -> None:
    scores = np.linspace(0, 1, 100)
    with pytest.raises(CheckFailed, match="recall"):
        calibrate_threshold(
            scores, np.arange(100) % 2 == 0, CONDITIONS, ThresholdSettings(min_recall=0.9)
        )


def write_grey(folder: Path, greys: list[tuple[str, int]], views: int) -> None:
    """A data set of even crops: the network of `linear_model` says healthy by their brightness."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for body, (label, grey) in enumerate(greys):
        for view in range(views):
            name = f"{body}-{view}"
            cv2.imwrite(str(folder / f"images/{name}.png"), np.full((8, 8), grey, np.uint8))
            row = (name, f"images/{name}.png", label, label, "", "6.0", "run0", str(body), "200")
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    write_table(folder, rows)


def test_from_a_data_set_objects_vote_and_others_are_left_out(tmp_path: Path) -> None:
    greys = [("healthy", 150 + i) for i in range(30)] + [("unhealthy", 100 + i) for i in range(25)]
    write_grey(tmp_path / "data", [*greys, ("other", 240)], views=3)
    classifier = Classifier(bundle(linear_model()), InferSettings(providers="cpu"))
    entry = threshold_from_data(tmp_path / "data", classifier, max_healthy_loss=0.01, min_views=3)
    assert (entry.values["n_healthy"], entry.values["n_unhealthy"]) == (30, 25)
    assert (entry.values["recall"], entry.values["healthy_loss"]) == (1.0, 0.0)
    # Even views of one grey vote as one: 1 - grey / 255, so the cut lies between 150 and 124.
    assert 1 - 150 / 255 < entry.values["threshold"] <= 1 - 124 / 255
    manifest = classifier.bundle.manifest
    assert entry.conditions == threshold_conditions(manifest.sha256, manifest.votes, 3)


def test_from_a_data_set_with_too_few_views(tmp_path: Path) -> None:
    greys = [("healthy", 150)] * 20 + [("unhealthy", 100)] * 20
    write_grey(tmp_path / "data", greys, views=2)
    classifier = Classifier(bundle(linear_model()), InferSettings(providers="cpu"))
    with pytest.raises(InputError, match="0 unhealthy and 0 healthy"):
        threshold_from_data(tmp_path / "data", classifier, max_healthy_loss=0.05, min_views=3)
