"""The light that the frame would show with no body in it, followed while bodies flow past.

Kept at the reduced resolution of the segmenter, where bodies are found; the view at full
resolution is interpolated for the small regions that ask for it. A frame's overall brightness is
a *gain* of its own, so that flicker and drift of the lamp need not be learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.compiled import compiled

BACKGROUND_LEVEL = 128
"""Grey of the background in a normalised image; 0 is black, 255 about twice as bright."""


class BackgroundSettings(BaseModel):
    """How the background is learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update_every: int = Field(4, ge=1, description="learn from every n-th frame")
    rate: float = Field(0.02, gt=0, le=1, description="share of a frame in the average, once warm")
    warm_up_updates: int = Field(
        5, ge=1, description="first updates, made on every frame, that learn faster: a plain mean"
    )
    absorb_after_frames: int = Field(
        6000,
        ge=1,
        description="frames that something must stand still before it becomes background; "
        "30 s at 200 frames/s. Never less than 10 s",
    )
    absorb_change: float = Field(
        0.04, gt=0, description="largest relative change of grey that counts as standing still"
    )


class Background:
    """Adaptive background of one camera view, at reduced resolution.

    It starts from one frame with bodies in it (`start`; `sorter.still.estimate_background` gives
    the map), then learns only where no body is. What stands still is not learned until it has
    done so for ``absorb_after_frames``; what moves resets that count.

    Args:
        shape: (height, width) of the reduced image.
        settings: how to learn.
    """

    def __init__(self, shape: tuple[int, int], settings: BackgroundSettings | None = None) -> None:
        self.settings = settings or BackgroundSettings()
        self.shape = shape
        self.gain = 1.0
        self._map = np.ones(shape, np.float32)
        self._inverse = np.ones(shape, np.float32)
        self._step = max(1, int((shape[0] * shape[1] / 1500) ** 0.5))
        self._frames = 0
        self._updates = 0
        self._changes = 0
        self._still_frames = np.zeros(shape, np.float32)
        self._still_grey = np.zeros(shape, np.float32)

    @property
    def ready(self) -> bool:
        """Whether there is a background to divide by."""
        return self._updates > 0

    @property
    def version(self) -> int:
        """A number that every change of the background raises."""
        return self._changes

    @property
    def level(self) -> NDArray[np.float32]:
        """Grey of the background at ``gain`` 1, (height, width) float32, reduced resolution."""
        return self._map

    @property
    def inverse(self) -> NDArray[np.float32]:
        """``BACKGROUND_LEVEL / level``, (height, width) float32."""
        return self._inverse

    def start(self, level: NDArray[np.float32]) -> None:
        """Begin with a known background, (height, width), in the camera's grey values."""
        np.maximum(level, 1e-3, out=self._map)
        self._frames = 0
        self._updates = 1
        self._still_frames[:] = 0
        self.gain = 1.0
        self._refresh()

    def normalise(self, reduced: NDArray[Any], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Divide a reduced frame by the background, and find the frame's gain.

        The gain is the median ratio of frame to background over a grid of about 1,500 pixels, so
        that bodies may cover up to half of the view.

        Args:
            reduced: (height, width), any number type.
            out: (height, width) uint8, receives ``BACKGROUND_LEVEL`` where there is background.
        """
        self.gain = _divide(reduced, self._inverse, self._step, out)
        return out

    def update(self, reduced: NDArray[Any], occupied: NDArray[np.uint8]) -> None:
        """Learn from one frame; cheap, and does nothing on most frames.

        Args:
            reduced: (height, width), the frame that `normalise` saw last.
            occupied: (height, width) uint8, non-zero where a body is or may be.
        """
        self._frames += 1
        settings = self.settings
        warming = self._updates <= settings.warm_up_updates
        if not warming and self._frames % settings.update_every:
            return
        self._updates += 1
        rate = max(settings.rate, 1.0 / self._updates)
        _blend(reduced, occupied, self.gain, rate, self._map)
        if not warming:
            limits = settings.update_every, settings.absorb_after_frames, settings.absorb_change
            still = self._still_frames, self._still_grey
            _learn_what_stays(reduced, occupied, self.gain, limits, still, self._map)
        self._refresh()

    def _refresh(self) -> None:
        np.divide(BACKGROUND_LEVEL, self._map, out=self._inverse)
        self._changes += 1


@compiled
def _divide(
    reduced: NDArray[Any], inverse: NDArray[np.float32], step: int, out: NDArray[np.uint8]
) -> float:
    """Write a frame times the inverse background over its gain; returns the gain.

    Args:
        reduced, inverse: (height, width).
        step: the median is of each pixel in so many, along both axes.
        out: (height, width), rounded as OpenCV's ``multiply`` does it, to the bit.
    """
    height, width = reduced.shape
    samples = np.empty((-(-height // step), -(-width // step)), np.float32)
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            samples[y, x] = np.float32(reduced[y * step, x * step]) * inverse[y * step, x * step]
    middle = samples.size // 2
    gain = max(float(np.partition(samples.ravel(), middle)[middle]), 1e-3) / BACKGROUND_LEVEL
    scale, black, white = np.float32(1.0 / gain), np.float32(0.0), np.float32(255.0)
    for y in range(height):
        row, factor, grey = reduced[y], inverse[y], out[y]
        for x in range(width):
            value = np.rint(np.float32(row[x]) * scale * factor[x])
            grey[x] = np.uint8(min(max(value, black), white))
    return gain


@compiled
def _blend(
    reduced: NDArray[Any],
    occupied: NDArray[np.uint8],
    gain: float,
    rate: float,
    level: NDArray[np.float32],
) -> None:
    """Add a share of a frame over its gain to the level where no body is; as OpenCV's
    ``accumulateWeighted`` does it, to the bit.

    Args:
        reduced, occupied, level: (height, width).
        rate: the share.
    """
    share, over = np.float64(np.float32(rate)), np.float32(gain)
    height, width = reduced.shape
    for y in range(height):
        row, taken, mean = reduced[y], occupied[y], level[y]
        for x in range(width):
            off = np.float32(row[x]) / over - mean[x]
            blended = np.float32(mean[x] + off * share)
            mean[x] = mean[x] if taken[x] else blended


@compiled
def _learn_what_stays(
    reduced: NDArray[Any],
    occupied: NDArray[np.uint8],
    gain: float,
    limits: tuple[int, int, float],
    still: tuple[NDArray[np.float32], NDArray[np.float32]],
    level: NDArray[np.float32],
) -> None:
    """Count for how long each occupied pixel has kept its grey; set the level to what has stayed.

    Args:
        reduced, occupied, level: (height, width).
        limits: frames since the last call; that something must stand still; and the largest
            relative change of grey that counts as such.
        still: (height, width) each: frames that each pixel has stood still, and its grey.
    """
    frames, grey = still
    since, enough, change = np.float32(limits[0]), np.float32(limits[1]), np.float32(limits[2])
    over, none = np.float32(gain), np.float32(0.0)
    height, width = reduced.shape
    for y in range(height):
        row, taken, mean, count, kept = reduced[y], occupied[y], level[y], frames[y], grey[y]
        for x in range(width):
            steady = np.float32(row[x]) / over
            moved = abs(steady - kept[x]) > change * mean[x] or taken[x] == 0
            stood = none if moved else count[x] + since
            kept[x] = steady if moved else kept[x]
            stays = stood >= enough
            mean[x] = steady if stays else mean[x]
            count[x] = none if stays else stood
