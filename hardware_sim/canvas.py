"""What bodies are drawn on: the logarithm of the light on a patch of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import Floats

Places = tuple[NDArray[np.intp], NDArray[np.intp]]
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

    def stamp(
        self, kernel: Floats, x: int, y: int, weight: np.float32, keep: Floats | None
    ) -> None:
        """Multiply what lies around a pixel by ``keep``, then add an odd square kernel."""
        half = kernel.shape[0] // 2
        height, width = self.log_light.shape
        if half <= x < width - half and half <= y < height - half:
            target = self.log_light[y - half : y + half + 1, x - half : x + half + 1]
            if keep is not None:
                target *= keep
            target += kernel * weight
            return
        left, top = max(0, half - x), max(0, half - y)
        right, bottom = min(2 * half + 1, width - x + half), min(2 * half + 1, height - y + half)
        if left >= right or top >= bottom:
            return
        target = self.log_light[
            y - half + top : y - half + bottom, x - half + left : x - half + right
        ]
        if keep is not None:
            target *= keep[top:bottom, left:right]
        target += kernel[top:bottom, left:right] * weight

    def stamp_all(self, kernel: Floats, places: Places, weights: Floats) -> None:
        """`stamp` one kernel at many places (n,), in their order, nothing hidden by any."""
        side = kernel.shape[0]
        half = side // 2
        xs, ys = places
        height, width = self.log_light.shape
        inside = (xs >= half) & (xs < width - half) & (ys >= half) & (ys < height - half)
        if not inside.all():
            for x, y, weight in zip(xs.tolist(), ys.tolist(), weights, strict=True):
                self.stamp(kernel, x, y, weight, None)
            return
        offsets = np.arange(-half, half + 1)
        around = (offsets[:, None] * width + offsets).reshape(-1)
        index = (ys * width + xs)[:, None] + around
        values = weights[:, None] * kernel.reshape(-1)
        np.add.at(self.log_light.reshape(-1), index.reshape(-1), values.reshape(-1))


def splat(
    places: Places,
    weights: NDArray[np.floating],
    box: tuple[slice, slice],
) -> Floats:
    """Sum of the weights (n,) that fall on each pixel of a box that holds all of them.

    Args:
        places: of the points on the canvas.
        weights: (n,).
        box: rows and columns, as `Canvas.box` gives them.
    """
    rows, columns = box
    height, width = rows.stop - rows.start, columns.stop - columns.start
    index = (places[1] - rows.start) * width + (places[0] - columns.start)
    flat = np.bincount(index, weights, height * width)
    return flat.astype(np.float32).reshape(height, width)


def blur(image: Floats, sigma_px: float) -> Floats:
    """Gaussian blur, cut off at three standard deviations."""
    side = 2 * reach_of_blur_px(sigma_px) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float32)


def reach_of_blur_px(sigma_px: float) -> int:
    """How far `blur` spreads a pixel."""
    return max(1, round(3.0 * sigma_px))
