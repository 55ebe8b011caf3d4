"""What bodies are drawn on: the logarithm of the light on a patch of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import Floats
from sorter.compiled import compiled

Indices = NDArray[np.intp]
Places = tuple[Indices, Indices]
"""Columns and rows (n,) of points on a canvas."""


@dataclass(slots=True)
class Canvas:
    """Logarithm of the light on a patch, and where the body's centre is in it."""

    log_light: Floats
    x_px: float
    y_px: float
    pitch_um: float

    def pixels_of(self, points_um: Floats) -> Places:
        """(n,) column and row of view points (n, 3), which the bounding radius keeps on it."""
        scale = np.float32(1.0 / self.pitch_um)
        x = (points_um[:, 0] * scale + np.float32(self.x_px + 0.5)).astype(np.intp)
        y = (points_um[:, 1] * scale + np.float32(self.y_px + 0.5)).astype(np.intp)
        return x, y

    def box(self, reach_px: float) -> tuple[slice, slice]:
        """Rows and columns within ``reach_px`` of the body's centre, as far as there are any."""
        height, width = self.log_light.shape
        x0, x1 = max(0, int(self.x_px - reach_px)), min(width, int(self.x_px + reach_px) + 2)
        y0, y1 = max(0, int(self.y_px - reach_px)), min(height, int(self.y_px + reach_px) + 2)
        return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Pictures of n small parts, odd squares, one after the other.

    Attributes:
        light: their logarithms of the light, row by row.
        keep: what they leave of that of what lies behind them, on the same squares.
        starts: (n,) index of the first pixel of each.
        halves: (n,) half the side of each, its middle pixel left out.
    """

    light: Floats
    keep: Floats
    starts: Indices
    halves: Indices

    @staticmethod
    def of(pictures: list[tuple[Floats, Floats]]) -> Stamps:
        """From each part's light and what it keeps, two squares of one side."""
        sides = np.array([len(light) for light, _ in pictures], np.intp)
        nothing = [np.zeros(0, np.float32)]
        return Stamps(
            np.concatenate(nothing + [light.reshape(-1) for light, _ in pictures]),
            np.concatenate(nothing + [keep.reshape(-1) for _, keep in pictures]),
            np.cumsum(sides * sides) - sides * sides,
            sides // 2,
        )

    def lay(self, canvas: Floats, order: Indices, places: Places, weights: Floats) -> None:
        """Multiply what lies behind each part, in that order, by what it keeps, and add it."""
        _lay(
            canvas,
            (self.light, self.keep),
            (self.starts, self.halves),
            (order, *places),
            weights,
        )


@compiled
def _lay(
    canvas: Floats,
    pictures: tuple[Floats, Floats],
    shapes: Places,
    where: tuple[Indices, Indices, Indices],
    weights: Floats,
) -> None:
    light, keep = pictures
    starts, halves = shapes
    order, columns, rows = where
    height, width = canvas.shape
    for i in order:
        half, side, weight = halves[i], 2 * halves[i] + 1, weights[i]
        left, top = columns[i] - half, rows[i] - half
        for y in range(max(0, top), min(height, top + side)):
            first = starts[i] + (y - top) * side - left
            for x in range(max(0, left), min(width, left + side)):
                canvas[y, x] = canvas[y, x] * keep[first + x] + light[first + x] * weight


@compiled
def add_stamps(
    canvas: Floats, kernel: Floats, columns: Indices, rows: Indices, weights: Floats
) -> None:
    """Add a picture (side, side), side odd, at many places (n,), as far as it is on the canvas."""
    height, width = canvas.shape
    side = kernel.shape[0]
    half = side // 2
    for i in range(len(weights)):
        left, top = columns[i] - half, rows[i] - half
        for y in range(max(0, top), min(height, top + side)):
            for x in range(max(0, left), min(width, left + side)):
                canvas[y, x] += kernel[y - top, x - left] * weights[i]


def blur(image: Floats, sigma_px: float) -> Floats:
    """Gaussian blur, cut off at three standard deviations."""
    side = 2 * reach_of_blur_px(sigma_px) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float32)


def reach_of_blur_px(sigma_px: float) -> int:
    """How far `blur` spreads a pixel."""
    return max(1, round(3.0 * sigma_px))
