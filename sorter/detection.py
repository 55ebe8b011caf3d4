"""What segmentation finds in one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found in one frame. Pixel (0, 0) is the centre of the top-left pixel.

    Attributes:
        x_px, y_px: centroid of the filled mask.
        area_um2: pixels of the filled mask times pitch squared.
        diameter_um: diameter of the circle of that area.
        circularity: 4π·area / perimeter², 1 for a circle, at most 1.
        solidity: area / area of the convex hull.
        grey_ratio: mean grey inside / background around, 1 for an object as bright as it.
        bbox: (x, y, width, height) in pixels.
        touches_border: the mask reaches the frame's edge, so that size and shape are not known.
        split: cut from a body that touched another; its neighbour is a detection of its own.
        double: two or more touching bodies that could not be told apart.
        contour: (n, 2) int32, x and y in frame pixels: pixel by pixel, or in longer steps where a
            large body was outlined at reduced resolution.
        deficit_um2: light taken out, as the area of an opaque disc that takes out as much
            (`sorter.speck`); measured only where it is asked for, NaN elsewhere.
        glimpsed: found at reduced resolution and not outlined, as the frame was late: its box is
            right to a cell, its size roughly, its shape unknown (1), and it may be several bodies.
    """

    x_px: float
    y_px: float
    area_um2: float
    diameter_um: float
    circularity: float
    solidity: float
    grey_ratio: float
    bbox: tuple[int, int, int, int]
    touches_border: bool
    split: bool
    double: bool
    contour: NDArray[np.int32]
    deficit_um2: float = math.nan
    glimpsed: bool = False


def glimpse(
    box: tuple[int, int, int, int], *, pitch_um: float, shape: tuple[int, int]
) -> Detection:
    """A detection of which only the box is known.

    Args:
        box: (x, y, width, height) in frame pixels; what reaches out of the frame is cut off.
        pitch_um: µm per pixel.
        shape: (height, width) of the frame.
    """
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(box[0] + box[2], shape[1]), min(box[1] + box[3], shape[0])
    width, height = right - left, bottom - top
    diameter_um = math.sqrt(width * height) * pitch_um
    corners = [(left, top), (left, bottom - 1), (right - 1, bottom - 1), (right - 1, top)]
    return Detection(
        x_px=left + (width - 1) / 2,
        y_px=top + (height - 1) / 2,
        area_um2=math.pi / 4 * diameter_um**2,
        diameter_um=diameter_um,
        circularity=1.0,
        solidity=1.0,
        grey_ratio=1.0,
        bbox=(left, top, width, height),
        touches_border=left == 0 or top == 0 or right == shape[1] or bottom == shape[0],
        split=False,
        double=False,
        contour=np.array(corners, np.int32),
        glimpsed=True,
    )
