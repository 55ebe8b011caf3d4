"""How a body moved through the view: position, speed and acceleration, by least squares.

A body that rolls moves its centroid to and fro, so that the residuals of one roll are alike: errors
count rolls, not views, and are never taken to be smaller than the stated noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Motion:
    """Where a body was at one moment, and how it moved; errors are three standard errors.

    Attributes:
        at_s: the moment, the mean time of the views.
        x_um: position then.
        speed_um_s, speed_error_um_s: speed then.
        acceleration_um_s2, acceleration_error_um_s2: its change; 0 and infinite where it is not
            known.
    """

    at_s: float
    x_um: float
    speed_um_s: float
    speed_error_um_s: float
    acceleration_um_s2: float = 0.0
    acceleration_error_um_s2: float = math.inf


def fit_motion(
    t_s: NDArray[np.float64],
    x_um: NDArray[np.float64],
    *,
    noise_um: float,
    roll_s: float,
) -> Motion:
    """The parabola through points (n,), (n,), n at least 4.

    Args:
        t_s: times, increasing.
        x_um: positions along the flow.
        noise_um: standard deviation of a centroid, never believed to be smaller.
        roll_s: how long the noise is alike.
    """
    n, at_s = t_s.size, float(t_s.sum()) / t_s.size
    t = t_s - at_s
    spread = float(t @ t)
    mean_um = float(x_um.sum()) / n
    speed = float(t @ x_um) / spread
    off = x_um - mean_um - speed * t
    span_s = float(t[-1] - t[0])
    # Variances of the fit are those of so many more views than there are rolls.
    alike = n / min(n, 1.0 + span_s / roll_s)
    mean_square = spread / n
    bend = t * t - mean_square
    bend -= t * (float(t @ bend) / spread)
    bent = float(bend @ bend)
    half = float(bend @ off) / bent  # half the acceleration
    off -= half * bend
    sigma_um = SIGMAS * max(noise_um, math.sqrt(float(off @ off) / (n - 3))) * math.sqrt(alike)
    return Motion(
        at_s,
        mean_um - half * mean_square,
        speed,
        sigma_um / math.sqrt(spread),
        2.0 * half,
        2.0 * sigma_um / math.sqrt(bent),
    )
