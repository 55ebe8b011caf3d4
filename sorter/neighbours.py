"""Paints over, in a crop, what touches the body that it shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.masks import grow_once


@compiled
def paint_over(
    crop: NDArray[np.uint8], own: NDArray[np.uint8], level: int, contrast: float
) -> None:
    """Set to background what lies beside a body and touches it, over a corner too.

    Args:
        crop: (h, w), changed.
        own: (h, w), 255 where the body is, 0 elsewhere.
        level: grey of the background.
        contrast: what differs from it by more is no background.
    """
    height, width = crop.shape
    grown, other, around = np.empty_like(own), np.empty_like(own), np.empty_like(own)
    grow_once(own, True, grown)
    for y in range(height):
        for x in range(width):
            is_other = grown[y, x] == 0 and abs(int(crop[y, x]) - level) > contrast
            other[y, x] = 255 if is_other else 0
    grow_once(other, True, around)
    # From where it touches, over all that hangs together.
    rows, columns, n = np.empty(crop.size, np.int64), np.empty(crop.size, np.int64), 0
    for y in range(height):
        for x in range(width):
            if around[y, x] & grown[y, x]:
                rows[n], columns[n], n = y, x, n + 1
                around[y, x] = 0
    while n > 0:
        n -= 1
        y, x = rows[n], columns[n]
        if own[y, x] == 0:
            crop[y, x] = level
        for v in range(max(0, y - 1), min(height, y + 2)):
            for u in range(max(0, x - 1), min(width, x + 2)):
                if around[v, u]:
                    rows[n], columns[n], n = v, u, n + 1
                    around[v, u] = 0
