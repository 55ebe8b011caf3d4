"""What is darker than the background, against the same in OpenCV's calls."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sorter.darker import add_cells, darken

_LOWEST = 9.3


def _body(
    dtype: type[np.unsignedinteger], shape: tuple[int, int], cells: tuple[int, int], seed: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Pixels of a blob on noise, and the greys below which there is a body."""
    random = np.random.default_rng(seed)
    white = np.iinfo(dtype).max
    pixels = random.normal(0.75, 0.02, shape)
    centre = random.uniform(0, shape[1]), random.uniform(0, shape[0])
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels[np.hypot(x - centre[0], y - centre[1]) < min(shape) / 3] *= random.uniform(0.5, 0.9)
    bright = random.uniform(0.65, 0.75, cells)
    return (pixels.clip(0, 1) * white).astype(dtype), (bright * white).astype(dtype)


def _by_opencv(
    pixels: NDArray[np.uint8], bright: NDArray[np.uint8], step: int, share: float
) -> NDArray[np.uint8]:
    height, width = pixels.shape
    size = bright.shape[1] * step, bright.shape[0] * step
    edge = cv2.resize(bright, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
    below = cv2.subtract(edge, cv2.GaussianBlur(pixels, (3, 3), 0))
    contrast = below.sum() / max(1, np.count_nonzero(below)) + _LOWEST
    most = math.floor(max(0.0, share * contrast - _LOWEST))
    return np.asarray((below > most) * np.uint8(255), np.uint8)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_eight_bits_to_the_bit(step: int, share: float) -> None:
    for seed in range(20):
        cut = seed % step if step > 1 else 0  # a region at the frame's edge may be cut
        shape = 11 * step - cut, 9 * step
        pixels, bright = _body(np.uint8, shape, (11, 9), seed)
        mask = np.full((shape[0] + 2, shape[1] + 2), 77, np.uint8)
        total, count = darken(pixels, bright, step, _LOWEST, share, mask)
        expected = _by_opencv(pixels, bright, step, share)
        np.testing.assert_array_equal(mask, np.pad(expected, 1))
        assert total == pixels[expected > 0].sum()
        assert count == np.count_nonzero(expected)


def test_sixteen_bits_see_what_eight_do() -> None:
    for seed in range(20):
        pixels, bright = _body(np.uint8, (44, 36), (11, 9), seed)
        coarse, fine = np.empty((2, 46, 38), np.uint8)
        darken(pixels, bright, 4, _LOWEST, 0.5, coarse)
        darken(pixels * np.uint16(256), bright * np.uint16(256), 4, 256 * _LOWEST, 0.5, fine)
        assert np.mean(coarse != fine) < 0.02


def test_one_pixel() -> None:
    mask = np.empty((3, 3), np.uint8)
    pixels, bright = np.full((1, 1), 10, np.uint8), np.full((1, 1), 200, np.uint8)
    assert darken(pixels, bright, 1, 5.0, 0.5, mask) == (10, 1)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_cells_are_added(step: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        cells = np.asarray((random.random((7, 9)) > 0.8) * np.uint8(255), np.uint8)
        before = np.asarray((random.random((7 * step - step // 2, 9 * step)) > 0.9) * np.uint8(255))
        mask = np.pad(np.asarray(before, np.uint8), 1)
        assert add_cells(cells, step, mask)
        blocks = np.kron(cells, np.ones((step, step), np.uint8))[: before.shape[0]]
        np.testing.assert_array_equal(mask, np.pad(before | blocks, 1))
    assert not add_cells(np.zeros((7, 9), np.uint8), step, mask)
