"""Bodies that touch or overlap in projection: cut at the neck, or said to be a double.

Two round bodies that touch leave a notch on either side of the neck between them. The outline is
compared with its convex hull; a pair of notches whose distance is shorter than either part is
wide is a neck. Works on the outline alone: no distance transform, no pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.outline import Contour, pixel_area
from sorter.refine import grow, outlines, shrink

_BULK_PX = 40.0


class TouchingSettings(BaseModel):
    """When an outline counts as more than one body. Lengths are shares of its diameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round_solidity: float = Field(
        0.965, description="area / area of the hull above which an outline is looked at no further"
    )
    round_elongation: float = Field(
        1.25, description="long / short side of the smallest box below which it may be one body"
    )
    notch_depth: float = Field(0.035, description="shallowest notch, of the diameter")
    neck_width: float = Field(0.85, description="widest neck, of the smaller part's diameter")
    smallest_part_um: float = Field(45.0, description="diameter of the smallest part cut off, µm")
    smallest_part: float = Field(0.30, description="the same, of the larger part's diameter")
    double_elongation: float = Field(
        1.33, description="long / short side from which an outline without a neck is a double"
    )
    double_notch: float = Field(
        0.065, description="depth of a notch in the bulk from which an outline is a double"
    )
    bulk: float = Field(
        0.25, description="thickness below which parts don't matter to whether it is a double"
    )
    most_parts: int = Field(6, description="parts that one outline is cut into at most")


def separate(
    contour: Contour, pitch_um: float, settings: TouchingSettings, *, at_border: bool = False
) -> tuple[list[Contour], bool]:
    """Cut an outline into the bodies that it holds.

    Args:
        contour: (n, 1, 2) int32 corners.
        pitch_um: µm per pixel.
        settings: when to cut.
        at_border: whether the frame's border cuts the outline.

    Returns:
        The parts (the contour itself where there is no neck) and whether what was not cut looks
        like more than one body all the same.
    """
    if len(contour) < 8 or is_round(contour, settings):
        return [contour], False
    dense = _dense(contour)
    smallest = settings.smallest_part_um / pitch_um
    waiting: list[Contour] = [dense]
    parts: list[Contour] = []
    while waiting:
        body = waiting.pop()
        cut = None
        if len(waiting) + len(parts) + 1 < settings.most_parts:
            cut = _best_neck(body, smallest, settings)
        if cut is None:
            parts.append(body)
        else:
            waiting.extend(cut)
    if len(parts) == 1:
        return [contour], _looks_double(dense, at_border, settings)
    return parts, False


def is_round(contour: Contour, settings: TouchingSettings) -> bool:
    """Whether an outline is convex and round enough to be one body."""
    hull = cv2.contourArea(cv2.convexHull(contour))
    if hull <= 0 or cv2.contourArea(contour) < settings.round_solidity * hull:
        return False
    return elongation(contour) < settings.round_elongation


def elongation(contour: Contour) -> float:
    """Long / short side of the smallest box around the outline, 1 or more."""
    (_, (a, b), _) = cv2.minAreaRect(contour)
    return float((max(a, b) + 1.0) / (min(a, b) + 1.0))


def _dense(contour: Contour) -> Contour:
    """All pixels of the chain, not only its corners."""
    corners = contour[:, 0, :]
    ends = np.concatenate((corners[1:], corners[:1]))
    steps = np.abs(ends - corners).max(axis=1)
    steps = np.maximum(steps, 1)
    run = np.repeat(np.arange(len(corners)), steps)
    offset = np.arange(len(run)) - np.repeat(np.cumsum(steps) - steps, steps)
    direction = (ends - corners)[run] // steps[run, None]
    dense = corners[run] + offset[:, None] * direction
    return np.asarray(dense, np.int32)[:, None, :]


def _notches(body: Contour) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices of the deepest point of each notch, and its depth in pixels."""
    hull = cv2.convexHull(body, returnPoints=False)
    hull[::-1].sort(axis=0)
    none = np.empty(0, np.int64), np.empty(0, np.float64)
    if hull is None or len(hull) < 4:
        return none
    try:
        defects = cv2.convexityDefects(body, hull)
    except cv2.error:  # a contour that touches itself has no ordered hull
        return none
    if defects is None:
        return none
    defects = defects.reshape(-1, 4)
    return np.asarray(defects[:, 2], np.int64), np.asarray(defects[:, 3] / 256.0, np.float64)


def _best_neck(
    body: Contour, smallest_px: float, settings: TouchingSettings
) -> tuple[Contour, Contour] | None:
    """The two parts on either side of the narrowest neck, or None."""
    diameter = math.sqrt(4.0 * pixel_area(body) / math.pi)
    index, depth = _notches(body)
    index = index[depth >= settings.notch_depth * diameter]
    if len(index) < 2:
        return None
    best: tuple[float, Contour, Contour] | None = None
    points = body[:, 0, :].astype(np.float64)
    for i in range(len(index)):
        for j in range(i + 1, len(index)):
            a, b = sorted((int(index[i]), int(index[j])))
            neck = math.dist(points[a], points[b]) + 1.0
            one = body[a : b + 1]
            other = np.concatenate((body[b:], body[: a + 1]))
            if min(len(one), len(other)) < 8:
                continue
            areas = cv2.contourArea(one), cv2.contourArea(other)
            small, large = (math.sqrt(4.0 * area / math.pi) for area in sorted(areas))
            if small < max(smallest_px, settings.smallest_part * large):
                continue
            share = neck / small
            if share <= settings.neck_width and (best is None or share < best[0]):
                best = (share, one, other)
    return None if best is None else (best[1], best[2])


def _looks_double(body: Contour, at_border: bool, settings: TouchingSettings) -> bool:
    """Whether a body without a neck is too long, or has too deep a notch, to be one.

    Asked of its bulk only: shed cells, blebs and debris that stick to a body make notches too.
    Cut by the border, a round body is long as well.
    """
    bulk = _bulk(body, settings)
    if elongation(bulk) >= settings.double_elongation:
        return not at_border
    _, depth = _notches(bulk)
    return bool(len(depth)) and float(depth.max()) >= settings.double_notch * _BULK_PX


def _bulk(body: Contour, settings: TouchingSettings) -> Contour:
    """The outline without what is thinner than ``bulk`` of its diameter, at `_BULK_PX` pixels."""
    scale = _BULK_PX / math.sqrt(4.0 * pixel_area(body) / math.pi)
    x, y, width, height = cv2.boundingRect(body)
    radius = round(settings.bulk * _BULK_PX / 2.0)
    pad = radius + 1
    small = np.round((body - (x, y)) * scale).astype(np.int32) + pad
    size = math.ceil(height * scale) + 2 * pad, math.ceil(width * scale) + 2 * pad
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [small], 255)
    left = outlines(grow(shrink(mask, radius), radius), None, (0, 0))
    return max(left, key=pixel_area) if left else small
