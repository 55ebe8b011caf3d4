"""The convex hull of a closed chain of pixels, and the notches below it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled


@compiled
def hull_of(chain: NDArray[np.int32]) -> NDArray[np.int64]:
    """(m,) indices of the corners of the hull, in falling order."""
    above, below = _sides(chain)
    is_corner = np.zeros(len(chain), np.bool_)
    is_corner[above] = True
    is_corner[below] = True
    return np.flatnonzero(is_corner)[::-1].copy()


@compiled
def hull_area(chain: NDArray[np.int32]) -> float:
    """Area of the hull through the pixel centres."""
    above, below = _sides(chain)
    return abs(_swept(chain, above) - _swept(chain, below)) / 2.0


@compiled
def _sides(chain: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the corners of the hull's upper and lower side, from left to right.

    Andrew's monotone chain (Information Processing Letters 9, 1979) over the topmost and the
    lowest pixel of each column, which needs no sorting.
    """
    left = chain[:, 0].min()
    columns = chain[:, 0].max() - left + 1
    highest, lowest = np.full(columns, -1), np.full(columns, -1)
    for i in range(len(chain)):
        column, y = chain[i, 0] - left, chain[i, 1]
        if highest[column] < 0 or y < chain[highest[column], 1]:
            highest[column] = i
        if lowest[column] < 0 or y > chain[lowest[column], 1]:
            lowest[column] = i
    return _corners(chain, highest, 1), _corners(chain, lowest, -1)


@compiled
def _corners(chain: NDArray[np.int32], ends: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Indices of the corners of one side of the hull, of one pixel at most in each column."""
    corners = np.empty(ends.size, np.int64)
    n = 0
    for i in ends:
        if i < 0:
            continue
        while n > 1 and side * _turn(chain, corners[n - 2], corners[n - 1], i) <= 0:
            n -= 1
        corners[n] = i
        n += 1
    return corners[:n]


@compiled
def _turn(chain: NDArray[np.int32], a: int, b: int, c: int) -> int:
    """Twice the area of a triangle, below 0 where it turns left as seen."""
    ax, ay = int(chain[a, 0]), int(chain[a, 1])
    bx, by = int(chain[b, 0]), int(chain[b, 1])
    cx, cy = int(chain[c, 0]), int(chain[c, 1])
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@compiled
def _swept(chain: NDArray[np.int32], side: NDArray[np.int64]) -> int:
    """Twice the area between a side of the hull and the frame's upper edge."""
    swept = 0
    for k in range(1, len(side)):
        x0, y0 = int(chain[side[k - 1], 0]), int(chain[side[k - 1], 1])
        x, y = int(chain[side[k], 0]), int(chain[side[k], 1])
        swept += (x - x0) * (y + y0)
    return swept


@compiled
def notches(
    chain: NDArray[np.int32], hull: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices of the deepest pixel below each side of the hull, and its depth in pixels.

    Depths are rounded to 1/256 pixel, and where a side has no pixel below it there is no notch:
    as OpenCV's ``convexityDefects`` has it.
    """
    at, depths = np.empty(len(hull), np.int64), np.empty(len(hull), np.float64)
    n, length = 0, len(chain)
    for k in range(len(hull) - 1, -1, -1):
        first, last = hull[k], hull[k - 1]  # falling, so this one's side ends at the one before
        x0, y0 = int(chain[first, 0]), int(chain[first, 1])
        dx, dy = chain[last, 0] - x0, chain[last, 1] - y0
        scale = 1.0 / math.sqrt(dx * dx + dy * dy) if dx != 0 or dy != 0 else 0.0
        deepest, depth = -1, 0.0
        i = first + 1 if first + 1 < length else 0
        while i != last:
            off = abs(dx * (chain[i, 1] - y0) - dy * (chain[i, 0] - x0)) * scale
            if off > depth:
                deepest, depth = i, off
            i = i + 1 if i + 1 < length else 0
        if deepest >= 0:
            at[n], depths[n] = deepest, np.rint(depth * 256.0) / 256.0
            n += 1
    return at[:n], depths[:n]
