"""What touches a body is painted over, and nothing else; against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sorter.neighbours import paint_over

LEVEL, CONTRAST = 160, 9.6
_SQUARE = np.ones((3, 3), np.uint8)


def plain(crop: NDArray[np.uint8], own: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same by whole images: of the parts of all else, those that touch."""
    grown = cv2.dilate(own, _SQUARE)
    differs = np.abs(crop.astype(int) - LEVEL) > CONTRAST
    other = cv2.dilate((differs & (grown == 0)).astype(np.uint8), _SQUARE)
    count, labels = cv2.connectedComponents(other)
    touching = [n for n in range(1, count) if ((labels == n) & (grown > 0)).any()]
    return np.where(np.isin(labels, touching) & (own == 0), LEVEL, crop).astype(np.uint8)


def drawn(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A crop with a body in its middle and several around it, and where that body is."""
    rng = np.random.default_rng(seed)
    crop = np.full((64, 64), LEVEL, np.uint8)
    for x, y, r in rng.integers([0, 0, 1], [64, 64, 12], (8, 3)).tolist():
        cv2.circle(crop, (x, y), r, int(rng.integers(0, 240)), -1)
    own = np.zeros_like(crop)
    cv2.circle(own, (32, 32), int(rng.integers(3, 14)), 255, -1)
    crop[own > 0] = 90
    return crop + rng.integers(0, 8, crop.shape).astype(np.uint8), own


@pytest.mark.parametrize("seed", range(40))
def test_what_touches_is_painted_over(seed: int) -> None:
    crop, own = drawn(seed)
    painted = crop.copy()
    paint_over(painted, own, LEVEL, CONTRAST)
    np.testing.assert_array_equal(painted, plain(crop, own))


def test_the_cases_have_both() -> None:
    """Parts that touch, and parts that don't."""
    changed, left = 0, 0
    for seed in range(40):
        crop, own = drawn(seed)
        painted = plain(crop, own)
        changed += bool((painted != crop).any())
        left += bool((np.abs(painted.astype(int) - LEVEL) > CONTRAST)[own == 0].any())
    assert changed > 20
    assert left > 20


def test_a_body_alone_is_left_as_it_is() -> None:
    crop, own = np.full((64, 64), LEVEL, np.uint8), np.zeros((64, 64), np.uint8)
    cv2.circle(own, (30, 30), 10, 255, -1)
    crop[own > 0] = 80
    painted = crop.copy()
    paint_over(painted, own, LEVEL, CONTRAST)
    np.testing.assert_array_equal(painted, crop)
