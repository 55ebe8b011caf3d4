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

from hardware_sim.anatomy import Anatomy, Balls, Cloud, Floats, Lump, look_up
from hardware_sim.body_spec import BodySpec

_ANGLES = 256
_TILTS = np.deg2rad(np.array([-50.0, -32.0, -16.0, 0.0, 16.0, 32.0, 50.0])).astype(np.float32)
_RESOLUTION_UM = 1.5
_BLUR_PER_DEPTH_UM = 4.0
_HALO = 0.35
_OPACITY = 0.75
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


@dataclass(slots=True)
class _Canvas:
    """Logarithm of the light on a patch, and where the body's centre is in it."""

    log_light: Floats
    x_px: float
    y_px: float
    pitch_um: float

    def pixel_of(self, points_um: Floats) -> NDArray[np.int32]:
        """(n,) flat pixel index of view points (n, 3), which the bounding radius keeps on it."""
        scale = np.float32(1.0 / self.pitch_um)
        x = (points_um[:, 0] * scale + np.float32(self.x_px + 0.5)).astype(np.int32)
        y = (points_um[:, 1] * scale + np.float32(self.y_px + 0.5)).astype(np.int32)
        return np.asarray(y * self.log_light.shape[1] + x, dtype=np.int32)

    def splat(self, index: NDArray[np.int32], weights: Floats) -> Floats:
        """(h, w) sum of the weights that fall on each pixel."""
        flat = np.bincount(index, weights, self.log_light.size)
        return flat.astype(np.float32).reshape(self.log_light.shape)

    def stamp(self, kernel: Floats, x: int, y: int, weight: float, hide: Floats | None) -> None:
        """Add an odd square kernel around a pixel, after hiding what lies there."""
        half = kernel.shape[0] // 2
        height, width = self.log_light.shape
        left, top = max(0, half - x), max(0, half - y)
        right, bottom = min(2 * half + 1, width - x + half), min(2 * half + 1, height - y + half)
        if left >= right or top >= bottom:
            return
        target = self.log_light[
            y - half + top : y - half + bottom, x - half + left : x - half + right
        ]
        if hide is not None:
            target *= 1.0 - hide[top:bottom, left:right]
        target += kernel[top:bottom, left:right] * np.float32(weight)


class CloudBody:
    """A body drawn from its anatomy."""

    def __init__(self, spec: BodySpec, anatomy: Anatomy, depth_of_field_um: float) -> None:
        self._spec = spec
        self._anatomy = anatomy
        self._depth_of_field_um = depth_of_field_um

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
        canvas = _Canvas(
            np.zeros((side, side), np.float32), centre_px[0] - x0, centre_px[1] - y0, pitch_um
        )
        part = self._anatomy
        main = part.lumps[0].mean_radius_um if part.lumps else 0.0
        for lump in sorted(part.lumps, key=lambda one: float(turn[2] @ one.centre_um)):
            _draw_lump(canvas, lump, turn)
        for balls in part.balls:
            _draw_balls(canvas, balls, turn, main)
        if part.grain is not None:
            _draw_grain(canvas, part.grain, part.grain_strength, turn, self._depth_of_field_um)
        for cells in part.cells:
            _draw_points(canvas, cells, turn, "clear", main)
        if part.grains is not None:
            _draw_points(canvas, part.grains, turn, "dark", main)
        return Patch(_through_lens(canvas.log_light, sigma_px), x0, y0)


def _through_lens(log_light: Floats, sigma_px: float) -> Floats:
    """Blur by ``sigma_px`` and add the bright fringe that edges have in brightfield."""
    light = cv2.exp(np.clip(log_light, -3.0, 0.6, out=log_light))
    light = _blur(np.asarray(light, dtype=np.float32), sigma_px)
    wide = cv2.boxFilter(light, -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    sharp = cv2.addWeighted(light, 1.0 + _HALO, wide, -_HALO, 0.0)
    return np.asarray(np.clip(sharp, 0.02, 1.9, out=sharp), dtype=np.float32)


def _blur(image: Floats, sigma_px: float) -> Floats:
    """Gaussian blur, cut off at three standard deviations."""
    side = 2 * max(1, round(3.0 * sigma_px)) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float32)


def _outline(lump: Lump, turn: Floats) -> tuple[Floats, Floats, Floats]:
    """Radius in µm, softness and rim strength of the lump's silhouette at `_ANGLES` angles.

    Exact for a star-shaped body: the silhouette at an angle is the largest projected radius
    over all surface points of that azimuth.
    """
    psi = np.arange(_ANGLES, dtype=np.float32) * np.float32(2 * np.pi / _ANGLES)
    cos_t, sin_t = np.cos(_TILTS)[:, None], np.sin(_TILTS)[:, None]
    view = np.stack(
        [cos_t * np.cos(psi), cos_t * np.sin(psi), sin_t + 0 * psi], axis=-1
    )  # (tilts, angles, 3)
    table = look_up(lump.surface, view @ turn)
    radius = np.max(table[..., 0] * cos_t, axis=0)
    limb = table[len(_TILTS) // 2]
    kernel = np.ones(3, np.float32) / 3
    smooth = [
        np.convolve(np.concatenate([row[-1:], row, row[:1]]), kernel, "valid")
        for row in (radius, limb[:, 1], limb[:, 2])
    ]
    return smooth[0], smooth[1], smooth[2]


def _draw_lump(canvas: _Canvas, lump: Lump, turn: Floats) -> None:
    """Add a lump's surface, thickness, cavities and dark core to the logarithm of the light."""
    centre = turn @ lump.centre_um
    radius, soft, rim = _outline(lump, turn)
    pitch = canvas.pitch_um
    cx, cy = canvas.x_px + centre[0] / pitch, canvas.y_px + centre[1] / pitch
    reach = float(radius.max()) * (1.0 + 0.2 * float(soft.max())) / pitch + 2.0
    height, width = canvas.log_light.shape
    x0, x1 = max(0, int(cx - reach)), min(width, int(cx + reach) + 2)
    y0, y1 = max(0, int(cy - reach)), min(height, int(cy + reach) + 2)
    dx, dy = np.meshgrid(
        (np.arange(x0, x1, dtype=np.float32) - np.float32(cx)) * np.float32(pitch),
        (np.arange(y0, y1, dtype=np.float32) - np.float32(cy)) * np.float32(pitch),
    )
    distance, angle = cv2.cartToPolar(dx, dy)
    index = (angle * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32)
    np.minimum(index, _ANGLES - 1, out=index)
    edge, softness = np.take(radius, index), np.take(soft, index)
    share = np.square(distance / edge)
    chord = np.clip(1.0 - share, 2e-3, 1.0)
    bend = np.take(np.square(np.float32(lump.rim) * rim), index) * share / chord
    keep = lump.rim_floor + (1.0 - lump.rim_floor) / (1.0 + bend * bend)
    keep += softness * (1.0 - keep) * np.float32(0.85)
    thickness = 2.0 * edge * np.sqrt(chord)
    loss = _cavities(lump, turn, (dx, dy), thickness)
    if lump.core_depth > 0.0:
        loss += lump.core_depth * np.exp(-np.square(share / np.float32(lump.core_share**2)))
    cover = np.clip((edge - distance) / (pitch + softness * edge * np.float32(0.3)) + 0.5, 0, 1)
    light = 1.0 - cover * (1.0 - keep * cv2.exp(-loss))
    # Lumps come back to front; what lies behind one shows through it only faintly.
    target = canvas.log_light[y0:y1, x0:x1]
    target *= 1.0 - np.float32(_OPACITY) * cover
    target += cv2.log(light)


def _cavities(lump: Lump, turn: Floats, offset: tuple[Floats, Floats], thickness: Floats) -> Floats:
    """Logarithmic loss by absorption, less what cavities spare, plus their own thin rims."""
    loss = np.asarray(lump.absorption_per_um * thickness, dtype=np.float32)
    for void in lump.voids:
        centre = turn @ void.centre_um
        share = (np.square(offset[0] - centre[0]) + np.square(offset[1] - centre[1])) / np.float32(
            void.radius_um**2
        )
        chord = np.clip(1.0 - share, 0.0, 1.0)
        root = np.sqrt(chord)
        loss -= lump.absorption_per_um * 2.0 * void.radius_um * root
        loss += np.float32(0.45) * np.exp(-np.square((share - np.float32(0.93)) / np.float32(0.1)))
        loss -= np.float32(0.10) * root
    return loss


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


def _visible(view: Floats, main_um: float) -> Floats:
    """(n,) how much of a small part is seen: all beside the main mass, less before it, hardly
    anything behind it."""
    if main_um <= 0.0:
        return np.ones(len(view), np.float32)
    beside = np.clip((np.hypot(view[:, 0], view[:, 1]) / main_um - 0.82) / 0.18, 0.0, 1.0)
    seen_through = np.where(view[:, 2] > 0.0, 0.45, 0.12)
    return np.asarray(seen_through + (1.0 - seen_through) * beside, dtype=np.float32)


def _draw_balls(canvas: _Canvas, balls: Balls, turn: Floats, main_um: float) -> None:
    """Put each ball's stamp at its place, back to front."""
    view = balls.centres_um @ turn.T
    order = np.argsort(view[:, 2])
    view = view[order]
    weights = balls.contrast[order] * _visible(view, main_um)
    ys, xs = (row.tolist() for row in np.divmod(canvas.pixel_of(view), canvas.log_light.shape[1]))
    radii = (np.rint(balls.radii_um[order] / canvas.pitch_um * 4) / 4).tolist()
    for x, y, radius, contrast in zip(xs, ys, radii, weights.tolist(), strict=True):
        size = max(radius, 0.75)
        hide = np.float32(balls.opacity) * _ball_cover(size) if balls.opacity > 0.0 else None
        canvas.stamp(_ball_kernel(size, balls.look), x, y, contrast, hide)


def _draw_grain(
    canvas: _Canvas, cloud: Cloud, strength: float, turn: Floats, depth_of_field_um: float
) -> None:
    """Add the inside's texture: sharp where it is in focus, blurred above and below."""
    view = cloud.points_um @ turn.T
    focus = np.exp(-np.square(view[:, 2] / np.float32(depth_of_field_um)))
    sigma_px = max(0.7, cloud.size_um / canvas.pitch_um)
    index = canvas.pixel_of(view)
    weights = cloud.weights * focus
    sharp = canvas.splat(index, weights)
    blurred = canvas.splat(index, cloud.weights - weights)
    texture = _blur(sharp, sigma_px)
    coarse = _blur(blurred, 1.6 * sigma_px)
    # Independent unit weights, n a pixel, blurred by sigma, have a variance n / (4 π sigma²).
    extent = float(np.sqrt(np.mean(np.square(view[:, :2]))) * 2 / canvas.pitch_um)
    density = len(view) / max(1.0, np.pi * extent**2)
    scale = float(strength * sigma_px * np.sqrt(4 * np.pi / max(density, 1e-3)))
    cv2.scaleAdd(texture, scale, canvas.log_light, dst=canvas.log_light)
    cv2.scaleAdd(coarse, 1.2 * scale, canvas.log_light, dst=canvas.log_light)


def _draw_points(
    canvas: _Canvas, cloud: Cloud, turn: Floats, look: Literal["clear", "dark"], main_um: float
) -> None:
    """Add many equal small spheres: few of them one by one, many at once by convolution."""
    view = cloud.points_um @ turn.T
    weights = cloud.weights * _visible(view, main_um)
    index = canvas.pixel_of(view)
    kernel = _ball_kernel(max(0.75, round(cloud.size_um / canvas.pitch_um * 4) / 4), look)
    if len(index) < _FEW:
        rows, columns = np.divmod(index, canvas.log_light.shape[1])
        for x, y, weight in zip(columns.tolist(), rows.tolist(), weights.tolist(), strict=True):
            canvas.stamp(kernel, x, y, weight, None)
        return
    hits = canvas.splat(index, weights)
    drawn = cv2.filter2D(hits, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    # Cells that overlap share a path: the light lost saturates instead of adding up.
    np.maximum(drawn, -1.4, out=drawn)
    canvas.log_light += drawn
