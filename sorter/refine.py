"""The outlines of what the coarse search found, at the resolution that its size deserves."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.coarse import MARGIN_CELLS
from sorter.darker import mark_bodies
from sorter.detection import Detection
from sorter.masks import close_along_border, mean_inside, without_threads
from sorter.outline import Contour, describe, measure, pixel_area
from sorter.touching import Part, TouchingSettings, is_round, separate
from sorter.tracing import MOST_VISITS, split, trace

_SAME_PX = 5.0

Box = tuple[int, int, int, int]
Centres = list[tuple[float, float]]


class Coarse(NamedTuple):
    """What the coarse search left behind, all of it (cells).

    Attributes:
        mask: uint8, 255 where something is.
        pale_core: uint8, 255 in the cores of bodies that are no darker than the background.
        level: grey of the background, float32.
        gain: brightness of this frame relative to ``level``.
    """

    mask: NDArray[Any]
    pale_core: NDArray[Any]
    level: NDArray[Any]
    gain: float


class _Region(NamedTuple):
    """The surroundings of one find.

    Attributes:
        offset: (x, y) in the image.
        pixels: (h, w) of it.
        background: mean grey of the background there.
        inside: mean grey of the one body in it, where there is one and that was easily had.
    """

    offset: tuple[int, int]
    pixels: NDArray[Any]
    background: float
    inside: float | None


class Refiner:
    """Outlines bodies in frames of one shape and pitch.

    Args:
        touching: when an outline is more than one body.
        pitch_um: µm per pixel of the images that it is given.
        shape: (height, width) of these images.
        step: their pixels in a cell of the coarse search, along one axis.
        scale: pixels of the frame in one of theirs, along one axis.
        min_diameter_um: of the smallest detection.
        thread_um: thickness below which what sticks out is cut off.
        dark_contrast: darkness that counts as object, a share of the background.
        edge_share: where the edge lies between background (0) and body (1).
    """

    def __init__(
        self,
        touching: TouchingSettings,
        *,
        pitch_um: float,
        shape: tuple[int, int],
        step: int,
        scale: int,
        min_diameter_um: float,
        thread_um: float,
        dark_contrast: float,
        edge_share: float,
    ) -> None:
        self._touching = touching
        self._pitch_um = pitch_um
        self._shape = shape
        self._step = step
        self._scale = scale
        self._min_area = math.pi / 4.0 * (min_diameter_um / pitch_um) ** 2
        self._min_part = math.pi / 4.0 * (touching.smallest_part_um / pitch_um) ** 2
        self._thread_px = round((thread_um / pitch_um - 1.0) / 2.0)
        self._dark_contrast = dark_contrast
        self._edge_share = edge_share
        self._chains = np.empty((0, 2), np.int32)
        self._ends = np.empty(0, np.int64)

    def refine(
        self, image: NDArray[Any], coarse: Coarse, box: Box, seen: Centres, found: list[Detection]
    ) -> None:
        """Add the bodies in one box.

        Args:
            image: the frame, at this refiner's resolution.
            coarse: what the search left behind.
            box: what it found, (x, y, width, height) in cells.
            seen: centres of outlines in frame pixels, so that those that lie in two regions are
                taken once; added to.
            found: added to, in frame pixels.
        """
        step = self._step
        rows, columns = coarse.mask.shape
        x, y, w, h = box
        x0, y0 = max(0, x - MARGIN_CELLS), max(0, y - MARGIN_CELLS)
        x1, y1 = min(columns, x + w + MARGIN_CELLS), min(rows, y + h + MARGIN_CELLS)
        offset = x0 * step, y0 * step
        pixels = image[offset[1] : y1 * step, offset[0] : x1 * step]
        mask = np.empty((pixels.shape[0] + 2, pixels.shape[1] + 2), np.uint8)
        window, limits = (x0, y0, x1, y1), (coarse.gain, self._dark_contrast, self._edge_share)
        total, count, local, is_pale = mark_bodies(
            image, coarse.level, coarse.pale_core, window, step, limits, mask
        )
        if is_pale and (x == 0 or y == 0 or x + w == columns or y + h == rows):
            self._close_at_border(mask[1:-1, 1:-1], coarse.mask[y0:y1, x0:x1], offset)
        large, every = self._trace(mask, offset)
        own = self._own(large, offset, pixels.shape)
        if not own:
            return
        inside = total / count if every == 1 and not is_pale else None
        region = _Region(offset, pixels, local, inside)
        for fine in own:
            if self._is_new(fine, seen):
                self._add_bodies(fine, region, found)

    def _trace(self, mask: NDArray[np.uint8], offset: tuple[int, int]) -> tuple[list[Contour], int]:
        """Outlines that are large enough, and how many there are of any size."""
        if self._chains.shape[0] < MOST_VISITS * mask.size:
            self._chains = np.empty((MOST_VISITS * mask.size, 2), np.int32)
            self._ends = np.empty(mask.size, np.int64)
        left, top = offset[0] - 1, offset[1] - 1
        large, every = trace(mask, left, top, self._min_area, self._chains, self._ends)
        return split(self._chains, self._ends, large), every

    def _is_new(self, contour: Contour, seen: Centres) -> bool:
        """Whether no other region, of this resolution or another one, held this outline."""
        x, y, w, h = cv2.boundingRect(contour)
        centre = (x + w / 2) * self._scale, (y + h / 2) * self._scale
        for other in seen:
            if math.dist(centre, other) < _SAME_PX:
                return False
        seen.append(centre)
        return True

    def _close_at_border(
        self, mask: NDArray[Any], cells: NDArray[Any], offset: tuple[int, int]
    ) -> None:
        """Close the rims of pale bodies that the frame's border cuts.

        Args:
            mask: (h, w) of the region; changed in place.
            cells: what the search found there, filled.
            offset: (x, y) of the region in the image.
        """
        filled_in = self._enlarge(cells, mask.shape)
        close_along_border(mask, filled_in, offset, self._shape)

    def _enlarge(self, cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Cells at this resolution, cut to the image."""
        step = self._step
        if step == 1:
            return cells
        size = cells.shape[1] * step, cells.shape[0] * step
        enlarged = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
        return enlarged[: shape[0], : shape[1]]

    def _own(
        self, large: list[Contour], offset: tuple[int, int], shape: tuple[int, ...]
    ) -> list[Contour]:
        """Those that lie in the region wholly; a neighbour only reaches into it."""
        if len(large) < 2:
            return large
        whole = [c for c in large if not self._leaves(c, offset, shape)]
        return whole or [max(large, key=pixel_area)]

    def _leaves(self, contour: Contour, offset: tuple[int, int], shape: tuple[int, ...]) -> bool:
        """Whether it reaches an edge of the region that is no edge of the frame."""
        x, y, w, h = cv2.boundingRect(contour)
        left, top = offset
        right, bottom = left + shape[1], top + shape[0]
        return (
            (x <= left and left > 0)
            or (y <= top and top > 0)
            or (x + w >= right and right < self._shape[1])
            or (y + h >= bottom and bottom < self._shape[0])
        )

    def _add_bodies(self, contour: Contour, region: _Region, found: list[Detection]) -> None:
        """One outline -> one detection, or one for each of the bodies that touch in it."""
        whole = measure(contour)
        # Nothing can be cut off what is so small.
        if whole.area < 2.0 * self._min_part or is_round(whole, self._touching):
            parts = [Part(whole, False)]
        else:
            parts = self._parts(contour)
        is_split = len(parts) > 1
        for part in parts:
            inside = region.inside
            if is_split or inside is None:
                inside = mean_inside(part.outline.contour, region.pixels, *region.offset)
            detection = describe(
                part.outline,
                pitch_um=self._pitch_um,
                grey_ratio=inside / region.background,
                shape=self._shape,
                scale=self._scale,
                split=is_split,
                double=part.double,
            )
            found.append(detection)

    def _parts(self, contour: Contour) -> list[Part]:
        """Take threads off, then cut at necks."""
        shape, pieces = self._shape, [contour]
        if self._thread_px > 0:
            opened, least = without_threads(contour, self._thread_px, shape), self._min_part
            pieces = opened[:1] + [piece for piece in opened[1:] if pixel_area(piece) >= least]
        return [
            part
            for piece in pieces
            for part in separate(piece, self._pitch_um, shape, self._touching)
        ]
