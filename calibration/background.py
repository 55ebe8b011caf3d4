"""How bright and how even a rig's light is, measured on frames of a running channel.

Bodies may flow past meanwhile: light is learned only where none is. The entry tells a later run
whether the lamp, the camera's exposure or the lens has changed; the running background is always
learned anew.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from calibration.store import Entry, Value, new_entry
from drivers.ports import Pixels
from sorter.errors import CheckFailed, InputError
from sorter.segment import Segmenter, SegmentSettings

KIND = "background"
_GRID = (4, 6)


class BackgroundCalibrationSettings(BaseModel):
    """What light is good enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_frames: int = Field(default=50, ge=10, description="frames needed; count")
    min_level: float = Field(
        default=0.2, gt=0, lt=1, description="darkest background accepted, share of full scale"
    )
    max_level: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="brightest accepted, share of full scale; above it bright spots saturate",
    )
    max_falloff: float = Field(
        default=0.4, gt=0, lt=1, description="largest loss of light from the brightest part"
    )


def background_conditions(
    shape: tuple[int, int], bit_depth: int, pitch_um: float
) -> dict[str, Value]:
    """What a background holds for: frame (height, width), bit depth and pitch."""
    return {
        "height_px": shape[0],
        "width_px": shape[1],
        "bit_depth": bit_depth,
        "pitch_um": pitch_um,
    }


def calibrate_background(
    frames: Iterable[Pixels],
    *,
    pitch_um: float,
    bit_depth: int,
    segment: SegmentSettings | None = None,
    settings: BackgroundCalibrationSettings | None = None,
    note: str = "",
) -> Entry:
    """Measure the background of a rig.

    Args:
        frames: (height, width) uint8 or uint16 each, one after the other, of one shape.
        pitch_um: µm per pixel.
        bit_depth: 8 to 16, significant bits of the frames.
        segment: how bodies are told from background.
        settings: what is good enough.
        note: for people.

    Returns:
        An entry of pure numbers: ``level`` (share of full scale, median over the frame),
        ``falloff`` (loss of light from the brightest to the darkest twenty-fourth of the frame),
        ``noise`` (standard deviation of a pixel, share of the background), ``flicker`` (standard
        deviation of the brightness from frame to frame), and ``light_ROW_COLUMN``, the light
        of each twenty-fourth relative to the brightest.

    Raises:
        InputError: too few frames, or frames of different kinds.
        CheckFailed: the light is too dark, too bright or too uneven.
    """
    settings = settings or BackgroundCalibrationSettings()
    segmenter: Segmenter | None = None
    levels: list[float] = []
    noises: list[float] = []
    before: Pixels | None = None
    for pixels in frames:
        if segmenter is None:
            shape = (int(pixels.shape[0]), int(pixels.shape[1]))
            segmenter = Segmenter(
                segment or SegmentSettings(), pitch_um=pitch_um, shape=shape, bit_depth=bit_depth
            )
        segmenter.detect(pixels)
        levels.append(segmenter.background.gain)
        if before is not None:
            noises.append(_noise(before, pixels))
        before = pixels
    if segmenter is None or len(levels) < settings.min_frames:
        raise InputError(
            f"{len(levels)} frames, where {settings.min_frames} are needed",
            on="calibration of the background",
            do="Let the camera run for longer.",
        )
    values, uncertainty = _summary(segmenter, levels, noises, bit_depth)
    _check(values, settings)
    conditions = background_conditions(segmenter.shape, bit_depth, pitch_um)
    return new_entry(
        KIND, values, unit="1", conditions=conditions, uncertainty=uncertainty, note=note
    )


def _noise(one: Pixels, other: Pixels) -> float:
    """Noise of a pixel in grey values, from two frames: robust, so that bodies don't count."""
    difference = one[::4, ::4].astype(np.float32) - other[::4, ::4]
    spread = float(np.median(np.abs(difference - np.median(difference))))
    return 1.4826 * spread / float(np.sqrt(2.0))


def _summary(
    segmenter: Segmenter, gains: list[float], noises: list[float], bit_depth: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Values, and 95 % intervals of those that vary from frame to frame."""
    gain = np.asarray(gains)
    grey = segmenter.background.level * float(np.median(gain))
    middle = float(np.median(grey))
    level = middle / (2**bit_depth - 1)
    light = _coarse(grey)
    noise = np.asarray(noises) / middle
    values = {
        "level": level,
        "falloff": float(1.0 - light.min()),
        "noise": float(noise.mean()),
        "flicker": float(np.std(gain) / np.mean(gain)),
    }
    for (row, column), value in np.ndenumerate(light):
        values[f"light_{row}_{column}"] = float(value)
    share = gain / float(np.median(gain))
    uncertainty = {
        "level": _interval(level * share),
        "noise": _interval(noise),
    }
    return values, uncertainty


def _coarse(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """(4, 6) mean light of equal parts of the frame, relative to the brightest."""
    rows = np.array_split(grey.astype(np.float64), _GRID[0], axis=0)
    parts = [[part.mean() for part in np.array_split(row, _GRID[1], axis=1)] for row in rows]
    light = np.asarray(parts)
    return np.asarray(light / light.max(), np.float64)


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean of frames that are independent of each other."""
    half = 1.96 * float(np.std(samples, ddof=1)) / float(np.sqrt(len(samples)))
    return float(samples.mean()) - half, float(samples.mean()) + half


def _check(values: dict[str, float], settings: BackgroundCalibrationSettings) -> None:
    checks = (
        (values["level"] < settings.min_level, "too dark", "Raise the lamp or the exposure."),
        (values["level"] > settings.max_level, "too bright", "Lower the lamp or the exposure."),
        (
            values["falloff"] > settings.max_falloff,
            "too uneven",
            "Centre the lamp and the condenser; look for a bubble or dirt in the channel.",
        ),
    )
    for failed, what, advice in checks:
        if failed:
            raise CheckFailed(
                f"the light is {what}: level {values['level']:.2f}, "
                f"falloff {values['falloff']:.2f}",
                on="calibration of the background",
                do=advice,
            )
