"""Bodies that touch or overlap in projection: cut at the neck, or said to be a double.

Two round bodies that touch leave a notch on either side of the neck between them. The outline is
compared with its convex hull; a pair of notches whose distance is shorter than either part is
wide is a neck. Works on the outline alone, no distance transform, and only on outlines that are
not plainly round.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.masks import contours_of, grow, shrink
from sorter.outline import Contour, Outline, measure, pixel_area

_BULK_PX = 40.0
_FEWEST_POINTS = 8


class TouchingSettings(BaseModel):
    """When an outline counts as more than one body. Lengths are shares of its diameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round_solidity: float = Field(
        0.965, description="area / area of the hull above which an outline is looked at no further"
    )
    round_elongation: float = Field(
        1.2, description="long / short axis below which it may be one body"
    )
    notch_depth: float = Field(0.035, description="shallowest notch, of the diameter")
    neck_width: float = Field(0.85, description="widest neck, of the smaller part's diameter")
    smallest_part_um: float = Field(45.0, description="diameter of the smallest part cut off, µm")
    smallest_part: float = Field(0.30, description="the same, of the larger part's diameter")
    double_elongation: float = Field(
        1.28, description="long / short axis from which an outline without a neck is a double"
    )
    double_notch: float = Field(
        0.065, description="depth of a notch in the bulk from which an outline is a double"
    )
    bulk: float = Field(
        0.25, description="thickness below which parts don't matter to whether it is a double"
    )
    most_parts: int = Field(6, description="parts that one outline is cut into at most")


def is_round(outline: Outline, settings: TouchingSettings) -> bool:
    """Whether an outline is convex and round enough to be one body."""
    return (
        outline.solidity >= settings.round_solidity
        and outline.elongation < settings.round_elongation
    )


def separate(
    outline: Outline, pitch_um: float, frame: tuple[int, int], settings: TouchingSettings
) -> list[tuple[Outline, bool]]:
    """Cut an outline into the bodies that it holds.

    Args:
        outline: in frame pixels.
        pitch_um: µm per pixel.
        frame: (height, width) of the frame; two bodies that its border cuts may leave a notch on
            one side only.
        settings: when to cut.

    Returns:
        The parts (the outline itself where there is no neck), each with whether it looks like
        more than one body all the same.
    """
    if len(outline.contour) < _FEWEST_POINTS or is_round(outline, settings):
        return [(outline, False)]
    waiting, parts = [outline], list[Outline]()
    while waiting:
        body = waiting.pop()
        cut = None
        if len(waiting) + len(parts) + 1 < settings.most_parts:
            cut = _cut(body, settings.smallest_part_um / pitch_um, frame, settings)
        if cut is None:
            parts.append(body)
        else:
            waiting.extend(measure(_closed(part)) for part in cut)
    return [(part, _looks_double(part, frame, settings)) for part in parts]


def _notches(body: Contour) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices of the deepest point of each notch, and its depth in pixels."""
    none = np.empty(0, np.int64), np.empty(0, np.float64)
    hull = np.sort(cv2.convexHull(body, returnPoints=False), axis=0)[::-1]
    if len(hull) < 4:
        return none
    try:
        defects = cv2.convexityDefects(body, hull)
    except cv2.error:  # a chain that touches itself has no ordered hull
        return none
    if defects is None:
        return none
    defects = defects.reshape(-1, 4)
    return np.asarray(defects[:, 2], np.int64), np.asarray(defects[:, 3] / 256.0, np.float64)


def _cut(
    body: Outline, smallest_px: float, frame: tuple[int, int], settings: TouchingSettings
) -> tuple[Contour, Contour] | None:
    """The two parts on either side of the relatively narrowest neck, or None."""
    contour = body.contour
    index, depth = _notches(contour)
    deep = depth >= settings.notch_depth * body.diameter
    index, depth = index[deep], depth[deep]
    ends = [(int(i), int(j)) for n, i in enumerate(index) for j in index[n + 1 :]]
    if body.at_border(frame):
        very = index[depth >= 2.0 * settings.notch_depth * body.diameter]
        ends += [(int(i), j) for i in very for j in _feet(contour, int(i), frame)]
    best: tuple[float, Contour, Contour] | None = None
    for i, j in ends:
        a, b = min(i, j), max(i, j)
        one, other = contour[a : b + 1], np.concatenate((contour[b:], contour[: a + 1]))
        if min(len(one), len(other)) < _FEWEST_POINTS:
            continue
        areas = sorted((pixel_area(one), pixel_area(other)))
        small, large = (math.sqrt(4.0 * area / math.pi) for area in areas)
        if small < max(smallest_px, settings.smallest_part * large):
            continue
        share = (math.dist(contour[a, 0], contour[b, 0]) + 1.0) / small
        if share <= settings.neck_width and (best is None or share < best[0]):
            best = (share, one, other)
    return None if best is None else (best[1], best[2])


def _feet(contour: Contour, index: int, frame: tuple[int, int]) -> list[int]:
    """Index of the nearest point of the chain on each border of the frame that it reaches."""
    points = contour[:, 0, :]
    away = np.hypot(*(points - points[index]).T)
    feet = []
    for axis, value in ((0, 0), (1, 0), (0, frame[1] - 1), (1, frame[0] - 1)):
        on = np.flatnonzero(points[:, axis] == value)
        if len(on):
            feet.append(int(on[np.argmin(away[on])]))
    return feet


def _closed(part: Contour) -> Contour:
    """The part as a full chain: the cut is made of pixels too."""
    x, y, width, height = cv2.boundingRect(part)
    mask = np.zeros((height, width), np.uint8)
    cv2.drawContours(mask, [part], -1, 255, -1, offset=(-x, -y))
    return max(contours_of(mask, (x, y)), key=cv2.contourArea)


def _looks_double(body: Outline, frame: tuple[int, int], settings: TouchingSettings) -> bool:
    """Whether a body without a neck is too long, or has too deep a notch, to be one.

    Asked of its bulk only: shed cells, blebs and debris that stick to a body make notches too.
    Cut by the border, a round body is long as well.
    """
    if len(body.contour) < _FEWEST_POINTS or is_round(body, settings):
        return False
    bulk = _bulk(body, settings)
    if measure(bulk).elongation >= settings.double_elongation:
        return not body.at_border(frame)
    _, depth = _notches(bulk)
    return bool(len(depth)) and float(depth.max()) >= settings.double_notch * _BULK_PX


def _bulk(body: Outline, settings: TouchingSettings) -> Contour:
    """The contour without what is thinner than ``bulk`` of its diameter, at `_BULK_PX` pixels."""
    scale = _BULK_PX / body.diameter
    x, y, width, height = body.box
    radius = round(settings.bulk * _BULK_PX / 2.0)
    pad = radius + 1
    small = np.round((body.contour - (x, y)) * scale).astype(np.int32) + pad
    size = math.ceil(height * scale) + 2 * pad, math.ceil(width * scale) + 2 * pad
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [small], 255)
    left = contours_of(grow(shrink(mask, radius), radius))
    return max(left, key=cv2.contourArea) if left else small
