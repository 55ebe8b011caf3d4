"""Specks: debris too small to matter, told from bodies of 30 µm and more.

Small debris floats at all heights and is mostly out of focus, which spreads its outline: what
looks 30 µm wide may be 15 µm. But blur moves light about and takes none out, so the integrated
deficit of light, over a window wide enough to hold the spread, tells a particle's size better than
its outline does. In focus the outline tells it as well: nothing looks much smaller than it is. Out
of focus it looks larger, by so much at least as its height demands; its speed tells that.

The limits are such that hardly any grain of 30 µm and more is taken for a speck, and few specks are
not; how many, docs/adr/0008 says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.ports import Pixels
from sorter.compiled import compiled
from sorter.detection import Detection

MATTERS_UM = 30.0
"""Diameter below which a body may go anywhere."""

_LEAST_MARGIN_PX = 8
_SPREAD_PX = 8


class SpeckSettings(BaseModel):
    """Below what size an object is a speck."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_views: int = Field(
        6,
        ge=0,
        description="a small object with fewer whole views flickers at the limit of detection; "
        "with fewer than twice as many, it must be small in each of them to be a speck",
    )
    max_length_um: float = Field(
        75.0,
        gt=0,
        description="what reaches further along or across the flow is no speck, however thin: a "
        "fibre, µm",
    )
    limits: tuple[tuple[float, float, float], ...] = Field(
        (
            (0.0, 30.6, 380.0),
            (5_000.0, 30.5, 405.0),
            (8_000.0, 29.2, 375.0),
            (10_000.0, 29.1, 370.0),
            (12_000.0, 27.8, 368.0),
            (19_000.0, 29.0, 358.0),
            (23_000.0, 29.4, 360.0),
            (27_000.0, 31.2, 360.0),
            (31_000.0, 32.3, 355.0),
        ),
        min_length=1,
        description="rows of: from this speed on, µm/s; a small object that looks smaller than "
        "this, µm; or takes out less light than this opaque area, µm², is a speck. Speed tells "
        "height, and so how far it is out of focus, which makes it look larger",
    )

    @field_validator("limits")
    @classmethod
    def _are_in_order(
        cls, rows: tuple[tuple[float, float, float], ...]
    ) -> tuple[tuple[float, float, float], ...]:
        speeds = [speed for speed, _, _ in rows]
        if speeds[0] != 0.0 or speeds != sorted(set(speeds)):
            raise ValueError("the speeds of the rows must begin at 0 and grow")
        return rows


def is_speck(
    diameter_um: float,
    deficit_um2: float,
    speed_um_s: float,
    settings: SpeckSettings,
    *,
    steady: bool = True,
) -> bool:
    """Whether an object is too small to matter.

    Args:
        diameter_um: median over its views.
        deficit_um2: median over its views; infinite where it was not measured.
        speed_um_s: along the flow.
        settings: the limits.
        steady: the flow kept its speed; otherwise it may have been speeding up, and the object
            be as high as any that is faster.
    """
    row = max(0, bisect_right(settings.limits, speed_um_s, key=itemgetter(0)) - 1)
    rows = settings.limits[row : row + 1 if steady else None]
    looks_um, least_um2 = min(looks for _, looks, _ in rows), min(least for *_, least in rows)
    return diameter_um < looks_um or deficit_um2 < least_um2


def deficit_um2(pixels: Pixels, detection: Detection, *, pitch_um: float) -> float:
    """Integral of 1 - grey / background around a detection, µm²; negative for a bright object.

    The background is the median of the window's own rim, so that slow changes of light drop out.
    The window reaches half the box's size and some pixels beyond the box on each side: the rim must
    be clear of the blurred body, or the background is taken too dark.
    """
    left, top, right, bottom = _window(detection)
    height, width = pixels.shape
    window = max(0, left), max(0, top), min(right, width), min(bottom, height)
    return _deficit_px(pixels, window) * pitch_um**2


@compiled
def _deficit_px(pixels: Pixels, window: tuple[int, int, int, int]) -> float:
    """The same in pixels, of a window (left, top, right, bottom) that lies in the frame."""
    left, top, right, bottom = window
    width, height = right - left, bottom - top
    total = 0
    for y in range(top, bottom):
        for x in range(left, right):
            total += pixels[y, x]
    rim, n = np.empty(4 * (width + height), pixels.dtype), 0
    for y in (top, top + 1, bottom - 2, bottom - 1):
        for x in range(left, right):
            rim[n] = pixels[y, x]
            n += 1
    for x in (left, left + 1, right - 2, right - 1):
        for y in range(top, bottom):
            rim[n] = pixels[y, x]
            n += 1
    level = float(np.partition(rim, n // 2)[n // 2])
    return width * height - total / level if level > 0 else 0.0


def stands_alone(detection: Detection, found: Iterable[Detection]) -> bool:
    """Whether nothing else of a frame reaches into the window in which its light is measured."""
    left, top, right, bottom = _window(detection)
    for other in found:
        x, y, w, h = other.bbox
        near = x < right and left < x + w and y < bottom and top < y + h
        if near and other is not detection:
            return False
    return True


def _window(detection: Detection) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a detection and half its box's size around it, in pixels."""
    x, y, w, h = detection.bbox
    margin = max(_LEAST_MARGIN_PX, (w + h) // 2) + _SPREAD_PX
    return x - margin, y - margin, x + w + margin, y + h + margin
