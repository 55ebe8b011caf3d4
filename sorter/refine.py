"""A body found at reduced resolution -> its outline at full resolution.

Works on an image divided by its background: grey `BACKGROUND_LEVEL` is background. The outline
lies at half of the body's own contrast, so that blur by the optics moves it neither in nor out.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.background import BACKGROUND_LEVEL
from sorter.outline import Contour, pixel_area

_SQUARE = np.ones((3, 3), np.uint8)
_OCTAGON = 0.41
"""Share of squares among the squares and crosses that make up an octagon."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def darkness_mask(grey: NDArray[Any], edge_contrast: float, edge_share: float) -> NDArray[Any]:
    """What is darker than the background by a share of the body's own contrast.

    Args:
        grey: (h, w) uint8, normalised.
        edge_contrast: lowest contrast of an edge, a share of the background.
        edge_share: where between background and body the edge lies, 0.5 for halfway.

    Returns:
        (h, w) uint8, 255 where there is body.
    """
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    lowest = edge_contrast * BACKGROUND_LEVEL
    _, mask = cv2.threshold(smooth, BACKGROUND_LEVEL - lowest, 255, cv2.THRESH_BINARY_INV)
    inside = cv2.mean(smooth, mask)[0]
    contrast = (BACKGROUND_LEVEL - inside) * edge_share
    if contrast > lowest:
        cv2.threshold(smooth, BACKGROUND_LEVEL - contrast, 255, cv2.THRESH_BINARY_INV, mask)
    return mask


def outlines(
    mask: NDArray[Any], core: NDArray[Any] | None, offset: tuple[int, int]
) -> list[Contour]:
    """Outer contours of a mask, holes filled.

    Args:
        mask: (h, w) uint8; changed in place.
        core: (h, w) uint8, what is body in any case: the interior of a pale one; or None.
        offset: (x, y) of the mask in the frame.
    """
    if core is not None:
        cv2.bitwise_or(mask, core, mask)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=offset)
    return [np.asarray(contour, np.int32) for contour in contours]


def without_threads(
    contour: Contour, radius_px: int, offset: tuple[int, int], shape: tuple[int, int]
) -> list[Contour]:
    """The outline without what is thinner than ``2 * radius_px + 1``: fibres, loose cells.

    Args:
        contour: (n, 1, 2) int32, frame pixels.
        radius_px: half width of the thickest thread that is taken off.
        offset: (x, y) of the region in the frame.
        shape: (h, w) of the region.

    Returns:
        What is left, largest first; the contour itself where nothing is.
    """
    mask = np.zeros(shape, np.uint8)
    cv2.drawContours(mask, [contour], -1, 255, -1, offset=(-offset[0], -offset[1]))
    # The border of the frame is no edge of the body: replicate it, or opening rounds it off.
    pad = radius_px + 1
    padded = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    opened = grow(shrink(padded, radius_px), radius_px)[pad:-pad, pad:-pad]
    parts = outlines(opened, None, offset)
    return sorted(parts, key=pixel_area, reverse=True) if parts else [contour]


def shrink(mask: NDArray[Any], radius_px: int) -> NDArray[Any]:
    """Erode by an octagon, which is nearly a disc and much faster; the frame's edge is none."""
    square = round(radius_px * _OCTAGON)
    mask = cv2.erode(mask, _SQUARE, iterations=square) if square else mask
    return cv2.erode(mask, _CROSS, iterations=radius_px - square)


def grow(mask: NDArray[Any], radius_px: int) -> NDArray[Any]:
    """Dilate by an octagon."""
    square = round(radius_px * _OCTAGON)
    mask = cv2.dilate(mask, _SQUARE, iterations=square) if square else mask
    return cv2.dilate(mask, _CROSS, iterations=radius_px - square)


def mean_inside(grey: NDArray[Any], contour: Contour, offset: tuple[int, int]) -> float:
    """Mean of ``grey`` inside an outline, as a share of the background."""
    mask = np.zeros(grey.shape, np.uint8)
    cv2.drawContours(mask, [contour], -1, 255, -1, offset=(-offset[0], -offset[1]))
    return float(cv2.mean(grey, mask)[0]) / BACKGROUND_LEVEL
