"""Things wrong with a picture that generators get wrong: what a feature network learns to see.

Crops are float32 (n, 1, size, size) in grey levels 0 to 255, on the CPU or elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.augment import elastic

DISTORTIONS = ("none", "blur", "noise", "elastic", "swapped", "checkered", "flattened")


def distort(crops: Tensor, kind: Tensor, background: float, generator: torch.Generator) -> Tensor:
    """Each crop spoilt in its own way.

    Args:
        crops: left as they are.
        kind: (n,) int64, index into `DISTORTIONS`.
        background: the crops' background level.
        generator: the only source of randomness, on the CPU.
    """
    out = crops.clone()
    changes = (_blur, _noise, _elastic, _swap, _checker, _flatten)
    for number, change in enumerate(changes, start=1):
        chosen = torch.nonzero(kind == number)[:, 0]
        if len(chosen):
            out[chosen] = change(crops[chosen], background, generator)
    return out.clamp_(0.0, 255.0)


def _blur(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=crops.device) / 16
    padded = functional.pad(crops, (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(padded, torch.outer(row, row)[None, None])


def _noise(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    sigma = 3.0 + 7.0 * torch.rand(len(crops), 1, 1, 1, generator=rng)
    return crops + (sigma * torch.randn(crops.shape, generator=rng)).to(crops.device)


def _elastic(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    return elastic(crops, 0.06 * crops.shape[-1], background, rng)


def _swap(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    """Two quarters change places, as if their parts had been put together wrongly."""
    half = crops.shape[-1] // 2
    corners = ((0, 0), (0, half), (half, 0), (half, half))
    out = crops.clone()
    for i in range(len(crops)):
        a, b = (corners[k] for k in torch.randperm(4, generator=rng)[:2].tolist())
        for (y, x), (v, u) in ((a, b), (b, a)):
            out[i, :, y : y + half, x : x + half] = crops[i, :, v : v + half, u : u + half]
    return out


def _checker(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    """The pattern that transposed convolutions leave (Odena 2016)."""
    side = torch.arange(crops.shape[-1], device=crops.device)
    board = ((side[:, None] + side[None]) % 2 * 2 - 1).float()
    depth = 2.0 + 5.0 * torch.rand(len(crops), 1, 1, 1, generator=rng).to(crops.device)
    return crops + depth * board


def _flatten(crops: Tensor, background: float, rng: torch.Generator) -> Tensor:
    """Fine texture taken out where the picture differs from its background."""
    half = crops.shape[-1] // 4
    small = functional.adaptive_avg_pool2d(crops, half)
    return functional.interpolate(small, crops.shape[2:], mode="bilinear", align_corners=False)
