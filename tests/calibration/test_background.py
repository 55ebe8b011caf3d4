"""Calibration of the background on frames whose light is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.background import (
    BackgroundCalibrationSettings,
    background_conditions,
    calibrate_background,
)
from calibration.store import CalibrationStore, Entry
from drivers.ports import Pixels
from sorter.errors import CheckFailed, InputError
from tests.sorter.drawn import disc, frame, vignetted

SHAPE = (160, 320)
LIGHT = vignetted(SHAPE, depth=0.2)


def frames(n: int = 60, *, brightness: float = 0.6, depth: float = 0.2) -> list[Pixels]:
    """A body flows past, the lamp flickers by 1 %."""
    rng = np.random.default_rng(0)
    light = vignetted(SHAPE, depth=depth)
    return [
        frame(
            SHAPE,
            [disc(20 + 5 * i, 80, 30)],
            light=light,
            brightness=brightness * (1 + 0.01 * float(rng.standard_normal())),
            noise=0.012,
            seed=i,
        )
        for i in range(n)
    ]


def calibrate(images: list[Pixels]) -> Entry:
    return calibrate_background(images, pitch_um=1.73, bit_depth=8)


def test_it_finds_the_light_that_is_there() -> None:
    entry = calibrate(frames())
    values = entry.values
    assert values["level"] == pytest.approx(0.6 * float(np.median(LIGHT)), rel=0.01)
    rows = [np.array_split(row, 6, axis=1) for row in np.array_split(LIGHT, 4, axis=0)]
    true = np.array([[part.mean() for part in row] for row in rows])
    true = true / true.max()
    found = np.array([[values[f"light_{r}_{c}"] for c in range(6)] for r in range(4)])
    assert np.abs(found - true).max() < 0.01
    assert values["falloff"] == pytest.approx(1 - true.min(), abs=0.01)
    # Rounding to whole grey values adds 1/12 grey² to the noise that was drawn.
    grey = 0.6 * 255
    assert values["noise"] * np.median(LIGHT) == pytest.approx(
        np.hypot(0.012, 12**-0.5 / grey), rel=0.15
    )
    assert values["flicker"] == pytest.approx(0.01, rel=0.3)
    low, high = entry.uncertainty["level"]
    assert low < values["level"] < high


def test_it_is_kept_and_found_under_the_same_conditions(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    entry = calibrate(frames())
    store.add(entry)
    assert store.latest("background", background_conditions(SHAPE, 8, 1.73)) == entry


@pytest.mark.parametrize(
    ("brightness", "depth", "what"),
    [(0.1, 0.1, "too dark"), (0.97, 0.02, "too bright"), (0.8, 0.7, "too uneven")],
)
def test_bad_light_fails_the_check(brightness: float, depth: float, what: str) -> None:
    with pytest.raises(CheckFailed, match=what):
        calibrate(frames(brightness=brightness, depth=depth))


@pytest.mark.parametrize("n", [0, 12])
def test_too_few_frames_are_refused(n: int) -> None:
    with pytest.raises(InputError, match="frames"):
        calibrate(frames(n))


def test_fewer_frames_may_be_allowed() -> None:
    settings = BackgroundCalibrationSettings(min_frames=10)
    entry = calibrate_background(frames(12), pitch_um=1.73, bit_depth=8, settings=settings)
    assert entry.kind == "background"
