"""Frames to measure speed with: a seamless loop of textured discs that drift to the right.

Drawn with plain formulas and nothing of the simulator, so that `sorter bench` runs on any
installed package. They say nothing about how well anything is recognised: a disc is only made to
cost what a spheroid costs (dark rim, grain, soft edge, uneven light, noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.errors import UsageError

SMALLEST_UM = 80.0
LARGEST_UM = 200.0
_BACKGROUND_GREY = 190.0
_VIGNETTING = 0.10  # loss of light in the corners
_NOISE_GREY = 2.0
_GAP_PX = 14  # least distance between two bodies, and to the border


@dataclass(frozen=True, slots=True)
class BenchFrames:
    """A loop of frames with a fixed number of whole bodies in each.

    Attributes:
        frames: (length, height, width) uint8; the frame after the last is the first.
        centres_px: (length, n, 2) x and y of each body's centre.
        diameters_um: (n,) diameters.
        pitch_um: µm per pixel.
    """

    frames: NDArray[np.uint8]
    centres_px: NDArray[np.float64]
    diameters_um: NDArray[np.float64]
    pitch_um: float


@dataclass(frozen=True, slots=True)
class _Lane:
    """Bodies that share a height and a speed; they leave on the right and enter on the left."""

    y_px: float
    first_px: float
    spacing_px: float
    span_px: float
    turns: int


def bench_frames(
    n_objects: int = 16,
    *,
    width_px: int = 1280,
    height_px: int = 512,
    pitch_um: float = 2.0,
    length: int = 64,
    seed: int = 0,
) -> BenchFrames:
    """Draw a loop; the same arguments give the same frames.

    Args:
        n_objects: bodies in every frame, none touching another or the border; 0 or more.
        width_px, height_px: size of a frame.
        pitch_um: µm per pixel.
        length: frames in the loop. A body moves two or three frame widths in one loop: 18 to
            28 mm/s at 64 frames, 200 frames/s, 1280 px and 2 µm/px.
        seed: of sizes, shapes, grain and noise.

    Raises:
        UsageError: that many bodies don't fit into that frame.
    """
    rng = np.random.default_rng(seed)
    diameters_um = rng.uniform(SMALLEST_UM, LARGEST_UM, n_objects)
    lanes, owner = _lay_out(n_objects, width_px, height_px, pitch_um, rng)
    bodies = [_body(diameter / pitch_um, rng) for diameter in diameters_um]
    light = _light(width_px, height_px)
    noise = rng.normal(0.0, _NOISE_GREY, (height_px + 64, width_px + 64)).astype(np.float32)
    frames = np.empty((length, height_px, width_px), np.uint8)
    centres = np.empty((length, n_objects, 2))
    for k in range(length):
        transmitted = np.ones((height_px, width_px), np.float32)
        for i, body in enumerate(bodies):
            lane, place = lanes[owner[i][0]], owner[i][1]
            travelled = lane.first_px + place * lane.spacing_px
            travelled += lane.turns * lane.span_px * k / length
            edge = LARGEST_UM / pitch_um / 2 + _GAP_PX
            x, y = round(edge + travelled % lane.span_px), round(lane.y_px)
            half = body.shape[0] // 2
            transmitted[y - half : y + half + 1, x - half : x + half + 1] *= body
            centres[k, i] = x, y
        dy, dx = rng.integers(0, 64, 2)  # drawing noise anew would take most of the time
        grey = light * transmitted + noise[dy : dy + height_px, dx : dx + width_px]
        frames[k] = np.clip(grey + 0.5, 0, 255).astype(np.uint8)
    return BenchFrames(frames, centres, diameters_um, pitch_um)


def _lay_out(
    n: int, width_px: int, height_px: int, pitch_um: float, rng: np.random.Generator
) -> tuple[list[_Lane], list[tuple[int, int]]]:
    """Lanes, and for each body its lane and its place there."""
    largest_px = LARGEST_UM / pitch_um
    room = largest_px + _GAP_PX
    span = width_px - largest_px - 2 * _GAP_PX
    rows, per_row = int((height_px - _GAP_PX) // room), int(span // room)
    if n > rows * per_row:
        raise UsageError(
            f"{n} bodies don't fit into a frame of {width_px} x {height_px} px "
            f"at {pitch_um:g} µm/px, {max(0, rows * per_row)} do",
            do="Ask for fewer, or for a larger frame",
        )
    used = min(rows, max(1, n))
    places = [(i % used, i // used) for i in range(n)]
    lanes = [
        _Lane(
            y_px=_GAP_PX + room * (0.5 + row) + (height_px - _GAP_PX - room * used) * row / used,
            first_px=float(rng.uniform(0, span)),
            spacing_px=span / max(1, len([one for one in places if one[0] == row])),
            span_px=span,
            turns=2 + row % 2,
        )
        for row in range(used)
    ]
    return lanes, places


def _body(diameter_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(side, side) transmitted share of the light, 1 outside; side is odd."""
    half = int(np.ceil(diameter_px / 2)) + _GAP_PX // 2 - 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    angle = np.arctan2(y, x)
    radius = np.full_like(angle, diameter_px / 2)
    for waves in (2, 3, 5):
        phase = rng.uniform(0, 2 * np.pi)
        radius *= 1 + rng.uniform(0, 0.02) * np.cos(waves * angle + phase)
    radius *= diameter_px / 2 / radius.max()  # never larger than it says
    inward = radius - np.hypot(x, y)
    inside = 1 / (1 + np.exp(-inward / 0.8))
    rim = 0.25 * np.exp(-((inward - 3.0) ** 2) / (2 * 2.5**2))
    grain = cv2.GaussianBlur(rng.normal(0, 1, inward.shape).astype(np.float32), (0, 0), 1.6)
    absorbed = 0.38 + rim + 0.05 * grain / max(float(grain.std()), 1e-6)
    return np.asarray(1 - inside * np.clip(absorbed, 0, 1), np.float32)


def _light(width_px: int, height_px: int) -> NDArray[np.float32]:
    """(height, width) grey level of the empty channel."""
    y = (np.arange(height_px, dtype=np.float32) / (height_px - 1) * 2 - 1)[:, None]
    x = (np.arange(width_px, dtype=np.float32) / (width_px - 1) * 2 - 1)[None, :]
    return np.asarray(_BACKGROUND_GREY * (1 - _VIGNETTING * (x**2 + y**2) / 2), np.float32)
