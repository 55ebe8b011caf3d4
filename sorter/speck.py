"""Specks: debris too small to matter, told from bodies of 30 µm and more.

Small debris floats at all heights and is mostly out of focus, which spreads its outline: what
looks 30 µm wide may be 15 µm. Two things help. Blur moves light about but takes none out, so the
integrated deficit of light, over a window wide enough to hold the spread, is kept. And a small body
moves as fast as the liquid at its height, so that the fast ones are those far from the focus: what
is fast must look larger to be believed.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.detection import Detection

_LEAST_MARGIN_PX = 8


class SpeckSettings(BaseModel):
    """Below what size an object is a speck.

    Chosen on 1,882 simulated particles so that none of the 252 of 30 µm or more counts as one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_views: int = Field(
        6,
        ge=0,
        description="a small object with fewer whole views flickers at the limit of detection; of "
        "252 simulated particles of 30 µm or more none had fewer",
    )
    slow_um: float = Field(
        19.0, ge=0, description="a slow object that looks smaller than this is a speck, µm"
    )
    slow_deficit_um2: float = Field(
        95.0, ge=0, description="or that takes out less light than this opaque area, µm²"
    )
    slow_below_um_s: float = Field(
        20_000.0, gt=0, description="speed up to which an object flows near the focus, µm/s"
    )
    fast_um: float = Field(
        22.0, ge=0, description="a fast object that looks smaller than this is a speck, µm"
    )
    fast_um_per_mm_s: float = Field(
        1.0, ge=0, description="by so much larger it must look for each mm/s over the fast start"
    )
    fast_from_um_s: float = Field(22_000.0, gt=0, description="speed from which that counts, µm/s")
    fast_deficit_um2: float = Field(
        150.0, ge=0, description="or that takes out less light than this opaque area, µm²"
    )


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
    if speed_um_s < s.slow_below_um_s:
        return diameter_um < s.slow_um or deficit_um2 < s.slow_deficit_um2
    excess_mm_s = max(0.0, speed_um_s - s.fast_from_um_s) / 1e3
    least_um = s.fast_um + s.fast_um_per_mm_s * excess_mm_s
    return diameter_um < least_um or deficit_um2 < s.fast_deficit_um2


def deficit_um2(pixels: Pixels, detection: Detection, *, pitch_um: float) -> float:
    """Integral of 1 - grey / background around a detection, µm²; negative for a bright object.

    The background is the median of the window's own rim, so that slow changes of light drop out.
    The window reaches half the box's size beyond the box on each side.
    """
    x, y, w, h = detection.bbox
    margin = max(_LEAST_MARGIN_PX, (w + h) // 2)
    height, width = pixels.shape
    window = pixels[
        max(0, y - margin) : min(height, y + h + margin),
        max(0, x - margin) : min(width, x + w + margin),
    ].astype(np.float32)
    rim = np.concatenate(
        (window[:2].ravel(), window[-2:].ravel(), window[:, :2].ravel(), window[:, -2:].ravel())
    )
    level = float(np.median(rim))
    if level <= 0:
        return 0.0
    return float(window.size - window.sum() / level) * pitch_um**2
