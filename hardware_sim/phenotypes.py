"""How each phenotype changes a spheroid: from a healthy draft to an anatomy.

Every spheroid starts as the same healthy draft: compact, nearly round, sharp rim, some single
cells stuck to it. A defect of strength 0 to 1 then changes the draft. Healthy ones carry a
little of some defect too: nature draws no line, and a network must not learn that one is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import (
    Anatomy,
    Balls,
    Cloud,
    Floats,
    Lump,
    Void,
    cap,
    directions,
    grid_directions,
    in_cap,
    look_up,
    lumpy_surface,
)

CELL_RADIUS_UM = 7.0
_GRAIN_POINTS = 2200
_FARTHEST = 0.45
"""How far shed cells stay with a body, in radii: farther ones are left behind in the flow."""


def strength(severity: float) -> float:
    """Visible strength of a defect, 0 to 1, continuous and rising with severity.

    Steepest between 0.3 and 0.4, where nothing is drawn: a healthy one shows at most 0.15, an
    unhealthy one at least 0.42.
    """
    return float(np.interp(severity, [0.0, 0.3, 0.4, 1.0], [0.0, 0.15, 0.42, 1.0]))


@dataclass(slots=True)
class Draft:
    """A spheroid while it is being made up. Lengths in µm; see `Lump` for the optics."""

    rng: np.random.Generator
    radius: float
    surface: Floats
    absorption: float
    rim: float
    rim_floor: float
    grain: float
    grain_size: float
    core_depth: float = 0.0
    core_share: float = 0.5
    voids: list[Void] = field(default_factory=list)
    pieces: list[Lump] = field(default_factory=list)
    balls: list[Balls] = field(default_factory=list)
    cells: list[Floats] = field(default_factory=list)
    grains: list[Floats] = field(default_factory=list)

    def on_surface(self, unit: Floats) -> Floats:
        """(n,) radius of the surface in those directions."""
        return np.asarray(look_up(self.surface, unit)[:, 0], dtype=np.float32)

    def lump(self) -> Lump:
        """The main mass."""
        return Lump(
            centre_um=np.zeros(3, np.float32),
            surface=self.surface,
            mean_radius_um=float(self.surface[..., 0].mean()),
            absorption_per_um=self.absorption,
            rim=self.rim,
            rim_floor=self.rim_floor,
            core_depth=self.core_depth,
            core_share=self.core_share,
            voids=tuple(self.voids),
        )


def healthy_draft(rng: np.random.Generator, diameter_um: float) -> Draft:
    """A compact, nearly round spheroid with a sharp rim and some cells stuck to it."""
    radius = diameter_um / 2
    surface = lumpy_surface(
        rng,
        radius,
        bumps=14,
        height=0.03,
        width_rad=(0.15, 0.6),
        stretch=rng.uniform(0.01, 0.06),
        roughness=rng.uniform(0.004, 0.022),
    )
    draft = Draft(
        rng=rng,
        radius=radius,
        surface=surface,
        absorption=float(rng.uniform(0.0006, 0.0018)),
        rim=float(rng.uniform(0.33, 0.55)),
        rim_floor=float(rng.uniform(0.14, 0.36)),
        grain=float(rng.uniform(0.11, 0.23)),
        grain_size=float(rng.uniform(2.2, 3.2)),
    )
    _stick_cells(draft, count=int(rng.poisson(rng.lognormal(2.4, 0.8))))
    for _ in range(rng.binomial(2, 0.3)):
        unit = directions(rng, 1)
        size = rng.uniform(6.0, 13.0)
        place = unit * (draft.on_surface(unit)[:, None] + np.float32(size * 0.4))
        draft.balls.append(_clear(place, np.array([size]), 1.0))
    return draft


def _stick_cells(draft: Draft, count: int) -> None:
    """Single cells on the surface, half of them in one patch."""
    rng = draft.rng
    scattered = directions(rng, count - count // 2)
    patch = in_cap(rng, count // 2, directions(rng, 1)[0], 0.6)
    unit = np.concatenate([scattered, patch])
    off = draft.on_surface(unit) + rng.exponential(0.5 * CELL_RADIUS_UM, count).astype(np.float32)
    draft.cells.append(unit * off[:, None])


def _clear(centres: NDArray[np.floating], radii: NDArray[np.floating], contrast: float) -> Balls:
    n = len(radii)
    return Balls(
        np.asarray(centres, np.float32),
        np.asarray(radii, np.float32),
        np.full(n, contrast, np.float32),
    )


def loose_rim(draft: Draft, a: float) -> None:
    """One side lets go of its cells: no rim there, a fringe of loose cells instead."""
    rng = draft.rng
    axis = directions(rng, 1)[0]
    half_angle = float(np.deg2rad(45 + 75 * a))
    inside = cap(grid_directions(), axis, half_angle)
    draft.surface[..., 1] = np.clip(inside * (0.25 + 1.1 * a), 0.0, 1.0)
    draft.surface[..., 0] *= 1.0 - 0.10 * a * inside
    area = 2 * np.pi * (1 - np.cos(half_angle)) * draft.radius**2
    count = int(0.55 * a * area / (np.pi * CELL_RADIUS_UM**2))
    unit = in_cap(rng, count, axis, half_angle)
    away = np.minimum(rng.exponential(0.02 + 0.14 * a, count), _FARTHEST)
    off = draft.on_surface(unit) + away * draft.radius - 4.0
    draft.cells.append(unit * off[:, None].astype(np.float32))


def blebbing(draft: Draft, a: float) -> None:
    """Clear blebs bulge out of one side."""
    rng = draft.rng
    axis = directions(rng, 1)[0]
    half_angle = float(np.deg2rad(40 + 80 * a))
    count = round(2 + 34 * a)
    unit = in_cap(rng, count, axis, half_angle)
    size = (draft.radius * (0.07 + 0.10 * a) * rng.lognormal(0.0, 0.35, count)).astype(np.float32)
    place = unit * (draft.on_surface(unit) + size * rng.uniform(0.0, 0.8, count))[:, None]
    draft.balls.append(_clear(place, size, 0.9))
    inside = cap(grid_directions(), axis, half_angle)
    draft.surface[..., 1] = 0.5 * a * inside


def fragmented(draft: Draft, a: float) -> None:
    """Pieces broken off, most of them on one side, and what is left smaller and rougher."""
    rng = draft.rng
    axis = directions(rng, 1)[0]
    count = round(1 + 4.5 * a)
    unit = in_cap(rng, count, axis, np.deg2rad(50 + 70 * a))
    draft.surface[..., 0] *= 1.0 - 0.22 * a
    bite = cap(grid_directions(), axis, 0.35 + 0.3 * a, 0.5)
    draft.surface[..., 0] *= 1.0 - 0.35 * a * bite
    for direction in unit:
        size = draft.radius * rng.uniform(0.12, 0.2 + 0.22 * a)
        apart = float(draft.on_surface(direction[None])[0]) + size * (0.35 + 0.75 * a)
        surface = lumpy_surface(rng, size, bumps=8, height=0.10, width_rad=(0.3, 0.7), stretch=0.18)
        draft.pieces.append(
            Lump(
                centre_um=np.asarray(direction * apart, np.float32),
                surface=surface,
                mean_radius_um=size,
                absorption_per_um=draft.absorption * 1.5,
                rim=draft.rim * 1.2,
                rim_floor=draft.rim_floor,
            )
        )
    shed = in_cap(rng, int(50 * a), axis, np.deg2rad(70))
    away = np.minimum(rng.exponential(0.25, len(shed)), _FARTHEST)
    off = draft.on_surface(shed) + away * draft.radius
    draft.cells.append(shed * off[:, None].astype(np.float32))


def grape_like(draft: Draft, a: float) -> None:
    """The mass comes apart into rounded lobes, like a bunch of grapes."""
    rng = draft.rng
    count = 46
    unit = _even_directions(rng, count)
    size = draft.radius * rng.uniform(0.2, 0.3, count).astype(np.float32)
    draft.surface[..., 0] *= 1.0 - 0.20 * a
    out = draft.on_surface(unit) - size * (1.0 - 1.15 * a)
    lobes = _clear(unit * out[:, None], size, 0.25 + 0.75 * a)
    draft.balls.append(replace(lobes, look="solid", opacity=0.8 * a))
    draft.surface[..., 1] = np.maximum(draft.surface[..., 1], 0.6 * a)
    draft.grain *= 1.0 - 0.3 * a


def hollow(draft: Draft, a: float) -> None:
    """A shell around a large cavity: the middle is bright and without texture."""
    rng = draft.rng
    share = 0.30 + 0.52 * a
    off = directions(rng, 1)[0] * np.float32(draft.radius * (0.9 - share) * rng.uniform(0, 0.6))
    draft.voids.append(Void(np.asarray(off, np.float32), float(draft.radius * share)))
    draft.absorption *= 1.0 + 1.2 * a
    draft.surface[..., 1] = np.maximum(draft.surface[..., 1], 0.25 * a)


def collapsed(draft: Draft, a: float) -> None:
    """Shrunken, dark and out of shape."""
    rng = draft.rng
    dented = lumpy_surface(
        rng,
        draft.radius * (1.0 - 0.22 * a),
        bumps=12,
        height=0.30 * a,
        width_rad=(0.3, 0.6),
        stretch=0.05 + 0.16 * a,
    )
    draft.surface[..., 0] = dented[..., 0]
    draft.absorption *= 1.0 + 1.6 * a
    draft.rim *= 1.0 + 0.7 * a
    draft.grain *= 1.0 - 0.35 * a


def disintegrating(draft: Draft, a: float) -> None:
    """No rim left, cells everywhere around, holes and dark grains inside."""
    rng = draft.rng
    draft.surface[..., 1] = np.clip(0.1 + 1.2 * a, 0.0, 1.0)
    rough = lumpy_surface(
        rng,
        draft.radius * (1.0 - 0.18 * a),
        bumps=30,
        height=0.16 * a,
        width_rad=(0.15, 0.4),
        stretch=0.05,
    )
    draft.surface[..., 0] = rough[..., 0]
    count = int(1.1 * a * 4 * draft.radius**2 / CELL_RADIUS_UM**2)
    unit = directions(rng, count)
    away = np.minimum(rng.exponential(0.05 + 0.16 * a, count), _FARTHEST)
    off = draft.on_surface(unit) * (0.9 + away)
    draft.cells.append(unit * off[:, None].astype(np.float32))
    draft.grain *= 1.0 + 0.9 * a
    draft.grain_size *= 1.0 + 0.5 * a
    dark = int(60 * a)
    depth = (draft.radius * rng.uniform(0.2, 1.2, (dark, 1))).astype(np.float32)
    draft.grains.append(directions(rng, dark) * depth)


def _even_directions(rng: np.random.Generator, n: int) -> Floats:
    """Directions spread evenly (a jittered golden spiral)."""
    z = 1 - 2 * (np.arange(n) + 0.5) / n
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z**2)
    unit = np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
    unit += rng.normal(0.0, 0.5 / np.sqrt(n), (n, 3))
    return np.asarray(unit / np.linalg.norm(unit, axis=1, keepdims=True), dtype=np.float32)


DEFECTS: dict[str, Callable[[Draft, float], None]] = {
    "loose_rim": loose_rim,
    "blebbing": blebbing,
    "fragmented": fragmented,
    "grape_like": grape_like,
    "hollow": hollow,
    "collapsed": collapsed,
    "disintegrating": disintegrating,
}
"""The unhealthy phenotypes; each changes a draft with a strength of 0 to 1."""


def dark_core(draft: Draft) -> None:
    """The middle of a large one darkens; rim and shape stay."""
    draft.core_depth = float(draft.rng.uniform(0.35, 0.9))
    draft.core_share = float(draft.rng.uniform(0.4, 0.65))


def debris_attached(draft: Draft) -> None:
    """Dark foreign particles stick to one or two spots of the surface."""
    rng = draft.rng
    for axis in directions(rng, int(rng.integers(1, 3))):
        count = int(rng.integers(8, 36))
        unit = in_cap(rng, count, axis, rng.uniform(0.12, 0.4))
        off = draft.on_surface(unit) + rng.exponential(7.0, count) + 1.0
        draft.grains.append(unit * off[:, None].astype(np.float32))


def lumen(draft: Draft) -> None:
    """A small round cavity, off the middle, in an otherwise sound body."""
    rng = draft.rng
    size = draft.radius * rng.uniform(0.16, 0.30)
    place = directions(rng, 1)[0] * np.float32((draft.radius - size) * rng.uniform(0.1, 0.7))
    draft.voids.append(Void(np.asarray(place, np.float32), float(size)))


HARMLESS: dict[str, Callable[[Draft], None]] = {
    "dark_core": dark_core,
    "debris_attached": debris_attached,
    "lumen": lumen,
}
"""What looks bad on a healthy spheroid and is not."""


def anatomy_of(draft: Draft) -> Anatomy:
    """Fill the draft's masses with grain and put everything together."""
    main = draft.lump()
    lumps = (main, *draft.pieces)
    cells = np.concatenate(draft.cells) if draft.cells else np.zeros((0, 3), np.float32)
    grains = np.concatenate(draft.grains) if draft.grains else np.zeros((0, 3), np.float32)
    reach = max(
        max(float(np.linalg.norm(p.centre_um)) + float(p.surface[..., 0].max()) for p in lumps),
        _reach(cells, CELL_RADIUS_UM),
        _reach(grains, 4.0),
        *(_reach(b.centres_um, float(b.radii_um.max())) for b in draft.balls),
        0.0,
    )
    return Anatomy(
        lumps=lumps,
        balls=tuple(draft.balls),
        cells=_two_sizes(cells),
        grains=_cloud(grains, 3.5),
        grain=_grain(draft, lumps),
        grain_strength=draft.grain,
        bounding_um=reach,
    )


def _reach(points: Floats, size: float) -> float:
    return float(np.linalg.norm(points, axis=1).max()) + size if len(points) else 0.0


def _cloud(points: Floats, size: float) -> Cloud | None:
    if len(points) == 0:
        return None
    return Cloud(np.asarray(points, np.float32), np.ones(len(points), np.float32), size)


def _two_sizes(points: Floats) -> tuple[Cloud, ...]:
    """Every third cell has shrunk and darkened, as dying ones do."""
    whole = np.arange(len(points)) % 3 != 0
    clouds = (_cloud(points[whole], CELL_RADIUS_UM), _cloud(points[~whole], 0.7 * CELL_RADIUS_UM))
    return tuple(cloud for cloud in clouds if cloud is not None)


def _grain(draft: Draft, lumps: tuple[Lump, ...]) -> Cloud:
    """Random points inside the masses and outside their cavities."""
    rng = draft.rng
    volumes = np.array([p.mean_radius_um**3 for p in lumps])
    counts = np.maximum(20, _GRAIN_POINTS * volumes / volumes.sum()).astype(int)
    parts = []
    for piece, count in zip(lumps, counts, strict=True):
        unit = directions(rng, count)
        depth = rng.uniform(0.0, 1.0, count) ** (1 / 3) * 0.95
        parts.append(unit * (look_up(piece.surface, unit)[:, 0] * depth)[:, None] + piece.centre_um)
    points = np.concatenate(parts).astype(np.float32)
    for void in draft.voids:
        points = points[np.linalg.norm(points - void.centre_um, axis=1) > 0.95 * void.radius_um]
    return Cloud(points, rng.standard_normal(len(points)).astype(np.float32), draft.grain_size)
