"""Specks: debris too small to matter, told from bodies of 30 µm and more.

Small debris floats at all heights and is mostly out of focus, which spreads its outline: what
looks 30 µm wide may be 15 µm. But blur moves light about and takes none out, so the integrated
deficit of light, over a window wide enough to hold the spread, tells a particle's size better than
its outline does. In focus the outline tells it as well: nothing looks smaller than it is.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.detection import Detection

_LEAST_MARGIN_PX = 8
_SPREAD_PX = 8


class SpeckSettings(BaseModel):
    """Below what size an object is a speck."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_views: int = Field(
        6,
        ge=0,
        description="a small object with fewer whole views flickers at the limit of detection",
    )
    looks_um: float = Field(
        28.5, ge=0, description="an object that looks smaller than this, µm; blur only enlarges"
    )
    deficit_um2: float = Field(
        360.0, ge=0, description="or that takes out less light than this opaque area, µm²"
    )
    floor_below_um_s: float = Field(
        8_000.0, ge=0, description="speed up to which small bodies run along the floor, µm/s"
    )
    floor_looks_um: float = Field(
        30.0, ge=0, description="the first limit on the floor, a little out of focus, µm"
    )
    floor_deficit_um2: float = Field(370.0, ge=0, description="the second limit there, µm²")


def is_speck(
    diameter_um: float, deficit_um2: float, speed_um_s: float, settings: SpeckSettings
) -> bool:
    """Whether an object is too small to matter.

    Args:
        diameter_um: median over its views.
        deficit_um2: median over its views; infinite where it was not measured.
        speed_um_s: along the flow.
        settings: the limits.
    """
    s = settings
    if speed_um_s < s.floor_below_um_s:
        return diameter_um < s.floor_looks_um or deficit_um2 < s.floor_deficit_um2
    return diameter_um < s.looks_um or deficit_um2 < s.deficit_um2


def deficit_um2(pixels: Pixels, detection: Detection, *, pitch_um: float) -> float:
    """Integral of 1 - grey / background around a detection, µm²; negative for a bright object.

    The background is the median of the window's own rim, so that slow changes of light drop out.
    The window reaches half the box's size and some pixels beyond the box on each side: the rim must
    be clear of the blurred body, or the background is taken too dark.
    """
    x, y, w, h = detection.bbox
    margin = max(_LEAST_MARGIN_PX, (w + h) // 2) + _SPREAD_PX
    height, width = pixels.shape
    window = pixels[
        max(0, y - margin) : min(height, y + h + margin),
        max(0, x - margin) : min(width, x + w + margin),
    ]
    rim = np.concatenate(
        (window[:2].ravel(), window[-2:].ravel(), window[:, :2].ravel(), window[:, -2:].ravel())
    )
    half = rim.size // 2
    level = float(np.partition(rim, half)[half])
    if level <= 0:
        return 0.0
    return (window.size - cv2.sumElems(window)[0] / level) * pitch_um**2
