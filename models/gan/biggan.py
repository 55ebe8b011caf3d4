"""BigGAN (Brock, Donahue & Simonyan 2018), for grey images.

Residual blocks with spectral normalisation (Miyato 2018) in both networks; in the generator batch
norm whose gains and biases are linear in the shared class embedding and a chunk of z; projection
discriminator (Miyato & Koyama 2018); one self-attention block (Zhang 2018); orthogonal weights.
Widths follow the paper's tables 4 and 5 (128 and 256 px); 64 px is its 128 px column without the
first 16→16 block, smaller sizes drop the next ones. Twenty numbers of z for each block and for the
first grid, as there.
"""

from __future__ import annotations

import itertools
from typing import Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from models.gan.grey import GreyScale
from models.gan.networks import Discriminator, Generator, Rng, doublings
from models.gan.recipe import Recipe

# Multiples of `channels`, from the smallest grid to the largest.
_WIDTHS = {
    3: (8, 4, 2, 1),
    4: (16, 8, 4, 2, 1),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
}


class BigganSettings(BaseModel):
    """Shape of the networks, and how they are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["biggan"] = "biggan"
    channels: int = Field(default=96, ge=8, description="at the full size; others are multiples")
    z_chunk: int = Field(default=20, ge=1, description="random numbers for each block")
    embedding: int = Field(default=128, ge=1, description="numbers that stand for a class")
    grey: GreyScale = GreyScale()
    recipe: Recipe = Recipe(
        batch=256,
        discriminator_steps=2,
        generator_rate=5e-5,
        discriminator_rate=2e-4,
        beta1=0.0,
        adversarial="hinge",
        orthogonal_weight=1e-4,
        ema_half_life_images=100_000,
    )


CPU = BigganSettings(
    channels=16,
    recipe=Recipe(
        batch=32,
        discriminator_steps=2,
        generator_rate=1e-4,
        discriminator_rate=4e-4,
        beta1=0.0,
        adversarial="hinge",
        orthogonal_weight=1e-4,
    ),
)


class BigganGenerator(Generator):
    """The generator.

    Args:
        settings: shape.
        size_px: side of the images.
        classes: 1 or more.
    """

    def __init__(self, settings: BigganSettings, size_px: int, classes: int = 1) -> None:
        self.base_px, count = doublings(size_px)
        super().__init__(settings.z_chunk * (count + 1), classes, size_px, settings.grey)
        widths = [settings.channels * one for one in _WIDTHS[count]]
        self.chunk = settings.z_chunk
        condition = settings.embedding + settings.z_chunk
        self.embed = nn.Embedding(classes, settings.embedding)
        nn.init.orthogonal_(self.embed.weight)
        self.project = _normal(nn.Linear(settings.z_chunk, widths[0] * self.base_px**2))
        self.blocks = nn.ModuleList(_Up(a, b, condition) for a, b in itertools.pairwise(widths))
        self.attend_after = _attention_index(self.base_px, count)
        self.attention = Attention(widths[self.attend_after + 1])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = _normal(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def latents(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, embedding + z_dim): what stands for the class, then the random vector."""
        return torch.cat([self.embed(label), z], 1)

    def draw(self, latents: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images of (n, embedding + z_dim)."""
        embedded, z = latents[:, : -self.z_dim], latents[:, -self.z_dim :]
        first, *rest = z.chunk(self.z_dim // self.chunk, 1)
        features = self.project(first).unflatten(1, (-1, self.base_px, self.base_px))
        for i, (block, chunk) in enumerate(zip(self.blocks, rest, strict=True)):
            features = block(features, torch.cat([embedded, chunk], 1))
            if i == self.attend_after:
                features = self.attention(features)
        return torch.tanh(self.to_image(functional.relu(self.norm(features))))

    def sample_latents(self, label: Tensor, rng: Rng, truncation: float = 1.0) -> Tensor:
        """Truncation trick (section 3.1): numbers beyond ±2·truncation are drawn again."""
        z = self.random(len(label), rng)
        if truncation < 1.0:
            limit = 2.0 * truncation
            while bool((outside := z.abs() > limit).any()):
                z = torch.where(outside, self.random(len(label), rng), z)
        return self.latents(z, label)


class BigganDiscriminator(Discriminator):
    """The projection discriminator; arguments as those of the generator."""

    def __init__(self, settings: BigganSettings, size_px: int, classes: int = 1) -> None:
        super().__init__()
        base, count = doublings(size_px)
        outs = [settings.channels * one for one in _WIDTHS[count]][::-1]
        self.blocks = nn.ModuleList(
            _Down(a, b, first=i == 0, down=i < count)
            for i, (a, b) in enumerate(zip([1, *outs[:-1]], outs, strict=True))
        )
        self.attend_after = count - 2 - _attention_index(base, count)
        self.attention = Attention(outs[self.attend_after])
        self.head = _normal(nn.Linear(outs[-1], 1))
        self.embed = _normal(nn.Embedding(classes, outs[-1]))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        """(n,) logits: a linear function of the pooled features, plus their product with the
        class's embedding.
        """
        features = images
        for i, block in enumerate(self.blocks):
            features = block(features)
            if i == self.attend_after:
                features = self.attention(features)
        pooled = functional.relu(features).sum((2, 3))
        product = (pooled * self.embed(label)).sum(1)
        return cast(Tensor, self.head(pooled)[:, 0] + product)


class Attention(nn.Module):
    """Self-attention over places (Zhang 2018, section 3), keys and values at half the size.

    Args:
        channels: of the features, a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = _normal(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.key = _normal(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.value = _normal(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.out = _normal(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, h, w), what was attended to added to what was there."""
        query = self.query(features).flatten(2)
        key = functional.max_pool2d(self.key(features), 2).flatten(2)
        value = functional.max_pool2d(self.value(features), 2).flatten(2)
        share = torch.softmax(query.transpose(1, 2) @ key, dim=2)
        seen = (value @ share.transpose(1, 2)).view(features.shape[0], -1, *features.shape[2:])
        return cast(Tensor, features + self.weight * self.out(seen))


class _ConditionalNorm(nn.Module):
    """Batch norm whose gain and bias are linear in a condition."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = _normal(nn.Linear(condition, channels, bias=False))
        self.bias = _normal(nn.Linear(condition, channels, bias=False))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        gain = 1.0 + self.gain(condition)[:, :, None, None]
        return cast(Tensor, self.norm(features) * gain + self.bias(condition)[:, :, None, None])


class _Up(nn.Module):
    """Doubles the size: norm, ReLU, convolution, twice, beside a 1×1 convolution (figure 15)."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1 = _ConditionalNorm(inputs, condition)
        self.norm2 = _ConditionalNorm(outputs, condition)
        self.conv1 = _normal(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.conv2 = _normal(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = _normal(nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        inner = _double(functional.relu(self.norm1(features, condition)))
        inner = functional.relu(self.norm2(self.conv1(inner), condition))
        # A 1×1 convolution and doubling by repetition can change places; this order is cheaper.
        return cast(Tensor, self.conv2(inner) + _double(self.skip(features)))


class _Down(nn.Module):
    """ReLU, convolution, twice, average pooling, beside a 1×1 convolution (figure 15)."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, down: bool) -> None:
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = _normal(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.conv2 = _normal(nn.Conv2d(outputs, outputs, 3, padding=1))
        keeps = inputs == outputs and not down
        self.skip = nn.Identity() if keeps else _normal(nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        inner = features if self.first else functional.relu(features)
        inner = self.conv2(functional.relu(self.conv1(inner)))
        beside = features
        if self.down:
            inner, beside = functional.avg_pool2d(inner, 2), functional.avg_pool2d(beside, 2)
        return cast(Tensor, inner + self.skip(beside))


def _normal(module: nn.Conv2d | nn.Linear | nn.Embedding) -> nn.Module:
    """Orthogonal weights, divided at each use by their largest singular value (Miyato 2018)."""
    nn.init.orthogonal_(module.weight)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    return spectral_norm(module, eps=1e-6)


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def _attention_index(base: int, count: int) -> int:
    """After which doubling attention stands: at half the full size, at 64 px at most."""
    return next(i for i in range(count - 2, -1, -1) if base << (i + 1) <= 64)
