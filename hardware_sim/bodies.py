"""A body seen through the microscope: from its anatomy and an attitude to a transmission map.

Light is lost in three ways: bent out of the aperture at steep surfaces (the dark rim), absorbed
along the thickness, and scattered by single cells and grain. The bending follows a ray through
a sphere of slightly higher index: the deflection grows with tan β of the angle of incidence, and
what leaves the aperture is gone (geometrical optics of a weakly refracting sphere; van de Hulst,
Light Scattering by Small Particles, ch. 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import Anatomy, Cloud, Floats
from hardware_sim.body_spec import BodySpec
from hardware_sim.canvas import Canvas, Places, blur, reach_of_blur_px
from hardware_sim.lumps import draw_lump
from hardware_sim.silhouettes import Silhouettes
from hardware_sim.small_parts import SmallParts
from sorter.compiled import compiled

_RESOLUTION_UM = 1.5
_BLUR_PER_DEPTH_UM = 4.0
_HALO = 0.35
_MEAN = np.full(7, 1 / 7, np.float32)


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
        self._small = SmallParts(anatomy)
        self._grain_reach_um = 0.0 if anatomy.grain is None else _reach_um(anatomy.grain)

    @property
    def spec(self) -> BodySpec:
        """What it is."""
        return self._spec

    @property
    def radius_um(self) -> float:
        """Radius of a sphere around its centre that holds all of it."""
        return self._anatomy.bounding_um

    @property
    def anatomy(self) -> Anatomy:
        """What it is made of."""
        return self._anatomy

    def prepare(self, pitch_um: float) -> None:
        """Make what the first picture needs, so that no frame waits for it."""
        self._small.prepare(pitch_um)

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
        sigma_px = self._sigma_px(pitch_um, defocus_um)
        half = self._half_px(pitch_um, sigma_px)
        x0, y0 = round(centre_px[0]) - half, round(centre_px[1]) - half
        side = 2 * half + 1
        canvas = Canvas(
            np.zeros((side, side), np.float32), centre_px[0] - x0, centre_px[1] - y0, pitch_um
        )
        for i, outlined in enumerate(self._silhouettes.seen(turn)):
            draw_lump(canvas, outlined, turn, onto_nothing=i == 0)
        rest = self._small.draw_balls(canvas, turn)
        if self._anatomy.grain is not None:
            self._draw_grain(canvas, self._anatomy.grain, turn)
        self._small.draw_clouds(canvas, *rest)
        return Patch(_through_lens(canvas.log_light, sigma_px), x0, y0)

    def reach_px(self, pitch_um: float, defocus_um: float) -> int:
        """How far from its centre, along x or y, a pixel can be that `transmission` shows."""
        return self._half_px(pitch_um, self._sigma_px(pitch_um, defocus_um)) + 1

    def _sigma_px(self, pitch_um: float, defocus_um: float) -> float:
        blur_um = defocus_sigma_um(defocus_um, self._depth_of_field_um)
        return float(np.hypot(_RESOLUTION_UM, blur_um)) / pitch_um

    def _half_px(self, pitch_um: float, sigma_px: float) -> int:
        return int(np.ceil(self.radius_um / pitch_um + 3.0 * sigma_px + 6.0))

    def _draw_grain(self, canvas: Canvas, cloud: Cloud, turn: Floats) -> None:
        """Add the inside's texture: sharp where it is in focus, blurred above and below."""
        view = cloud.points_um @ turn.T
        sigma_px = max(0.7, cloud.size_um / canvas.pitch_um)
        # The blur of what lies in this box ends in it.
        margin_px = reach_of_blur_px(1.6 * sigma_px) + 1
        box = canvas.box(self._grain_reach_um / canvas.pitch_um + margin_px)
        rows, columns = box
        sharp, dull = np.zeros((2, *canvas.log_light[box].shape), np.float32)
        columns_px, rows_px = canvas.pixels_of(view)
        spread = _splat(
            view, cloud.weights, self._depth_of_field_um,
            (columns_px, rows_px), (columns.start, rows.start), (sharp, dull),
        )  # fmt: skip
        texture, coarse = blur(sharp, sigma_px), blur(dull, 1.6 * sigma_px)
        # Independent unit weights, n a pixel, blurred by sigma, have a variance n / (4 π sigma²).
        extent = 2.0 * spread / canvas.pitch_um
        density = len(view) / max(1.0, np.pi * extent**2)
        strength = self._anatomy.grain_strength
        scale = float(strength * sigma_px * np.sqrt(4 * np.pi / max(density, 1e-3)))
        target = canvas.log_light[box]
        cv2.scaleAdd(texture, scale, target, dst=target)
        cv2.scaleAdd(coarse, 1.2 * scale, target, dst=target)


@compiled
def _splat(
    view: Floats,
    weights: Floats,
    depth_um: float,
    places: Places,
    corner: tuple[int, int],
    out: tuple[Floats, Floats],
) -> float:
    """Add points (n, 3) to two pictures, the share of each that is in focus and the rest.

    Returns:
        Their root mean square distance along x or y from the middle.
    """
    columns, rows = places
    sharp, dull = out
    squares = 0.0
    for i in range(len(weights)):
        in_focus = weights[i] * np.exp(-((view[i, 2] / depth_um) ** 2))
        y, x = rows[i] - corner[1], columns[i] - corner[0]
        sharp[y, x] += in_focus
        dull[y, x] += weights[i] - in_focus
        squares += view[i, 0] ** 2 + view[i, 1] ** 2
    return float(np.sqrt(squares / (2 * len(weights))))


def _reach_um(cloud: Cloud) -> float:
    return float(np.linalg.norm(cloud.points_um, axis=1).max()) if len(cloud.points_um) else 0.0


def _through_lens(log_light: Floats, sigma_px: float) -> Floats:
    """Blur by ``sigma_px`` and add the bright fringe that edges have in brightfield."""
    light = cv2.exp(np.clip(log_light, -3.0, 0.6, out=log_light))
    light = blur(np.asarray(light, dtype=np.float32), sigma_px)
    wide = cv2.sepFilter2D(light, -1, _MEAN, _MEAN, borderType=cv2.BORDER_REPLICATE)
    sharp = cv2.addWeighted(light, 1.0 + _HALO, wide, -_HALO, 0.0)
    return np.asarray(np.clip(sharp, 0.02, 1.9, out=sharp), dtype=np.float32)
