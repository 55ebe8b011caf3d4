"""What a body is made of: plain arrays in the body's own frame, in µm, origin at its centre.

A body is drawn from four kinds of parts. *Lumps* are star-shaped masses with a refracting
surface, *balls* are clear spheres (blebs, grapes, shed fragments), *cells* are single cells that
stand apart, and *grain* is a signed cloud that gives the inside its texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

POLAR_BINS = 48
AZIMUTH_BINS = 96


@dataclass(frozen=True, slots=True)
class Void:
    """A fluid-filled cavity in a lump: centre (3,) and radius in µm."""

    centre_um: Floats
    radius_um: float


@dataclass(frozen=True, slots=True)
class Lump:
    """A star-shaped mass with a surface.

    Attributes:
        centre_um: (3,).
        surface: (POLAR_BINS, AZIMUTH_BINS, 3) by direction: radius in µm, softness of the edge
            0 to 1, and strength of the refraction at the rim (1 is usual).
        mean_radius_um: of the surface.
        absorption_per_um: natural logarithm of light lost per µm of thickness.
        rim: light bent away, q in 1 / (1 + (q tan β)^4), β the angle of incidence.
        rim_floor: share of the light that still arrives where all is bent away.
        core_depth: extra logarithmic darkening in the middle, 0 for none.
        core_share: radius of that dark core as a share of the lump's.
        voids: cavities.
    """

    centre_um: Floats
    surface: Floats
    mean_radius_um: float
    absorption_per_um: float
    rim: float
    rim_floor: float
    core_depth: float = 0.0
    core_share: float = 0.5
    voids: tuple[Void, ...] = ()


@dataclass(frozen=True, slots=True)
class Balls:
    """Clear or absorbing spheres: centres (n, 3), radii (n,) in µm, contrast (n,).

    ``opacity`` is the share of what lies behind a ball that it hides.
    """

    centres_um: Floats
    radii_um: Floats
    contrast: Floats
    look: Literal["clear", "dark", "bubble", "solid"] = "clear"
    opacity: float = 0.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points (n, 3) with weights (n,) and one size in µm."""

    points_um: Floats
    weights: Floats
    size_um: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All parts of one body.

    Attributes:
        lumps, balls: see there.
        cells: single cells, drawn as small rings, one cloud for each size.
        grains: small absorbing particles.
        grain: signed texture of the inside; its weights have unit variance.
        grain_strength: standard deviation of the logarithm of the light where the body is thick.
        bounding_um: radius of a sphere around the origin that holds everything.
    """

    lumps: tuple[Lump, ...] = ()
    balls: tuple[Balls, ...] = ()
    cells: tuple[Cloud, ...] = ()
    grains: Cloud | None = None
    grain: Cloud | None = None
    grain_strength: float = 0.0
    bounding_um: float = field(default=1.0)


def directions(rng: np.random.Generator, n: int) -> Floats:
    """(n, 3) unit vectors, uniform on the sphere."""
    vectors = rng.standard_normal((n, 3)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@lru_cache(maxsize=1)
def grid_directions() -> Floats:
    """(POLAR_BINS, AZIMUTH_BINS, 3) unit vectors of the bins of a surface table, read-only."""
    polar = (np.arange(POLAR_BINS) + 0.5) * np.pi / POLAR_BINS
    azimuth = (np.arange(AZIMUTH_BINS) + 0.5) * 2 * np.pi / AZIMUTH_BINS - np.pi
    sin = np.sin(polar)[:, None]
    parts = (sin * np.cos(azimuth), sin * np.sin(azimuth), np.cos(polar)[:, None] + 0 * azimuth)
    grid = np.stack(parts, axis=-1).astype(np.float32)
    grid.setflags(write=False)
    return grid


def look_up(surface: Floats, unit: Floats) -> Floats:
    """Rows of a surface table nearest to unit vectors ``(..., 3)``; returns ``(..., 3)``."""
    return np.asarray(surface.reshape(-1, 3)[surface_index(unit)], dtype=np.float32)


def surface_index(unit: Floats) -> NDArray[np.intp]:
    """(...) number of the row of any surface table that is nearest to unit vectors (..., 3)."""
    polar = np.arccos(np.clip(unit[..., 2], -1.0, 1.0)) * np.float32(POLAR_BINS / np.pi)
    azimuth = (np.arctan2(unit[..., 1], unit[..., 0]) + np.float32(np.pi)) * np.float32(
        AZIMUTH_BINS / (2 * np.pi)
    )
    i = np.minimum(polar.astype(np.intp), POLAR_BINS - 1)
    j = np.minimum(azimuth.astype(np.intp), AZIMUTH_BINS - 1)
    return np.asarray(i * AZIMUTH_BINS + j, dtype=np.intp)


def cap(unit: Floats, axis: Floats, half_angle_rad: float, edge_rad: float = 0.25) -> Floats:
    """1 inside the cap around ``axis``, falling smoothly to 0 over ``edge_rad`` outside it."""
    angle = np.arccos(np.clip(unit @ axis, -1.0, 1.0))
    return np.asarray(np.clip(1.0 - (angle - half_angle_rad) / edge_rad, 0.0, 1.0), np.float32)


def in_cap(rng: np.random.Generator, n: int, axis: Floats, half_angle_rad: float) -> Floats:
    """(n, 3) unit vectors, uniform in the cap around ``axis``."""
    cosine = rng.uniform(np.cos(half_angle_rad), 1.0, n)
    turn = rng.uniform(0.0, 2 * np.pi, n)
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    sine = np.sqrt(1.0 - cosine**2)
    units = (
        cosine[:, None] * axis
        + (sine * np.cos(turn))[:, None] * first
        + (sine * np.sin(turn))[:, None] * second
    )
    return np.asarray(units, dtype=np.float32)


def lumpy_surface(
    rng: np.random.Generator,
    radius_um: float,
    *,
    bumps: int,
    height: float,
    width_rad: tuple[float, float],
    stretch: float,
    roughness: float = 0.0,
) -> Floats:
    """A surface table: an ellipsoid of that mean radius with low bumps and dents.

    ``height`` is the standard deviation of a bump as a share of the radius, ``stretch`` of the
    half axes, ``roughness`` of bumps as small as single cells. Softness is 0; the strength of the
    rim varies by direction.
    """
    unit = grid_directions()
    axes = np.exp(rng.normal(0.0, stretch, 3))
    axes /= np.prod(axes) ** (1 / 3)
    squares = (unit / axes.astype(np.float32)) ** 2
    shape = 1.0 / np.sqrt(squares[..., 0] + squares[..., 1] + squares[..., 2])
    centres = directions(rng, bumps)
    drawn = [
        (rng.uniform(*width_rad), rng.standard_normal(), rng.standard_normal()) for _ in centres
    ]
    widths, heights, refractions = np.array(drawn, np.float32).reshape(-1, 3).T
    bells = np.exp((unit @ centres.T - 1.0) / np.square(widths))
    shape = shape + bells @ (np.float32(height) * heights)
    rim = np.exp(bells @ (np.float32(0.3) * refractions))
    if roughness > 0.0:
        noise = cv2.GaussianBlur(rng.standard_normal(shape.shape), (0, 0), 1.1)
        shape = shape + noise * (roughness / noise.std())
    shape = np.clip(shape, 0.3, 2.0)
    shape *= radius_um / shape.mean()
    return np.stack([shape, np.zeros_like(shape), rim], axis=-1).astype(np.float32)
