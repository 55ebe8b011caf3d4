"""Lumps seen through the microscope: their silhouettes, rims, thickness and cavities.

This is where most of the time of a frame goes, so a picture is worked out in place: the same
steps in the same order as the formulas in the comments, to the bit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.anatomy import Floats, Lump, surface_index
from hardware_sim.canvas import Canvas

# An angle's number is one byte, so that a table is looked up by `cv2.LUT`.
_ANGLES = 256
_TILTS = np.deg2rad(np.array([-50.0, -32.0, -16.0, 0.0, 16.0, 32.0, 50.0])).astype(np.float32)
_COSINES = np.cos(_TILTS)[:, None]
_OPACITY = 0.75


def _view() -> Floats:
    """(tilts, angles, 3) unit vectors around the line of sight, the limb in the middle."""
    psi = np.arange(_ANGLES, dtype=np.float32) * np.float32(2 * np.pi / _ANGLES)
    sines = np.sin(_TILTS)[:, None]
    parts = [_COSINES * np.cos(psi), _COSINES * np.sin(psi), sines + 0 * psi]
    return np.asarray(np.stack(parts, axis=-1), dtype=np.float32)


_VIEW = _view()


class Silhouettes:
    """The outlines of one body's lumps, from any side.

    Exact for star-shaped lumps: the silhouette at an angle is the largest projected radius over
    all surface points of that azimuth.
    """

    def __init__(self, lumps: tuple[Lump, ...]) -> None:
        self._lumps = lumps
        # One plane after the other: what is looked up together lies together.
        self._planes = [np.ascontiguousarray(np.moveaxis(p.surface, -1, 0)) for p in lumps]
        self._is_soft = [bool(plane[1].any()) for plane in self._planes]

    def seen(self, turn: Floats) -> list[tuple[Lump, Floats, Floats | None, Floats]]:
        """Back to front, each lump with its radius in µm, softness (None where there is none) and
        strength of the rim at `_ANGLES` angles, for an attitude (3, 3)."""
        index = surface_index(_VIEW @ turn)
        limb = index[len(_TILTS) // 2]
        found = []
        for i in sorted(range(len(self._lumps)), key=lambda i: float(turn[2] @ self._centre(i))):
            radius, softness, rim = self._planes[i].reshape(3, -1)
            widest = np.max(np.take(radius, index, mode="clip") * _COSINES, axis=0)
            soft = _smooth(np.take(softness, limb, mode="clip")) if self._is_soft[i] else None
            found.append(
                (self._lumps[i], _smooth(widest), soft, _smooth(np.take(rim, limb, mode="clip")))
            )
        return found

    def _centre(self, i: int) -> Floats:
        return self._lumps[i].centre_um


def _smooth(row: Floats) -> Floats:
    """Mean of each angle and its neighbours."""
    kernel = np.ones(3, np.float32) / 3
    return np.convolve(np.concatenate([row[-1:], row, row[:1]]), kernel, "valid")


def draw_lump(
    canvas: Canvas, lump: Lump, outline: tuple[Floats, Floats | None, Floats], turn: Floats
) -> None:
    """Add a lump's surface, thickness, cavities and dark core to the logarithm of the light.

    Args:
        canvas: what to draw on.
        lump: what to draw.
        outline: radius, softness and rim as `Silhouettes.seen` gives them.
        turn: (3, 3) attitude.
    """
    radius, soft, rim = outline
    centre = turn @ lump.centre_um
    pitch = canvas.pitch_um
    cx, cy = canvas.x_px + centre[0] / pitch, canvas.y_px + centre[1] / pitch
    softest = 0.0 if soft is None else float(soft.max())
    reach = float(radius.max()) * (1.0 + 0.2 * softest) / pitch + 2.0
    height, width = canvas.log_light.shape
    x0, x1 = max(0, int(cx - reach)), min(width, int(cx + reach) + 2)
    y0, y1 = max(0, int(cy - reach)), min(height, int(cy + reach) + 2)
    dx = np.empty((y1 - y0, x1 - x0), np.float32)
    dy = np.empty_like(dx)
    dx[:] = (np.arange(x0, x1, dtype=np.float32) - np.float32(cx)) * np.float32(pitch)
    dy[:] = ((np.arange(y0, y1, dtype=np.float32) - np.float32(cy)) * np.float32(pitch))[:, None]
    distance, index = _polar(dx, dy)
    edge = cv2.LUT(index, radius)
    softness = None if soft is None else cv2.LUT(index, soft)
    share = np.divide(distance, edge)
    np.square(share, out=share)
    chord = np.subtract(1.0, share)
    np.maximum(chord, 2e-3, out=chord)
    bend = cv2.LUT(index, np.square(np.float32(lump.rim) * rim))
    keep = _kept(lump.rim_floor, bend, share, chord, softness)
    # thickness = 2 edge sqrt(chord)
    thickness = np.multiply(edge, 2.0)
    thickness *= np.sqrt(chord, out=chord)
    loss = _cavities(lump, turn, (dx, dy), thickness)
    if lump.core_depth > 0.0:
        loss += lump.core_depth * np.exp(-np.square(share / np.float32(lump.core_share**2)))
    cover = _cover(edge, distance, softness, pitch)
    # light = 1 - cover (1 - keep exp(-loss))
    light = cv2.exp(np.negative(loss, out=loss), dst=loss)
    light *= keep
    np.subtract(1.0, light, out=light)
    light *= cover
    np.subtract(1.0, light, out=light)
    # Lumps come back to front; what lies behind one shows through it only faintly.
    target = canvas.log_light[y0:y1, x0:x1]
    cover *= np.float32(_OPACITY)
    target *= np.subtract(1.0, cover, out=cover)
    target += cv2.log(light, dst=light)


def _polar(dx: Floats, dy: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """Distance from the centre, and number of the angle."""
    distance, angle = cv2.cartToPolar(dx, dy)
    angle *= np.float32(_ANGLES / (2 * np.pi))
    np.minimum(angle, _ANGLES - 1, out=angle)
    return np.asarray(distance, dtype=np.float32), angle.astype(np.uint8)


def _kept(
    floor: float, bend: Floats, share: Floats, chord: Floats, softness: Floats | None
) -> Floats:
    """Light that isn't bent away: floor + (1 - floor) / (1 + (bend share / chord)²), and more of
    it where the edge is soft. Works in ``bend``."""
    bend *= share
    bend /= chord
    np.multiply(bend, bend, out=bend)
    bend += 1.0
    keep = np.divide(1.0 - floor, bend, out=bend)
    keep += floor
    if softness is not None:
        more = np.subtract(1.0, keep)
        more *= softness
        more *= np.float32(0.85)
        keep += more
    return keep


def _cover(edge: Floats, distance: Floats, softness: Floats | None, pitch_um: float) -> Floats:
    """1 inside, 0 outside: clip((edge - distance) / (pitch + 0.3 softness edge) + 0.5, 0, 1).
    Works in ``distance`` and ``softness``."""
    cover = np.subtract(edge, distance, out=distance)
    if softness is None:
        cover /= np.float32(pitch_um)
    else:
        softness *= edge
        softness *= np.float32(0.3)
        softness += np.float32(pitch_um)
        cover /= softness
    cover += 0.5
    return np.clip(cover, 0.0, 1.0, out=cover)


def _cavities(lump: Lump, turn: Floats, offset: tuple[Floats, Floats], thickness: Floats) -> Floats:
    """Logarithmic loss by absorption, less what cavities spare, plus their own thin rims. Works
    in ``thickness``."""
    loss = np.multiply(thickness, lump.absorption_per_um, out=thickness)
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
