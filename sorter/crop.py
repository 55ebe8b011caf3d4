"""Square cut-outs around detections, at the model's µm per pixel, divided by the background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.background import BACKGROUND_LEVEL, Background
from sorter.detection import Detection
from sorter.neighbours import paint_over

Crop = NDArray[np.uint8]
_Map = NDArray[np.float32]

_BILINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_FINE = 1.5  # cells of the background in a crop's pixel, above which each crop has its own map


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
    """Cut a square around the centroid of one detection; see `Cropper`.

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
    [made] = Cropper(background, settings, pitch_um=pitch_um).cut([pixels], [detection])
    if out is None:
        return np.asarray(made)
    out[:] = made
    return out


class Cropper:
    """Cuts squares around the centroids of detections.

    The frame is averaged down to the model's pitch, divided by the local background and scaled so
    that the background is ``settings.level``; what lies outside the frame is background. Next to
    a ``split`` detection, what touches it is painted over with background.

    Args:
        background: the segmenter's background, or the grey of an even one.
        settings: size, pitch and level of the crops.
        pitch_um: µm per pixel of the frames.
    """

    def __init__(
        self, background: Background | float, settings: CropSettings, *, pitch_um: float
    ) -> None:
        self._background = background
        self._settings = settings
        self._size, self._level = settings.size_px, settings.level
        self._scale = settings.pitch_um / pitch_um
        self._half = self._size * self._scale / 2.0
        self._halvings = int(math.log2(self._scale)) if self._scale >= 2.0 else 0
        # Less than two cells go into one pixel now, which bilinear sampling averages well enough.
        rest = self._scale / 2**self._halvings
        self._start = rest / 2.0 - 0.5
        self._matrix = np.array([[rest, 0.0, 0.0], [0.0, rest, 0.0]])
        self._cells_per_px = 1.0
        self._pad = self._size // 2 + 1
        self._inverse = np.empty((0, 0), np.float32)
        self._inverse_of: tuple[int, tuple[int, ...]] | None = None

    def cut(self, levels: Sequence[Pixels], detections: Sequence[Detection]) -> NDArray[np.uint8]:
        """(n, size, size) uint8, a crop for each detection.

        Args:
            levels: the frame, (height, width) uint8 or uint16, and as many halvings of it as
                there are (`sorter.grid.Pyramid`); what is missing is made.
            detections: n of that frame.
        """
        shape = levels[0].shape
        source = _halved(levels, self._halvings)
        half, scale, cell = self._half, self._scale, 2**self._halvings
        self.prepare(shape)
        crops = np.empty((len(detections), self._size, self._size), np.uint8)
        for out, detection in zip(crops, detections, strict=True):
            # Edges of the crop in the frame, in which pixel i covers i to i + 1.
            left, top = detection.x_px + 0.5 - half, detection.y_px + 0.5 - half
            right, bottom = left + 2.0 * half, top + 2.0 * half
            sampled = self._sample(source, left / cell, top / cell, out)
            self._divide(sampled, left / scale, top / scale, out)
            if left < 0 or top < 0 or right > shape[1] or bottom > shape[0]:
                _fill_outside(out, (left, top), scale, shape, self._level)
            if detection.split:
                _paint_over(out, detection, (left, top), scale, self._settings)
        return crops

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Follow the background, where that has learnt since the last call.

        Args:
            shape: (height, width) of the frames.
        """
        background = self._background
        if not isinstance(background, Background):
            return
        state = background.version, shape
        self._cells_per_px = self._scale * background.shape[0] / shape[0]
        if state == self._inverse_of or self._cells_per_px >= _FINE:
            return
        self._inverse_of = state
        height, width = (max(1, round(side / self._scale)) for side in shape)
        pad = self._pad
        if self._inverse.shape != (height + 2 * pad, width + 2 * pad):
            self._inverse = np.empty((height + 2 * pad, width + 2 * pad), np.float32)
        inverse = self._inverse
        inner = inverse[pad:-pad, pad:-pad]
        cv2.resize(background.inverse, (width, height), dst=inner)
        inverse[pad:-pad, :pad] = inner[:, :1]
        inverse[pad:-pad, -pad:] = inner[:, -1:]
        inverse[:pad] = inverse[pad]
        inverse[-pad:] = inverse[-pad - 1]

    def _sample(self, source: Pixels, left: float, top: float, out: Crop) -> Pixels:
        """Bilinear samples, into ``out`` where the frame has 8 bits."""
        matrix = self._matrix
        matrix[0, 2], matrix[1, 2] = left + self._start, top + self._start
        sampled = cv2.warpAffine(
            source,
            matrix,
            (self._size, self._size),
            dst=out if source.dtype == np.uint8 else None,
            flags=_BILINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return cast(Pixels, sampled)

    def _divide(self, sampled: Pixels, left: float, top: float, out: Crop) -> None:
        """Divide by the background there (in crop pixels), and scale to the level."""
        background = self._background
        if not isinstance(background, Background):
            cv2.convertScaleAbs(sampled, out, self._level / background)
            return
        inverse = self._inverse_below(background, left, top)
        factor = self._level / (background.gain * BACKGROUND_LEVEL)
        cv2.multiply(sampled, inverse, out, factor, cv2.CV_8U)

    def _inverse_below(self, background: Background, left: float, top: float) -> _Map:
        """The inverse background below a crop whose corner is given in crop pixels."""
        size, finer = self._size, self._cells_per_px
        if finer < _FINE:
            # The light changes so slowly that half a pixel of displacement is nothing.
            y, x = round(top) + self._pad, round(left) + self._pad
            return self._inverse[y : y + size, x : x + size]
        rows, columns = background.shape
        x0 = min(max(0, round(left * finer)), columns - 1)
        y0 = min(max(0, round(top * finer)), rows - 1)
        x1 = max(x0 + 1, min(columns, round((left + size) * finer)))
        y1 = max(y0 + 1, min(rows, round((top + size) * finer)))
        below = background.inverse[y0:y1, x0:x1]
        return cast(_Map, cv2.resize(below, (size, size)))


def _halved(levels: Sequence[Pixels], halvings: int) -> Pixels:
    if len(levels) > halvings:
        return levels[halvings]
    pixels = levels[-1]
    for _ in range(halvings + 1 - len(levels)):
        short = pixels.shape[0] % 2, pixels.shape[1] % 2
        if any(short):
            padded = cv2.copyMakeBorder(pixels, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE)
            pixels = cast(Pixels, padded)
        size = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = cast(Pixels, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return pixels


def _fill_outside(
    result: Crop, corner: tuple[float, float], scale: float, shape: tuple[int, ...], level: int
) -> None:
    """Set the crop's pixels whose centre lies outside the frame to background."""
    left, top = corner
    size = len(result)
    x0, x1 = math.ceil(-left / scale - 0.5), math.ceil((shape[1] - left) / scale - 0.5)
    y0, y1 = math.ceil(-top / scale - 0.5), math.ceil((shape[0] - top) / scale - 0.5)
    if x0 > 0:
        result[:, :x0] = level
    if y0 > 0:
        result[:y0] = level
    if x1 < size:
        result[:, max(0, x1) :] = level
    if y1 < size:
        result[max(0, y1) :] = level


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
    paint_over(result, own, settings.level, settings.neighbour_contrast * settings.level)
