"""Small round parts of a body: blebs, grapes, single cells, dark grains."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from hardware_sim.anatomy import Anatomy, Balls, Cloud, Floats
from hardware_sim.canvas import Canvas, Places, Stamps, add_stamps
from sorter.compiled import compiled

# So many cells overlap, and share a path.
_MANY = 60


class SmallParts:
    """All balls, cells and grains of one body, turned together."""

    def __init__(self, anatomy: Anatomy) -> None:
        self._balls = anatomy.balls
        self._clouds: list[tuple[Cloud, Literal["clear", "dark"]]] = [
            (cells, "clear") for cells in anatomy.cells
        ]
        if anatomy.grains is not None:
            self._clouds.append((anatomy.grains, "dark"))
        self._main_um = anatomy.lumps[0].mean_radius_um if anatomy.lumps else 0.0
        points = [balls.centres_um for balls in self._balls]
        points += [cloud.points_um for cloud, _ in self._clouds]
        self._points = np.concatenate(points) if points else np.zeros((0, 3), np.float32)
        self._pitch_um = 0.0
        self._stamps: list[Stamps] = []
        self._kernels: list[Floats] = []

    def prepare(self, pitch_um: float) -> None:
        """Make the stamps for that pitch; `draw_balls` does it where nobody did."""
        if pitch_um == self._pitch_um:
            return
        self._stamps = [_stamps_of(balls, pitch_um) for balls in self._balls]
        self._kernels = [
            _ball_kernel(max(0.75, round(cloud.size_um / pitch_um * 4) / 4), look)
            for cloud, look in self._clouds
        ]
        self._pitch_um = pitch_um

    def draw_balls(self, canvas: Canvas, turn: Floats) -> tuple[Floats, Places]:
        """Draw the balls; returns weights and places of all that is left for `draw_clouds`."""
        if not len(self._points):
            nowhere = np.zeros(0, np.intp)
            return self._points[:, 0], (nowhere, nowhere)
        self.prepare(canvas.pitch_um)
        view = self._points @ turn.T
        shown = np.empty(len(view), np.float32)
        _show(view, self._main_um, shown)
        columns, rows = canvas.pixels_of(view)
        end = 0
        for balls, stamps in zip(self._balls, self._stamps, strict=True):
            start, end = end, end + len(balls.radii_um)
            part = slice(start, end)
            back_to_front = np.argsort(view[part, 2])
            weights = balls.contrast * shown[part]
            stamps.lay(canvas.log_light, back_to_front, (columns[part], rows[part]), weights)
        return shown[end:], (columns[end:], rows[end:])

    def draw_clouds(self, canvas: Canvas, shown: Floats, places: Places) -> None:
        """Draw cells and grains, with what `draw_balls` returned."""
        end = 0
        for (cloud, _), kernel in zip(self._clouds, self._kernels, strict=True):
            start, end = end, end + len(cloud.weights)
            part = slice(start, end)
            here = (places[0][part], places[1][part])
            _draw_points(canvas, kernel, here, cloud.weights * shown[part])


def _stamps_of(balls: Balls, pitch_um: float) -> Stamps:
    pictures = []
    for radius_px in (np.rint(balls.radii_um / pitch_um * 4) / 4).tolist():
        size = max(radius_px, 0.75)
        keep = 1.0 - np.float32(balls.opacity) * _ball_cover(size)
        pictures.append((_ball_kernel(size, balls.look), keep))
    return Stamps.of(pictures)


def _draw_points(canvas: Canvas, kernel: Floats, places: Places, weights: Floats) -> None:
    """Add equal small spheres."""
    if len(weights) < _MANY:
        add_stamps(canvas.log_light, kernel, *places, weights)
        return
    drawn = np.zeros_like(canvas.log_light)
    add_stamps(drawn, kernel, *places, weights)
    # Cells that overlap share a path: the light lost saturates instead of adding up.
    np.maximum(drawn, -1.4, out=drawn)
    canvas.log_light += drawn


@compiled
def _show(view: Floats, main_um: float, shown: Floats) -> None:
    """Write to ``shown`` (n,) how much of small parts at ``view`` (n, 3) is seen: all beside the
    main mass, less before it, hardly anything behind it."""
    for i in range(len(shown)):
        if main_um <= 0.0:
            shown[i] = 1.0
            continue
        beside = (np.hypot(view[i, 0], view[i, 1]) / main_um - 0.82) / 0.18
        through = 0.45 if view[i, 2] > 0.0 else 0.12
        shown[i] = through + (1.0 - through) * min(max(beside, 0.0), 1.0)


@lru_cache(maxsize=512)
def _ball_kernel(radius_px: float, look: Literal["clear", "dark", "bubble", "solid"]) -> Floats:
    """Logarithm of the light around the centre of a ball, on a square of odd side."""
    half = int(np.ceil(radius_px + 1.0))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    # Four samples a side: without them the ring of a ball of three pixels breaks up.
    fine = (np.arange(-half * 4 - 2, half * 4 + 2, dtype=np.float32) + 0.5) / 4
    distance = np.hypot(fine[:, None], fine[None, :])
    share = np.clip(distance / radius_px, 0.0, 1.0) ** 2
    chord = np.clip(1.0 - share, 1e-2, 1.0)
    inside = np.clip((radius_px - distance) * 4 + 0.5, 0.0, 1.0)
    if look == "dark":
        light = 1.0 - inside * (0.35 + 0.4 * np.sqrt(chord))
    elif look == "bubble":
        # Air in water bends far more than the aperture takes: only the middle passes.
        bend = (1.75**2 * share / chord) ** 3
        light = 1.0 - inside * (1.0 - (0.06 + 1.04 / (1.0 + bend)))
    elif look == "solid":
        bend = (0.5**2 * share / chord) ** 2
        light = 1.0 - inside * (1.0 - (0.15 + 0.66 / (1.0 + bend)))
    else:
        bend = (0.65**2 * share / chord) ** 2
        centre = 1.0 + 0.28 * np.exp(-share / 0.12)
        light = 1.0 - inside * (1.0 - (0.22 + 0.74 / (1.0 + bend)) * centre)
    side = len(axis)
    light = light.reshape(side, 4, side, 4).mean(axis=(1, 3))
    return np.asarray(np.log(light), dtype=np.float32)


@lru_cache(maxsize=512)
def _ball_cover(radius_px: float) -> Floats:
    """1 inside a ball, 0 outside, on the square of `_ball_kernel`."""
    half = int(np.ceil(radius_px + 1.0))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None, :])
    return np.asarray(np.clip(radius_px - distance + 0.5, 0.0, 1.0), dtype=np.float32)
