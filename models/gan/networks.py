"""What the trainer needs of a generator and a discriminator, whatever their kind.

Images are float (n, 1, size, size) in [-1, 1]; grey level g of a crop is g / 127.5 - 1, as linear
as what the sorter's own network does. Randomness comes from a `torch.Generator` on the networks'
device, handed in at every call, so that a training can be repeated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sorter.errors import InputError

SIZES_PX = (32, 48, 64, 96, 128, 192, 256)
Rng = torch.Generator


def to_network(grey: Tensor) -> Tensor:
    """Grey levels 0 to 255 (any number type) to [-1, 1], float32."""
    return grey.to(torch.float32) / 127.5 - 1.0


def to_grey(images: Tensor) -> Tensor:
    """[-1, 1] to grey levels, uint8, rounded and clipped."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


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
    """

    def __init__(self, z_dim: int, classes: int, size_px: int) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.classes = classes
        self.size_px = size_px

    def random(self, n: int, rng: Rng) -> Tensor:
        """(n, z_dim) random vectors from the distribution that it is trained on."""
        return torch.randn(n, self.z_dim, generator=rng, device=rng.device)

    def latents(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """What `draw` takes, from (n, z_dim) random vectors and (n,) int64 labels."""
        raise NotImplementedError

    def draw(self, latents: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images; without ``rng`` nothing in them is random."""
        raise NotImplementedError

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
