"""Debris: one angular grain, or a clump of several, dark.

Its diameter is what diameter means everywhere in this project: that of a disc of the same area,
here of its silhouette, on average over three views at right angles.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi, sqrt

import cv2
import numpy as np

from hardware_sim.anatomy import Anatomy, Lump, directions, lumpy_surface
from hardware_sim.silhouettes import ANGLES, Silhouettes

_RASTER = 64
# The silhouette's reach over the raster's: bumps stand out of the bounding sphere.
_ROOM = 1.6
# The frame's axes, each in turn along the line of sight.
_VIEWS = tuple(np.roll(np.eye(3, dtype=np.float32), k, axis=0) for k in range(3))
_TURN = np.arange(ANGLES) * (2 * pi / ANGLES)
_ROUND = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=-1).astype(np.float32)
"""(`ANGLES`, 2) points of an outline of radius 1."""


def debris(diameter_um: float, rng: np.random.Generator) -> Anatomy:
    """A grain or a clump of that diameter."""
    radius = diameter_um / 2
    count = max(1, int(rng.poisson(radius / 5.0)))
    size = radius / count**0.4
    places = directions(rng, count) * np.float32((radius - size) * 0.9)
    lumps = tuple(
        Lump(
            centre_um=np.asarray(place, np.float32),
            surface=lumpy_surface(
                rng, size * rng.uniform(0.7, 1.0), bumps=6, height=0.15, width_rad=(0.3, 0.8),
                stretch=0.25,
            ),
            mean_radius_um=size,
            absorption_per_um=float(rng.uniform(0.02, 0.08)),
            rim=0.8,
            rim_floor=0.15,
        )
        for place in places
    )  # fmt: skip
    factor = diameter_um / silhouette_diameter_um(lumps, radius)
    return Anatomy(
        lumps=tuple(_scaled(lump, factor) for lump in lumps), bounding_um=radius * 1.4 * factor
    )


def silhouette_diameter_um(lumps: tuple[Lump, ...], radius_um: float) -> float:
    """Diameter of the disc whose area is the mean of three silhouettes'.

    Args:
        lumps: what is looked at.
        radius_um: that of a sphere that holds most of it.
    """
    silhouettes = Silhouettes(lumps)
    px_um = 2 * _ROOM * radius_um / _RASTER
    areas = []
    for turn in _VIEWS:
        mask = np.zeros((_RASTER, _RASTER), np.uint8)
        for outlined in silhouettes.seen(turn):
            centre = (turn @ outlined.lump.centre_um)[:2]
            points = (centre + outlined.radius_um[:, None] * _ROUND) / px_um + _RASTER / 2
            cv2.fillPoly(mask, [np.round(points * 256).astype(np.int32)], 1, shift=8)
        areas.append(cv2.countNonZero(mask) * px_um**2)
    return 2 * sqrt(float(np.mean(areas)) / pi)


def _scaled(lump: Lump, factor: float) -> Lump:
    surface = lump.surface.copy()
    surface[..., 0] *= factor
    return replace(
        lump,
        centre_um=lump.centre_um * np.float32(factor),
        surface=surface,
        mean_radius_um=lump.mean_radius_um * factor,
    )
