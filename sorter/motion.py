"""How a body moved through the view: position, speed and acceleration, by least squares.

A body that rolls moves its centroid to and fro, so that the residuals of one roll are alike: errors
count rolls, not views, and are never taken to be smaller than the stated noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled

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
    return Motion(*_parabola(t_s, x_um, noise_um, roll_s))


@compiled
def _parabola(
    t_s: NDArray[np.float64], x_um: NDArray[np.float64], noise_um: float, roll_s: float
) -> tuple[float, float, float, float, float, float]:
    """What a `Motion` holds, in its order."""
    n, at_s, mean_um = len(t_s), t_s.mean(), x_um.mean()
    spread, along, cubes = 0.0, 0.0, 0.0
    for i in range(n):
        t = t_s[i] - at_s
        spread += t * t
        along += t * (x_um[i] - mean_um)
        cubes += t * t * t
    speed = along / spread
    # The parabola that no straight line has a share in.
    mean_square, slope = spread / n, cubes / spread
    bent, held = 0.0, 0.0
    for i in range(n):
        t = t_s[i] - at_s
        bend = t * t - mean_square - slope * t
        bent += bend * bend
        held += bend * (x_um[i] - mean_um - speed * t)
    half = held / bent  # half the acceleration
    left = 0.0
    for i in range(n):
        t = t_s[i] - at_s
        off = x_um[i] - mean_um - speed * t - half * (t * t - mean_square - slope * t)
        left += off * off
    # Variances of the fit are those of so many more views than there are rolls.
    alike = n / min(n, 1.0 + (t_s[-1] - t_s[0]) / roll_s)
    sigma_um = SIGMAS * max(noise_um, math.sqrt(left / (n - 3))) * math.sqrt(alike)
    return (
        at_s,
        mean_um - half * mean_square,
        speed,
        sigma_um / math.sqrt(spread),
        2.0 * half,
        2.0 * sigma_um / math.sqrt(bent),
    )
