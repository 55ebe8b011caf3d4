"""What the trainer needs of a generator and a discriminator, whatever their kind.

Images are float (n, 1, size, size) in [-1, 1], on the scale of `models.gan.grey`. Randomness comes
from a `torch.Generator` on the networks' device, handed in at every call, so that a training can be
repeated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.gan.grey import GreyScale
from sorter.errors import InputError

SIZES_PX = (32, 48, 64, 96, 128, 192, 256)
Rng = torch.Generator


def doublings(size_px: int) -> tuple[int, int]:
    """Side of the smallest grid (3 or 4 px) and how often it doubles to reach ``size_px``.

    Raises:
        InputError: not one of `SIZES_PX`.
    """
    if size_px not in SIZES_PX:
        raise InputError(
            f"networks are made for {', '.join(map(str, SIZES_PX))} px, not {size_px}",
            on="--size",
            do="Choose one of these.",
        )
    base, count = size_px, 0
    while base > 4:
        base, count = base // 2, count + 1
    return base, count


class Generator(nn.Module):
    """Draws images from latents.

    Attributes:
        z_dim: numbers in a random vector.
        classes: labels that it can be asked for; 1 where it knows no classes.
        size_px: side of its images.
        grey: scale of its images.
        noise_numbers: standard normal numbers that an image takes beside its latents.
    """

    def __init__(self, z_dim: int, classes: int, size_px: int, grey: GreyScale) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.classes = classes
        self.size_px = size_px
        self.grey = grey
        self.noise_numbers = 0

    def random(self, n: int, rng: Rng) -> Tensor:
        """(n, z_dim) random vectors from the distribution that it is trained on."""
        return torch.randn(n, self.z_dim, generator=rng, device=rng.device)

    def latents(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """What `draw` takes, from (n, z_dim) random vectors and (n,) int64 labels."""
        raise NotImplementedError

    def draw(self, latents: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images; without ``rng`` nothing in them is random."""
        raise NotImplementedError

    def draw_with(self, latents: Tensor, noise: Tensor) -> Tensor:
        """The same with given noise, standard normal (n, noise_numbers)."""
        return self.draw(latents)

    def forward(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images from random vectors and labels."""
        return self.draw(self.latents(z, label, rng), rng)

    def truncated(self, latents: Tensor, truncation: float) -> Tensor:
        """Latents pulled to the middle, where the kind can do that; else as they are."""
        return latents

    def sample_latents(self, label: Tensor, rng: Rng, truncation: float = 1.0) -> Tensor:
        """Random latents for ``label``.

        Args:
            label: (n,) int64.
            rng: the only source of randomness.
            truncation: in (0, 1]; below 1 variety is given up for quality, where the kind can.
        """
        return self.latents(self.random(len(label), rng), label)


class Discriminator(nn.Module):
    """Tells real images from drawn ones."""

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        """(n,) logits, higher for real, of (n, 1, size, size) images and (n,) int64 labels."""
        raise NotImplementedError


def parameters_of(module: nn.Module) -> int:
    """How many numbers are trained in ``module``."""
    return sum(one.numel() for one in module.parameters())
