"""Compiled operations on masks against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sorter.masks import fill, grow_once, mean_inside, opened, shrink_once, shrunk, without_threads
from tests.sorter.blobs import Mask, chains, masks

_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_FRAME = (512, 1280)


def _octagon(radius_px: int) -> NDArray[np.uint8]:
    """What squares and crosses of 3 x 3 add up to."""
    element = np.zeros((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    element[radius_px, radius_px] = 1
    squares = round(0.41 * radius_px)
    for n in range(radius_px):
        element = np.asarray(cv2.dilate(element, _SQUARE if n < squares else _CROSS), np.uint8)
    return element


@pytest.mark.parametrize("square", [True, False])
def test_one_step(square: bool) -> None:
    element = _SQUARE if square else _CROSS
    for mask in masks(seed=0, count=200):
        out = np.empty_like(mask)
        shrink_once(mask, square, out)
        np.testing.assert_array_equal(out, cv2.erode(mask, element))
        grow_once(mask, square, out)
        np.testing.assert_array_equal(out, cv2.dilate(mask, element))


@pytest.mark.parametrize("radius_px", [1, 2, 3, 5])
def test_an_octagon(radius_px: int) -> None:
    element = _octagon(radius_px)
    for mask in masks(seed=1, count=150):
        np.testing.assert_array_equal(shrunk(mask, radius_px), cv2.erode(mask, element))
        padded = np.pad(mask, radius_px + 1)
        theirs = cv2.morphologyEx(padded, cv2.MORPH_OPEN, element)
        np.testing.assert_array_equal(opened(padded, radius_px), theirs)


def _filled(chain: NDArray[np.int32]) -> tuple[int, int, Mask]:
    x, y, width, height = cv2.boundingRect(chain)
    mask = np.zeros((height, width), np.uint8)
    cv2.drawContours(mask, [chain], -1, 255, -1, offset=(-x, -y))
    return x, y, mask


def test_a_filled_chain() -> None:
    for chain in chains(seed=2, count=300):
        x, y, theirs = _filled(chain)
        ours = np.zeros_like(theirs)
        fill(chain, x, y, ours)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_mean_inside(dtype: type[np.unsignedinteger]) -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, np.iinfo(dtype).max, (120, 130)).astype(dtype)
    for chain in chains(seed=3, count=100):
        x, y, mask = _filled(chain)
        expected = pixels[10 + y :, 20 + x :][: mask.shape[0], : mask.shape[1]][mask > 0].mean()
        assert mean_inside(chain + np.int32(5), pixels, -15, -5) == pytest.approx(expected)


@pytest.mark.parametrize("radius_px", [2, 4])
def test_threads_are_taken_off(radius_px: int) -> None:
    for chain in chains(seed=4, count=150):
        chain += np.array([300, 200], np.int32)
        x, y, mask = _filled(chain)
        padded = np.pad(mask, 20)
        left = cv2.morphologyEx(padded, cv2.MORPH_OPEN, _octagon(radius_px))
        found, _ = cv2.findContours(
            left, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x - 20, y - 20)
        )
        expected = sorted(found, key=cv2.contourArea, reverse=True) or [chain[:, None, :]]
        ours = without_threads(chain, radius_px, _FRAME)
        assert len(ours) == len(expected)
        for own, other in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(own, other[:, 0, :])


@pytest.mark.parametrize(
    ("left", "top"), [(0, 100), (100, 0), (1280 - 41, 100), (100, 512 - 41), (0, 0)]
)
def test_the_frames_border_is_no_edge_of_a_body(left: int, top: int) -> None:
    """Its corners there stay; those in the frame are rounded off."""
    side = np.arange(41)
    low, high = np.zeros_like(side), np.full_like(side, 40)
    edges = [(side, low), (high, side), (side[::-1], high), (low, side[::-1])]
    square = np.concatenate([np.stack(edge, axis=1)[:-1] for edge in edges])
    chain = np.ascontiguousarray(square + np.array([left, top]), np.int32)
    [ours] = without_threads(chain, 4, _FRAME)
    corners = {(left + x, top + y) for x in (0, 40) for y in (0, 40)}
    at_border = {(x, y) for x, y in corners if x in (0, 1279) or y in (0, 511)}
    assert corners & set(map(tuple, ours.tolist())) == at_border
