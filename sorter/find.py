"""Bodies in one frame of known background: found at reduced resolution, refined at full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pixels
from sorter.background import BACKGROUND_LEVEL
from sorter.detection import Detection
from sorter.grid import Grid
from sorter.masks import (
    close_along_border,
    contours_of,
    filled,
    outer_contours_of,
    shrink,
    without_threads,
)
from sorter.outline import Contour, Outline, describe, measure, pixel_area
from sorter.touching import Part, TouchingSettings, round_outline, separate

_SQUARE = np.ones((3, 3), np.uint8)
_MARGIN_CELLS = 2
_EMPTY_CELLS = _MARGIN_CELLS + 1
_BRIGHTEST = 2**16 - 1

Box = tuple[int, int, int, int]


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
    touching: TouchingSettings = TouchingSettings()


class View(NamedTuple):
    """One frame, and its background at the reduced resolution.

    Attributes:
        pixels: (height, width) uint8 or uint16.
        grey: reduced image divided by its background, uint8, `BACKGROUND_LEVEL` is background.
        level: grey of the background, float32, reduced resolution.
        gain: brightness of this frame relative to ``level``.
    """

    pixels: Pixels
    grey: NDArray[Any]
    level: NDArray[Any]
    gain: float


class _Region(NamedTuple):
    """The surroundings of one find at full resolution.

    Attributes:
        offset: (x, y) in the frame.
        pixels: (h, w) of the frame.
        background: mean grey of the background there.
        inside: mean grey of the one body in it, where there is one and that was easily had.
    """

    offset: tuple[int, int]
    pixels: NDArray[Any]
    background: float
    inside: float | None


class Finder:
    """Finds bodies in frames of one shape and pitch. Keeps buffers, no history."""

    def __init__(self, settings: FindSettings, *, pitch_um: float, grid: Grid) -> None:
        self.settings = settings
        self.pitch_um = pitch_um
        self.grid = grid
        self._step = grid.reduction
        self._min_area = math.pi / 4.0 * (settings.min_diameter_um / pitch_um) ** 2
        self._min_part = math.pi / 4.0 * (settings.touching.smallest_part_um / pitch_um) ** 2
        self._thread_px = round((settings.thread_um / pitch_um - 1.0) / 2.0)
        self._rim_cells = max(1, round(settings.rim_um / pitch_um / grid.reduction))
        self._touching = settings.touching
        self._edge_share = settings.edge_share
        self._dark_contrast = settings.dark_contrast
        self._mask = np.empty(grid.cells, np.uint8)
        self._pale_core = np.empty(grid.cells, np.uint8)
        self._has_pale = False
        self.occupied = np.zeros(grid.cells, np.uint8)
        """(cells) uint8, 255 where the last frame held a body, with a margin."""

    def find(self, view: View) -> list[Detection]:
        """All objects of at least ``min_diameter_um``, those at the border included."""
        boxes = self._coarse(view.grey)
        if not boxes:
            return []
        found: list[Detection] = []
        seen: set[tuple[int, int]] = set()
        for box in boxes:
            self._refine(view, box, seen, found)
        return found

    def _coarse(self, grey: NDArray[Any]) -> list[Box]:
        """Boxes in cells; leaves `occupied` and the cores of pale bodies behind."""
        mask, settings = self._mask, self.settings
        low = math.ceil(BACKGROUND_LEVEL * (1.0 - settings.dark_contrast))
        high = math.floor(BACKGROUND_LEVEL * (1.0 + settings.bright_contrast))
        cv2.inRange(grey, low, high, mask)
        cv2.bitwise_not(mask, mask)
        self.occupied.fill(0)
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            return []
        # The rest of the view is empty; what is in it stays inside the box whatever is done.
        left, top = max(0, x - _EMPTY_CELLS), max(0, y - _EMPTY_CELLS)
        part = slice(top, y + h + _EMPTY_CELLS), slice(left, x + w + _EMPTY_CELLS)
        part_mask = mask[part]
        cv2.morphologyEx(part_mask, cv2.MORPH_CLOSE, _SQUARE, part_mask)
        found, has_holes = outer_contours_of(part_mask, (left, top))
        boxes = [cv2.boundingRect(contour) for contour in found]
        if self._close_at_border(mask, found, boxes):
            found, has_holes = outer_contours_of(part_mask, (left, top))
            boxes = [cv2.boundingRect(contour) for contour in found]
        if has_holes:
            cv2.drawContours(mask, found, -1, 255, -1)
        cv2.dilate(part_mask, _SQUARE, self.occupied[part])
        # Where the core is dark the full resolution will say so itself.
        _, dark = cv2.threshold(grey[part], low - 1, 255, cv2.THRESH_BINARY_INV)
        pale_core = self._pale_core[part]
        cv2.subtract(shrink(part_mask, self._rim_cells), dark, pale_core)
        self._has_pale = cv2.hasNonZero(pale_core)
        return [
            (x, y, w, h)
            for contour, (x, y, w, h) in zip(found, boxes, strict=True)
            if len(contour) > 1
        ]

    def _close_at_border(
        self, mask: NDArray[Any], found: list[Contour], boxes: Sequence[Sequence[int]]
    ) -> bool:
        """Close rims that the border cuts, so that pale bodies there are filled as well."""
        height, width = mask.shape
        changed = False
        for contour, (x, y, w, h) in zip(found, boxes, strict=True):
            if x > 0 and y > 0 and x + w < width and y + h < height:
                continue
            points = contour[:, 0, :]
            for touches, axis, value in (
                (x == 0, 0, 0),
                (y == 0, 1, 0),
                (x + w == width, 0, width - 1),
                (y + h == height, 1, height - 1),
            ):
                if not touches:
                    continue
                along = points[points[:, axis] == value, 1 - axis]
                line = mask[:, value] if axis == 0 else mask[value]
                span = line[along.min() : along.max() + 1]
                if not span.all():
                    span[:] = 255
                    changed = True
        return changed

    def _refine(
        self,
        view: View,
        box: Box,
        seen: set[tuple[int, int]],
        found: list[Detection],
    ) -> None:
        """Add the bodies in one box; ``seen`` keeps those that two regions share single."""
        step = self._step
        rows, columns = self._mask.shape
        x, y, w, h = box
        x0, y0 = max(0, x - _MARGIN_CELLS), max(0, y - _MARGIN_CELLS)
        x1, y1 = min(columns, x + w + _MARGIN_CELLS), min(rows, y + h + _MARGIN_CELLS)
        offset = x0 * step, y0 * step
        pixels = view.pixels[offset[1] : y1 * step, offset[0] : x1 * step]
        level = view.level[y0:y1, x0:x1]
        local = cv2.sumElems(level)[0] / level.size * view.gain
        darkest = np.float32(view.gain * (1.0 - self._dark_contrast))
        mask = self._dark(pixels, local, (level * darkest).astype(pixels.dtype))
        is_pale = self._has_pale and self._add_pale(mask, (x0, y0, x1, y1), box)
        contours = contours_of(mask, offset)
        own = self._own(contours, offset, pixels.shape)
        if not own:
            return
        inside = None
        if len(contours) == 1 and pixels.dtype == np.uint8 and not is_pale:
            sum_inside = cv2.sumElems(cv2.bitwise_and(pixels, mask))[0]
            inside = sum_inside / cv2.countNonZero(mask)
        region = _Region(offset, pixels, local, inside)
        for fine in own:
            key = fine.item(0), fine.item(1)
            if key not in seen:
                seen.add(key)
                self._add_bodies(fine, region, found)

    def _add_pale(self, mask: NDArray[Any], within: Box, box: Box) -> bool:
        """Fill the cores of pale bodies; False where there are none.

        Args:
            mask: (h, w) of the region at full resolution; changed in place.
            within: the region's (left, top, right, bottom) in cells.
            box: of the find, (x, y, width, height) in cells.
        """
        x0, y0, x1, y1 = within
        pale = self._pale_core[y0:y1, x0:x1]
        if not cv2.hasNonZero(pale):
            return False
        cv2.bitwise_or(mask, self._enlarge(pale, mask.shape, cv2.INTER_NEAREST), mask)
        rows, columns = self._mask.shape
        x, y, w, h = box
        if x == 0 or y == 0 or x + w == columns or y + h == rows:
            coarse = self._enlarge(self._mask[y0:y1, x0:x1], mask.shape, cv2.INTER_NEAREST)
            step = self._step
            close_along_border(mask, coarse, (x0 * step, y0 * step), self.grid.shape)
        return True

    def _enlarge(
        self, cells: NDArray[Any], shape: tuple[int, ...], interpolation: int
    ) -> NDArray[Any]:
        """Cells at full resolution, cut to the frame."""
        step = self._step
        if step == 1:
            return cells
        size = cells.shape[1] * step, cells.shape[0] * step
        return cv2.resize(cells, size, interpolation=interpolation)[: shape[0], : shape[1]]

    def _dark(self, pixels: NDArray[Any], background: float, bright: NDArray[Any]) -> NDArray[Any]:
        """What is darker than the background by a share of the body's own contrast.

        Halfway between background and body, blur by the optics moves the edge neither in nor out.
        """
        edge = self._enlarge(bright, pixels.shape, cv2.INTER_LINEAR)
        below = cv2.subtract(edge, cv2.GaussianBlur(pixels, (3, 3), 0))
        lowest = self._dark_contrast * background
        contrast = cv2.sumElems(below)[0] / max(1, cv2.countNonZero(below)) + lowest
        share = math.floor(max(0.0, self._edge_share * contrast - lowest))
        if below.dtype == np.uint8:
            return cv2.threshold(below, share, 255, cv2.THRESH_BINARY)[1]
        return cv2.inRange(below, share + 1, _BRIGHTEST)

    def _own(
        self, contours: list[Contour], offset: tuple[int, int], shape: tuple[int, ...]
    ) -> list[Contour]:
        """Those large enough that lie in the region wholly; a neighbour only reaches into it."""
        least = self._min_area
        if len(contours) == 1:
            return contours if pixel_area(contours[0]) >= least else []
        large = [c for c in contours if pixel_area(c) >= least]
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
            or (x + w >= right and right < self.grid.shape[1])
            or (y + h >= bottom and bottom < self.grid.shape[0])
        )

    def _add_bodies(self, contour: Contour, region: _Region, found: list[Detection]) -> None:
        """One outline -> one detection, or one for each of the bodies that touch in it."""
        if pixel_area(contour) < 2.0 * self._min_part:  # nothing can be cut off it
            whole: Outline | None = measure(contour)
        else:
            whole = round_outline(contour, self._touching)
        parts = self._parts(contour) if whole is None else [Part(whole, False)]
        split = len(parts) > 1
        for part in parts:
            inside = region.inside
            if split or inside is None:
                inside = _mean_inside(part, region)
            found.append(
                describe(
                    part.outline,
                    pitch_um=self.pitch_um,
                    grey_ratio=inside / region.background,
                    shape=self.grid.shape,
                    split=split,
                    double=part.double,
                )
            )

    def _parts(self, contour: Contour) -> list[Part]:
        """Take threads off, then cut at necks."""
        shape, pieces = self.grid.shape, [contour]
        if self._thread_px > 0:
            opened, least = without_threads(contour, self._thread_px, shape), self._min_part
            pieces = opened[:1] + [piece for piece in opened[1:] if pixel_area(piece) >= least]
        return [
            part
            for piece in pieces
            for part in separate(piece, self.pitch_um, shape, self._touching)
        ]


def _mean_inside(part: Part, region: _Region) -> float:
    """Mean grey inside an outline."""
    outline = part.outline
    x, y, w, h = outline.box
    left, top = x - region.offset[0], y - region.offset[1]
    inside = region.pixels[top : top + h, left : left + w]
    mask = filled(outline.contour, (x, y), (h, w))
    if inside.dtype != np.uint8:
        return float(cv2.mean(inside, mask)[0])
    return float(cv2.sumElems(cv2.bitwise_and(inside, mask))[0]) / outline.area
