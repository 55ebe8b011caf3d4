"""The background of a single image with bodies in it, from that image alone.

What belongs to a body is told from clouds of light by its edges: a body is in focus enough to
change the grey within some 15 µm, dust and streaks far from the focus, vignetting and shadows
are not. Edges are closed and filled; what is left is smoothed, and continued below the bodies
from ever larger surroundings (normalised convolution, Knutsson and Westin, CVPR 1993).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

FloatMap = NDArray[np.float32]

_LEAST_FREE = 0.1


class StillBackgroundSettings(BaseModel):
    """How bodies are told from light in a single image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edge_contrast: float = Field(
        0.09, gt=0, description="change of grey across an edge, a share of the background"
    )
    edge_um: float = Field(15.0, gt=0, description="distance within which it changes, µm")
    gap_um: float = Field(30.0, ge=0, description="gaps in an outline that are closed, µm")
    smooth_um: float = Field(25.0, gt=0, description="scale on which light may change, µm")
    level_step: float = Field(
        0.15, gt=0, description="change of level behind an edge that makes an area a body"
    )


def estimate_background(
    grey: NDArray[Any], pitch_um: float, settings: StillBackgroundSettings | None = None
) -> FloatMap:
    """Background of one image.

    Args:
        grey: (height, width), any number type; best reduced to cells of about 8 µm.
        pitch_um: µm per pixel of ``grey``.
        settings: scales and contrasts.

    Returns:
        (height, width) float32, in the grey values of the image; positive.
    """
    settings = settings or StillBackgroundSettings()
    image = np.maximum(grey.astype(np.float32), 1e-3)
    body = _by_edges(image, pitch_um, settings)
    trend = _trend(image, body)
    even = np.divide(image, trend, dtype=np.float32)
    level = np.multiply(trend, _continue(even, body, pitch_um, settings.smooth_um))
    return np.asarray(np.maximum(level, 1e-3), np.float32)


def _by_edges(
    image: FloatMap, pitch_um: float, settings: StillBackgroundSettings
) -> NDArray[np.uint8]:
    """(height, width) uint8, 255 where a body is, with a margin."""
    reach = max(1, round(settings.edge_um / pitch_um / 2.0))
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    high = cv2.dilate(smooth, _SQUARE, iterations=reach)
    low = cv2.erode(smooth, _SQUARE, iterations=reach)
    typical = float(np.median(image))
    edges = ((high - low) > settings.edge_contrast * np.maximum(high, 0.5 * typical)).view(np.uint8)
    closing = max(1, round(settings.gap_um / pitch_um / 2.0))
    padded = cv2.copyMakeBorder(edges, closing, closing, closing, closing, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _CROSS, iterations=closing)
    inside = closed[closing:-closing, closing:-closing] * np.uint8(255)
    return _fill(image, np.array(inside, np.uint8), settings)


def _fill(
    image: FloatMap, edges: NDArray[np.uint8], settings: StillBackgroundSettings
) -> NDArray[np.uint8]:
    """Fill what edges enclose: holes, and areas at the border whose level is another one."""
    contours, _ = cv2.findContours(edges, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(edges, contours, -1, 255, -1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(255 - edges, connectivity=4)
    if count < 2:
        return edges
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    level = float(np.median(image[labels == largest]))
    for label in range(1, count):
        if label != largest:
            here = labels == label
            if abs(float(np.median(image[here])) / level - 1.0) > settings.level_step:
                edges[here] = 255
    return edges


def _trend(image: FloatMap, body: NDArray[np.uint8]) -> FloatMap:
    """Vignetting and tilt: a surface of second degree through what is no body.

    Smoothing alone would be too bright or too dark along the border of a frame whose light falls
    off there.
    """
    height, width = image.shape
    free = body == 0
    typical = float(np.median(image[free] if free.any() else image))
    if free.mean() < _LEAST_FREE:
        return np.full_like(image, typical)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    step = max(1, int((free.sum() / 4000) ** 0.5))
    some = free[::step, ::step]
    factors, *_ = np.linalg.lstsq(
        basis[::step, ::step][some], image[::step, ::step][some].astype(np.float64), rcond=None
    )
    surface = np.clip(basis @ factors, 0.2 * typical, 3.0 * typical)
    return np.asarray(surface, np.float32)


def _continue(
    image: FloatMap, body: NDArray[np.uint8], pitch_um: float, smooth_um: float
) -> FloatMap:
    """Smooth what is no body, and continue it below the bodies from larger and larger scales."""
    free = (body == 0).astype(np.float32)
    if not free.any():
        return np.full_like(image, float(np.median(image)))
    result = np.zeros_like(image)
    missing = np.ones_like(image)
    sigma = smooth_um / pitch_um
    while True:
        weight, value = _smooth(free, sigma), _smooth(free * image, sigma)
        trust = np.clip((weight - 0.05) / 0.3, 0.0, 1.0)
        result += missing * trust * value / np.maximum(weight, 1e-6)
        missing *= 1.0 - trust
        if float(missing.max()) <= 1e-3:
            return np.asarray(result / (1.0 - missing), np.float32)
        if sigma > 4 * max(image.shape):
            everywhere = float((image * free).sum() / free.sum())
            return np.asarray(result + missing * everywhere, np.float32)
        sigma *= 2.0


def _smooth(image: FloatMap, sigma: float) -> FloatMap:
    """Gaussian blur; large ones on a smaller image, which is as smooth."""
    shrink = max(1, int(sigma / 4.0))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
    height, width = image.shape
    size = max(2, width // shrink), max(2, height // shrink)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(
        small, (0, 0), sigma * size[0] / width, borderType=cv2.BORDER_REFLECT
    )
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR))
