"""Random changes to training crops that do not change what they show. Whole batches in torch.

Crops are float32 (n, 1, size, size) in grey levels 0 to 255 with the background at one level;
whatever comes in from outside is background.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class AugmentSettings(BaseModel):
    """How far crops are changed; 0 switches a change off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: bool = Field(default=True, description="all eight flips and quarter turns")
    warp_share: float = Field(
        default=0.4, ge=0, le=1, description="share of crops that is turned, scaled and shifted"
    )
    scale: float = Field(default=0.06, ge=0, lt=0.5, description="relative size change, at most")
    shift_px: float = Field(default=2.0, ge=0, description="shift, at most; pixels")
    brightness: float = Field(default=6.0, ge=0, description="offset, at most; grey levels")
    contrast: float = Field(
        default=0.12, ge=0, lt=1, description="relative change about the background, at most"
    )
    gamma: float = Field(default=0.1, ge=0, lt=1, description="log of the exponent, at most")
    blur_share: float = Field(default=0.25, ge=0, le=1, description="share of crops blurred")
    noise: float = Field(default=4.0, ge=0, description="standard deviation, at most; grey levels")
    cutout_share: float = Field(
        default=0.1, ge=0, le=1, description="share of crops with a hole of background"
    )
    cutout_px: int = Field(default=12, ge=1, description="side of the hole; pixels")
    elastic_share: float = Field(default=0.0, ge=0, le=1, description="share of crops bent")
    elastic_px: float = Field(
        default=2.0, ge=0, description="standard deviation of the bend at its nodes; pixels"
    )


NO_AUGMENT = AugmentSettings(
    flips=False,
    warp_share=0,
    brightness=0,
    contrast=0,
    gamma=0,
    blur_share=0,
    noise=0,
    cutout_share=0,
    elastic_share=0,
)


def augment(
    crops: Tensor, background: float, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    """Each crop changed at random and on its own.

    Args:
        crops: (n, 1, size, size) float32, 0 to 255.
        background: the crops' background level.
        settings: what is changed and how far.
        generator: the only source of randomness.

    Returns:
        (n, 1, size, size) float32, 0 to 255.
    """
    out = turn_and_flip(crops, generator) if settings.flips else crops.clone()
    out = _warp(out, background, settings, generator)
    out = _bend(out, background, settings, generator)
    out = _blur(out, settings.blur_share, generator)
    out = _photometric(out, background, settings, generator)
    out = _cut_out(out, background, settings, generator)
    return out.clamp_(0.0, 255.0)


def turn_and_flip(crops: Tensor, generator: torch.Generator) -> Tensor:
    """One of the eight symmetries of the square for each crop, pixel values untouched."""
    which = torch.randint(0, 8, (len(crops),), generator=generator)
    out = torch.empty_like(crops)
    for k in range(8):
        chosen = which == k
        part = torch.rot90(crops[chosen], k % 4, (2, 3))
        out[chosen] = part.flip(3) if k >= 4 else part
    return out


def elastic(
    crops: Tensor, reach_px: float, background: float, generator: torch.Generator
) -> Tensor:
    """Bent by a smooth random field (Simard 2003).

    Args:
        crops: (n, 1, size, size).
        reach_px: standard deviation of the shift at the field's four by four nodes, pixels.
        background: what comes in from outside.
        generator: the only source of randomness, on the CPU.
    """
    n, _, size, _ = crops.shape
    nodes = torch.randn(n, 2, 4, 4, generator=generator).to(crops.device) * (2.0 * reach_px / size)
    field = functional.interpolate(nodes, (size, size), mode="bicubic", align_corners=True)
    still = torch.eye(2, 3, device=crops.device).repeat(n, 1, 1)
    grid = functional.affine_grid(still, [n, 1, size, size], align_corners=False)
    return background + functional.grid_sample(
        crops - background, grid + field.permute(0, 2, 3, 1), align_corners=False
    )


def mix_up(
    crops: Tensor, target: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each crop mixed with another one, and their targets likewise (Zhang 2018, "mixup").

    Args:
        crops: (n, 1, size, size).
        target: (n, classes) probabilities.
        alpha: of the Beta distribution of the shares; 0 leaves all as it is.
        generator: the only source of randomness.
    """
    if alpha <= 0:
        return crops, target
    # torch has no beta distribution that takes a generator.
    seed = int(torch.randint(0, 2**31, (1,), generator=generator))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, len(crops)).astype(np.float32)
    share = torch.from_numpy(drawn).to(crops.device)
    other = torch.randperm(len(crops), generator=generator)
    wide = share[:, None, None, None]
    mixed = wide * crops + (1 - wide) * crops[other]
    return mixed, share[:, None] * target + (1 - share[:, None]) * target[other]


def _bend(
    crops: Tensor, background: float, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    if settings.elastic_share == 0:  # nothing is drawn, so that seeds go on meaning what they did
        return crops
    chosen = _some(len(crops), settings.elastic_share, generator)
    if len(chosen):
        crops[chosen] = elastic(crops[chosen], settings.elastic_px, background, generator)
    return crops


def _uniform(n: int, limit: float, generator: torch.Generator) -> Tensor:
    """(n, 1, 1, 1) in [-limit, limit]."""
    return (torch.rand(n, 1, 1, 1, generator=generator) * 2 - 1) * limit


def _some(n: int, share: float, generator: torch.Generator) -> Tensor:
    """Indices of about ``share`` of n."""
    return torch.nonzero(torch.rand(n, generator=generator) < share)[:, 0]


def _warp(
    crops: Tensor, background: float, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    chosen = _some(len(crops), settings.warp_share, generator)
    n, size = len(chosen), crops.shape[-1]
    if n == 0:
        return crops
    angle = _uniform(n, math.pi, generator)[:, 0, 0, 0]
    scale = 1 + _uniform(n, settings.scale, generator)[:, 0, 0, 0]
    shift = _uniform(2 * n, settings.shift_px * 2 / size, generator).view(n, 2)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    grid = functional.affine_grid(theta, [n, 1, size, size], align_corners=False)
    # Outside is 0 for grid_sample, so the background is made 0 meanwhile.
    crops[chosen] = background + functional.grid_sample(
        crops[chosen] - background, grid, align_corners=False
    )
    return crops


def _blur(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = _some(len(crops), share, generator)
    if len(chosen) == 0:
        return crops
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(row, row)[None, None]
    picked = crops[chosen]
    padded = functional.pad(picked, (2, 2, 2, 2), mode="replicate")
    amount = torch.rand(len(chosen), 1, 1, 1, generator=generator)
    crops[chosen] = picked + amount * (functional.conv2d(padded, kernel) - picked)
    return crops


def _photometric(
    crops: Tensor, background: float, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    n = len(crops)
    if settings.gamma > 0:
        # About the background, which gamma must not move.
        exponent = torch.exp(_uniform(n, settings.gamma, generator))
        crops = background * (crops.clamp(min=0.0) / background).pow(exponent)
    gain = 1 + _uniform(n, settings.contrast, generator)
    offset = _uniform(n, settings.brightness, generator)
    crops = (crops - background) * gain + (background + offset)
    if settings.noise > 0:
        sigma = torch.rand(n, 1, 1, 1, generator=generator) * settings.noise
        crops = crops + sigma * torch.randn(crops.shape, generator=generator)
    return crops


def _cut_out(
    crops: Tensor, background: float, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    size = crops.shape[-1]
    side = min(settings.cutout_px, size)
    for i in _some(len(crops), settings.cutout_share, generator).tolist():
        x, y = torch.randint(0, size - side + 1, (2,), generator=generator).tolist()
        crops[i, :, y : y + side, x : x + side] = background
    return crops
