"""Lumps seen through the microscope: their rims, thickness and cavities.

This is where most of the time of a frame goes, so a picture is worked out in place: the same
steps in the same order as the formulas in the comments, but for the last bit.
"""

from __future__ import annotations

import cv2
import numpy as np

from hardware_sim.anatomy import Floats
from hardware_sim.canvas import Canvas
from hardware_sim.silhouettes import ANGLES, Outlined
from sorter.compiled import compiled

_OPACITY = 0.75
# exp(-x) of more than this is nothing to a number of single precision near 1.
_NOTHING = 18.0
_SHARP = np.zeros(ANGLES, np.float32)


def draw_lump(canvas: Canvas, outlined: Outlined, turn: Floats, *, onto_nothing: bool) -> None:
    """Add a lump's surface, thickness, cavities and dark core to the logarithm of the light.

    Args:
        canvas: what to draw on.
        outlined: what to draw, as `Silhouettes.seen` gives it.
        turn: (3, 3) attitude.
        onto_nothing: whether the canvas is still empty.
    """
    lump, radius, soft, rim = outlined.lump, outlined.radius_um, outlined.softness, outlined.rim
    x_um, y_um, _ = (turn @ lump.centre_um).tolist()
    pitch = canvas.pitch_um
    cx, cy = canvas.x_px + x_um / pitch, canvas.y_px + y_um / pitch
    softest = 0.0 if soft is None else float(soft.max())
    reach = float(radius.max()) * (1.0 + 0.2 * softest) / pitch + 2.0
    height, width = canvas.log_light.shape
    x0, x1 = max(0, int(cx - reach)), min(width, int(cx + reach) + 2)
    y0, y1 = max(0, int(cy - reach)), min(height, int(cy + reach) + 2)
    dx, dy, gain, keep, cover, share = np.empty((6, y1 - y0, x1 - x0), np.float32)
    _set_offsets((x0, y0), (cx, cy), pitch, dx, dy)
    distance, angle = cv2.cartToPolar(dx, dy)
    _shade(
        (np.asarray(distance, np.float32), np.asarray(angle, np.float32)),
        (radius, np.square(np.float32(lump.rim) * rim), _SHARP if soft is None else soft),
        (lump.rim_floor, lump.absorption_per_um, pitch),
        (gain, keep, cover, share),
    )
    for void in lump.voids:
        x_um, y_um, _ = (turn @ void.centre_um).tolist()
        _spare((dx, dy), (x_um, y_um), (void.radius_um, lump.absorption_per_um), gain)
    if lump.core_depth > 0.0:
        _darken(share, lump.core_share, lump.core_depth, gain)
    cv2.exp(gain, dst=gain)
    _pass(gain, keep, cover)
    cv2.log(gain, dst=gain)
    if onto_nothing:
        canvas.log_light[y0:y1, x0:x1] = gain
    else:
        _add_before(canvas.log_light, (x0, y0), cover, gain)


@compiled
def _set_offsets(
    corner: tuple[int, int], centre: tuple[float, float], pitch_um: float, dx: Floats, dy: Floats
) -> None:
    """Write to ``dx`` and ``dy`` (h, w) how far each pixel lies from a centre, in µm."""
    pitch, cx, cy = np.float32(pitch_um), np.float32(centre[0]), np.float32(centre[1])
    for y in range(dx.shape[0]):
        across = (np.float32(corner[1] + y) - cy) * pitch
        for x in range(dx.shape[1]):
            dx[y, x] = (np.float32(corner[0] + x) - cx) * pitch
            dy[y, x] = across


@compiled
def _shade(
    polar: tuple[Floats, Floats],
    rows: tuple[Floats, Floats, Floats],
    limits: tuple[float, float, float],
    out: tuple[Floats, Floats, Floats, Floats],
) -> None:
    """A lump's absorption, and what its rim does to the light.

    Args:
        polar: (h, w) distance from the centre, and angle in rad.
        rows: (`ANGLES`,) radius, square of the rim's strength, softness.
        limits: least share of the light that the rim keeps; absorption per µm; µm per pixel.
        out: (h, w), written to: logarithm of what absorption leaves; the light that isn't bent
            away, floor + (1 - floor) / (1 + (rim share / chord)²), and more of it where the edge is
            soft; cover, 1 inside and 0 outside, clip((edge - distance) / (pitch + 0.3 softness
            edge) + 0.5, 0, 1); share, the square of the distance as a share of the edge's.
    """
    distances, angles = polar
    radius, bends, softness = rows
    floor, pitch = np.float32(limits[0]), np.float32(limits[2])
    lost = np.float32(-2.0 * limits[1])
    to_number, last = np.float32(ANGLES / (2 * np.pi)), np.float32(ANGLES - 1)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    bent, thinnest = np.float32(1.0 - limits[0]), np.float32(2e-3)
    softer, wider = np.float32(0.85), np.float32(0.3)
    # Looked up first: what is left is the same for all pixels, and done for several at once.
    edges, bend_there, softnesses = np.empty((3, distances.shape[1]), np.float32)
    for y in range(distances.shape[0]):
        away, angle = distances[y], angles[y]
        gain, kept, cover, shares = out[0][y], out[1][y], out[2][y], out[3][y]
        for x in range(len(away)):
            number = np.uint8(min(angle[x] * to_number, last))
            edges[x], bend_there[x], softnesses[x] = radius[number], bends[number], softness[number]
        for x in range(len(away)):
            edge, soft = edges[x], softnesses[x]
            share = away[x] / edge
            share *= share
            chord = max(one - share, thinnest)
            bend = bend_there[x] * share / chord
            keep = bent / (bend * bend + one) + floor
            width = soft * edge * wider + pitch
            gain[x] = edge * np.sqrt(chord) * lost
            kept[x] = keep + (one - keep) * soft * softer
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


@compiled
def _add_before(canvas: Floats, corner: tuple[int, int], cover: Floats, light: Floats) -> None:
    """Add to what lies behind: it shows through a lump only faintly."""
    opacity, one = np.float32(_OPACITY), np.float32(1.0)
    for y in range(light.shape[0]):
        row, covered, added = canvas[corner[1] + y], cover[y], light[y]
        for x in range(len(added)):
            shows = one - covered[x] * opacity
            row[corner[0] + x] = row[corner[0] + x] * shows + added[x]


@compiled
def _spare(
    offset: tuple[Floats, Floats],
    centre_um: tuple[float, float],
    what: tuple[float, float],
    gain: Floats,
) -> None:
    """Take back the absorption that a cavity spares, and add its own thin rim.

    Args:
        offset: (h, w) x and y of the pixels, in µm.
        centre_um: its middle.
        what: its radius in µm; the lump's absorption per µm.
        gain: (h, w) logarithm of the light, changed.
    """
    dx, dy = offset
    cx, cy = np.float32(centre_um[0]), np.float32(centre_um[1])
    square, spared = np.float32(what[0] ** 2), np.float32(what[1] * 2.0 * what[0] + 0.10)
    for y in range(gain.shape[0]):
        for x in range(gain.shape[1]):
            share = ((dx[y, x] - cx) ** 2 + (dy[y, x] - cy) ** 2) / square
            if share < np.float32(1.0):
                gain[y, x] += spared * np.sqrt(np.float32(1.0) - share)
            away = ((share - np.float32(0.93)) / np.float32(0.1)) ** 2
            if away < np.float32(_NOTHING):
                gain[y, x] -= np.float32(0.45) * np.exp(-away)


@compiled
def _darken(share: Floats, core_share: float, depth: float, gain: Floats) -> None:
    """Darken the middle: where the square of the distance is this ``share`` of the edge's."""
    square = np.float32(core_share**2)
    for y in range(gain.shape[0]):
        for x in range(gain.shape[1]):
            away = (share[y, x] / square) ** 2
            if away < np.float32(_NOTHING):
                gain[y, x] -= np.float32(depth) * np.exp(-away)
