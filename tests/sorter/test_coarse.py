"""The coarse search against the same in OpenCV's calls."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.coarse import buffers_for, search
from tests.sorter.blobs import Mask

_LOW, _HIGH = 121, 147
_SHAPE = (60, 110)
_SQUARE = np.ones((3, 3), np.uint8)


def _views(count: int) -> Iterator[NDArray[np.uint8]]:
    """Noise with bodies, dark or with a dark rim, anywhere; the first view is empty."""
    random = np.random.default_rng(0)
    yield np.full(_SHAPE, 128, np.uint8)
    for _ in range(count):
        grey = random.normal(129, 2.0, _SHAPE)
        for _ in range(random.integers(1, 8)):
            centre = tuple(int(v) for v in random.integers((0, 0), (_SHAPE[1], _SHAPE[0])))
            radius, thickness = int(random.integers(1, 16)), random.choice((-1, 1, 2))
            cv2.circle(grey, centre, radius, float(random.choice((70, 100, 180))), int(thickness))
        yield grey.clip(0, 255).astype(np.uint8)


def _closed_at_border(mask: Mask, contour: NDArray[np.int32]) -> None:
    height, width = mask.shape
    for axis, value in ((0, 0), (1, 0), (0, width - 1), (1, height - 1)):
        along = contour[contour[:, 0, axis] == value][:, 0, 1 - axis]
        if len(along):
            line = mask[:, value] if axis == 0 else mask[value]
            line[along.min() : along.max() + 1] = 255


def _by_opencv(grey: NDArray[np.uint8], rim_cells: int) -> tuple[list[list[int]], Mask, Mask]:
    """Boxes, the filled mask, and the pale cores."""
    mask = np.asarray(((grey < _LOW) | (grey > _HIGH)) * np.uint8(255), np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARE), np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in found:
        _closed_at_border(mask, np.asarray(contour, np.int32))
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, found, -1, 255, -1)
    inner = mask
    for square in range(rim_cells):
        element = (
            _SQUARE
            if square < round(0.41 * rim_cells)
            else cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        )
        inner = np.asarray(cv2.erode(inner, element), np.uint8)
    core = np.asarray((inner > 0) & (grey >= _LOW), np.uint8) * np.uint8(255)
    return [list(cv2.boundingRect(contour)) for contour in found], mask, core


def test_it_is_what_opencv_finds() -> None:
    buffers = buffers_for(*_SHAPE)
    pale = 0
    for grey in _views(300):
        count = search(grey, _LOW, _HIGH, 3, 2, buffers)
        boxes, mask, core = _by_opencv(grey, 2)
        large = [box for box in boxes if max(box[2:]) >= 3]
        assert buffers.boxes[:count].tolist() == large
        np.testing.assert_array_equal(buffers.mask, mask)
        np.testing.assert_array_equal(buffers.occupied, cv2.dilate(mask, _SQUARE))
        near = buffers.occupied > 0  # elsewhere the cores are what they were
        np.testing.assert_array_equal(buffers.pale_core[near], core[near])
        pale += bool(core.any())
    assert pale > 30
