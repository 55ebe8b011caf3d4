"""The outer borders of what is in a mask, as chains of pixels.

Border following as in Suzuki and Abe (Computer Vision, Graphics, and Image Processing 30, 1985),
outermost borders only: what OpenCV's ``findContours`` finds with ``RETR_EXTERNAL`` and
``CHAIN_APPROX_NONE``, to the pixel, but last to first. Here it is one compiled loop with the
chain's area, and what is too small is left out at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled

INSIDE = 255

# What a pixel of the border becomes: what is to its right is outside, or not known to be.
_EXIT = 1
_PASSED = 2
# Steps to the eight neighbours, from the right one counter-clockwise as seen.
_DX = np.array([1, 1, 0, -1, -1, -1, 0, 1])
_DY = np.array([0, -1, -1, -1, 0, 1, 1, 1])
_LEFT = 4

MOST_VISITS = 8
"""Times that a border comes to a pixel at most: once from each side."""

_BLOCK = 64  # pixels that are looked at together


@compiled
def trace(
    mask: NDArray[np.uint8],
    left: int,
    top: int,
    least: float,
    chains: NDArray[np.int32],
    ends: NDArray[np.int64],
) -> tuple[int, int]:
    """Follow all outer borders, and fill what is inside.

    Args:
        mask: (h, w), `INSIDE` or 0, with a rim of zeros; its borders are marked, and its holes
            filled.
        left, top: where its pixel (0, 0) lies.
        least: pixels that a filled border holds at least.
        chains: (n, 2) x and y, written to, one chain after the other; `MOST_VISITS` times
            the pixels of the mask are always enough.
        ends: (m,) where each chain ends, written to; more are left out.

    Returns:
        How many chains there are, and how many borders there were.
    """
    rows, columns = mask.shape
    kept, every, filled = 0, 0, 0
    for y in range(1, rows - 1):
        row, before, mark = mask[y], 0, 0
        for start in range(1, columns - 1, _BLOCK):
            stop = min(start + _BLOCK, columns - 1)
            # Most is empty, or inside through and through: nothing begins or ends there.
            if mark <= _EXIT and _is_all(row[start:stop], 0):
                before = 0
                continue
            if before == INSIDE and _is_all(row[start:stop], INSIDE):
                continue
            for x in range(start, stop):
                # Right of an exit, or of nothing, is outside: what begins there is in no hole.
                if row[x] == INSIDE and before == 0 and mark <= _EXIT:
                    end, area = _follow(mask, x, y, left, top, chains, filled)
                    every += 1
                    if area >= least and kept < ends.size:
                        filled = end
                        ends[kept] = end
                        kept += 1
                elif row[x] == 0 and mark == _PASSED:
                    row[x] = INSIDE
                if row[x] in (_EXIT, _PASSED):
                    mark = row[x]
                before = row[x]
    return kept, every


@compiled
def _is_all(pixels: NDArray[np.uint8], value: int) -> bool:
    """Whether each pixel has that value."""
    differ = np.uint8(0)
    for pixel in pixels:
        differ |= pixel ^ np.uint8(value)
    return bool(differ == 0)


@compiled
def _follow(
    mask: NDArray[np.uint8],
    x0: int,
    y0: int,
    left: int,
    top: int,
    chains: NDArray[np.int32],
    filled: int,
) -> tuple[int, float]:
    """Follow one border from its first pixel; where its chain ends, and its filled pixels."""
    step, first, swept = _LEFT, filled, 0
    while True:
        step = (step - 1) & 7
        if step == _LEFT or mask[y0 + _DY[step], x0 + _DX[step]] != 0:
            break
    if step == _LEFT:
        mask[y0, x0] = _EXIT
        chains[filled, 0], chains[filled, 1] = x0 + left, y0 + top
        return filled + 1, 1.0
    last_x, last_y = x0 + _DX[step], y0 + _DY[step]
    x, y = x0, y0
    while True:
        back = step
        while True:
            step = (step + 1) & 7
            next_x, next_y = x + _DX[step], y + _DY[step]
            if mask[next_y, next_x] != 0:
                break
        if 0 < step <= back:  # the right neighbour was looked at, and is outside
            mask[y, x] = _EXIT
        elif mask[y, x] == INSIDE:
            mask[y, x] = _PASSED
        chains[filled, 0], chains[filled, 1] = x + left, y + top
        filled += 1
        swept += x * next_y - next_x * y
        if next_x == x0 and next_y == y0 and x == last_x and y == last_y:
            return filled, abs(swept) / 2.0 + (filled - first) / 2.0 + 1.0
        x, y = next_x, next_y
        step = (step + 4) & 7


def chains_of(mask: NDArray[np.uint8], left: int = 0, top: int = 0) -> list[NDArray[np.int32]]:
    """The chains of a mask as `trace` takes it, the last border first."""
    chains, ends = np.empty((MOST_VISITS * mask.size, 2), np.int32), np.empty(mask.size, np.int64)
    return split(chains, ends, trace(mask, left, top, 0.0, chains, ends)[0])


def split(chains: NDArray[np.int32], ends: NDArray[Any], count: int) -> list[NDArray[np.int32]]:
    """Copies of the first ``count`` chains that `trace` wrote, the last one first."""
    bounds = [0, *ends[:count].tolist()]
    return [chains[bounds[i] : bounds[i + 1]].copy() for i in range(count - 1, -1, -1)]
