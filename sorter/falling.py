"""How a small body falls through the laminar profile to the floor, and rolls on: exact.

With u(z) = 4 (z/h) (1 - z/h), U its integral, and z falling at w to the floor, where it lands at
time l,

    integral of u dt since l  =  (U(floor) - U(z)) / w  +  u(floor) * (time after l).

A path is a row of `paths_of`; `sorter.descent` looks for those that show what was seen.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled
from sorter.motion import SIGMAS

Floats = NDArray[np.float64]

# Places in the ranges that bodies can have, which are taken to be three sigma to each side.
_SIZES = np.linspace(-0.84, 0.84, 7)
_DENSITIES = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
# In spans of the views, after their middle.
_LANDINGS = np.array([-0.47, -0.4, -0.33, -0.26, -0.18, -0.1, -0.02])
_DENSITY = 0.4  # range of the density's share in the settling speed, to each side
_NO_SINKING_UM_S = 0.05
NO_FLOOR_UM = 1.0


@compiled
def paths_of(
    heights_um: Floats,
    sizes_um: tuple[float, float],
    span_s: float,
    settling_100_um_s: float,
    h_um: float,
) -> Floats:
    """A table of descents (n, 4): height at time 0, µm (below the floor: it has landed, and would
    be there), settling speed, µm/s, height on the floor, µm, and the squared distance of size and
    density from the usual, in variances.

    Of each size and density one for each height, and one for each moment of landing; and for each
    of these one that does not sink, whatever its size.

    Args:
        heights_um: at time 0.
        sizes_um: middle of the diameters that the body can have, and how far they reach to each
            side.
        span_s: of the views.
        settling_100_um_s: how fast a body of 100 µm sinks.
        h_um: height of the channel.
    """
    kinds = _SIZES.size * _DENSITIES.size + 1
    paths, n = np.empty(((heights_um.size + _LANDINGS.size) * kinds, 4)), 0
    for place in range(heights_um.size + _LANDINGS.size):
        for kind in range(kinds):
            sinks, floor, unusual = _NO_SINKING_UM_S, NO_FLOOR_UM, 0.0
            if kind < kinds - 1:
                size, density = _SIZES[kind // _DENSITIES.size], _DENSITIES[kind % _DENSITIES.size]
                size_um = sizes_um[0] + sizes_um[1] * size
                usual_um_s = settling_100_um_s * (size_um / 100.0) ** 2
                sinks = max(usual_um_s * (1.0 + _DENSITY * density), _NO_SINKING_UM_S)
                floor, unusual = size_um / 2, SIGMAS**2 * (size**2 + density**2)
            if place < heights_um.size:
                paths[n, 0] = min(max(heights_um[place], floor), h_um - floor)
            else:  # what has landed is below the floor, had it gone on sinking
                paths[n, 0] = floor + sinks * span_s * _LANDINGS[place - heights_um.size]
            paths[n, 1], paths[n, 2], paths[n, 3] = sinks, floor, unusual
            n += 1
    return paths


@compiled
def come_at(paths: Floats, t_s: float, h_um: float, come_s: Floats) -> None:
    """Integrals of u from landing to a time, in s at the largest speed.

    Args:
        paths: (n, 4).
        come_s: (n,), receives them.
    """
    for i in range(len(paths)):
        z, w, floor = paths[i, 0], paths[i, 1], paths[i, 2]
        now = min(max(z - w * t_s, floor), h_um - floor)
        falling = (_integral(floor, h_um) - _integral(now, h_um)) / w
        come_s[i] = falling + _share(floor, h_um) * max(0.0, t_s - (z - floor) / w)


@compiled
def when_s(path: Floats, come_s: float, h_um: float) -> float:
    """Time at which the integral reaches ``come_s``.

    In falling, U(z) / h = 2/3 of the smoothstep 3 s² - 2 s³ of s = z / h, whose inverse is
    s = 1/2 - sin(asin(1 - 2 y) / 3).
    """
    z, w, floor = path[0], path[1], path[2]
    if come_s >= 0.0:
        landed_s: float = (z - floor) / w + come_s / _share(floor, h_um)
        return landed_s
    y = min(max(1.5 * (_integral(floor, h_um) - w * come_s) / h_um, 0.0), 1.0)
    falling_s: float = (z - h_um * (0.5 - math.sin(math.asin(1.0 - 2.0 * y) / 3.0))) / w
    return falling_s


@compiled
def share_at(path: Floats, t_s: float, h_um: float) -> float:
    """Share of the largest liquid speed at a time."""
    return _share(max(path[2], path[0] - path[1] * t_s), h_um)


@compiled
def _share(z_um: float, h_um: float) -> float:
    rel = z_um / h_um
    return 4.0 * rel * (1.0 - rel)


@compiled
def _integral(z_um: float, h_um: float) -> float:
    """Of u over height, in µm."""
    rel = z_um / h_um
    return z_um * rel * (2.0 - 4.0 / 3.0 * rel)
