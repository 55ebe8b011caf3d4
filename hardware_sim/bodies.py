"""A body seen through the microscope: from its anatomy and an attitude to a transmission map.

Light is lost in three ways: bent out of the aperture at steep surfaces (the dark rim), absorbed
along the thickness, and scattered by single cells and grain. The bending follows a ray through
a sphere of slightly higher index: the deflection grows with tan β of the angle of incidence, and
what leaves the aperture is gone (geometrical optics of a weakly refracting sphere; van de Hulst,
Light Scattering by Small Particles, ch. 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import Anatomy, Balls, Cloud, Floats
from hardware_sim.body_spec import BodySpec
from hardware_sim.canvas import Canvas, blur, reach_of_blur_px, splat
from hardware_sim.lumps import Silhouettes, draw_lump

_RESOLUTION_UM = 1.5
_BLUR_PER_DEPTH_UM = 4.0
_HALO = 0.35
_FEW = 60


@dataclass(frozen=True, slots=True)
class Patch:
    """A piece of the frame that a body dims or brightens.

    Attributes:
        transmission: (h, w) float32 that multiplies the light; 1 where there is nothing.
        x0_px, y0_px: frame position of its top-left pixel; may lie outside the frame.
    """

    transmission: NDArray[np.float32]
    x0_px: int
    y0_px: int


def defocus_sigma_um(defocus_um: float, depth_of_field_um: float) -> float:
    """Standard deviation of the blur in the object plane, in µm, proportional to the defocus.

    At the edge of the depth of field (half of it off focus) it is 2 µm, about the resolution of
    a low-power lens.
    """
    return _BLUR_PER_DEPTH_UM * abs(defocus_um) / depth_of_field_um


class Body(Protocol):
    """Something that can be seen from any side."""

    @property
    def spec(self) -> BodySpec:
        """What it is."""
        ...

    @property
    def radius_um(self) -> float:
        """Radius of a sphere around its centre that holds all of it."""
        ...

    def transmission(
        self,
        rotation: NDArray[np.floating],
        *,
        pitch_um: float,
        defocus_um: float,
        centre_px: tuple[float, float],
    ) -> Patch:
        """How it looks with that attitude, out of focus by ``defocus_um``.

        Args:
            rotation: (3, 3); a point p of the body lies at ``rotation @ p`` from its centre,
                x and y as in the frame, z along the optical axis.
            pitch_um: size of a pixel in the object plane.
            defocus_um: distance of its centre from the focal plane.
            centre_px: where its centre is in the frame, (x, y).
        """
        ...


class CloudBody:
    """A body drawn from its anatomy."""

    def __init__(self, spec: BodySpec, anatomy: Anatomy, depth_of_field_um: float) -> None:
        self._spec = spec
        self._anatomy = anatomy
        self._depth_of_field_um = depth_of_field_um
        self._silhouettes = Silhouettes(anatomy.lumps)
        self._grain_reach_um = 0.0 if anatomy.grain is None else _reach_um(anatomy.grain)

    @property
    def spec(self) -> BodySpec:
        """What it is."""
        return self._spec

    @property
    def radius_um(self) -> float:
        """Radius of a sphere around its centre that holds all of it."""
        return self._anatomy.bounding_um

    def transmission(
        self,
        rotation: NDArray[np.floating],
        *,
        pitch_um: float,
        defocus_um: float,
        centre_px: tuple[float, float],
    ) -> Patch:
        """See `Body.transmission`."""
        turn = np.asarray(rotation, dtype=np.float32)
        blur_um = defocus_sigma_um(defocus_um, self._depth_of_field_um)
        sigma_px = float(np.hypot(_RESOLUTION_UM, blur_um)) / pitch_um
        half = int(np.ceil(self.radius_um / pitch_um + 3.0 * sigma_px + 6.0))
        x0, y0 = round(centre_px[0]) - half, round(centre_px[1]) - half
        side = 2 * half + 1
        canvas = Canvas(
            np.zeros((side, side), np.float32), centre_px[0] - x0, centre_px[1] - y0, pitch_um
        )
        part = self._anatomy
        main = part.lumps[0].mean_radius_um if part.lumps else 0.0
        for lump, *outline in self._silhouettes.seen(turn):
            draw_lump(canvas, lump, (outline[0], outline[1], outline[2]), turn)
        for balls in part.balls:
            _draw_balls(canvas, balls, turn, main)
        if part.grain is not None:
            self._draw_grain(canvas, part.grain, turn)
        for cells in part.cells:
            _draw_points(canvas, cells, turn, "clear", main)
        if part.grains is not None:
            _draw_points(canvas, part.grains, turn, "dark", main)
        return Patch(_through_lens(canvas.log_light, sigma_px), x0, y0)

    def _draw_grain(self, canvas: Canvas, cloud: Cloud, turn: Floats) -> None:
        """Add the inside's texture: sharp where it is in focus, blurred above and below."""
        view = cloud.points_um @ turn.T
        focus = np.exp(-np.square(view[:, 2] / np.float32(self._depth_of_field_um)))
        sigma_px = max(0.7, cloud.size_um / canvas.pitch_um)
        pixels = canvas.pixels_of(view)
        # The blur of what lies in this box ends in it.
        margin_px = reach_of_blur_px(1.6 * sigma_px) + 1
        box = canvas.box(self._grain_reach_um / canvas.pitch_um + margin_px)
        weights = cloud.weights * focus
        texture = blur(splat(pixels, weights, box), sigma_px)
        coarse = blur(splat(pixels, cloud.weights - weights, box), 1.6 * sigma_px)
        # Independent unit weights, n a pixel, blurred by sigma, have a variance n / (4 π sigma²).
        extent = float(np.sqrt(np.mean(np.square(view[:, :2]))) * 2 / canvas.pitch_um)
        density = len(view) / max(1.0, np.pi * extent**2)
        strength = self._anatomy.grain_strength
        scale = float(strength * sigma_px * np.sqrt(4 * np.pi / max(density, 1e-3)))
        target = canvas.log_light[box]
        cv2.scaleAdd(texture, scale, target, dst=target)
        cv2.scaleAdd(coarse, 1.2 * scale, target, dst=target)


def _reach_um(cloud: Cloud) -> float:
    return float(np.linalg.norm(cloud.points_um, axis=1).max()) if len(cloud.points_um) else 0.0


def _through_lens(log_light: Floats, sigma_px: float) -> Floats:
    """Blur by ``sigma_px`` and add the bright fringe that edges have in brightfield."""
    light = cv2.exp(np.clip(log_light, -3.0, 0.6, out=log_light))
    light = blur(np.asarray(light, dtype=np.float32), sigma_px)
    wide = cv2.boxFilter(light, -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    sharp = cv2.addWeighted(light, 1.0 + _HALO, wide, -_HALO, 0.0)
    return np.asarray(np.clip(sharp, 0.02, 1.9, out=sharp), dtype=np.float32)


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


def _visible(view: Floats, main_um: float) -> Floats:
    """(n,) how much of a small part is seen: all beside the main mass, less before it, hardly
    anything behind it."""
    if main_um <= 0.0:
        return np.ones(len(view), np.float32)
    beside = np.clip((np.hypot(view[:, 0], view[:, 1]) / main_um - 0.82) / 0.18, 0.0, 1.0)
    seen_through = np.where(view[:, 2] > 0.0, 0.45, 0.12)
    return np.asarray(seen_through + (1.0 - seen_through) * beside, dtype=np.float32)


def _draw_balls(canvas: Canvas, balls: Balls, turn: Floats, main_um: float) -> None:
    """Put each ball's stamp at its place, back to front."""
    view = balls.centres_um @ turn.T
    order = np.argsort(view[:, 2])
    view = view[order]
    weights = balls.contrast[order] * _visible(view, main_um)
    xs, ys = (row.tolist() for row in canvas.pixels_of(view))
    radii = (np.rint(balls.radii_um[order] / canvas.pitch_um * 4) / 4).tolist()
    for x, y, radius, contrast in zip(xs, ys, radii, weights.tolist(), strict=True):
        size = max(radius, 0.75)
        keep = _ball_keep(size, balls.opacity) if balls.opacity > 0.0 else None
        canvas.stamp(_ball_kernel(size, balls.look), x, y, contrast, keep)


def _draw_points(
    canvas: Canvas, cloud: Cloud, turn: Floats, look: Literal["clear", "dark"], main_um: float
) -> None:
    """Add many equal small spheres: few of them one by one, many at once by convolution."""
    view = cloud.points_um @ turn.T
    weights = cloud.weights * _visible(view, main_um)
    columns, rows = canvas.pixels_of(view)
    kernel = _ball_kernel(max(0.75, round(cloud.size_um / canvas.pitch_um * 4) / 4), look)
    if len(view) < _FEW:
        for x, y, weight in zip(columns.tolist(), rows.tolist(), weights.tolist(), strict=True):
            canvas.stamp(kernel, x, y, weight, None)
        return
    height, width = canvas.log_light.shape
    hits = splat((columns, rows), weights, (slice(0, height), slice(0, width)))
    drawn = cv2.filter2D(hits, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    # Cells that overlap share a path: the light lost saturates instead of adding up.
    np.maximum(drawn, -1.4, out=drawn)
    canvas.log_light += drawn
