"""Masks of any shape, as OpenCV and this project take them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Chain = NDArray[np.int32]


def masks(seed: int, count: int) -> Iterator[Mask]:
    """(h, w) uint8, 0 or 255: noise, smooth blobs with holes and islands in them, thin lines."""
    random = np.random.default_rng(seed)
    for n in range(count):
        height, width = random.integers(3, 90, 2)
        grey = random.random((height, width)).astype(np.float32)
        if n % 3:
            sigma = float(random.uniform(0.8, 5.0))
            grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)
        level = np.quantile(grey, random.uniform(0.2, 0.8))
        yield np.asarray((grey > level) * np.uint8(255), np.uint8)


def chains(seed: int, count: int) -> Iterator[Chain]:
    """(n, 2) closed chains of neighbouring pixels: the outer borders in such masks."""
    for mask in masks(seed, count):
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in found:
            yield np.ascontiguousarray(contour[:, 0, :], np.int32)


def rimmed(mask: Mask) -> Mask:
    """With a rim of zeros."""
    return np.pad(mask, 1)
