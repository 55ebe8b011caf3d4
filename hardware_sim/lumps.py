"""Lumps seen through the microscope: their silhouettes, rims, thickness and cavities.

This is where most of the time of a frame goes, so a picture is worked out in place: the same
steps in the same order as the formulas in the comments, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hardware_sim.anatomy import Floats, Lump, surface_index
from hardware_sim.canvas import Canvas
from sorter.compiled import compiled

# An angle's number is one byte.
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
_SHARP = np.zeros(_ANGLES, np.float32)


@dataclass(frozen=True, slots=True)
class Outlined:
    """A lump with its outline from one side.

    Attributes:
        lump: what it is.
        radius_um, softness, rim: (`_ANGLES`,) of the silhouette; softness is None where all of
            the lump's surface is sharp.
    """

    lump: Lump
    radius_um: Floats
    softness: Floats | None
    rim: Floats


class Silhouettes:
    """The outlines of one body's lumps, from any side.

    Exact for star-shaped lumps: the silhouette at an angle is the largest projected radius over
    all surface points of that azimuth.
    """

    def __init__(self, lumps: tuple[Lump, ...]) -> None:
        self._lumps = lumps
        self._is_soft = [bool(lump.surface[..., 1].any()) for lump in lumps]
        # (3, lumps, rows of a surface table): what is looked up together lies together.
        tables = [lump.surface.reshape(-1, 3).T for lump in lumps]
        self._tables = np.stack(tables, axis=1) if tables else np.zeros((3, 0, 1), np.float32)

    def seen(self, turn: Floats) -> list[Outlined]:
        """The lumps with an attitude (3, 3), back to front."""
        lumps = self._lumps
        if not lumps:
            return []
        index = surface_index(_VIEW @ turn)
        radius = np.take(self._tables[0], index, axis=1, mode="clip")
        radius *= _COSINES
        limb = np.take(self._tables[1:], index[len(_TILTS) // 2], axis=2, mode="clip")
        outlines = _smooth(np.concatenate([radius.max(axis=1)[None], limb]))
        order = sorted(range(len(lumps)), key=lambda i: float(turn[2] @ lumps[i].centre_um))
        return [
            Outlined(
                lumps[i], outlines[0, i], outlines[1, i] if self._is_soft[i] else None,
                outlines[2, i],
            )
            for i in order
        ]  # fmt: skip


def _smooth(rows: Floats) -> Floats:
    """Mean of each angle (last axis) and its neighbours."""
    thirds = rows * np.float32(1 / 3)
    around = np.concatenate([thirds[..., -1:], thirds, thirds[..., :1]], axis=-1)
    return np.asarray(around[..., :-2] + around[..., 1:-1] + around[..., 2:], dtype=np.float32)


def draw_lump(canvas: Canvas, outlined: Outlined, turn: Floats, *, onto_nothing: bool) -> None:
    """Add a lump's surface, thickness, cavities and dark core to the logarithm of the light.

    Args:
        canvas: what to draw on.
        outlined: what to draw, as `Silhouettes.seen` gives it.
        turn: (3, 3) attitude.
        onto_nothing: whether the canvas is still empty.
    """
    lump, radius, soft, rim = outlined.lump, outlined.radius_um, outlined.softness, outlined.rim
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
    distance, angle = cv2.cartToPolar(dx, dy)
    bend = np.square(np.float32(lump.rim) * rim)
    gain, keep, cover, share = np.empty((4, *dx.shape), np.float32)
    _shade(
        (np.asarray(distance, np.float32), np.asarray(angle, np.float32)),
        (radius, bend, _SHARP if soft is None else soft),
        (lump.rim_floor, pitch),
        (gain, keep, cover, share),
    )
    _absorb(lump, turn, (dx, dy), gain)
    if lump.core_depth > 0.0:
        gain -= lump.core_depth * _bell(np.divide(share, np.float32(lump.core_share**2)))
    cv2.exp(gain, dst=gain)
    _pass(gain, keep, cover)
    target = canvas.log_light[y0:y1, x0:x1]
    if onto_nothing:
        cv2.log(gain, dst=target)
        return
    # Lumps come back to front; what lies behind one shows through it only faintly.
    cover *= np.float32(_OPACITY)
    target *= np.subtract(1.0, cover, out=cover)
    target += cv2.log(gain, dst=gain)


@compiled
def _shade(
    polar: tuple[Floats, Floats],
    rows: tuple[Floats, Floats, Floats],
    limits: tuple[float, float],
    out: tuple[Floats, Floats, Floats, Floats],
) -> None:
    """A lump's thickness, and what its rim does to the light.

    Args:
        polar: (h, w) distance from the centre, and angle in rad.
        rows: (`_ANGLES`,) radius, square of the rim's strength, softness.
        limits: least share of the light that the rim keeps; µm per pixel.
        out: (h, w), written to: half the thickness; the light that isn't bent away,
            floor + (1 - floor) / (1 + (rim share / chord)²), and more of it where the edge is soft;
            cover, 1 inside and 0 outside, clip((edge - distance) / (pitch + 0.3 softness edge) +
            0.5, 0, 1); share, the square of the distance as a share of the edge's.
    """
    distances, angles = polar
    radius, bends, softness = rows
    floor, pitch = np.float32(limits[0]), np.float32(limits[1])
    to_number, last = np.float32(_ANGLES / (2 * np.pi)), np.float32(_ANGLES - 1)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    bent, thinnest = np.float32(1.0 - limits[0]), np.float32(2e-3)
    softer, wider = np.float32(0.85), np.float32(0.3)
    for y in range(distances.shape[0]):
        away, angle = distances[y], angles[y]
        gain, kept, cover, shares = out[0][y], out[1][y], out[2][y], out[3][y]
        for x in range(len(away)):
            number = np.uint8(min(angle[x] * to_number, last))
            edge = radius[number]
            share = away[x] / edge
            share *= share
            chord = max(one - share, thinnest)
            bend = bends[number] * share / chord
            keep = bent / (bend * bend + one) + floor
            soft = softness[number]
            keep += (one - keep) * soft * softer
            width = soft * edge * wider + pitch
            gain[x] = edge * np.sqrt(chord)
            kept[x] = keep
            cover[x] = min(max((edge - away[x]) / width + half, zero), one)
            shares[x] = share


@compiled
def _pass(light: Floats, keep: Floats, cover: Floats) -> None:
    """1 - cover (1 - keep light), in place."""
    one = np.float32(1.0)
    for y in range(light.shape[0]):
        row, kept, covered = light[y], keep[y], cover[y]
        for x in range(len(row)):
            row[x] = one - (one - row[x] * kept[x]) * covered[x]


def _absorb(
    lump: Lump, turn: Floats, offset: tuple[Floats, Floats], half_thickness: Floats
) -> None:
    """From half the thickness to the logarithm of what absorption leaves, in place: less what
    cavities spare, plus their own thin rims."""
    gain = half_thickness
    gain *= -2.0 * lump.absorption_per_um
    for void in lump.voids:
        centre = turn @ void.centre_um
        share = (np.square(offset[0] - centre[0]) + np.square(offset[1] - centre[1])) / np.float32(
            void.radius_um**2
        )
        chord = np.clip(1.0 - share, 0.0, 1.0)
        root = np.sqrt(chord)
        gain += lump.absorption_per_um * 2.0 * void.radius_um * root
        gain -= np.float32(0.45) * _bell((share - np.float32(0.93)) / np.float32(0.1))
        gain += np.float32(0.10) * root


def _bell(x: Floats) -> Floats:
    """exp(-x²), but never so small that it is denormal: arithmetic on those is very slow."""
    exponent = np.negative(np.square(x))
    return np.asarray(np.exp(np.maximum(exponent, -80.0, out=exponent)), dtype=np.float32)
