"""Contour -> area, centroid, circularity and solidity, without touching pixels again.

A contour is a closed chain of pixel centres, every one a neighbour of the one before it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.detection import Detection

Contour = NDArray[np.int32]
"""(n, 1, 2) int32 as OpenCV hands it out: a closed chain of neighbouring pixel centres."""

_STRAIGHTENED = 0.948


class Outline(NamedTuple):
    """A contour and what was measured on it; all lengths in pixels.

    Attributes:
        contour: (n, 1, 2) int32, a closed chain of pixels.
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


class Moments(NamedTuple):
    """Area through the pixel centres, centroid and long / short axis of a contour, in pixels."""

    inner: float
    x: float
    y: float
    elongation: float


def moments_of(contour: Contour) -> Moments:
    """What the moments say; of a contour without an inside, what its box says."""
    m = cv2.moments(contour)
    inner = m["m00"]
    if inner <= 0:
        x, y, width, height = cv2.boundingRect(contour)
        longer, shorter = max(width, height), min(width, height)
        return Moments(0.0, x + (width - 1) / 2.0, y + (height - 1) / 2.0, longer / shorter)
    middle = (m["mu20"] + m["mu02"]) / 2.0
    half = math.hypot((m["mu20"] - m["mu02"]) / 2.0, m["mu11"])
    elongation = math.sqrt((middle + half) / max(middle - half, 1e-9))
    return Moments(inner, m["m10"] / inner, m["m01"] / inner, elongation)


def measure(
    contour: Contour, moments: Moments | None = None, hull: NDArray[np.int32] | None = None
) -> Outline:
    """Measure a contour.

    A chain of horizontal, vertical and diagonal steps is longer than the line that it stands
    for, by 5 % averaged over all directions; the factor is Kulpa's (Computer Graphics and Image
    Processing 6, 1977). The chain runs through pixel centres; half a pixel outwards adds π to the
    perimeter of any closed outline.

    Args:
        contour: what to measure.
        moments: of the contour, where they are known.
        hull: (m,) indices of its convex hull, where they are known.
    """
    inner, x, y, elongation = moments or moments_of(contour)
    left, top, width, height = cv2.boundingRect(contour)
    hull_area = cv2.contourArea(cv2.convexHull(contour) if hull is None else contour[hull])
    return Outline(
        contour,
        inner + len(contour) / 2.0 + 1.0,
        _STRAIGHTENED * cv2.arcLength(contour, True) + math.pi,
        min(1.0, inner / hull_area) if hull_area > 0 else 1.0,
        elongation,
        x,
        y,
        (left, top, width, height),
    )


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
        contour=contour[:, 0, :],
    )
