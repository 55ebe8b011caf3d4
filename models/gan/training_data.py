"""From a data set on disk to what a GAN is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from models.dataset import LABELS, CropSet, split_by_run
from sorter.errors import InputError

Condition = Literal["none", "phenotype"]
Part = Literal["all", "train"]
MIN_IMAGES = 8


@dataclass(frozen=True, slots=True)
class RareClass:
    """The crops of one class, at the size that is trained on.

    Attributes:
        crops: of the class.
        condition: (n,) int64, index into ``names``.
        names: of what a generator can be asked for; one where it can't be asked.
    """

    crops: CropSet
    condition: NDArray[np.int64]
    names: tuple[str, ...]


def rare_class(
    crops: CropSet,
    *,
    label: str,
    size_px: int,
    condition: Condition = "none",
    part: Part = "all",
    split_seed: int = 0,
    limit: int | None = None,
) -> RareClass:
    """Choose and scale.

    Args:
        crops: a whole data set.
        label: the class, one of `models.dataset.LABELS`.
        size_px: side of the images; crops of another size are scaled, with their pitch.
        condition: whether the phenotype is a class of its own.
        part: ``train`` leaves out the runs that `split_by_run` holds back with ``split_seed``.
        split_seed: see there.
        limit: at most this many, evenly over the crops.

    Raises:
        InputError: no such label, or too few crops of it.
    """
    if label not in LABELS:
        raise InputError(f"no such class: {label}", on="--label", do=f"One of {', '.join(LABELS)}.")
    if part == "train":
        crops = crops.subset(split_by_run(crops, (0.6, 0.2, 0.2), split_seed).train)
    index = np.flatnonzero(crops.label == LABELS.index(label))
    if limit is not None and limit < len(index):
        index = index[np.linspace(0, len(index) - 1, limit).astype(np.intp)]
    if len(index) < MIN_IMAGES:
        found = "no image" if len(index) == 0 else f"{len(index)} image(s)"
        raise InputError(
            f"the class {label} has {found}; a GAN needs {MIN_IMAGES} at the very least",
            on="data set",
            do="Bring more images of the class in; 200 is few, 2,000 is good.",
        )
    chosen = resized(crops.subset(index), size_px)
    if condition == "none":
        return RareClass(chosen, np.zeros(len(index), np.int64), (label,))
    names, which = np.unique(chosen.phenotype, return_inverse=True)
    return RareClass(chosen, which.astype(np.int64), tuple(map(str, names)))


def resized(crops: CropSet, size_px: int) -> CropSet:
    """Crops scaled to another size; the pitch is scaled with them."""
    if crops.size_px == size_px:
        return crops
    shrinks = size_px < crops.size_px
    images = np.empty((len(crops), size_px, size_px), np.uint8)
    for i, image in enumerate(crops.images):
        cv2.resize(
            image,
            (size_px, size_px),
            dst=images[i],
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
    return crops.with_images(images, crops.pitch_um * crops.size_px / size_px)
