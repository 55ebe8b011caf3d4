"""Small operations on binary masks, (h, w) uint8, `INSIDE` where something is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.outline import Contour
from sorter.tracing import INSIDE, MOST_VISITS, split, trace

Mask = NDArray[Any]

_OCTAGON = 0.41
"""Share of squares among the squares and crosses that make up an octagon, which is nearly a
disc."""


@compiled
def opened(mask: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    """A mask without what is thinner than an octagon of that radius.

    Rows are worked on as one long row, which is much faster for small masks. So the mask needs a
    margin that is empty, or of ``2 * radius_px + 1`` pixels that continue what lies at its edge;
    such a margin comes back as anything.
    """
    smaller = _eroded(mask, radius_px, 0)
    return ~_eroded(~smaller, radius_px, INSIDE)  # what is outside grows back as it shrank


@compiled
def _eroded(mask: NDArray[np.uint8], radius_px: int, edge: int) -> NDArray[np.uint8]:
    """By an octagon, see `opened`; the first and last row come to be ``edge`` or stay."""
    width = mask.shape[1]
    squares = round(radius_px * _OCTAGON)
    out, spare, down = mask.copy(), np.full_like(mask, edge), np.empty(mask.size, np.uint8)
    for i in range(radius_px):
        _erode(out.ravel(), width, i < squares, down, spare.ravel())
        out, spare = spare, out
    return out


@compiled
def _erode(
    row: NDArray[np.uint8],
    width: int,
    by_square: bool,
    down: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """By a square or a cross of 3 x 3 pixels; ``down`` is scratch."""
    above, here, below = row[: -2 * width], row[width:-width], row[2 * width :]
    for i in range(len(here)):
        down[i] = above[i] & here[i] & below[i]
    beside = down[: len(here)] if by_square else here
    left, right, middle, inner = beside[:-2], beside[2:], down[1:], out[width + 1 : -width - 1]
    for i in range(len(inner)):
        inner[i] = left[i] & middle[i] & right[i]


@compiled
def shrunk(mask: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    """Erode by an octagon; beyond the mask's edges is neither in nor out."""
    squares = round(radius_px * _OCTAGON)
    out, other = np.empty_like(mask), np.empty_like(mask)
    for i in range(radius_px):
        shrink_once(mask if i == 0 else other, i < squares, out)
        out, other = other, out
    return other if radius_px > 0 else mask.copy()


@compiled
def shrink_once(mask: NDArray[np.uint8], by_square: bool, out: NDArray[np.uint8]) -> None:
    """Erode by a square or a cross of 3 x 3 pixels."""
    height, width = mask.shape
    down = np.empty(width, np.uint8)
    for y in range(height):
        above, here, below = mask[max(0, y - 1)], mask[y], mask[min(height - 1, y + 1)]
        row = out[y]
        for x in range(width):
            down[x] = above[x] & here[x] & below[x]
        beside = down if by_square else here
        left, right, middle, inner = beside[:-2], beside[2:], down[1:], row[1:-1]
        for x in range(width - 2):
            inner[x] = left[x] & middle[x] & right[x]
        row[0] = down[0] & beside[min(1, width - 1)]
        row[width - 1] = down[width - 1] & beside[max(0, width - 2)]


@compiled
def grow_once(mask: NDArray[np.uint8], by_square: bool, out: NDArray[np.uint8]) -> None:
    """Dilate by a square or a cross of 3 x 3 pixels."""
    height, width = mask.shape
    down = np.empty(width, np.uint8)
    for y in range(height):
        above, here, below = mask[max(0, y - 1)], mask[y], mask[min(height - 1, y + 1)]
        row = out[y]
        for x in range(width):
            down[x] = above[x] | here[x] | below[x]
        beside = down if by_square else here
        left, right, middle, inner = beside[:-2], beside[2:], down[1:], row[1:-1]
        for x in range(width - 2):
            inner[x] = left[x] | middle[x] | right[x]
        row[0] = down[0] | beside[min(1, width - 1)]
        row[width - 1] = down[width - 1] | beside[max(0, width - 2)]


@compiled
def fill(contour: Contour, left: int, top: int, mask: NDArray[np.uint8]) -> None:
    """Fill a closed chain of neighbouring pixels, its own included.

    Args:
        contour: (n, 2) int32.
        left, top: where the mask's pixel (0, 0) lies; the chain lies inside of it.
        mask: (h, w), zeros; written to.
    """
    # What is inside begins and ends where the chain goes from one row to the next.
    x0, y0 = contour[-1, 0] - left, contour[-1, 1] - top
    for i in range(len(contour)):
        x, y = contour[i, 0] - left, contour[i, 1] - top
        if y > y0:
            mask[y0, x0] ^= INSIDE
        elif y < y0:
            mask[y, x] ^= INSIDE
        x0, y0 = x, y
    for y in range(mask.shape[0]):
        row = mask[y]
        inside = np.uint8(0)
        for x in range(mask.shape[1]):
            inside ^= row[x]
            row[x] = inside
    for i in range(len(contour)):
        mask[contour[i, 1] - top, contour[i, 0] - left] = INSIDE


@compiled
def mean_inside(contour: Contour, pixels: NDArray[Any], left: int, top: int) -> float:
    """Mean of the pixels in a filled contour.

    Args:
        contour: (n, 2) int32, all of it on the pixels.
        pixels: (h, w).
        left, top: where their pixel (0, 0) lies.
    """
    first_x, first_y = contour[:, 0].min(), contour[:, 1].min()
    width, height = contour[:, 0].max() - first_x + 1, contour[:, 1].max() - first_y + 1
    mask = np.zeros((height, width), np.uint8)
    fill(contour, first_x, first_y, mask)
    total, count = 0, 0
    for y in range(height):
        row, inside = pixels[y + first_y - top, first_x - left :], mask[y]
        for x in range(width):
            total += row[x] if inside[x] else 0
            count += inside[x] != 0
    return total / count


def without_threads(contour: Contour, radius_px: int, frame: tuple[int, int]) -> list[Contour]:
    """A contour without what is thinner than ``2 * radius_px + 1``: fibres, loose cells.

    Args:
        contour: (n, 2) int32, frame pixels.
        radius_px: half width of the thickest thread that is taken off.
        frame: (height, width); its border is no edge of a body.

    Returns:
        What is left, largest first; the contour itself where nothing is.
    """
    parts = split(*_opened_chains(contour, radius_px, frame))
    if len(parts) > 1:
        return sorted(parts, key=cv2.contourArea, reverse=True)
    return parts or [contour]


@compiled
def _opened_chains(
    contour: Contour, radius_px: int, frame: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Chains, their ends and how many there are (see `trace`), of an opened contour."""
    pad = 2 * radius_px + 1
    left, top = contour[:, 0].min() - pad, contour[:, 1].min() - pad
    right, bottom = contour[:, 0].max() + pad + 1, contour[:, 1].max() + pad + 1
    mask = np.zeros((bottom - top, right - left), np.uint8)
    fill(contour, left, top, mask)
    # What touches the frame's border goes on beyond it, or opening would round it off.
    if left + pad <= 0:
        mask[:, :pad] = mask[:, pad : pad + 1]
    if right - pad >= frame[1]:
        mask[:, -pad:] = mask[:, -pad - 1 : -pad]
    if top + pad <= 0:
        mask[:pad] = mask[pad]
    if bottom - pad >= frame[0]:
        mask[-pad:] = mask[-pad - 1]
    mask = opened(mask, radius_px)
    mask[:pad], mask[-pad:] = 0, 0
    mask[:, :pad], mask[:, -pad:] = 0, 0
    chains, ends = np.empty((MOST_VISITS * mask.size, 2), np.int32), np.empty(mask.size, np.int64)
    count, _ = trace(mask, left, top, 0.0, chains, ends)
    return chains, ends, count


def close_along_border(
    mask: Mask, coarse: Mask, offset: tuple[int, int], frame: tuple[int, int]
) -> None:
    """Join the ends of a rim that the frame's border cuts, in place.

    Args:
        mask: (h, w) at full resolution.
        coarse: (h, w), the bodies as found at reduced resolution, filled.
        offset: (x, y) of both in the frame.
        frame: (height, width).
    """
    height, width = mask.shape
    if offset[1] == 0:
        _join(mask[0], coarse[0])
    if offset[0] == 0:
        _join(mask[:, 0], coarse[:, 0])
    if offset[1] + height == frame[0]:
        _join(mask[-1], coarse[-1])
    if offset[0] + width == frame[1]:
        _join(mask[:, -1], coarse[:, -1])


def _join(line: Mask, coarse: Mask) -> None:
    """Within each run of ``coarse``, fill from the first to the last pixel of ``line``."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], coarse != 0, [0]))))
    for start, end in zip(steps[::2], steps[1::2], strict=True):
        on = np.flatnonzero(line[start:end])
        if len(on):
            line[start + on[0] : start + on[-1] + 1] = 255
