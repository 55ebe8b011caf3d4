"""Is the simulated problem hard enough for simple features, and harder than a radial profile?

    python -m benchmarks.bar_01_difficulty

On 10,000 crops (one view each, made as `sorter sim dataset` makes them, 30 % unhealthy, 20 runs),
trained on the even runs, measured on the odd ones:

(a) scikit-learn's `HistGradientBoostingClassifier` on diameter, circularity and mean grey, as the
    sorter measures them, recalls less than 80 % of the unhealthy at 5 % loss of the healthy;
(b) logistic regression on ten radial-profile bins of the crop stays at least 5 points below the
    network of the default bundle, on the same crops at the same loss.

Difficulty v1 is frozen: docs/adr/0003-difficulty-v1.md. No figure here says anything about real
HepG2 spheroids.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._bar import Row, finish, wilson
from hardware_sim.crops import RunPlan, crops_of_run
from hardware_sim.dataset import FIELD_UM, plan_runs
from models.bundle import load_bundle
from models.infer import Classifier
from sorter.crop import CropSettings
from sorter.errors import SorterError

_N = 10_000
_RUNS = 20
_SEED = 20_260_101
_UNHEALTHY = 0.3
_LOSS = 0.05
_SIZE_PX = 64
_BINS = 10
_BUNDLE = Path(__file__).parents[1] / "models" / "bundles" / "default"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Crops (n, size, size), simple features (n, 3), truth (n,) and run (n,)."""

    crops: NDArray[np.uint8]
    simple: Floats
    unhealthy: NDArray[np.bool_]
    run: NDArray[np.int64]


def _settings() -> CropSettings:
    return CropSettings(size_px=_SIZE_PX, pitch_um=FIELD_UM / _SIZE_PX)


def _run(plan: RunPlan) -> Sample:
    cv2.setNumThreads(1)
    found = list(crops_of_run(plan, seed=_SEED, crop_settings=_settings()))
    seen = [one.detection for one in found]
    return Sample(
        np.stack([one.pixels for one in found]),
        np.array([[d.diameter_um, d.circularity, d.grey_ratio] for d in seen]),
        np.array([one.label == "unhealthy" for one in found]),
        np.full(len(found), plan.run),
    )


def draw() -> Sample:
    """The 10,000 crops."""
    plans = plan_runs(n=_N, unhealthy=_UNHEALTHY, others=0.0, seed=_SEED, views=1, runs=_RUNS)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_run, plans))
    return Sample(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("crops", "simple", "unhealthy", "run")
        )
    )


def radial_profile(crops: NDArray[np.uint8]) -> Floats:
    """Mean grey in ten rings of equal width around the middle; (n, 10)."""
    half = crops.shape[1] / 2
    y, x = np.mgrid[0 : crops.shape[1], 0 : crops.shape[2]] + 0.5 - half
    ring = np.minimum(np.hypot(x, y) / half * _BINS, _BINS).astype(int)
    return np.stack([crops[:, ring == i].mean(axis=1) for i in range(_BINS)], axis=1)


def recalled(score: Floats, unhealthy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the unhealthy score higher than all but `_LOSS` of the healthy."""
    threshold = np.quantile(score[~unhealthy], 1.0 - _LOSS)
    return np.asarray(score[unhealthy] > threshold)


def network_score(crops: NDArray[np.uint8]) -> Floats | None:
    """Probability of unhealthy by the default bundle; None, said aloud, where there is none."""
    try:
        classifier = Classifier(load_bundle(_BUNDLE))
    except SorterError as error:
        print(f"no default bundle to compare with: {error}")
        return None
    prediction = classifier.predict(crops)
    return prediction.probabilities[:, prediction.labels.index("unhealthy")].astype(np.float64)


def main() -> None:
    sample = draw()
    train, test = sample.run % 2 == 0, sample.run % 2 == 1
    truth = sample.unhealthy
    trees = HistGradientBoostingClassifier(random_state=0)
    trees.fit(sample.simple[train], truth[train])
    found = recalled(trees.predict_proba(sample.simple[test])[:, 1], truth[test])
    share, hits = float(found.mean()), int(found.sum())
    what = "(a) recall by diameter, circularity, mean grey at 5 % loss"
    rows = [Row(what, len(found), share, "< 0.80", share < 0.8, wilson(hits, len(found)))]
    profile = radial_profile(sample.crops)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    linear.fit(profile[train], truth[train])
    found = recalled(linear.predict_proba(profile[test])[:, 1], truth[test])
    score = network_score(sample.crops[test])
    if score is None:
        share, hits = float(found.mean()), int(found.sum())
        what = f"(b) radial profile's recall at 5 % loss {share:.3f}, no network to compare"
        bar = "needs models/bundles/default"
        rows.append(Row(what, len(found), share, bar, False, wilson(hits, len(found))))
    else:
        rows.append(_against(found, recalled(score, truth[test])))
    finish("Difficulty v1", rows)


def _against(profile: NDArray[np.bool_], network: NDArray[np.bool_]) -> Row:
    """The network's recall less the profile's, with a normal interval of the paired difference."""
    gain = network.astype(float) - profile
    ahead, half = float(gain.mean()), 1.96 * float(gain.std()) / len(gain) ** 0.5
    what = (
        f"(b) network's recall of one view at 5 % loss {network.mean():.3f} "
        f"less the radial profile's {profile.mean():.3f}"
    )
    return Row(what, len(gain), ahead, ">= 0.05", ahead >= 0.05, (ahead - half, ahead + half))


if __name__ == "__main__":
    main()
