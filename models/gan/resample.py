"""Filtered up- and down-sampling (Karras 2019, section 2; Zhang 2019, "shift-invariant").

The filter is the binomial [1, 3, 3, 1], applied along rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BINOMIAL = (1.0, 3.0, 3.0, 1.0)


def upfirdn(
    images: Tensor, taps: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> Tensor:
    """Zeros between samples, zeros around, a filter, every ``down``-th sample; both directions.

    Args:
        images: (n, channels, height, width).
        taps: (k,) of the filter, applied as a convolution (as `scipy.signal.upfirdn` does).
        up: each sample is followed by ``up`` - 1 zeros.
        down: of the filtered samples every ``down``-th is kept, from the first.
        pad: zeros before and after, counted in samples after ``up``.

    Returns:
        (n, channels, h, w) with h = (height·up + pad[0] + pad[1] - k) // down + 1, w likewise.
    """
    n, channels, height, width = images.shape
    if up > 1:
        spread = images.new_zeros(n, channels, height, up, width, up)
        spread[:, :, :, 0, :, 0] = images
        images = spread.reshape(n, channels, height * up, width * up)
        height, width = height * up, width * up
    # One channel at a time: oneDNN runs this faster than a grouped convolution.
    flat = functional.pad(images, (*pad, *pad)).reshape(n * channels, 1, -1, width + sum(pad))
    kernel = taps.flip(0).to(flat.dtype)
    flat = functional.conv2d(flat, kernel.view(1, 1, -1, 1), stride=(down, 1))
    flat = functional.conv2d(flat, kernel.view(1, 1, 1, -1), stride=(1, down))
    return flat.view(n, channels, *flat.shape[2:])


class Resample(nn.Module):
    """Filters, and doubles or halves on the way.

    Args:
        pad: zeros before and after, see `upfirdn`.
        up, down: factors.
        taps: of the filter, an even number.
        gain: what the taps are scaled to the sum of; 2 makes up for zeros between samples.
    """

    taps: Tensor

    def __init__(
        self,
        pad: tuple[int, int],
        up: int = 1,
        down: int = 1,
        taps: Sequence[float] = BINOMIAL,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        kernel = torch.tensor(taps, dtype=torch.float32)
        self.register_buffer("taps", kernel / kernel.sum() * gain, persistent=False)
        self.pad, self.up, self.down = pad, up, down

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, w) of (n, channels, height, width)."""
        return upfirdn(images, self.taps, self.up, self.down, self.pad)


def double(taps: Sequence[float] = BINOMIAL) -> Resample:
    """Twice the size; a pixel's centre stays where it is."""
    half = len(taps) // 2
    return Resample((half, half - 1), up=2, taps=taps, gain=2.0)


def halve(taps: Sequence[float] = BINOMIAL) -> Resample:
    """Half the size."""
    half = len(taps) // 2
    return Resample((half - 1, half - 1), down=2, taps=taps)


def after_transposed() -> Resample:
    """The filter after a transposed 3×3 convolution of stride 2, without padding of its own."""
    return Resample((1, 1), gain=2.0)


def before_strided() -> Resample:
    """The filter before a 3×3 convolution of stride 2, without padding of its own."""
    return Resample((2, 2))
