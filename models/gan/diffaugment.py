"""DiffAugment (Zhao 2020), for grey images: brightness, contrast, shift, cut-out, always on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.gan.networks import Rng

_SHIFT_SHARE = 0.125
_CUT_SHARE = 0.5


def diffaugment(images: Tensor, rng: Rng) -> Tensor:
    """Changed images, differentiable with respect to the images.

    Args:
        images: (n, 1, size, size) in [-1, 1].
        rng: the only source of randomness, on the images' device.

    Returns:
        The same shape. Brightness by ±0.5, contrast by 0.5 to 1.5, shifts of up to an eighth of
        the side with background (0) coming in, a square hole of half the side (Zhao 2020, section
        3.2).
    """
    n, _, size, _ = images.shape
    device = rng.device

    def uniform() -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=rng, device=device).to(images.dtype)

    images = images + (uniform() - 0.5)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (uniform() + 0.5) + mean
    reach = round(size * _SHIFT_SHARE)
    padded = functional.pad(images, (reach,) * 4)
    rows, columns = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=rng, device=device)
    index = torch.arange(size, device=device)[None]
    each = torch.arange(n, device=device)[:, None, None]
    images = padded[each, 0, (rows + index)[:, :, None], (columns + index)[:, None, :]][:, None]
    half = round(size * _CUT_SHARE) // 2
    centre = torch.randint(0, size, (2, n, 1), generator=rng, device=device)
    inside = ((index[None] - centre) >= -half) & ((index[None] - centre) < half)
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return images * (~hole)[:, None].to(images.dtype)
