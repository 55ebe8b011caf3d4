"""Training images in an order that seed and image count alone determine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.gan.grey import GreyScale


@dataclass(frozen=True, slots=True)
class ImageStream:
    """Images, again and again, each pass in a new order.

    Attributes:
        images: (n, size, size) uint8; only a batch at a time becomes float32.
        label: (n,) int64.
        seed: of the orders.
        mirror: each image comes in one of the eight flips and quarter turns.
        grey: scale of what is given.
    """

    images: NDArray[np.uint8]
    label: NDArray[np.int64]
    seed: int
    mirror: bool
    grey: GreyScale

    def batch(self, first: int, count: int, step: int = 1) -> tuple[Tensor, Tensor]:
        """Every ``step``-th of the images ``first`` … ``first + count``, of an endless row.

        Grey levels are whole numbers, which no generator draws; so they are spread evenly over
        ± half a level (dequantised: Theis 2016, section 3.1), which rounding undoes.

        Args:
            first: images shown before.
            count: length of the stretch.
            step: number of processes that share it, each starting at an image of its own.

        Returns:
            (m, 1, size, size) float32 in [-1, 1], and (m,) int64 labels, on the CPU.
        """
        places = np.arange(first, first + count, step)
        epochs = places // len(self.images)
        orders = {int(epoch): self._order(int(epoch)) for epoch in np.unique(epochs)}
        index = np.array(
            [
                orders[int(e)][place % len(self.images)]
                for e, place in zip(epochs, places, strict=True)
            ]
        )
        batch = self.images[index]
        if self.mirror:
            turns = np.random.default_rng([self.seed, 2, first, step]).integers(0, 8, len(batch))
            batch = np.stack([_turned(one, turn) for one, turn in zip(batch, turns, strict=True)])
        within = np.random.default_rng([self.seed, 3, first, step]).random(batch.shape, np.float32)
        levels = torch.from_numpy(batch + (within - np.float32(0.5)))[:, None]
        return self.grey.to_network(levels), torch.from_numpy(self.label[index])

    def _order(self, epoch: int) -> NDArray[np.intp]:
        return np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.images))


def _turned(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    turned = np.rot90(image, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned
