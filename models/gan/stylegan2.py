"""StyleGAN2 (Karras 2020a) for grey images; with the augmentation of `models.gan.ada` it is
StyleGAN2-ADA (Karras 2020b).

Generator: a mapping network of eight layers to w, a learnt constant, two modulated convolutions on
each grid, and grey images of all grids added up (skip architecture, figure 7b). Discriminator:
residual blocks (figure 7c), standard deviation over groups of a batch (Karras 2017, section 3),
two dense layers. Both: equalised learning rate, filtered resampling. Classes, where there are any,
enter as in the ADA paper: an embedding beside z, and a projection in the discriminator.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.gan.equalised import EqualConv, EqualLinear, activate
from models.gan.grey import GreyScale
from models.gan.modulated import Noise, StyledConv, ToImage, given_noise, random_noise
from models.gan.networks import Discriminator, Generator, Rng, doublings
from models.gan.recipe import Recipe
from models.gan.resample import before_strided, double, halve


class StyleganSettings(BaseModel):
    """Shape of the networks, and how they are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["stylegan2-ada"] = "stylegan2-ada"
    z_dim: int = Field(default=512, ge=1, description="numbers in a random vector")
    w_dim: int = Field(default=512, ge=1, description="numbers in a style vector")
    mapping_layers: int = Field(default=8, ge=1, description="layers of the mapping network")
    mapping_rate: float = Field(default=0.01, gt=0, description="factor on its learning rate")
    channel_base: int = Field(
        default=16_384, ge=64, description="channels on a grid of r px: this divided by r …"
    )
    max_channels: int = Field(default=512, ge=1, description="… but at most this")
    contrast: float = Field(
        default=1.0,
        gt=0,
        description="of the networks' scale of grey, what is 1 to both networks; new ones draw "
        "with a standard deviation of about 2 of these units",
    )
    mixing: float = Field(default=0.9, ge=0, le=1, description="share of images with two styles")
    mean_decay: float = Field(default=0.995, ge=0, lt=1, description="of the mean style, a step")
    group: int = Field(default=4, ge=1, description="images over which the deviation is taken")
    grey: GreyScale = GreyScale()
    recipe: Recipe = Recipe(
        batch=64,
        generator_rate=2.5e-3,
        discriminator_rate=2.5e-3,
        beta1=0.0,
        beta2=0.99,
        r1_gamma=0.02,
        path_weight=2.0,
        ema_half_life_images=20_000,
        augment="ada",
    )


# As the ADA paper does at 32 px (CIFAR-10), without path length and mixing of styles.
CPU = StyleganSettings(
    z_dim=64,
    w_dim=64,
    mapping_layers=3,
    channel_base=1024,
    max_channels=96,
    # The standard deviation of crops on the networks' scale.
    contrast=0.25,
    mixing=0.0,
    recipe=Recipe(
        batch=16,
        generator_rate=2.5e-3,
        discriminator_rate=2.5e-3,
        beta1=0.0,
        beta2=0.99,
        r1_gamma=0.12,
        ema_half_life_images=10_000,
        augment="ada",
        ada_images=100_000,
    ),
)


def channels_on(settings: StyleganSettings, grid_px: int) -> int:
    """Channels on a grid."""
    return min(settings.max_channels, settings.channel_base // grid_px)


class Mapping(nn.Module):
    """Random vectors to styles; follows their mean, which truncation pulls towards."""

    mean: Tensor

    def __init__(self, settings: StyleganSettings, classes: int) -> None:
        super().__init__()
        conditional = classes > 1
        self.embed = EqualLinear(classes, settings.w_dim) if conditional else None
        self.classes = classes
        inputs = settings.z_dim + (settings.w_dim if conditional else 0)
        widths = [inputs] + [settings.w_dim] * settings.mapping_layers
        self.layers = nn.ModuleList(
            EqualLinear(a, b, rate=settings.mapping_rate) for a, b in itertools.pairwise(widths)
        )
        self.register_buffer("mean", torch.zeros(settings.w_dim))
        self.mean_decay = settings.mean_decay

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """(n, w_dim) of (n, z_dim) and (n,) int64."""
        features = _unit(z)
        if self.embed is not None:
            one_hot = functional.one_hot(label, self.classes).to(z.dtype)
            features = torch.cat([features, _unit(self.embed(one_hot))], 1)
        for layer in self.layers:
            features = activate(layer(features))
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(
                    features.detach().to(self.mean.dtype).mean(0), 1.0 - self.mean_decay
                )
        return features


class StyleganGenerator(Generator):
    """The generator.

    Args:
        settings: shape.
        size_px: side of the images.
        classes: 1 or more.
    """

    def __init__(self, settings: StyleganSettings, size_px: int, classes: int = 1) -> None:
        super().__init__(settings.z_dim, classes, size_px, settings.grey)
        base, count = doublings(size_px)
        widths = [channels_on(settings, base << i) for i in range(count + 1)]
        self.mixing = settings.mixing
        self.mapping = Mapping(settings, classes)
        self.constant = nn.Parameter(torch.randn(widths[0], base, base))
        w_dim = settings.w_dim
        self.first = StyledConv(widths[0], widths[0], w_dim)
        self.ups = nn.ModuleList(
            StyledConv(a, b, w_dim, double_from=base << i)
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.convs = nn.ModuleList(StyledConv(width, width, w_dim) for width in widths[1:])
        self.noise_numbers = base**2 + 2 * sum((base << i) ** 2 for i in range(1, count + 1))
        self.images = nn.ModuleList(ToImage(width, w_dim, settings.contrast) for width in widths)
        self.enlarge = nn.ModuleList(double(base << i) for i in range(count))
        self.styles = 2 * count + 2

    def latents(self, z: Tensor, label: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, styles, w_dim); a share of the images gets a second style from some layer on."""
        w = self.mapping(z, label)[:, None].expand(-1, self.styles, -1)
        if rng is None or not self.training or self.mixing == 0.0:
            return cast(Tensor, w)
        n = len(z)
        other = self.mapping(self.random(n, rng).to(z.dtype), label)[:, None]
        cut = torch.randint(1, self.styles, (n, 1), generator=rng, device=rng.device)
        mixed = torch.rand(n, 1, generator=rng, device=rng.device) < self.mixing
        swap = (torch.arange(self.styles, device=z.device)[None] >= cut) & mixed
        return torch.where(swap[:, :, None], other, w)

    def draw(self, latents: Tensor, rng: Rng | None = None) -> Tensor:
        """(n, 1, size, size) images of (n, styles, w_dim)."""
        return self._draw(latents, None if rng is None else random_noise(rng))

    def draw_with(self, latents: Tensor, noise: Tensor) -> Tensor:
        """The same with given noise, standard normal (n, noise_numbers)."""
        return self._draw(latents, given_noise(noise))

    def _draw(self, latents: Tensor, noise: Noise | None) -> Tensor:
        styles = latents.unbind(1)
        features = self.constant.expand(latents.shape[0], -1, -1, -1)
        features = self.first(features, styles[0], noise)
        image = self.images[0](features, styles[1])
        for i, (up, conv) in enumerate(zip(self.ups, self.convs, strict=True)):
            features = conv(up(features, styles[2 * i + 1], noise), styles[2 * i + 2], noise)
            image = self.enlarge[i](image) + self.images[i + 1](features, styles[2 * i + 3])
        return cast(Tensor, image)

    def sample_latents(self, label: Tensor, rng: Rng, truncation: float = 1.0) -> Tensor:
        """Random styles; truncation pulls them towards their mean."""
        latents = self.latents(self.random(len(label), rng), label)
        return self.truncated(latents, truncation) if truncation < 1.0 else latents

    def truncated(self, latents: Tensor, truncation: float) -> Tensor:
        """Styles pulled towards their mean (Karras 2019, section 2)."""
        return latents.lerp(self.mapping.mean, 1.0 - truncation)


class StyleganDiscriminator(Discriminator):
    """The discriminator; arguments as those of the generator."""

    def __init__(self, settings: StyleganSettings, size_px: int, classes: int = 1) -> None:
        super().__init__()
        base, count = doublings(size_px)
        widths = [channels_on(settings, size_px >> i) for i in range(count + 1)]
        self.contrast = settings.contrast
        self.from_image = EqualConv(1, widths[0], 1)
        self.blocks = nn.ModuleList(
            _Residual(a, b, size_px >> i) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.group = settings.group
        last = widths[-1]
        self.conv = EqualConv(last + 1, last, 3)
        self.dense = EqualLinear(last * base * base, last)
        self.classes = classes
        outputs = settings.w_dim if classes > 1 else 1
        self.head = EqualLinear(last, outputs)
        self.embed = EqualLinear(classes, outputs) if classes > 1 else None

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        """(n,) logits of (n, 1, size, size) and (n,) int64."""
        features = activate(self.from_image(images / self.contrast))
        for block in self.blocks:
            features = block(features)
        features = torch.cat([features, batch_deviation(features, self.group)], 1)
        features = activate(self.dense(activate(self.conv(features)).flatten(1)))
        out = self.head(features)
        if self.embed is None:
            return cast(Tensor, out[:, 0])
        one_hot = functional.one_hot(label, self.classes).to(out.dtype)
        projected = (out * _unit(self.embed(one_hot))).sum(1)
        return cast(Tensor, projected / math.sqrt(out.shape[1]))


class _Residual(nn.Module):
    """Two convolutions, the second halving the size, beside a 1×1 one that halves it too."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(inputs, inputs, 3)
        self.filter = before_strided(side)
        self.conv2 = EqualConv(inputs, outputs, 3, stride=2)
        self.shrink = halve(side)
        self.skip = EqualConv(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        inner = activate(self.conv2(self.filter(activate(self.conv1(features)))))
        return cast(Tensor, (inner + self.skip(self.shrink(features))) * math.sqrt(0.5))


def batch_deviation(features: Tensor, group: int) -> Tensor:
    """(n, 1, height, width): mean standard deviation over groups of ``group`` images.

    The groups are what n allows: the largest divisor of n that is not above ``group``.
    """
    n, channels, height, width = features.shape
    size = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    grouped = features.view(size, -1, channels, height, width)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)


def _unit(vectors: Tensor) -> Tensor:
    """Scaled to a mean square of 1."""
    return vectors * torch.rsqrt(vectors.square().mean(1, keepdim=True) + 1e-8)
