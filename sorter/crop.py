"""A square cut-out around a detection, at the model's µm per pixel, divided by the background."""

from __future__ import annotations

import math
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.background import BACKGROUND_LEVEL, Background
from sorter.detection import Detection

Crop = NDArray[np.uint8]


class CropSettings(BaseModel):
    """What a model wants to see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(64, ge=8, description="side of the crop, px")
    pitch_um: float = Field(6.0, gt=0, description="pitch of the crop, µm/px")
    level: int = Field(160, ge=1, le=255, description="grey of the background in the crop")
    neighbour_contrast: float = Field(
        0.06, gt=0, description="contrast from which a touching neighbour is painted over"
    )


def crop(
    pixels: Pixels,
    background: Background | float,
    detection: Detection,
    *,
    pitch_um: float,
    settings: CropSettings,
    out: Crop | None = None,
) -> Crop:
    """Cut a square around the centroid of a detection.

    The frame is averaged down to the model's pitch, divided by the local background and scaled so
    that the background is ``settings.level``; what lies outside the frame is background. Next to
    a ``split`` detection, what touches it is painted over with background.

    Args:
        pixels: (height, width) uint8 or uint16.
        background: the segmenter's background, or the grey of an even one.
        detection: what to cut out.
        pitch_um: µm per pixel of the frame.
        settings: size, pitch and level of the crop.
        out: (size, size) uint8 to write to.

    Returns:
        (size, size) uint8; ``out`` where that was given.
    """
    size, scale = settings.size_px, settings.pitch_um / pitch_um
    half = size * scale / 2.0
    halvings = int(math.log2(scale)) if scale >= 2.0 else 0
    cell = 2**halvings
    # Edges of the crop in the frame, in coordinates in which pixel i covers i to i + 1.
    left, top = detection.x_px + 0.5 - half, detection.y_px + 0.5 - half
    x0, y0 = _floor(left - cell, cell), _floor(top - cell, cell)
    side = math.ceil((2.0 * half + 3.0 * cell) / cell) * cell
    region = _window(pixels, x0, y0, side)
    for _ in range(halvings):
        half_size = region.shape[1] // 2, region.shape[0] // 2
        region = cv2.resize(region, half_size, interpolation=cv2.INTER_AREA)
    # Less than two cells go into one pixel now, which bilinear sampling averages well enough.
    rest = scale / cell
    start = rest / 2.0 - 0.5
    matrix = np.array(
        [[rest, 0.0, (left - x0) / cell + start], [0.0, rest, (top - y0) / cell + start]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sampled = cv2.warpAffine(
        region, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    result = _divide(sampled, background, (left, top, 2.0 * half), pixels.shape, settings, out)
    if _outside(left, top, half, pixels.shape):
        _fill_outside(result, (left, top), scale, pixels.shape, settings.level)
    if detection.split:
        _paint_over(result, detection, (left, top), scale, settings)
    return result


def _floor(value: float, step: int) -> int:
    return math.floor(value / step) * step


def _window(pixels: NDArray[Any], x0: int, y0: int, side: int) -> NDArray[Any]:
    """A square region; what lies outside the frame repeats its edge."""
    height, width = pixels.shape
    inside = pixels[max(0, y0) : max(0, y0 + side), max(0, x0) : max(0, x0 + side)]
    if inside.shape == (side, side):
        return inside
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = max(0, x0 + side - width), max(0, y0 + side - height)
    return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)


def _divide(
    sampled: NDArray[Any],
    background: Background | float,
    square: tuple[float, float, float],
    shape: tuple[int, ...],
    settings: CropSettings,
    out: Crop | None,
) -> Crop:
    """Divide by the background below the square (left, top, side), and scale to the level."""
    if not isinstance(background, Background):
        factor = settings.level / background
        return cast(Crop, cv2.convertScaleAbs(sampled, out, factor))
    rows, columns = background.shape
    left, top, side = square
    across, down = columns / shape[1], rows / shape[0]
    x0 = min(max(0, round(left * across)), columns - 1)
    y0 = min(max(0, round(top * down)), rows - 1)
    x1 = max(x0 + 1, min(columns, round((left + side) * across)))
    y1 = max(y0 + 1, min(rows, round((top + side) * down)))
    # The light changes so slowly that half a cell of displacement at the border is nothing.
    inverse = cv2.resize(background.inverse[y0:y1, x0:x1], (settings.size_px, settings.size_px))
    factor = settings.level / (background.gain * BACKGROUND_LEVEL)
    return cast(Crop, cv2.multiply(sampled, inverse, out, factor, cv2.CV_8U))


def _outside(left: float, top: float, half: float, shape: tuple[int, ...]) -> bool:
    return left < 0 or top < 0 or left + 2 * half > shape[1] or top + 2 * half > shape[0]


def _fill_outside(
    result: Crop, corner: tuple[float, float], scale: float, shape: tuple[int, ...], level: int
) -> None:
    """Set the crop's pixels whose centre lies outside the frame to background."""
    x0, x1 = (math.ceil((edge - corner[0]) / scale - 0.5) for edge in (0, shape[1]))
    y0, y1 = (math.ceil((edge - corner[1]) / scale - 0.5) for edge in (0, shape[0]))
    result[: max(0, y0)] = level
    result[max(0, y1) :] = level
    result[:, : max(0, x0)] = level
    result[:, max(0, x1) :] = level


def _paint_over(
    result: Crop,
    detection: Detection,
    corner: tuple[float, float],
    scale: float,
    settings: CropSettings,
) -> None:
    """Paint what touches the detection, but lies outside its outline, with background."""
    own = np.zeros_like(result)
    points = (detection.contour + 0.5 - np.asarray(corner)) / scale - 0.5
    cv2.fillPoly(own, [np.round(points * 16).astype(np.int32)[:, None, :]], 255, shift=4)
    grown = cv2.dilate(own, np.ones((3, 3), np.uint8))
    dark = np.abs(result.astype(np.int16) - settings.level)
    other = ((dark > settings.neighbour_contrast * settings.level) & (grown == 0)).view(np.uint8)
    other = cv2.dilate(other, np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(other)
    near = np.zeros(count, bool)
    near[labels[grown > 0]] = True
    near[0] = False
    paint = near[labels] & (own == 0)
    result[paint] = settings.level
