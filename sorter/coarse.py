"""The coarse search: where something is in the reduced image.

One compiled pass after the other over the part of the image that holds anything, written to
buffers that the search keeps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.masks import grow_once, shrink_once, shrunk
from sorter.tracing import INSIDE, MOST_VISITS, trace

Mask = NDArray[np.uint8]
Boxes = NDArray[np.int64]

MARGIN_CELLS = 2
"""Cells around a find that its outline is looked for in."""

_EMPTY_CELLS = MARGIN_CELLS + 1


class Buffers(NamedTuple):
    """What the search writes to; the same ones each time.

    Attributes:
        mask: (rows, columns) uint8, `INSIDE` where something is.
        occupied: the same with a margin of a cell.
        pale_core: `INSIDE` in the cores of bodies that are no darker than the background; right
            only around the finds of the last search.
        work: (rows + 2, columns + 2) uint8.
        spare: (rows, columns) uint8.
        chains: (n, 2) int32, see `trace`.
        ends: (m,) int64, see `trace`.
        boxes: (m, 4) int64, (x, y, width, height) of each find, in cells.
    """

    mask: Mask
    occupied: Mask
    pale_core: Mask
    work: Mask
    spare: Mask
    chains: NDArray[np.int32]
    ends: NDArray[np.int64]
    boxes: Boxes


def buffers_for(rows: int, columns: int) -> Buffers:
    """Buffers for reduced images of one shape; nothing is found in them yet."""
    mask, occupied, pale_core, spare = np.zeros((4, rows, columns), np.uint8)
    work = np.empty((rows + 2, columns + 2), np.uint8)
    chains = np.empty((MOST_VISITS * work.size, 2), np.int32)
    finds = rows * columns // 4 + 1
    ends, boxes = np.empty(finds, np.int64), np.empty((finds, 4), np.int64)
    return Buffers(mask, occupied, pale_core, work, spare, chains, ends, boxes)


@compiled
def search(
    grey: Mask, low: int, high: int, least_cells: int, rim_cells: int, buffers: Buffers
) -> int:
    """Find all that is darker or brighter than the background.

    Holes in it are filled, and rims that the border cuts are closed along it, so that pale bodies
    are found whole.

    Args:
        grey: (rows, columns) uint8, the reduced image divided by its background.
        low, high: greys that still are background.
        least_cells: a find is at least so wide or so high.
        rim_cells: depth below the outline from which all is body, as bright as it may be.
        buffers: written to.

    Returns:
        How many finds there are.
    """
    mask, occupied = buffers.mask, buffers.occupied
    occupied[:] = 0
    left, top, right, bottom = _mark(grey, low, high, mask)
    if right <= left:
        return 0
    # The rest of the view is empty; what is in it stays inside the box whatever is done.
    left, top = max(0, left - _EMPTY_CELLS), max(0, top - _EMPTY_CELLS)
    part = mask[top : bottom + _EMPTY_CELLS, left : right + _EMPTY_CELLS]
    height, width = part.shape
    spare = buffers.spare[:height, :width]
    grow_once(part, True, spare)
    shrink_once(spare, True, part)
    count = _trace(part, left, top, buffers)
    if _close_at_border(mask, count, buffers):
        count = _trace(part, left, top, buffers)
    _set(part, buffers.work[1 : height + 1, 1 : width + 1])
    grow_once(part, True, occupied[top : top + height, left : left + width])
    here = slice(top, top + height), slice(left, left + width)
    _pale(part, grey[here], low, rim_cells, buffers.pale_core[here])
    return _boxes(count, least_cells, buffers)


@compiled
def _mark(grey: Mask, low: int, high: int, mask: Mask) -> tuple[int, int, int, int]:
    """Mark what is no background; (left, top, right, bottom) of it."""
    rows, columns = grey.shape
    any_in_column = np.zeros(columns, np.uint8)
    top, bottom = rows, 0
    for y in range(rows):
        row, out = grey[y], mask[y]
        any_in_row = np.uint8(0)
        for x in range(columns):
            value = np.uint8(0 if low <= row[x] <= high else INSIDE)
            out[x] = value
            any_in_row |= value
            any_in_column[x] |= value
        if any_in_row:
            top, bottom = min(top, y), y + 1
    left, right = columns, 0
    for x in range(columns):
        if any_in_column[x]:
            left, right = min(left, x), x + 1
    return left, top, right, bottom


@compiled
def _trace(part: Mask, left: int, top: int, buffers: Buffers) -> int:
    """Follow the borders of all that is in a part of the mask; how many there are."""
    height, width = part.shape
    work = buffers.work[: height + 2, : width + 2]
    work[0], work[-1], work[:, 0], work[:, -1] = 0, 0, 0, 0
    for y in range(height):
        row, out = part[y], work[y + 1, 1:-1]
        for x in range(width):
            out[x] = row[x]
    count, _ = trace(work, left - 1, top - 1, 0.0, buffers.chains, buffers.ends)
    return count


@compiled
def _set(part: Mask, traced: Mask) -> None:
    """Mark what is in a mask that was traced."""
    height, width = part.shape
    for y in range(height):
        row, out = traced[y], part[y]
        for x in range(width):
            out[x] = INSIDE if row[x] != 0 else 0


@compiled
def _close_at_border(mask: Mask, count: int, buffers: Buffers) -> bool:
    """Close rims that the border cuts, so that pale bodies there are filled as well; whether
    anything was closed."""
    height, width = mask.shape
    changed, start = False, 0
    for end in buffers.ends[:count]:
        chain = buffers.chains[start:end]
        start = end
        for axis, value in ((0, 0), (1, 0), (0, width - 1), (1, height - 1)):
            first, last = max(width, height), -1
            for i in range(len(chain)):
                if chain[i, axis] == value:
                    first, last = min(first, chain[i, 1 - axis]), max(last, chain[i, 1 - axis])
            for at in range(first, last + 1):
                y, x = (at, value) if axis == 0 else (value, at)
                changed = changed or mask[y, x] == 0
                mask[y, x] = INSIDE
    return changed


@compiled
def _pale(part: Mask, grey: Mask, low: int, rim_cells: int, core: Mask) -> None:
    """Mark the cores of what is no darker than the background.

    Where the core is dark the full resolution will say so itself.
    """
    height, width = part.shape
    any_pale = np.uint8(0)
    for y in range(height):
        row, here, out = grey[y], part[y], core[y]
        for x in range(width):
            pale = np.uint8(0 if row[x] < low else here[x])
            out[x] = pale
            any_pale |= pale
    if any_pale == 0:  # then shrinking, the dearest step, is spared
        return
    inner = shrunk(part, rim_cells)
    for y in range(height):
        out, deep = core[y], inner[y]
        for x in range(width):
            out[x] &= deep[x]


@compiled
def _boxes(count: int, least_cells: int, buffers: Buffers) -> int:
    """Boxes of those that are large enough, the last border first; how many there are."""
    n = 0
    for k in range(count - 1, -1, -1):
        chain = buffers.chains[buffers.ends[k - 1] if k > 0 else 0 : buffers.ends[k]]
        x, y = chain[:, 0].min(), chain[:, 1].min()
        width, height = chain[:, 0].max() - x + 1, chain[:, 1].max() - y + 1
        if max(width, height) >= least_cells:
            box = buffers.boxes[n]
            box[0], box[1], box[2], box[3] = x, y, width, height
            n += 1
    return n
