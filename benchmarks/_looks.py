"""Four measures of how a spheroid looks, by the same code on real and on simulated images.

All work on light relative to the background, brought to `PITCH_UM`, the pitch of the real droplets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.real_source import DROPLET_PITCH_UM, Light, Mask

PITCH_UM = DROPLET_PITCH_UM
REAL = Path(__file__).parents[1] / "tests" / "data" / "real"
_DEEP_PX = 5.0


@dataclass(frozen=True, slots=True)
class Looks:
    """Measures of one spheroid; the profile is the mean light by depth below the outline.

    Attributes:
        rim_contrast: 1 − the darkest value of the profile within 5 px of the outline.
        rim_width_um: width of that dip in the profile, where it is half as deep as at its
            darkest, measured against the background outside and the interior inside.
        interior_ratio: median light deeper than 5 px (16 µm), the background being 1.
        granularity: standard deviation there after a Gaussian of 4 px (13 µm) was subtracted.
    """

    rim_contrast: float
    rim_width_um: float
    interior_ratio: float
    granularity: float


def measure(light: Light, mask: Mask) -> Looks:
    """The four measures of the body under ``mask``; ``light`` (h, w) at `PITCH_UM`."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    depth = np.where(mask, inside - 0.5, 0.5 - outside)
    centres = np.arange(-4.0, 9.0, 0.5)
    profile = np.array([float(light[np.abs(depth - c) < 0.76].mean()) for c in centres])
    deep = depth > _DEEP_PX
    interior = float(np.median(light[deep]))
    texture = light - cv2.GaussianBlur(light, (0, 0), 4.0)
    near = np.flatnonzero(np.abs(centres) <= 5.0)
    darkest = int(near[np.argmin(profile[near])])
    return Looks(
        rim_contrast=1.0 - float(profile[darkest]),
        rim_width_um=_dip_width(centres, profile, darkest, interior) * PITCH_UM,
        interior_ratio=interior,
        granularity=float(texture[deep].std()),
    )


def _dip_width(
    centres: NDArray[np.float64], profile: NDArray[np.float64], darkest: int, interior: float
) -> float:
    low = profile[darkest]

    def crossing(step: int, level: float) -> float:
        i = darkest
        while 0 <= i + step < len(profile) and profile[i + step] < level:
            i += step
        if not 0 <= i + step < len(profile):
            return float(centres[i])
        share = (level - profile[i]) / (profile[i + step] - profile[i])
        return float(centres[i] + share * (centres[i + step] - centres[i]))

    return crossing(1, (low + interior) / 2) - crossing(-1, (low + 1.0) / 2)
