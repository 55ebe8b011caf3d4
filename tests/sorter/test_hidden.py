"""A grain in front of a spheroid, drawn; and what only looks like one."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sorter.hidden import HiddenSettings, dark_spots, hides_body

SIZE, PITCH_UM, DIAMETER_UM, VIEWS = 64, 6.0, 220.0, 24
RADIUS_PX = DIAMETER_UM / 2 / PITCH_UM


def spheroid(rng: np.random.Generator, x: float, y: float, *, grey: float) -> NDArray[np.uint8]:
    """A granular disc with a spot of 40 µm at (x, y) pixels from its centre."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    image = np.full((SIZE, SIZE), 160.0)
    disc = np.hypot(axis[:, None], axis[None, :]) <= RADIUS_PX
    image[disc] = 110.0 + rng.normal(0, 12, int(disc.sum()))
    image[np.hypot(axis[:, None] - y, axis[None, :] - x) <= 20.0 / PITCH_UM] = grey
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def still(view: int) -> tuple[float, float]:
    return 5.0, -4.0


def creeping(view: int) -> tuple[float, float]:
    """At 1.2 mm/s relative to the spheroid."""
    return -10.0 + view * 1.0, 2.0


def crossing(view: int) -> tuple[float, float]:
    """At 1.5 mm/s relative to the spheroid: from one side to the other while in view."""
    return -14.0 + view * 1.22, 2.0


def rolling(view: int) -> tuple[float, float]:
    """Stuck to the surface, 18 degrees a frame."""
    return RADIUS_PX * 0.9 * math.sin(math.radians(18 * view)), 3.0


def passing(view: int) -> tuple[float, float]:
    """Much faster than the spheroid: seen alone before and after."""
    return -60.0 + 5.0 * view, 0.0


CASES: dict[str, tuple[Callable[[int], tuple[float, float]], float, bool]] = {
    "a grain that stays": (still, 40.0, True),
    "a grain that creeps": (creeping, 40.0, True),
    "a grain that crosses": (crossing, 40.0, True),
    "debris stuck to it, rolling": (rolling, 40.0, False),
    "a grain that passes": (passing, 40.0, False),
    "a pale spot": (still, 80.0, False),
    "no spot": (still, 110.0, False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_another_body_is_one(case: str, seed: int) -> None:
    path, grey, expected = CASES[case]
    rng = np.random.default_rng(seed)
    crops = np.stack([spheroid(rng, *path(view), grey=grey) for view in range(VIEWS)])
    assert hides_body(list(crops), DIAMETER_UM, PITCH_UM, HiddenSettings()) is expected


def test_too_few_views_tell_nothing() -> None:
    crops = np.stack([spheroid(np.random.default_rng(0), 0, 0, grey=20.0)] * 5)
    assert not hides_body(list(crops), DIAMETER_UM, PITCH_UM, HiddenSettings())


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (-8.5, 4.5), (3.5, -11.5)])
def test_the_spot_is_where_it_was_drawn(x: float, y: float) -> None:
    crops = spheroid(np.random.default_rng(0), x, y, grey=20.0)[None]
    places, darkness = dark_spots(crops, 0.9 * RADIUS_PX)
    middle = (SIZE - 1) / 2
    assert np.hypot(*(places[0] - (middle + x, middle + y))) <= 3.0
    assert darkness[0] == pytest.approx(20 / 105, abs=0.05)


@pytest.mark.parametrize("radius_px", [0.0, 1.5, 2.0, 7.3, 20.0, 30.4])
def test_it_is_the_darkest_mean_of_nine_that_opencv_finds(radius_px: float) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (20, SIZE, SIZE)).astype(np.uint8)
    places, darkness = dark_spots(crops, radius_px)
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    inside = np.hypot(axis[:, None], axis[None, :]) <= max(radius_px, 1.5)
    for crop, (x, y), share in zip(crops, places, darkness, strict=True):
        smooth = np.asarray(cv2.blur(crop, (3, 3)), np.float64)
        dark = np.where(inside, smooth, np.inf)
        assert (y, x) == np.unravel_index(dark.argmin(), dark.shape)
        assert share == pytest.approx(dark.min() / smooth[inside].mean())
