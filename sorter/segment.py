"""Frames of a stream -> detections, with a background that follows the light."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from drivers.ports import Pixels
from sorter.attention import Attention
from sorter.background import Background, BackgroundSettings
from sorter.detection import Detection
from sorter.errors import InputError
from sorter.find import Finder, FindSettings, View
from sorter.grid import Grid, Pyramid
from sorter.still_background import estimate_background
from sorter.warm_up import warm_up_finding


class SegmentSettings(BaseModel):
    """Settings of the segmenter; the pitch is not among them, it comes from calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    find: FindSettings = FindSettings()
    background: BackgroundSettings = BackgroundSettings()


class Segmenter:
    """Finds every object in every frame of one camera. One thread; keeps the background.

    Args:
        settings: how to find and how to learn the background.
        pitch_um: µm per pixel in the object plane.
        shape: (height, width) of the frames.
        bit_depth: 8 to 16; frames deeper than 8 bits are uint16.

    Raises:
        InputError: for a shape, pitch or bit depth that no frame can have.
    """

    def __init__(
        self, settings: SegmentSettings, *, pitch_um: float, shape: tuple[int, int], bit_depth: int
    ) -> None:
        if not 8 <= bit_depth <= 16 or pitch_um <= 0 or min(shape) < 8:
            raise InputError(
                f"no frames of {shape[1]}x{shape[0]} pixels, {bit_depth} bits, {pitch_um} µm/px",
                do="Check the camera's size and bit depth (8 to 16) and the calibrated pitch.",
            )
        self.settings = settings
        self.pitch_um = pitch_um
        self.shape = shape
        self._white = float(2**bit_depth - 1)
        self.dtype = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
        self._grid = Grid.fit(shape, pitch_um, settings.find.coarsest_um)
        self._finder = Finder(settings.find, pitch_um=pitch_um, grid=self._grid)
        warm_up_finding(self.dtype)
        self.pyramid = Pyramid(self._grid, self.dtype)
        """The last frame at full, half, a quarter of the resolution …"""
        self._grey = np.empty(self._grid.cells, np.uint8)
        self._unlearnt: NDArray[Any] | None = None
        self.background = Background(self._grid.cells, settings.background)

    def detect(self, pixels: Pixels, attention: Attention | None = None) -> list[Detection]:
        """All objects of one frame; `settle` lets the background learn from it.

        Args:
            pixels: (height, width) of the shape and depth that the segmenter was made for.
            attention: see `Finder.find`.

        Raises:
            InputError: for a frame of another shape or depth.
        """
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise InputError(
                f"a frame of {pixels.shape} {pixels.dtype} where {self.shape} {self.dtype} was due",
                do="Set the camera's region and bit depth as in the rig file.",
            )
        self.settle()
        levels = self.pyramid.build(pixels)
        reduced = levels[-1]
        background = self.background
        if not background.ready:
            background.start(estimate_background(reduced, self.pitch_um * self._grid.reduction))
        background.normalise(reduced, self._grey)
        view = View(levels, self._grey, background.level, background.gain)
        found = self._finder.find(view, attention)
        self._unlearnt = reduced
        return found

    def light(self) -> float | None:
        """Mean of the background over full scale; None before the first frame."""
        if not self.background.ready:
            return None
        return float(self.background.level.mean()) / self._white

    def settle(self) -> None:
        """Let the background learn from the last frame; the next `detect` does so otherwise."""
        reduced, self._unlearnt = self._unlearnt, None
        if reduced is not None:
            self.background.update(reduced, self._finder.occupied)
