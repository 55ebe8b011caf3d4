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

from sorter.compiled import compiled
from sorter.hull import hull_of, notches
from sorter.masks import opened
from sorter.outline import Contour, Outline, area_within, elongation_of, measure
from sorter.tracing import MOST_VISITS, trace

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


def is_round(outline: Outline, settings: TouchingSettings) -> bool:
    """Whether an outline is convex and round enough to be one body."""
    return (
        outline.solidity >= settings.round_solidity
        and outline.elongation < settings.round_elongation
    )


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
    whole = measure(contour)
    if is_round(whole, settings):
        return [Part(whole, False)]
    waiting, parts = [whole], list[Outline]()
    while waiting:
        body = waiting.pop()
        cut = None
        if len(waiting) + len(parts) + 1 < settings.most_parts:
            cut = _cut(body, settings.smallest_part_um / pitch_um, frame, settings)
        if cut is None:
            parts.append(body)
        else:
            waiting.extend(measure(_closed(part)) for part in cut)
    return [Part(part, _looks_double(part, frame, settings)) for part in parts]


def _cut(
    body: Outline, smallest_px: float, frame: tuple[int, int], settings: TouchingSettings
) -> tuple[Contour, Contour] | None:
    """The two parts on either side of the relatively narrowest neck, or None."""
    contour = body.contour
    a, b = _neck(
        contour,
        settings.notch_depth * body.diameter,
        body.at_border(frame),
        frame,
        (settings.neck_width, smallest_px, settings.smallest_part),
    )
    if a < 0:
        return None
    return contour[a : b + 1], np.concatenate((contour[b:], contour[: a + 1]))


@compiled
def _neck(
    contour: Contour,
    least_px: float,
    at_border: bool,
    frame: tuple[int, int],
    limits: tuple[float, float, float],
) -> tuple[int, int]:
    """Indices, the lower first, of the ends of the narrowest neck; -1 where there is none.

    Args:
        contour: (n, 2) int32.
        least_px: depth of the shallowest notch.
        at_border: whether a neck may end at the frame's border.
        frame: (height, width).
        limits: see `_narrower`.
    """
    at, depths = notches(contour, hull_of(contour))
    deep = at[depths >= least_px]
    swept = _swept(contour)
    best, narrowest = (-1, -1), limits[0]
    for n in range(len(deep)):
        for other in deep[n + 1 :]:
            best, narrowest = _narrower(contour, swept, deep[n], other, limits, best, narrowest)
    if at_border:
        for notch in at[depths >= 2.0 * least_px]:
            for foot in _feet(contour, notch, frame):
                if foot >= 0:
                    best, narrowest = _narrower(
                        contour, swept, notch, foot, limits, best, narrowest
                    )
    return best


@compiled
def _swept(contour: Contour) -> NDArray[np.int64]:
    """(n + 1,) twice the area swept from the first pixel to each, and back to the first:
    differences give parts without a loop."""
    n = len(contour)
    swept = np.zeros(n + 1, np.int64)
    for i in range(n):
        x, y = int(contour[i, 0]), int(contour[i, 1])
        after = i + 1 if i + 1 < n else 0
        swept[i + 1] = swept[i] + x * contour[after, 1] - contour[after, 0] * y
    return swept


@compiled
def _narrower(
    contour: Contour,
    swept: NDArray[np.int64],
    i: int,
    j: int,
    limits: tuple[float, float, float],
    best: tuple[int, int],
    narrowest: float,
) -> tuple[tuple[int, int], float]:
    """The better of two necks, and its width: the best one so far, and the one from i to j.

    Args:
        contour: (n, 2) int32.
        swept: see `_swept`.
        i, j: indices of its ends.
        limits: widest neck, of the smaller part's diameter; that diameter's least, px; and its
            least share of the larger part's.
        best: ends of the other one.
        narrowest: the other one's width, of the smaller part's diameter.
    """
    n = len(contour)
    a, b = (i, j) if i < j else (j, i)
    one, other = b - a + 1, n - b + a + 1
    if min(one, other) < _FEWEST_POINTS:
        return best, narrowest
    xa, ya = int(contour[a, 0]), int(contour[a, 1])
    xb, yb = int(contour[b, 0]), int(contour[b, 1])
    between = swept[b] - swept[a] + xb * ya - xa * yb
    first = abs(between) / 2.0 + one / 2.0 + 1.0
    second = abs(swept[n] - between) / 2.0 + other / 2.0 + 1.0
    small = math.sqrt(4.0 * min(first, second) / math.pi)
    large = math.sqrt(4.0 * max(first, second) / math.pi)
    if small < limits[1] or small < limits[2] * large:
        return best, narrowest
    share = (math.hypot(xa - xb, ya - yb) + 1.0) / small
    if share < narrowest or (best[0] < 0 and share == narrowest):
        return (a, b), share
    return best, narrowest


@compiled
def _feet(contour: Contour, index: int, frame: tuple[int, int]) -> NDArray[np.int64]:
    """(4,) index of the nearest pixel of the chain on each border of the frame; -1 without any."""
    feet, away = np.full(4, -1), np.full(4, np.inf)
    x0, y0 = contour[index, 0], contour[index, 1]
    for i in range(len(contour)):
        x, y = contour[i, 0], contour[i, 1]
        off = math.hypot(x - x0, y - y0)
        reached = (x == 0, y == 0, x == frame[1] - 1, y == frame[0] - 1)
        for border in range(4):
            if reached[border] and off < away[border]:
                feet[border], away[border] = i, off
    return feet


@compiled
def _closed(part: Contour) -> Contour:
    """The part as a full chain: the cut is made of pixels too."""
    n = len(part)
    dx, dy = part[0, 0] - part[-1, 0], part[0, 1] - part[-1, 1]
    steps = max(abs(dx), abs(dy))
    closed = np.empty((n + max(0, steps - 1), 2), np.int32)
    closed[:n] = part
    for i in range(1, steps):
        share = i / steps
        closed[n + i - 1, 0] = np.rint(part[-1, 0] + share * dx)
        closed[n + i - 1, 1] = np.rint(part[-1, 1] + share * dy)
    return closed


def _looks_double(body: Outline, frame: tuple[int, int], settings: TouchingSettings) -> bool:
    """Whether a body without a neck is too long, or has too deep a notch, to be one.

    Asked of its bulk only: shed cells, blebs and debris that stick to a body make notches too.
    Cut by the border, a round body is long as well.
    """
    if len(body.contour) < _FEWEST_POINTS or is_round(body, settings):
        return False
    elongation, deepest_px = _bulk(body, settings)
    if elongation >= settings.double_elongation:
        return not body.at_border(frame)
    return deepest_px >= settings.double_notch * _BULK_PX


def _bulk(body: Outline, settings: TouchingSettings) -> tuple[float, float]:
    """Elongation and deepest notch of a body without what is thinner than ``bulk`` of its
    diameter, at a diameter of `_BULK_PX` pixels."""
    radius = round(settings.bulk * _BULK_PX / 2.0)
    pad = radius + 1
    small, width, height = _scaled(body.contour, _BULK_PX / body.diameter, pad)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [small], 255)
    return _opened_shape(mask, small, radius)


@compiled
def _scaled(contour: Contour, scale: float, pad: int) -> tuple[Contour, int, int]:
    """A smaller or larger contour, and the width and height of a mask that holds it, padded."""
    x, y = contour[:, 0].min(), contour[:, 1].min()
    width, height = contour[:, 0].max() + 1 - x, contour[:, 1].max() + 1 - y
    out = np.empty_like(contour)
    for i in range(len(contour)):
        out[i, 0] = np.rint((contour[i, 0] - x) * scale) + pad
        out[i, 1] = np.rint((contour[i, 1] - y) * scale) + pad
    return out, math.ceil(width * scale) + 2 * pad, math.ceil(height * scale) + 2 * pad


@compiled
def _opened_shape(mask: NDArray[np.uint8], whole: Contour, radius: int) -> tuple[float, float]:
    """Elongation and deepest notch of the largest part of an opened mask; of the ``whole`` where
    nothing is left."""
    left = opened(mask, radius)
    chains, ends = np.empty((MOST_VISITS * left.size, 2), np.int32), np.empty(left.size, np.int64)
    count, _ = trace(left, 0, 0, 0.0, chains, ends)
    largest, area, start = whole, -1.0, 0
    for end in ends[:count]:
        part = chains[start:end]
        if area_within(part) > area:
            largest, area = part, area_within(part)
        start = end
    _, depths = notches(largest, hull_of(largest))
    return elongation_of(largest), depths.max() if len(depths) else 0.0
