"""How sharp a body's outline is: the width over which the image goes from background to body.

    width  =  depth of the body below the background  /  steepest fall of grey per µm

For an edge that optics smear like a Gaussian of standard deviation σ this is σ √(2π), whatever the
contrast. The steepest fall is taken as the 98th percentile of the gradient over a band around the
outline, so that single noisy pixels don't decide; the depth as that of the darkest twentieth.
On the simulated rig, whose pixels are 6 µm wide here: 6.8 µm [4.8, 9.3] (median, 90 % of bodies) in
focus, 13.7 [12.8, 16.3] with the focal plane 190 µm too high, 26 with 390 µm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DARKEST = 5.0
_STEEPEST = 98.0
_LEAST_DEPTH = 12.0


def edge_width_um(crop: NDArray[np.uint8], pitch_um: float) -> float | None:
    """Width of the outline of the body in a crop, µm; None where there is too little contrast.

    Args:
        crop: (height, width) grey values, one body on a bright background that fills the rim.
        pitch_um: size of a pixel.
    """
    grey = crop.astype(np.float32)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(rim))
    depth = background - float(np.percentile(grey, _DARKEST))
    if depth < _LEAST_DEPTH:
        return None
    down, across = np.gradient(grey)
    slope = np.hypot(down, across)
    # Where the grey is halfway: on the outline rather than on what is inside.
    band = np.abs(grey - (background - depth / 2)) < depth / 4
    if not band.any():
        return None
    steepest = float(np.percentile(slope[band], _STEEPEST))
    return depth / steepest * pitch_um if steepest > 0 else None
