"""Small round parts of a body: blebs, grapes, single cells, dark grains."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from hardware_sim.anatomy import Anatomy, Balls, Cloud, Floats
from hardware_sim.canvas import Canvas, Places, splat

_FEW = 60

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

    def draw_balls(self, canvas: Canvas, turn: Floats) -> tuple[Floats, Places]:
        """Draw the balls; returns weights and places of all that is left for `draw_clouds`."""
        if not len(self._points):
            nowhere = np.zeros(0, np.intp)
            return self._points[:, 0], (nowhere, nowhere)
        view = self._points @ turn.T
        shown = _visible(view, self._main_um)
        columns, rows = canvas.pixels_of(view)
        end = 0
        for balls in self._balls:
            start, end = end, end + len(balls.radii_um)
            part = slice(start, end)
            here = (columns[part], rows[part])
            _draw_balls(canvas, balls, view[part, 2], here, shown[part])
        return shown[end:], (columns[end:], rows[end:])

    def draw_clouds(self, canvas: Canvas, shown: Floats, places: Places) -> None:
        """Draw cells and grains, with what `draw_balls` returned."""
        end = 0
        for cloud, look in self._clouds:
            start, end = end, end + len(cloud.weights)
            part = slice(start, end)
            here = (places[0][part], places[1][part])
            _draw_points(canvas, cloud, here, cloud.weights * shown[part], look)


def _draw_balls(
    canvas: Canvas, balls: Balls, depth_um: Floats, places: Places, shown: Floats
) -> None:
    """Put each ball's stamp at its place, back to front."""
    order = np.argsort(depth_um)
    weights = balls.contrast[order] * shown[order]
    xs, ys = (row[order].tolist() for row in places)
    radii = (np.rint(balls.radii_um[order] / canvas.pitch_um * 4) / 4).tolist()
    for x, y, radius, contrast in zip(xs, ys, radii, weights, strict=True):
        size = max(radius, 0.75)
        keep = _ball_keep(size, balls.opacity) if balls.opacity > 0.0 else None
        canvas.stamp(_ball_kernel(size, balls.look), x, y, contrast, keep)


def _draw_points(
    canvas: Canvas, cloud: Cloud, places: Places, weights: Floats, look: Literal["clear", "dark"]
) -> None:
    """Add many equal small spheres: few of them one by one, many at once by convolution."""
    kernel = _ball_kernel(max(0.75, round(cloud.size_um / canvas.pitch_um * 4) / 4), look)
    if len(weights) < _FEW:
        canvas.stamp_all(kernel, places, weights)
        return
    height, width = canvas.log_light.shape
    hits = splat(places, weights, (slice(0, height), slice(0, width)))
    drawn = cv2.filter2D(hits, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    # Cells that overlap share a path: the light lost saturates instead of adding up.
    np.maximum(drawn, -1.4, out=drawn)
    canvas.log_light += drawn


def _visible(view: Floats, main_um: float) -> Floats:
    """(n,) how much of a small part is seen: all beside the main mass, less before it, hardly
    anything behind it."""
    if main_um <= 0.0:
        return np.ones(len(view), np.float32)
    beside = np.clip((np.hypot(view[:, 0], view[:, 1]) / main_um - 0.82) / 0.18, 0.0, 1.0)
    seen_through = np.where(view[:, 2] > 0.0, 0.45, 0.12)
    return np.asarray(seen_through + (1.0 - seen_through) * beside, dtype=np.float32)


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
def _ball_keep(radius_px: float, opacity: float) -> Floats:
    """Share of what lies behind a ball that shows through it, on the square of `_ball_kernel`."""
    half = int(np.ceil(radius_px + 1.0))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None, :])
    cover = np.asarray(np.clip(radius_px - distance + 0.5, 0.0, 1.0), dtype=np.float32)
    return 1.0 - np.float32(opacity) * cover
