"""Adaptive discriminator augmentation (Karras 2020b), for grey images.

Every transform is applied to each image with the probability p (the strength). As long as p stays
below 1 the distribution of the images can be told from that of the changed ones (section 2.1),
so that what the generator learns is not the changes. All of it is differentiable with respect to
the images. Order and ranges follow the paper's appendix B: pixel blitting, general geometric
transforms, and of the colour transforms those that a grey image has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from scipy.signal import firwin
from torch import Tensor, nn
from torch.nn import functional

from models.gan.networks import Rng
from models.gan.recipe import Recipe
from models.gan.resample import double, halve

_SCALE_STD = 0.2 * math.log(2.0)
_CONTRAST_STD = 0.5 * math.log(2.0)
_SHIFT_SHARE = 0.125
_BRIGHTNESS_STD = 0.2


@dataclass(frozen=True, slots=True)
class Strength:
    """The augmentation's strength, and what it is steered by.

    Attributes:
        p: probability of each transform.
        signs: sum of the signs of D(real) since the last adjustment.
        count: how many these were.
    """

    p: float = 0.0
    signs: float = 0.0
    count: float = 0.0


def observe(strength: Strength, signs: float, count: float) -> Strength:
    """With the signs of ``count`` logits of real images added up."""
    return Strength(strength.p, strength.signs + signs, strength.count + count)


def adjust(strength: Strength, images: int, recipe: Recipe) -> Strength:
    """p a step up where r_t, the mean sign of D(real), is above the target, else a step down.

    Args:
        strength: what was observed since the last adjustment.
        images: real images shown since then.
        recipe: target, speed and limit.
    """
    if strength.count == 0:
        return strength
    excess = strength.signs / strength.count - recipe.ada_target
    direction = (excess > 0) - (excess < 0)
    p = strength.p + direction * images / recipe.ada_images
    return Strength(min(max(p, 0.0), recipe.ada_limit))


class AdaPipeline(nn.Module):
    """The transforms. At p = 0 images come back as they were, to the bit.

    Args:
        size_px: side of the images.
    """

    def __init__(self, size_px: int) -> None:
        super().__init__()
        # Resampled at twice the size with a long filter, so that turning hardly blurs.
        taps = firwin(12, 0.5).tolist()
        self.margin = 8
        side = size_px + 2 * self.margin
        self.enlarge = double(side, taps)
        self.shrink = halve(2 * side, taps)

    def forward(self, images: Tensor, p: float, rng: Rng) -> Tensor:
        """(n, 1, size, size) changed images.

        Args:
            images: (n, 1, size, size) in [-1, 1].
            p: probability of each transform, 0 to 1.
            rng: the only source of randomness, on the images' device.
        """
        if p <= 0.0:
            return images
        images = blit(images, p, rng)
        matrix, changed = geometry(len(images), p, rng)
        where = torch.nonzero(changed)[:, 0]
        if len(where):
            warped = self.warp(images[where], matrix[where].to(images.dtype))
            images = images.index_copy(0, where, warped)
        return grey_levels(images, p, rng)

    def warp(self, images: Tensor, matrix: Tensor) -> Tensor:
        """Images seen through (n, 2, 3) affine maps from output to input, in units of half a side.

        Beyond the border the image goes on as in a mirror.
        """
        n, _, size, _ = images.shape
        margin = self.margin
        padded = functional.pad(images, (margin,) * 4, mode="reflect")
        fine = self.enlarge(padded)
        side = size + 2 * margin
        grow = size / side
        # In the padded image the picture is smaller; shifts shrink with it.
        scaled = torch.cat([matrix[:, :, :2], matrix[:, :, 2:] * grow], 2)
        grid = functional.affine_grid(scaled, [n, 1, 2 * side, 2 * side], align_corners=False)
        seen = functional.grid_sample(
            fine, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        return cast(Tensor, self.shrink(seen)[:, :, margin:-margin, margin:-margin])


def blit(images: Tensor, p: float, rng: Rng) -> Tensor:
    """Mirrored, turned by quarters, shifted by whole pixels: no resampling."""
    n, _, size, _ = images.shape
    mirror = _chosen(n, p, rng) & (_rand(n, rng) < 0.5)
    images = torch.where(mirror[:, None, None, None], images.flip(3), images)
    turns = torch.where(_chosen(n, p, rng), _integers(n, 0, 4, rng), 0)
    for k in (1, 2, 3):
        turned = torch.rot90(images, k, (2, 3))
        images = torch.where((turns == k)[:, None, None, None], turned, images)
    reach = round(size * _SHIFT_SHARE)
    shift = torch.where(
        _chosen(n, p, rng)[None], _integers(2 * n, -reach, reach + 1, rng).view(2, n), 0
    )
    rows, columns = (_mirrored(size, one) for one in shift)
    index = torch.arange(n, device=images.device)[:, None, None]
    return images[index, 0, rows[:, :, None], columns[:, None, :]][:, None]


def geometry(n: int, p: float, rng: Rng) -> tuple[Tensor, Tensor]:
    """(n, 2, 3) affine maps, and (n,) which of them are not the identity.

    Isotropic scaling, rotation, anisotropic scaling, rotation, fractional shift. Two rotations
    each have the probability 1 − √(1 − p), so that one of them happens with p (appendix B).
    """
    device = rng.device
    matrix = torch.eye(2, device=device).repeat(n, 1, 1)
    changed = torch.zeros(n, dtype=torch.bool, device=device)
    p_turn = 1.0 - math.sqrt(1.0 - min(p, 1.0))
    for what, share in (("scale", p), ("turn", p_turn), ("stretch", p), ("turn", p_turn)):
        chosen = _chosen(n, share, rng)
        changed |= chosen
        if what == "turn":
            angle = (_rand(n, rng) * 2 - 1) * math.pi * chosen
            c, s = angle.cos(), angle.sin()
            step = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
        else:
            size = (_randn(n, rng) * _SCALE_STD * chosen).exp()
            other = size if what == "scale" else 1.0 / size
            step = torch.diag_embed(torch.stack([size, other], 1))
        matrix = step @ matrix
    chosen = _chosen(n, p, rng)
    changed |= chosen
    # A standard deviation of an eighth of the side; the unit is half a side.
    shift = _randn(2 * n, rng).view(n, 2, 1) * (2 * _SHIFT_SHARE) * chosen[:, None, None]
    return torch.cat([matrix, shift], 2), changed


def grey_levels(images: Tensor, p: float, rng: Rng) -> Tensor:
    """Brightness, contrast, inversion: each image on its own.

    On the networks' scale the background is 0: contrast and inversion are about the background.
    """
    n = len(images)

    def shaped(values: Tensor) -> Tensor:
        return values[:, None, None, None].to(images.dtype)

    brightness = _randn(n, rng) * _BRIGHTNESS_STD * _chosen(n, p, rng)
    contrast = (_randn(n, rng) * _CONTRAST_STD * _chosen(n, p, rng)).exp()
    flip = 1.0 - 2.0 * (_chosen(n, p, rng) & (_rand(n, rng) < 0.5)).float()
    return (images + shaped(brightness)) * shaped(contrast * flip)


def _mirrored(size: int, shift: Tensor) -> Tensor:
    """(n, size) indices shifted by (n,), mirrored at the borders."""
    index = (torch.arange(size, device=shift.device)[None] - shift[:, None]).abs()
    return (size - 1) - ((size - 1) - index).abs()


def _rand(n: int, rng: Rng) -> Tensor:
    return torch.rand(n, generator=rng, device=rng.device)


def _randn(n: int, rng: Rng) -> Tensor:
    return torch.randn(n, generator=rng, device=rng.device)


def _integers(n: int, low: int, high: int, rng: Rng) -> Tensor:
    return torch.randint(low, high, (n,), generator=rng, device=rng.device)


def _chosen(n: int, p: float, rng: Rng) -> Tensor:
    return _rand(n, rng) < p
