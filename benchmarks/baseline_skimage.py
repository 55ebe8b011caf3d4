"""The reference that the pipeline's speed is compared with: scikit-image and torch eager.

What a careful person writes first: smooth, Otsu's threshold, label and measure at full size, one
`transform.resize` for each crop, then the network as it was trained. Same frames, same crop size
and pitch, same network, one thread. It measures what the pipeline's detections hold (area,
centroid, box, circularity, solidity, mean grey), as both sides must give the same to be compared;
with ``measures=False`` it stops at area and centroid, which shows what that part costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import filters, measure, transform

from models.bundle import Manifest
from models.classifier import NetSettings, SpheroidNet

_SIGMA_PX = 2.0
_SMALLEST_UM = 40.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pipeline's `Detection` holds too."""

    area_px: float
    bbox: tuple[int, int, int, int]
    circularity: float
    solidity: float
    grey: float


def _measured(region: Any) -> Measured:
    return Measured(
        area_px=float(region.area),
        bbox=region.bbox,
        circularity=4 * np.pi * region.area / max(region.perimeter, 1.0) ** 2,
        solidity=float(region.solidity),
        grey=float(region.intensity_mean),
    )


class Baseline:
    """One frame in, class probabilities of every whole object out.

    The weights are random: the time does not depend on them, and a bundle holds none for torch.

    Args:
        manifest: of the bundle that the pipeline runs; size, pitch and classes come from it.
        pitch_um: µm per pixel of the frames.
    """

    def __init__(self, manifest: Manifest, pitch_um: float) -> None:
        self._size_px = manifest.size_px
        self._level = manifest.background_level
        self._half_px = round(manifest.size_px * manifest.pitch_um / pitch_um / 2)
        self._least_px = np.pi / 4 * (_SMALLEST_UM / pitch_um) ** 2
        torch.manual_seed(0)
        self.measured: list[Measured] = []
        self.net = SpheroidNet(len(manifest.labels), float(self._level), NetSettings()).eval()

    def process(self, frame: NDArray[np.uint8], *, measures: bool = True) -> NDArray[np.float32]:
        """(n, classes) probabilities of the n objects in a (height, width) frame."""
        smooth = filters.gaussian(frame, sigma=_SIGMA_PX, preserve_range=True)
        mask = smooth < filters.threshold_otsu(smooth)
        found = measure.regionprops(measure.label(mask), intensity_image=frame)
        regions = [one for one in found if one.area >= self._least_px]
        if measures:
            self.measured = [_measured(one) for one in regions]
        if not regions:
            return np.empty((0, self.net.head.out_features), np.float32)
        background = float(np.median(frame[::8, ::8]))
        padded = np.pad(frame, self._half_px, constant_values=round(background))
        crops = np.stack([self._crop(padded, one.centroid, background) for one in regions])
        with torch.inference_mode():
            logits = self.net(torch.from_numpy(crops[:, None]))
            return np.asarray(torch.softmax(logits, 1).numpy(), np.float32)

    def _crop(
        self, padded: NDArray[np.uint8], centroid: tuple[float, float], background: float
    ) -> NDArray[np.uint8]:
        """(size, size), background scaled to the model's level."""
        y, x = round(centroid[0]), round(centroid[1])
        side = 2 * self._half_px
        square = padded[y : y + side, x : x + side]
        small = transform.resize(
            square, (self._size_px, self._size_px), preserve_range=True, anti_aliasing=True
        )
        return np.asarray(np.clip(small * (self._level / background), 0, 255), np.uint8)
