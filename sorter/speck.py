"""How much light a small object takes out: a size that defocus does not change.

Small debris floats at all heights and is mostly out of focus, which spreads its outline: what
looks 30 µm wide may be 15 µm. Blur moves light about but takes none out, so the integrated
deficit of light, over a window wide enough to hold the spread, is kept.
"""

from __future__ import annotations

import numpy as np

from drivers.ports import Pixels
from sorter.detection import Detection

_LEAST_MARGIN_PX = 8


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
