"""Images that are the same, or nearly: within a run they waste work, across runs they leak."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.dataset import CropSet

_SIDE = 8
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two crops that show the same.

    Attributes:
        first, second: ids.
        exact: same pixels.
        leaks: they belong to different runs, so that a split by run doesn't keep them together.
        clashes: they have different labels.
    """

    first: str
    second: str
    exact: bool
    leaks: bool
    clashes: bool


def near_duplicates(
    crops: CropSet, max_bits: int = 3, min_correlation: float = 0.99
) -> list[Duplicate]:
    """Pairs of different bodies whose difference hashes and thumbnails agree.

    The hash has a bit for each of 8×8 places: whether it is brighter than its left neighbour
    (Krawetz 2013). What agrees in it is compared by the correlation of 16×16 px thumbnails, in
    grey levels about the mean; crops without contrast are left out.

    Args:
        crops: n crops.
        max_bits: bits in which the hashes may differ.
        min_correlation: of the thumbnails.
    """
    hashes = np.array([_hash(image) for image in crops.images], np.uint64)
    thumbs = np.stack([_thumbnail(image) for image in crops.images])
    norms = np.linalg.norm(thumbs, axis=1)
    found = []
    for start in range(0, len(crops), _BLOCK):
        block = hashes[start : start + _BLOCK, None] ^ hashes[None]
        for row, column in zip(*np.nonzero(np.bitwise_count(block) <= max_bits), strict=True):
            i, j = start + int(row), int(column)
            if j <= i or crops.object[i] == crops.object[j] or not norms[i] * norms[j] > 0:
                continue
            if thumbs[i] @ thumbs[j] >= min_correlation * norms[i] * norms[j]:
                found.append(_pair(crops, i, j))
    return found


def _pair(crops: CropSet, i: int, j: int) -> Duplicate:
    return Duplicate(
        str(crops.id[i]),
        str(crops.id[j]),
        exact=bool(np.array_equal(crops.images[i], crops.images[j])),
        leaks=bool(crops.run[i] != crops.run[j]),
        clashes=bool(crops.label[i] != crops.label[j]),
    )


def _hash(image: NDArray[np.uint8]) -> int:
    small = cv2.resize(image, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    centred: NDArray[np.float32] = small.ravel() - small.mean()
    return centred
