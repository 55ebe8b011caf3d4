"""What is darker than the background, by a share of the body's own contrast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.tracing import INSIDE

_ONE = 2048  # weights of the interpolation are in so many parts


@compiled
def mark_bodies(
    image: NDArray[Any],
    level: NDArray[np.float32],
    pale_core: NDArray[np.uint8],
    window: tuple[int, int, int, int],
    step: int,
    limits: tuple[float, float, float],
    mask: NDArray[np.uint8],
) -> tuple[int, int, float, bool]:
    """Mark the bodies around one find: what is darker than the background, and pale cores.

    Args:
        image: (height, width) uint8 or uint16.
        level: (cells) grey of the background.
        pale_core: (cells) uint8, not 0 in what is no darker than the background, but body.
        window: (left, top, right, bottom) of the surroundings, in cells.
        step: pixels of the image along a cell's side, a power of two.
        limits: brightness relative to ``level``; darkness that counts as object, a share of the
            background; where the edge lies between background (0) and body (1).
        mask: (h + 2, w + 2) for the (h, w) pixels of the window, written to, with a rim of zeros.

    Returns:
        The sum of the pixels that are dark, how many there are, the mean grey of the background,
        and whether there are pale cores.
    """
    left, top, right, bottom = window
    gain, contrast, share = limits
    cells = level[top:bottom, left:right]
    pixels = image[top * step : bottom * step, left * step : right * step]
    darkest = np.float32(gain * (1.0 - contrast))
    bright = np.empty(cells.shape, np.int64)
    total = 0.0
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            total += cells[row, column]
            bright[row, column] = int(cells[row, column] * darkest)
    background = total / cells.size * gain
    dark, count = darken(pixels, bright, step, contrast * background, share, mask)
    is_pale = add_cells(pale_core[top:bottom, left:right], step, mask)
    return dark, count, background, is_pale


@compiled
def darken(
    pixels: NDArray[Any],
    bright: NDArray[Any],
    step: int,
    lowest: float,
    share: float,
    mask: NDArray[np.uint8],
) -> tuple[int, int]:
    """Mark what is darker than an edge between body and background.

    Halfway between the two, blur by the optics moves the edge neither in nor out. The body's
    contrast is the mean of what is darker than ``bright`` at all, after a binomial blur of 3 x 3.

    Args:
        pixels: (h, w) uint8 or uint16.
        bright: (cells) greys below which there is a body, in a cell of ``step`` pixels a side;
            interpolated in between, to the bit as OpenCV's ``resize`` does it for 8 bits.
        step: a power of two.
        lowest: what ``bright`` is darker than the background, in greys.
        share: where the edge lies between background (0) and body (1).
        mask: (h + 2, w + 2), written to, with a rim of zeros.

    Returns:
        The sum of the pixels in the mask, and how many there are.
    """
    height, width = pixels.shape
    edges = _along(bright, step, width)
    below = np.empty((height, width), np.uint16)
    sums = np.empty(width + 2, np.int64)
    total, count = 0, 0
    for y in range(height):
        row, other, weight = _between(y, step, bright.shape[0])
        here, beside, out = edges[row], edges[other], below[y]
        _sum_columns(pixels, y, sums)
        for x in range(width):
            own, others = (_ONE - weight) * (here[x] >> 4), weight * (beside[x] >> 4)
            edge = ((own >> 16) + (others >> 16) + 2) >> 2
            darker = max(0, edge - ((sums[x] + 2 * sums[x + 1] + sums[x + 2] + 8) >> 4))
            out[x] = darker
            total += darker
            count += darker > 0
    contrast = total / max(1, count) + lowest
    return _cut(pixels, below, math.floor(max(0.0, share * contrast - lowest)), mask)


@compiled
def _cut(
    pixels: NDArray[Any], below: NDArray[np.uint16], most: int, mask: NDArray[np.uint8]
) -> tuple[int, int]:
    """Mark what is below by more than ``most``; the sum of the pixels there, and their number."""
    height, width = pixels.shape
    mask[0] = 0
    mask[height + 1] = 0
    total, count = 0, 0
    for y in range(height):
        here, out, deep = pixels[y], mask[y + 1], below[y]
        out[0] = 0
        out[width + 1] = 0
        for x in range(width):
            is_in = deep[x] > most
            out[x + 1] = INSIDE if is_in else 0
            total += here[x] if is_in else 0
            count += is_in
    return total, count


@compiled
def _along(cells: NDArray[Any], step: int, width: int) -> NDArray[np.int64]:
    """(rows of cells, width) cells interpolated along the rows, times `_ONE`."""
    rows = cells.shape[0]
    out = np.empty((rows, width), np.int64)
    for x in range(width):
        column, other, weight = _between(x, step, cells.shape[1])
        for row in range(rows):
            own = (_ONE - weight) * np.int64(cells[row, column])
            out[row, x] = own + weight * np.int64(cells[row, other])
    return out


@compiled
def _between(pixel: int, step: int, cells: int) -> tuple[int, int, int]:
    """Along one axis: the cell that a pixel is in, the next nearest, and that one's weight."""
    cell = pixel // step
    twice = 2 * (pixel - cell * step) + 1  # from the cell's edge, in half pixels
    other = cell - 1 if twice < step else cell + 1
    return cell, min(max(0, other), cells - 1), abs(twice - step) * _ONE // (2 * step)


@compiled
def _sum_columns(pixels: NDArray[Any], y: int, sums: NDArray[np.int64]) -> None:
    """(1 2 1) down the columns around a row; mirrored at the edges, without repeating them."""
    height, width = pixels.shape
    up = pixels[y - 1 if y > 0 else min(1, height - 1)]
    down = pixels[y + 1 if y + 1 < height else max(0, height - 2)]
    here = pixels[y]
    for x in range(width):
        sums[x + 1] = np.int64(up[x]) + 2 * np.int64(here[x]) + np.int64(down[x])
    sums[0] = sums[min(2, width)]
    sums[width + 1] = sums[max(1, width - 1)]


@compiled
def add_cells(cells: NDArray[np.uint8], step: int, mask: NDArray[np.uint8]) -> bool:
    """Mark the pixels of all cells that are not 0; whether there are any.

    Args:
        cells: (cells) uint8.
        step: pixels along a cell's side.
        mask: as `darken` takes it.
    """
    found = False
    line = np.empty(cells.shape[1] * step, np.uint8)
    for y in range(mask.shape[0] - 2):
        row = cells[y // step]
        if y % step == 0:
            any_there = np.uint8(0)
            for column in range(len(row)):
                any_there |= row[column]
                for k in range(step):
                    line[column * step + k] = INSIDE if row[column] != 0 else 0
            found = found or any_there != 0
        out = mask[y + 1, 1:-1]
        for x in range(len(out)):
            out[x] |= line[x]
    return found
