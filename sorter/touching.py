"""Bodies that touch or overlap in projection: cut at the neck, or said to be a double.

Two round bodies that touch leave a notch on either side of the neck between them. The outline is
compared with its convex hull; a pair of notches whose distance is shorter than either part is
wide is a neck. Works on the outline alone, no distance transform, and only on outlines that are
not plainly round.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.masks import contours_of, grow, shrink
from sorter.outline import Contour, Outline, measure, moments_of

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


class Part(NamedTuple):
    """What may be one body of several that touch.

    Attributes:
        outline: in frame pixels.
        double: whether it looks like more than one body all the same.
    """

    outline: Outline
    double: bool


class _Body(NamedTuple):
    """An outline, and the (m,) indices of its hull in falling order."""

    outline: Outline
    hull: NDArray[np.int32]


def is_round(outline: Outline, settings: TouchingSettings) -> bool:
    """Whether an outline is convex and round enough to be one body."""
    return (
        outline.solidity >= settings.round_solidity
        and outline.elongation < settings.round_elongation
    )


def round_outline(contour: Contour, settings: TouchingSettings) -> Outline | None:
    """The outline of a contour that `is_round`; the others are found out with little work."""
    moments = moments_of(contour)
    if moments.elongation >= settings.round_elongation:
        return None
    outline = measure(contour, moments)
    return outline if is_round(outline, settings) else None


def separate(
    contour: Contour, pitch_um: float, frame: tuple[int, int], settings: TouchingSettings
) -> list[Part]:
    """Cut an outline into the bodies that it holds.

    Args:
        contour: in frame pixels.
        pitch_um: µm per pixel.
        frame: (height, width) of the frame; two bodies that its border cuts may leave a notch on
            one side only.
        settings: when to cut.

    Returns:
        The parts; the outline itself where there is no neck.
    """
    if len(contour) < _FEWEST_POINTS:
        return [Part(measure(contour), False)]
    whole = _body(contour)
    if is_round(whole.outline, settings):
        return [Part(whole.outline, False)]
    waiting, parts = [whole], list[_Body]()
    smallest_px = settings.smallest_part_um / pitch_um
    while waiting:
        body = waiting.pop()
        cut = None
        if len(waiting) + len(parts) + 1 < settings.most_parts:
            cut = _cut(body, smallest_px, frame, settings)
        if cut is None:
            parts.append(body)
        else:
            waiting.extend(_body(_closed(part)) for part in cut)
    return [Part(part.outline, _looks_double(part.outline, frame, settings)) for part in parts]


def _body(contour: Contour) -> _Body:
    """Its hull serves both the measures and the notches: it is what takes most of the time."""
    hull = _hull(contour)
    return _Body(measure(contour, hull=hull), hull)


def _hull(contour: Contour) -> NDArray[np.int32]:
    """Indices of the convex hull, in falling order, as convexity defects want them."""
    hull = np.sort(cv2.convexHull(contour, returnPoints=False).ravel())
    return np.asarray(hull[::-1], np.int32)


def _notches(
    contour: Contour, hull: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices of the deepest point of each notch, and its depth in pixels."""
    none = np.empty(0, np.int64), np.empty(0, np.float64)
    if len(hull) < 4:
        return none
    try:
        defects = cv2.convexityDefects(contour, hull)
    except cv2.error:  # a chain that touches itself has no ordered hull
        return none
    if defects is None:
        return none
    defects = defects.reshape(-1, 4)
    return np.asarray(defects[:, 2], np.int64), np.asarray(defects[:, 3] / 256.0, np.float64)


def _cut(
    body: _Body, smallest_px: float, frame: tuple[int, int], settings: TouchingSettings
) -> tuple[Contour, Contour] | None:
    """The two parts on either side of the relatively narrowest neck, or None."""
    contour, diameter = body.outline.contour, body.outline.diameter
    index, depth = _notches(contour, body.hull)
    least_px = settings.notch_depth * diameter
    deep: list[int] = index[depth >= least_px].tolist()
    ends = [(i, j) for n, i in enumerate(deep) for j in deep[n + 1 :]]
    if body.outline.at_border(frame):
        very: list[int] = index[depth >= 2.0 * least_px].tolist()
        ends += [(i, j) for i in very for j in _feet(contour, i, frame)]
    if not ends:
        return None
    best = _narrowest(contour, ends, smallest_px, settings)
    if best is None:
        return None
    a, b = best
    return contour[a : b + 1], np.concatenate((contour[b:], contour[: a + 1]))


def _narrowest(
    contour: Contour, ends: list[tuple[int, int]], smallest_px: float, settings: TouchingSettings
) -> tuple[int, int] | None:
    """The ends, lower index first, of the neck that is narrowest for the part that it cuts off."""
    points, n = contour[:, 0, :].astype(np.int64), len(contour)
    x, y = points[:, 0], points[:, 1]
    # Twice the area swept from the first point to each; differences give parts without a loop.
    swept = np.zeros(n, np.int64)
    np.cumsum(x[:-1] * y[1:] - x[1:] * y[:-1], out=swept[1:])
    whole = int(swept[-1]) + int(x[-1] * y[0] - x[0] * y[-1])
    at = {i: (*points[i].tolist(), swept.item(i)) for pair in ends for i in pair}
    best: tuple[int, int] | None = None
    narrowest, smallest_part = settings.neck_width, settings.smallest_part
    for i, j in ends:
        a, b = (i, j) if i < j else (j, i)
        one, other = b - a + 1, n - b + a + 1
        if min(one, other) < _FEWEST_POINTS:
            continue
        (xa, ya, swept_a), (xb, yb, swept_b) = at[a], at[b]
        between = swept_b - swept_a + xb * ya - xa * yb
        areas = abs(between) / 2.0 + one / 2.0 + 1.0, abs(whole - between) / 2.0 + other / 2.0 + 1.0
        small, large = math.sqrt(4.0 * min(areas) / math.pi), math.sqrt(4.0 * max(areas) / math.pi)
        if small < smallest_px or small < smallest_part * large:
            continue
        share = (math.hypot(xa - xb, ya - yb) + 1.0) / small
        if share < narrowest or (best is None and share == narrowest):
            best, narrowest = (a, b), share
    return best


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
    first, last = part[0, 0], part[-1, 0]
    steps = int(np.abs(first - last).max())
    if steps < 2:
        return part
    share = np.arange(1, steps)[:, None] / steps
    cut = np.rint(last + share * (first - last)).astype(np.int32)
    return np.concatenate((part, cut[:, None, :]))


def _looks_double(body: Outline, frame: tuple[int, int], settings: TouchingSettings) -> bool:
    """Whether a body without a neck is too long, or has too deep a notch, to be one.

    Asked of its bulk only: shed cells, blebs and debris that stick to a body make notches too.
    Cut by the border, a round body is long as well.
    """
    if len(body.contour) < _FEWEST_POINTS or is_round(body, settings):
        return False
    bulk = _bulk(body, settings)
    if moments_of(bulk).elongation >= settings.double_elongation:
        return not body.at_border(frame)
    _, depth = _notches(bulk, _hull(bulk))
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
