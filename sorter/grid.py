"""Frames at full, half, a quarter of the resolution …: bodies are found on the coarsest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Grid:
    """How a frame maps to its reduced image: cell i holds pixels i*reduction … +reduction-1."""

    shape: tuple[int, int]
    reduction: int

    @property
    def cells(self) -> tuple[int, int]:
        """(height, width) of the reduced image."""
        return -(-self.shape[0] // self.reduction), -(-self.shape[1] // self.reduction)

    @property
    def halvings(self) -> int:
        """How often the frame is halved."""
        return self.reduction.bit_length() - 1

    @classmethod
    def fit(cls, shape: tuple[int, int], pitch_um: float, coarsest_um: float) -> Grid:
        """The largest power of two whose cells are no larger than ``coarsest_um``."""
        return cls(shape, 2 ** max(0, math.floor(math.log2(coarsest_um / pitch_um))))

    def reduce(self, pixels: Image) -> Image:
        """Mean of each cell."""
        return Pyramid(self, pixels.dtype).build(pixels)[-1]


class Pyramid:
    """A frame and its halvings down to the reduced image; keeps buffers.

    Halving twice is several times faster than a quarter at once, and the steps between are of
    use by themselves.

    Args:
        grid: shape of the frames, and how far to go.
        dtype: of the frames.
    """

    def __init__(self, grid: Grid, dtype: np.dtype[Any]) -> None:
        self._short = tuple(-side % grid.reduction for side in grid.shape)
        height, width = grid.cells[0] * grid.reduction, grid.cells[1] * grid.reduction
        steps = range(1, grid.reduction.bit_length())
        self._buffers = [np.empty((height >> step, width >> step), dtype) for step in steps]
        self._pixels: Image | None = None
        self._levels: list[Image] = []

    def build(self, pixels: Image) -> Sequence[Image]:
        """The frame, then half, a quarter … of it; valid until the next call.

        The frame's right and lower edge are repeated where its size is no multiple of a cell's.
        """
        self._pixels, self._levels = pixels, [pixels]
        if any(self._short):
            down, right = self._short
            pixels = cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_REPLICATE)
        for buffer in self._buffers:
            size = buffer.shape[1], buffer.shape[0]
            cv2.resize(pixels, size, dst=buffer, interpolation=cv2.INTER_AREA)
            self._levels.append(buffer)
            pixels = buffer
        return self._levels

    def of(self, pixels: Image) -> Sequence[Image]:
        """What `build` gave for this very frame, or gives now."""
        return self._levels if pixels is self._pixels else self.build(pixels)
