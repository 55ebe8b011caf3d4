"""Reduced images are means of cells, whatever the frame's size."""

from __future__ import annotations

import numpy as np
import pytest

from sorter.grid import Grid, Pyramid

SHAPES = {
    "whole cells": ((64, 96), 4),
    "both sides short": ((61, 93), 4),
    "full resolution": ((40, 50), 1),
    "one halving": ((33, 40), 2),
}


def means(pixels: np.ndarray, step: int) -> np.ndarray:
    """Of cells of ``step`` pixels; the last row and column are repeated to fill the last ones."""
    short = [(0, -side % step) for side in pixels.shape]
    padded = np.pad(pixels.astype(float), short, mode="edge")
    height, width = (side // step for side in padded.shape)
    return np.asarray(padded.reshape(height, step, width, step).mean(axis=(1, 3)))


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_level_halves_the_one_before(case: str, dtype: type[np.unsignedinteger]) -> None:
    shape, reduction = SHAPES[case]
    pixels = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    grid = Grid(shape, reduction)
    levels = Pyramid(grid, pixels.dtype).build(pixels)
    assert levels[0] is pixels
    assert len(levels) == reduction.bit_length()
    assert levels[-1].shape == grid.cells
    # Each halving rounds.
    assert np.abs(levels[-1] - means(pixels, reduction)).max() <= 1.0
    assert np.array_equal(grid.reduce(pixels), levels[-1])


def test_a_frame_is_only_reduced_once() -> None:
    grid = Grid((32, 32), 4)
    one, other = np.zeros((32, 32), np.uint8), np.full((32, 32), 200, np.uint8)
    pyramid = Pyramid(grid, one.dtype)
    levels = pyramid.build(one)
    assert pyramid.of(one) is levels
    assert pyramid.of(other)[-1].min() == 200


@pytest.mark.parametrize(("pitch_um", "reduction"), [(1.73, 4), (2.05, 4), (4.1, 2), (9.0, 1)])
def test_cells_are_as_large_as_they_may_be(pitch_um: float, reduction: int) -> None:
    assert Grid.fit((100, 100), pitch_um, 8.2).reduction == reduction
