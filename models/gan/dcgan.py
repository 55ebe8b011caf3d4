"""DCGAN (Radford, Metz & Chintala 2015): strided and transposed convolutions with batch norm.

The paper's network draws 64 px: 100 uniform random numbers, a projection to 4×4×1024, four 5×5
convolutions of stride 1/2 that halve the channels, ReLU inside and tanh at the end; the
discriminator mirrors it with leaky ReLU. Batch norm everywhere but at the generator's output and
the discriminator's input; weights from N(0, 0.02); Adam with rate 2e-4 and beta1 0.5 (section 4).
Other sizes take a doubling more or less, with 1,024 channels at most.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.gan.grey import GreyScale
from models.gan.networks import Discriminator, Generator, Rng, doublings
from models.gan.recipe import Recipe
from sorter.errors import InputError

_LEAK = 0.2


class DcganSettings(BaseModel):
    """Shape of the networks, and how they are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dcgan"] = "dcgan"
    z_dim: int = Field(default=100, ge=1, description="numbers in a random vector")
    channels: int = Field(default=128, ge=1, description="at half of the full size")
    max_channels: int = Field(default=1024, ge=1, description="on any grid")
    grey: GreyScale = GreyScale()
    recipe: Recipe = Recipe(batch=128)


CPU = DcganSettings(channels=32, max_channels=128, recipe=Recipe(batch=64, ada_images=100_000))


def channels_by_grid(settings: DcganSettings, size_px: int) -> list[int]:
    """Channels from the smallest grid up to half of ``size_px``."""
    _, count = doublings(size_px)
    return [min(settings.max_channels, settings.channels << (count - 1 - i)) for i in range(count)]


class DcganGenerator(Generator):
    """The generator.

    Args:
        settings: shape.
        size_px: side of the images.
        classes: must be 1; DCGAN knows no classes.

    Raises:
        InputError: more than one class.
    """

    def __init__(self, settings: DcganSettings, size_px: int, classes: int = 1) -> None:
        super().__init__(settings.z_dim, classes, size_px, settings.grey)
        if classes != 1:
            raise InputError("DCGAN knows no classes", on="--condition", do="Use another kind.")
        base, _ = doublings(size_px)
        widths = channels_by_grid(settings, size_px)
        self.base_px = base
        self.project = nn.Linear(settings.z_dim, widths[0] * base * base, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 5, 2, 2, output_padding=1, bias=b == 1)
            for a, b in zip(widths, [*widths[1:], 1], strict=True)
        )
        self.apply(_initialise)

    def random(self, n: int, rng: Rng) -> Tensor:
        """(n, z_dim) uniform in [-1, 1], as in the paper."""
        return torch.rand(n, self.z_dim, generator=rng, device=rng.device) * 2 - 1

    def latents(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """The random vectors themselves."""
        return z

    def draw(self, latents: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images of (n, z_dim)."""
        features = self.project(latents).unflatten(1, (-1, self.base_px, self.base_px))
        for norm, up in zip(self.norms, self.ups, strict=True):
            features = up(functional.relu(norm(features)))
        return torch.tanh(features)


class DcganDiscriminator(Discriminator):
    """The discriminator; arguments as those of the generator."""

    def __init__(self, settings: DcganSettings, size_px: int, classes: int = 1) -> None:
        super().__init__()
        base, _ = doublings(size_px)
        widths = channels_by_grid(settings, size_px)[::-1]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 5, 2, 2, bias=a == 1)
            for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.head = nn.Linear(widths[-1] * base * base, 1)
        self.apply(_initialise)

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        """(n,) logits of (n, 1, size, size)."""
        features = functional.leaky_relu(self.downs[0](images), _LEAK)
        for norm, down in zip(self.norms, list(self.downs)[1:], strict=True):
            features = functional.leaky_relu(norm(down(features)), _LEAK)
        return cast(Tensor, self.head(features.flatten(1))[:, 0])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
