"""Contour -> area, centroid, circularity and solidity, without touching pixels again.

A contour is a closed chain of pixel centres, every one a neighbour of the one before it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.detection import Detection
from sorter.hull import hull_area

Contour = NDArray[np.int32]
"""(n, 2) int32, x and y: a closed chain of neighbouring pixel centres."""

_STRAIGHTENED = 0.948
_DIAGONAL = float(np.float32(math.sqrt(2.0)))  # as exact as in OpenCV's ``arcLength``


class Outline(NamedTuple):
    """A contour and what was measured on it; all lengths in pixels.

    Attributes:
        contour: (n, 2) int32, a closed chain of pixels.
        area: pixels of the filled mask, the chain's own included.
        perimeter: length of the outline along the pixels' outer edges.
        solidity: area / area of the convex hull, both through the pixel centres; 1 when convex.
        elongation: long / short axis of the ellipse with the same second moments.
        x, y: centroid.
        box: (x, y, width, height).
    """

    contour: Contour
    area: float
    perimeter: float
    solidity: float
    elongation: float
    x: float
    y: float
    box: tuple[int, int, int, int]

    @property
    def diameter(self) -> float:
        """Diameter of the circle of the same area."""
        return math.sqrt(4.0 * self.area / math.pi)

    def at_border(self, shape: tuple[int, int]) -> bool:
        """Whether it reaches the edge of a frame of (height, width)."""
        x, y, width, height = self.box
        return x <= 0 or y <= 0 or x + width >= shape[1] or y + height >= shape[0]


def pixel_area(contour: Contour) -> float:
    """Number of pixels of the filled contour, its own included (Pick's theorem)."""
    return cv2.contourArea(contour) + len(contour) / 2.0 + 1.0


def measure(contour: Contour) -> Outline:
    """Measure a contour.

    A chain of horizontal, vertical and diagonal steps is longer than the line that it stands
    for, by 5 % averaged over all directions; the factor is Kulpa's (Computer Graphics and Image
    Processing 6, 1977). The chain runs through pixel centres; half a pixel outwards adds π to the
    perimeter of any closed outline.
    """
    return Outline(contour, *_measures(contour))


@compiled
def elongation_of(contour: Contour) -> float:
    """Long / short axis of the ellipse with the same second moments; of a contour without an
    inside, of its box."""
    return _moments(contour)[3]


@compiled
def area_within(contour: Contour) -> float:
    """Area through the pixel centres."""
    return _moments(contour)[0]


@compiled
def _measures(
    contour: Contour,
) -> tuple[float, float, float, float, float, float, tuple[int, int, int, int]]:
    """What an `Outline` holds beside the contour, in its order."""
    inner, x, y, elongation = _moments(contour)
    left, top, width, height = _box(contour)
    whole = hull_area(contour)
    solidity = min(1.0, inner / whole) if whole > 0 else 1.0
    perimeter = _STRAIGHTENED * _length(contour) + math.pi
    area = inner + len(contour) / 2.0 + 1.0
    return area, perimeter, solidity, elongation, x, y, (left, top, width, height)


@compiled
def _moments(contour: Contour) -> tuple[float, float, float, float]:
    """Area through the pixel centres, centroid and elongation (Green's theorem).

    The sums are of integers, and so exact in any order.
    """
    x0, y0 = int(contour[-1, 0]), int(contour[-1, 1])
    a, ax, ay, axx, axy, ayy = 0, 0, 0, 0, 0, 0
    for i in range(len(contour)):
        x, y = int(contour[i, 0]), int(contour[i, 1])
        swept = x0 * y - x * y0
        a += swept
        ax += swept * (x0 + x)
        ay += swept * (y0 + y)
        axx += swept * (x0 * (x0 + x) + x * x)
        axy += swept * (x0 * (2 * y0 + y) + x * (y0 + 2 * y))
        ayy += swept * (y0 * (y0 + y) + y * y)
        x0, y0 = x, y
    if a == 0:
        left, top, width, height = _box(contour)
        longer, shorter = max(width, height), min(width, height)
        return 0.0, left + (width - 1) / 2.0, top + (height - 1) / 2.0, longer / shorter
    sign = 1.0 if a > 0 else -1.0
    inner, mx, my = sign * a * 0.5, sign * ax * (1.0 / 6.0), sign * ay * (1.0 / 6.0)
    inverse = 1.0 / inner
    mean_x, mean_y = mx * inverse, my * inverse
    xx = sign * axx * (1.0 / 12.0) - mx * mean_x
    xy = sign * axy * (1.0 / 24.0) - mx * mean_y
    yy = sign * ayy * (1.0 / 12.0) - my * mean_y
    middle, half = (xx + yy) / 2.0, math.hypot((xx - yy) / 2.0, xy)
    elongation = math.sqrt((middle + half) / max(middle - half, 1e-9))
    return inner, mx / inner, my / inner, elongation


@compiled
def _box(contour: Contour) -> tuple[int, int, int, int]:
    """(x, y, width, height)."""
    left, top = int(contour[0, 0]), int(contour[0, 1])
    right, bottom = left, top
    for i in range(len(contour)):
        x, y = int(contour[i, 0]), int(contour[i, 1])
        left, right = min(left, x), max(right, x)
        top, bottom = min(top, y), max(bottom, y)
    return left, top, right - left + 1, bottom - top + 1


@compiled
def _length(contour: Contour) -> float:
    """Of a closed chain of neighbouring pixels."""
    x0, y0 = contour[-1, 0], contour[-1, 1]
    straight, diagonal = 0, 0
    for i in range(len(contour)):
        x, y = contour[i, 0], contour[i, 1]
        straight += (x == x0) != (y == y0)
        diagonal += x != x0 and y != y0
        x0, y0 = x, y
    return straight + diagonal * _DIAGONAL


def describe(
    outline: Outline,
    *,
    pitch_um: float,
    grey_ratio: float,
    shape: tuple[int, int],
    scale: int = 1,
    split: bool = False,
    double: bool = False,
) -> Detection:
    """The detection that an outline stands for, in pixels of the frame.

    Args:
        outline: in pixels of an image.
        pitch_um: µm per pixel of that image.
        grey_ratio: mean grey inside / background around.
        shape: (height, width) of that image.
        scale: pixels of the frame in one of the image's, along one axis.
        split: whether it was cut from a body that touched another.
        double: whether it holds two or more bodies.
    """
    contour, area, perimeter, solidity, _, x, y, box = outline
    area_um2 = area * pitch_um * pitch_um
    at_border = outline.at_border(shape)
    if scale > 1:
        x, y = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
        left, top, width, height = box
        box = left * scale, top * scale, width * scale, height * scale
        contour = contour * scale + scale // 2
    return Detection(
        x_px=x,
        y_px=y,
        area_um2=area_um2,
        diameter_um=math.sqrt(4.0 * area_um2 / math.pi),
        circularity=min(1.0, 4.0 * math.pi * area / (perimeter * perimeter)),
        solidity=solidity,
        grey_ratio=grey_ratio,
        bbox=box,
        touches_border=at_border,
        split=split,
        double=double,
        contour=contour,
    )
