"""Layers with an equalised learning rate (Karras 2017, section 4.1).

Weights are drawn from N(0, 1) and multiplied at each use by what He's initialisation would have
drawn them with, so that Adam moves all layers at the same relative speed. Leaky ReLU is followed
by √2, which keeps the variance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2
GAIN = math.sqrt(2.0)


def activate(features: Tensor) -> Tensor:
    """√2 · leaky ReLU."""
    return functional.leaky_relu(features, LEAK) * GAIN


class EqualLinear(nn.Module):
    """A linear layer.

    Args:
        inputs, outputs: features.
        bias: what the biases start with.
        rate: factor on the learning rate of weights and biases.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale = rate / math.sqrt(inputs)
        self.rate = rate

    def forward(self, features: Tensor) -> Tensor:
        """(n, outputs) of (n, inputs)."""
        return functional.linear(features, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution of stride 1 that keeps the size, or of a stride of 2 without padding.

    Args:
        inputs, outputs: channels.
        size: side of the kernel.
        stride: 1 or 2.
        bias: whether there is one.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1.0 / math.sqrt(inputs * size * size)
        self.stride = stride
        self.padding = size // 2 if stride == 1 else 0

    def forward(self, features: Tensor) -> Tensor:
        """(n, outputs, h, w) of (n, inputs, height, width)."""
        return functional.conv2d(
            features, self.weight * self.scale, self.bias, self.stride, self.padding
        )
