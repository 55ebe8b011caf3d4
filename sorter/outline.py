"""Contour -> area, centroid, circularity and solidity, without touching pixels again."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.detection import Detection

Contour = NDArray[np.int32]
"""(n, 1, 2) int32 as OpenCV hands it out: corners of a closed chain of pixel centres."""


def chain_length(contour: Contour) -> tuple[float, float]:
    """(number of pixels in the chain, length of the chain) of a closed contour of corners.

    A run between two corners is horizontal, vertical or diagonal; n steps of which d diagonal
    are n - d + d√2 long.
    """
    length = cv2.arcLength(contour, True)
    corners = contour[:, 0, :]
    steps = np.abs(corners - np.concatenate((corners[1:], corners[:1]))).max(axis=1)
    return float(steps.sum()), float(length)


def pixel_area(contour: Contour) -> float:
    """Number of pixels of the filled contour, its own pixels included (Pick's theorem)."""
    count, _ = chain_length(contour)
    return cv2.contourArea(contour) + count / 2.0 + 1.0


def perimeter_px(count: float, length: float, corners: int) -> float:
    """Length of the outline along the outer pixel edges, from a chain of pixel centres.

    The weights for straight and diagonal steps and corners make the length of a digitised
    straight line unbiased (Vossepoel and Smeulders, Computer Graphics and Image Processing 20,
    1982). The chain runs through pixel centres, half a pixel inside the outline; half a pixel
    outwards adds π to the perimeter of any convex outline.
    """
    diagonal = (length - count) / (math.sqrt(2.0) - 1.0)
    return 0.980 * (count - diagonal) + 1.406 * diagonal - 0.091 * corners + math.pi


def describe(
    contour: Contour,
    *,
    pitch_um: float,
    grey_ratio: float,
    shape: tuple[int, int],
    split: bool = False,
    double: bool = False,
) -> Detection:
    """Measure a filled outline.

    Args:
        contour: corners of the outermost pixels, in frame pixels.
        pitch_um: µm per pixel.
        grey_ratio: mean grey inside / background around.
        shape: (height, width) of the frame.
        split: whether it was cut from a body that touched another.
        double: whether it holds two or more bodies.
    """
    count, length = chain_length(contour)
    inner = cv2.contourArea(contour)
    area = inner + count / 2.0 + 1.0
    perimeter = perimeter_px(count, length, len(contour))
    hull = cv2.contourArea(cv2.convexHull(contour))
    x, y, width, height = cv2.boundingRect(contour)
    cx, cy = _centroid(contour, inner, (x, y, width, height))
    area_um2 = area * pitch_um * pitch_um
    return Detection(
        x_px=cx,
        y_px=cy,
        area_um2=area_um2,
        diameter_um=math.sqrt(4.0 * area_um2 / math.pi),
        circularity=min(1.0, 4.0 * math.pi * area / (perimeter * perimeter)),
        solidity=min(1.0, inner / hull) if hull > 0 else 1.0,
        grey_ratio=grey_ratio,
        bbox=(x, y, width, height),
        touches_border=_at_border((x, y, width, height), shape),
        split=split,
        double=double,
        contour=contour[:, 0, :],
    )


def at_border(contour: Contour, shape: tuple[int, int]) -> bool:
    """Whether an outline reaches the edge of a frame of (height, width)."""
    x, y, width, height = cv2.boundingRect(contour)
    return _at_border((x, y, width, height), shape)


def _at_border(box: tuple[int, int, int, int], shape: tuple[int, int]) -> bool:
    x, y, width, height = box
    return x <= 0 or y <= 0 or x + width >= shape[1] or y + height >= shape[0]


def _centroid(
    contour: Contour, inner: float, box: tuple[int, int, int, int]
) -> tuple[float, float]:
    """Centroid of the polygon through the pixel centres; of the box where that has no area."""
    if inner <= 0:
        return box[0] + (box[2] - 1) / 2.0, box[1] + (box[3] - 1) / 2.0
    moments = cv2.moments(contour)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
