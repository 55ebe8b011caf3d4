"""Filtered up- and down-sampling (Karras 2019, section 2; Zhang 2019, "shift-invariant").

The filter is the binomial [1, 3, 3, 1], applied along rows and columns. Along an axis resampling is
a banded matrix. On small grids the product with it is much the fastest on a CPU (ten times a
convolution of one channel), and as good as any on a GPU; on large ones a convolution is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
_LARGEST_MATRIX = 96


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
    kernel = taps.flip(0).to(images.dtype).repeat(channels, 1)
    padded = functional.pad(images, (*pad, *pad))
    rows = functional.conv2d(padded, kernel[:, None, :, None], stride=(down, 1), groups=channels)
    return functional.conv2d(rows, kernel[:, None, None, :], stride=(1, down), groups=channels)


def matrix_of(taps: Tensor, side: int, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """(out, side) matrix that does along an axis what `upfirdn` does."""
    count = (side * up + sum(pad) - len(taps)) // down + 1
    matrix = torch.zeros(count, side, dtype=taps.dtype)
    for row in range(count):
        for tap in range(len(taps)):
            # Place in the row of samples and zeros that this tap sees.
            place = row * down + len(taps) - 1 - tap - pad[0]
            if place % up == 0 and 0 <= place // up < side:
                matrix[row, place // up] += taps[tap]
    return matrix


class Resample(nn.Module):
    """Filters, and doubles or halves on the way.

    Args:
        side: height and width of what comes in.
        pad: zeros before and after, see `upfirdn`.
        up, down: factors.
        taps: of the filter, an even number.
        gain: what the taps are scaled to the sum of; 2 makes up for zeros between samples.
    """

    taps: Tensor
    matrix: Tensor | None

    def __init__(
        self,
        side: int,
        pad: tuple[int, int],
        *,
        up: int = 1,
        down: int = 1,
        taps: Sequence[float] = BINOMIAL,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        scaled = [one * gain / sum(taps) for one in taps]
        kernel = torch.tensor(scaled, dtype=torch.float64, device="cpu")
        matrix = matrix_of(kernel, side, up, down, pad).float() if side <= _LARGEST_MATRIX else None
        self.register_buffer("taps", kernel.float(), persistent=False)
        self.register_buffer("matrix", matrix, persistent=False)
        self.pad, self.up, self.down = pad, up, down

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, h) of (n, channels, side, side)."""
        if self.matrix is None:
            return upfirdn(images, self.taps, self.up, self.down, self.pad)
        return self.matrix @ images @ self.matrix.T


def double(side: int, taps: Sequence[float] = BINOMIAL) -> Resample:
    """Twice the size; a pixel's centre stays where it is."""
    half = len(taps) // 2
    return Resample(side, (half, half - 1), up=2, taps=taps, gain=2.0)


def halve(side: int, taps: Sequence[float] = BINOMIAL) -> Resample:
    """Half the size."""
    half = len(taps) // 2
    return Resample(side, (half - 1, half - 1), down=2, taps=taps)


def after_transposed(side: int) -> Resample:
    """The filter after a transposed 3×3 convolution of stride 2, without padding of its own.

    Args:
        side: of what went into the convolution; what comes out of the filter has twice that.
    """
    return Resample(2 * side + 1, (1, 1), gain=2.0)


def before_strided(side: int) -> Resample:
    """The filter before a 3×3 convolution of stride 2, without padding of its own."""
    return Resample(side, (2, 2))
