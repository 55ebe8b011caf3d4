"""Bodies in one frame of known background: found at reduced resolution, then outlined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.attention import Attention, Full
from sorter.background import BACKGROUND_LEVEL
from sorter.coarse import buffers_for, search
from sorter.detection import Detection, glimpse
from sorter.grid import Grid
from sorter.refine import Box, Centres, Coarse, Refiner
from sorter.speck import MATTERS_UM
from sorter.touching import TouchingSettings

_SAME_CELLS = 1.5


class FindSettings(BaseModel):
    """How bodies are found; one set of defaults serves every pitch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coarsest_um: float = Field(8.2, gt=0, description="largest pitch of the reduced image, µm")
    min_diameter_um: float = Field(
        20.0,
        gt=0,
        description="diameter of the smallest detection, µm; an angular grain of 30 µm seen from "
        "its narrow side looks no larger",
    )
    dark_contrast: float = Field(
        0.06, gt=0, lt=1, description="darkness that counts as object, a share of the background"
    )
    bright_contrast: float = Field(
        0.15, gt=0, description="brightness that does; above the fringe of a defocused body"
    )
    edge_share: float = Field(
        0.5, gt=0, lt=1, description="where the edge lies between background (0) and body (1)"
    )
    thread_um: float = Field(
        16.0, ge=0, description="thickness below which what sticks out of a body is cut off, µm"
    )
    rim_um: float = Field(
        25.0,
        ge=0,
        description="depth below the outline found at reduced resolution from which all is body, "
        "as bright as it may be, µm",
    )
    large_um: float = Field(
        100.0, gt=0, description="what is this wide and high, µm, is outlined at `large_pitch_um`"
    )
    large_pitch_um: float = Field(
        4.0, gt=0, description="largest pitch of the image that large bodies are outlined in, µm"
    )
    touching: TouchingSettings = TouchingSettings()


class View(NamedTuple):
    """One frame, and its background at the reduced resolution.

    Attributes:
        levels: the frame, uint8 or uint16, at full, half, a quarter of the resolution …
        grey: reduced image divided by its background, uint8, `BACKGROUND_LEVEL` is background.
        level: grey of the background, float32, reduced resolution.
        gain: brightness of this frame relative to ``level``.
    """

    levels: Sequence[NDArray[Any]]
    grey: NDArray[Any]
    level: NDArray[Any]
    gain: float


class Finder:
    """Finds bodies in frames of one shape and pitch. Keeps buffers, and whose turn it is in late
    frames; no other history."""

    def __init__(self, settings: FindSettings, *, pitch_um: float, grid: Grid) -> None:
        self.settings = settings
        self.pitch_um = pitch_um
        self.grid = grid
        self._cell_um = pitch_um * grid.reduction
        halvings = Grid.fit(grid.shape, pitch_um, settings.large_pitch_um).halvings
        self._large_level = min(halvings, grid.halvings)
        self._refiners = {level: self._refiner(level) for level in {0, self._large_level}}
        # What is large enough darkens this many cells in a row, however it lies on them.
        self._least_cells = max(2, math.ceil(settings.min_diameter_um / self._cell_um))
        self._rim_cells = max(1, round(settings.rim_um / pitch_um / grid.reduction))
        self._buffers = buffers_for(*grid.cells)
        self._turn = 0
        self.occupied = self._buffers.occupied
        """(cells) uint8, 255 where the last frame held a body, with a margin."""

    def find(self, view: View, attention: Attention | None = None) -> list[Detection]:
        """All objects of at least ``min_diameter_um``, those at the border included.

        Args:
            view: the frame.
            attention: what is paid to it; None: all. Where it is short, finds that it knows, or
                that come or go, are only glimpsed, and others that are too small to matter, and
                that nobody looks for, are left out.
        """
        boxes = self._coarse(view.grey)
        if not boxes:
            return []
        attention = attention or Full()
        coarse = Coarse(self._buffers.mask, self._buffers.pale_core, view.level, view.gain)
        found: list[Detection] = []
        seen: Centres = []
        is_short = False
        for box in self._in_turn(boxes, attention):
            is_short = is_short or attention.is_short(len(boxes))
            if is_short and self._needs_no_outline(box, attention):
                self._glimpse(box, seen, found)
            elif not is_short or self._matters(box) or attention.seeks(self._in_pixels(box)):
                is_large = _shorter_side(box) * self._cell_um >= self.settings.large_um
                level = self._large_level if is_large else 0
                image = view.levels[level]
                self._refiners[level].refine(image, coarse, box, seen, found)
        self._turn = self._turn + 1 if is_short else 0
        return found

    def _in_turn(self, boxes: Sequence[Box], attention: Attention) -> Sequence[Box]:
        """Small ones first: one beside a large body lies in that one's region as well. As long as
        there is no time for all, those that are not known come first, and each time others of those
        that are."""
        order = sorted(boxes, key=_shorter_side)
        if self._turn == 0:
            return order
        known = [box for box in order if attention.knows(self._in_pixels(box))]
        first = self._turn % max(1, len(known))
        return [box for box in order if box not in known] + known[first:] + known[:first]

    def _matters(self, box: Box) -> bool:
        return max(box[2:]) * self._cell_um >= MATTERS_UM

    def _needs_no_outline(self, box: Box, attention: Attention) -> bool:
        """Whether it is known, or comes into view or leaves it, with nobody else beside it who is
        not known: its outline would tell nothing."""
        is_cut = box[0] == 0 or box[0] + box[2] == self.grid.cells[1]
        place = self._in_pixels(box)
        return attention.knows(place) or (is_cut and not attention.seeks(place))

    def _in_pixels(self, box: Box) -> Box:
        x, y, w, h = (cells * self.grid.reduction for cells in box)
        return x, y, w, h

    def _glimpse(self, box: Box, seen: Centres, found: list[Detection]) -> None:
        """Add a find by its box alone, unless it lay in the region of one that was outlined."""
        x, y, w, h = self._in_pixels(box)
        near_px = _SAME_CELLS * self.grid.reduction
        centre = x + w / 2, y + h / 2
        if not any(math.dist(centre, other) < near_px for other in seen):
            found.append(glimpse((x, y, w, h), pitch_um=self.pitch_um, shape=self.grid.shape))

    def _refiner(self, level: int) -> Refiner:
        """The refiner for the frame halved so many times."""
        scale, s = 2**level, self.settings
        step = self.grid.reduction // scale
        rows, columns = self.grid.cells
        return Refiner(
            s.touching,
            pitch_um=self.pitch_um * scale,
            # A halved frame is padded to whole cells.
            shape=(rows * step, columns * step) if level else self.grid.shape,
            step=step,
            scale=scale,
            min_diameter_um=s.min_diameter_um,
            thread_um=s.thread_um,
            dark_contrast=s.dark_contrast,
            edge_share=s.edge_share,
        )

    def _coarse(self, grey: NDArray[Any]) -> list[Box]:
        """Boxes in cells; leaves `occupied` and the cores of pale bodies behind."""
        settings, buffers = self.settings, self._buffers
        low = math.ceil(BACKGROUND_LEVEL * (1.0 - settings.dark_contrast))
        high = math.floor(BACKGROUND_LEVEL * (1.0 + settings.bright_contrast))
        count = search(grey, low, high, self._least_cells, self._rim_cells, buffers)
        return [(x, y, w, h) for x, y, w, h in buffers.boxes[:count].tolist()]


def _shorter_side(box: Box) -> int:
    return min(box[2], box[3])
