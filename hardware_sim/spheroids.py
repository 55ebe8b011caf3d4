"""Bodies that flow through the simulated rig: what they are, and how to make one visible.

`draw_spheroid` and its siblings draw a `BodySpec`, a few numbers; `make_body` turns a spec into
something that can be seen from any side. The same spec always gives the same body.

What healthy and unhealthy look like follows descriptions of HepG2 spheroids in brightfield;
nothing here was validated on labelled HepG2 images.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from hardware_sim.anatomy import Anatomy, Balls, Cloud, directions
from hardware_sim.bodies import Body, CloudBody, Patch
from hardware_sim.body_spec import BodySpec, Kind
from hardware_sim.debris import debris
from hardware_sim.phenotypes import (
    DEFECTS,
    HARMLESS,
    Draft,
    anatomy_of,
    healthy_draft,
    strength,
)

__all__ = [
    "DIFFICULTY",
    "HARMLESS_SHARE",
    "SIZE_PRESETS",
    "Body",
    "BodySpec",
    "Kind",
    "Patch",
    "SizePreset",
    "draw_bubble",
    "draw_debris",
    "draw_fibre",
    "draw_spheroid",
    "make_body",
]

SizePreset = Literal["50-150", "150-400", "300-600"]

DIFFICULTY = "v1"
"""Name of the frozen difficulty; see docs/adr/0003-difficulty-v1.md before touching a number."""

SIZE_PRESETS: dict[SizePreset, tuple[float, float, float]] = {
    "50-150": (50.0, 95.0, 150.0),
    "150-400": (150.0, 220.0, 400.0),
    "300-600": (300.0, 420.0, 600.0),
}
"""Smallest, median and largest diameter in µm."""

HEALTHY_BELOW = 0.3
UNHEALTHY_FROM = 0.4
HARMLESS_SHARE = 0.13
DARK_CORE_FROM_UM = 240.0
_SIZE_CV = 0.18


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**31))


def _truncated_lognormal(
    rng: np.random.Generator, median: float, cv: float, low: float, high: float
) -> float:
    """A log-normal value of that median and CV, drawn again until it lies in the range."""
    sigma = float(np.sqrt(np.log1p(cv**2)))
    while True:
        value = float(median * np.exp(sigma * rng.standard_normal()))
        if low <= value <= high:
            return value


def draw_spheroid(
    rng: np.random.Generator, *, unhealthy_fraction: float, size: SizePreset = "150-400"
) -> BodySpec:
    """Draw a spheroid: size first, then health, so that one can't tell of the other.

    Args:
        rng: source of all randomness.
        unhealthy_fraction: probability of an unhealthy one, 0 to 1.
        size: preset of the channel.
    """
    low, median, high = SIZE_PRESETS[size]
    diameter = _truncated_lognormal(rng, median, _SIZE_CV, low, high)
    if rng.uniform() < unhealthy_fraction:
        phenotype = str(rng.choice(sorted(DEFECTS)))
        severity = float(rng.uniform(UNHEALTHY_FROM, 1.0))
        return BodySpec("spheroid", diameter, "unhealthy", phenotype, severity, _seed(rng))
    phenotype = "healthy"
    if rng.uniform() < HARMLESS_SHARE:
        names = sorted(HARMLESS)
        if diameter < DARK_CORE_FROM_UM:
            names.remove("dark_core")
        phenotype = str(rng.choice(names))
    severity = float(rng.uniform(0.0, HEALTHY_BELOW))
    return BodySpec("spheroid", diameter, "healthy", phenotype, severity, _seed(rng))


def draw_debris(rng: np.random.Generator, largest_um: float = 90.0) -> BodySpec:
    """A clump of dark particles, mostly smaller than 30 µm."""
    diameter = _truncated_lognormal(rng, 14.0, 0.45, 5.0, largest_um)
    return BodySpec("debris", diameter, None, "debris", 0.0, _seed(rng))


def draw_bubble(rng: np.random.Generator) -> BodySpec:
    """An air bubble of 30 to 250 µm."""
    diameter = _truncated_lognormal(rng, 90.0, 0.6, 30.0, 250.0)
    return BodySpec("bubble", diameter, None, "bubble", 0.0, _seed(rng))


def draw_fibre(rng: np.random.Generator) -> BodySpec:
    """A curved fibre of 120 to 600 µm."""
    length = _truncated_lognormal(rng, 250.0, 0.5, 120.0, 600.0)
    return BodySpec("fibre", length, None, "fibre", 0.0, _seed(rng))


def make_body(spec: BodySpec, *, depth_of_field_um: float = 100.0) -> CloudBody:
    """The body of a spec, the same one for the same spec.

    Raises:
        ValueError: the spec names a phenotype that can't be drawn (``real`` comes from
            `hardware_sim.real_source`).
    """
    rng = np.random.default_rng([spec.seed, 1])
    if spec.kind == "spheroid":
        anatomy = anatomy_of(_spheroid(spec, rng))
    elif spec.kind == "bubble":
        anatomy = _bubble(spec)
    elif spec.kind == "fibre":
        anatomy = _fibre(spec, rng)
    else:
        anatomy = debris(spec.diameter_um, rng)
    return CloudBody(spec, anatomy, depth_of_field_um)


def _spheroid(spec: BodySpec, rng: np.random.Generator) -> Draft:
    draft = healthy_draft(rng, spec.diameter_um)
    if spec.phenotype in DEFECTS:
        DEFECTS[spec.phenotype](draft, strength(spec.severity))
        return draft
    if spec.phenotype != "healthy" and spec.phenotype not in HARMLESS:
        raise ValueError(f"no way to draw the phenotype {spec.phenotype!r}")
    tendency = str(rng.choice(sorted(DEFECTS)))
    DEFECTS[tendency](draft, strength(spec.severity))
    if spec.phenotype in HARMLESS:
        HARMLESS[spec.phenotype](draft)
    return draft


def _bubble(spec: BodySpec) -> Anatomy:
    radius = spec.diameter_um / 2
    one = Balls(
        np.zeros((1, 3), np.float32),
        np.array([radius], np.float32),
        np.ones(1, np.float32),
        "bubble",
    )
    return Anatomy(balls=(one,), bounding_um=radius)


def _fibre(spec: BodySpec, rng: np.random.Generator) -> Anatomy:
    """A smooth random curve of equal dark spheres that overlap."""
    radius = float(rng.uniform(3.0, 8.0))
    steps = int(spec.diameter_um / (0.7 * radius)) + 2
    bend = directions(rng, 1)[0] * rng.uniform(0.2, 1.6)
    heading = directions(rng, 1)[0]
    side = np.cross(heading, bend)
    along = np.linspace(-0.5, 0.5, steps)[:, None]
    curve = along * heading + (along**2 - 1 / 12) * side + 0.25 * along**3 * bend
    points = (curve * spec.diameter_um).astype(np.float32)
    weights = np.full(steps, 0.45, np.float32)
    reach = float(np.linalg.norm(points, axis=1).max()) + radius
    return Anatomy(grains=Cloud(points, weights, radius), bounding_um=reach)
