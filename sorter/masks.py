"""Small operations on binary masks, (h, w) uint8, 255 where something is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.outline import Contour

Mask = NDArray[Any]

_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_OCTAGON = 0.41
"""Share of squares among the squares and crosses that make up an octagon."""


def contours_of(mask: Mask, offset: tuple[int, int] = (0, 0)) -> list[Contour]:
    """Outer contours as full chains, in coordinates moved by ``offset`` (x, y)."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=offset)
    return list(found)  # type: ignore[arg-type]  # OpenCV's stubs don't say int32


def outer_contours_of(mask: Mask, offset: tuple[int, int] = (0, 0)) -> tuple[list[Contour], bool]:
    """`contours_of`, and whether there are holes in the mask."""
    found, nested = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=offset)
    if len(found) and nested[0, :, 3].max() >= 0:
        return contours_of(mask, offset), True
    return list(found), False  # type: ignore[arg-type]  # OpenCV's stubs don't say int32


def shrink(mask: Mask, radius_px: int) -> Mask:
    """Erode by an octagon, which is nearly a disc and much faster; the mask's edge is none."""
    square = round(radius_px * _OCTAGON)
    mask = cv2.erode(mask, _SQUARE, iterations=square) if square else mask
    return cv2.erode(mask, _CROSS, iterations=radius_px - square)


def grow(mask: Mask, radius_px: int) -> Mask:
    """Dilate by an octagon."""
    square = round(radius_px * _OCTAGON)
    mask = cv2.dilate(mask, _SQUARE, iterations=square) if square else mask
    return cv2.dilate(mask, _CROSS, iterations=radius_px - square)


def filled(contour: Contour, offset: tuple[int, int], shape: tuple[int, int]) -> Mask:
    """A mask of ``shape`` (h, w) at ``offset`` (x, y) with the contour filled."""
    mask = np.zeros(shape, np.uint8)
    cv2.drawContours(mask, [contour], -1, 255, -1, offset=(-offset[0], -offset[1]))
    return mask


def without_threads(contour: Contour, radius_px: int, frame: tuple[int, int]) -> list[Contour]:
    """A contour without what is thinner than ``2 * radius_px + 1``: fibres, loose cells.

    Args:
        contour: (n, 1, 2) int32, frame pixels.
        radius_px: half width of the thickest thread that is taken off.
        frame: (height, width); its border is no edge of a body.

    Returns:
        What is left, largest first; the contour itself where nothing is.
    """
    x, y, width, height = cv2.boundingRect(contour)
    pad = radius_px + 1
    mask = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    cv2.drawContours(mask, [contour], -1, 255, -1, offset=(pad - x, pad - y))
    _continue_outside(mask, (x, y, width, height), pad, frame)
    opened = grow(shrink(mask, radius_px), radius_px)[pad:-pad, pad:-pad]
    parts = contours_of(opened, (x, y))
    return sorted(parts, key=cv2.contourArea, reverse=True) if parts else [contour]


def _continue_outside(
    mask: Mask, box: tuple[int, int, int, int], pad: int, frame: tuple[int, int]
) -> None:
    """Repeat what touches the frame's border beyond it, or opening would round it off."""
    x, y, width, height = box
    if x <= 0:
        mask[:, :pad] = mask[:, pad : pad + 1]
    if x + width >= frame[1]:
        mask[:, -pad:] = mask[:, -pad - 1 : -pad]
    if y <= 0:
        mask[:pad] = mask[pad]
    if y + height >= frame[0]:
        mask[-pad:] = mask[-pad - 1]


def close_along_border(
    mask: Mask, coarse: Mask, offset: tuple[int, int], frame: tuple[int, int]
) -> None:
    """Join the ends of a rim that the frame's border cuts, in place.

    Args:
        mask: (h, w) at full resolution.
        coarse: (h, w), the bodies as found at reduced resolution, filled.
        offset: (x, y) of both in the frame.
        frame: (height, width).
    """
    height, width = mask.shape
    if offset[1] == 0:
        _join(mask[0], coarse[0])
    if offset[0] == 0:
        _join(mask[:, 0], coarse[:, 0])
    if offset[1] + height == frame[0]:
        _join(mask[-1], coarse[-1])
    if offset[0] + width == frame[1]:
        _join(mask[:, -1], coarse[:, -1])


def _join(line: Mask, coarse: Mask) -> None:
    """Within each run of ``coarse``, fill from the first to the last pixel of ``line``."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], coarse != 0, [0]))))
    for start, end in zip(steps[::2], steps[1::2], strict=True):
        on = np.flatnonzero(line[start:end])
        if len(on):
            line[start + on[0] : start + on[-1] + 1] = 255
