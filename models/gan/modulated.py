"""Convolutions whose weights are scaled for each image by its style (Karras 2020a, section 2.2).

Scaling the weights of input channel i by the style s_i, and then each filter to unit norm, gives
the same as scaling the features: by s_i before a convolution with shared weights, and by the
demodulation factor of each output channel after it. So no image needs weights of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gan.equalised import EqualLinear, activate
from models.gan.networks import Rng
from models.gan.resample import after_transposed

_EPS = 1e-8


def modulated_conv(
    features: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, up: bool = False
) -> Tensor:
    """Convolution with weights w_oik · s_i, each filter then divided by its norm.

    Args:
        features: (n, inputs, height, width).
        weight: (outputs, inputs, k, k), k odd.
        style: (n, inputs).
        demodulate: whether filters are divided by their norm.
        up: a transposed convolution of stride 2 without padding instead.

    Returns:
        (n, outputs, height, width), or 2·height + k - 2 and likewise for ``up``.
    """
    scaled = features * style[:, :, None, None]
    if up:
        out = functional.conv_transpose2d(scaled, weight.transpose(0, 1), stride=2)
    else:
        out = functional.conv2d(scaled, weight, padding=weight.shape[2] // 2)
    if demodulate:
        norms = style.square() @ weight.square().sum((2, 3)).T
        out = out * torch.rsqrt(norms + _EPS)[:, :, None, None]
    return out


Noise = Callable[[int, int, int], Tensor]
"""Standard normal numbers (n, 1, height, width), asked for layer by layer."""


def random_noise(rng: Rng) -> Noise:
    """Others at each call."""

    def noise(n: int, height: int, width: int) -> Tensor:
        return torch.randn(n, 1, height, width, generator=rng, device=rng.device)

    return noise


def given_noise(numbers: Tensor) -> Noise:
    """Those of (n, numbers), in order."""
    used = 0

    def noise(_: int, height: int, width: int) -> Tensor:
        nonlocal used
        first, used = used, used + height * width
        return numbers[:, first:used].reshape(-1, 1, height, width)

    return noise


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise, bias, activation.

    Args:
        inputs, outputs: channels.
        w_dim: numbers in a style vector.
        double_from: side of the features, where the convolution doubles it; 0: it doesn't.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, double_from: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale = 1.0 / math.sqrt(inputs * 9)
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.filter = after_transposed(double_from) if double_from else None

    def forward(self, features: Tensor, w: Tensor, noise: Noise | None) -> Tensor:
        """(n, outputs, h, w) of (n, inputs, height, width) and (n, w_dim)."""
        weight, up = self.weight * self.scale, self.filter is not None
        out = modulated_conv(features, weight, self.style(w), up=up)
        if self.filter is not None:
            out = self.filter(out)
        out = out + self.bias[:, None, None]
        if noise is not None:
            n, _, height, width = out.shape
            out = out + noise(n, height, width) * self.noise_strength
        return activate(out)


class ToImage(nn.Module):
    """Modulated 1×1 convolution to one grey channel, without demodulation.

    Args:
        inputs: channels.
        w_dim: numbers in a style vector.
        gain: factor on what is drawn; its learning rate is as much slower.
    """

    def __init__(self, inputs: int, w_dim: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, inputs, 1, 1))
        self.scale = gain / math.sqrt(inputs)
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """(n, 1, height, width) of (n, inputs, height, width) and (n, w_dim)."""
        style = self.style(w)
        image = modulated_conv(features, self.weight * self.scale, style, demodulate=False)
        return image + self.bias[:, None, None]
