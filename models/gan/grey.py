"""The scale of grey that the networks work in: fine near the background, coarse far from it.

In crops the background varies by some 1 of 255 grey levels and bodies by 100. On a linear scale
neither network learns the first; yet whoever looks at the pixels tells drawn from real by nothing
else. As sound is companded before it is quantised, contrast is therefore compressed here: linear up
to a knee, logarithmic beyond. The change is pointwise and can be undone.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class GreyScale(BaseModel):
    """y = asinh((grey - background) / knee), divided by its largest value, so that |y| <= 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    background: int = Field(default=160, ge=128, le=255, description="of the crops; grey level")
    knee: float = Field(
        default=3.0, gt=0, description="contrast up to which the scale is linear; grey levels"
    )
    curve: str = "asinh"

    def to_network(self, grey: Tensor) -> Tensor:
        """Grey levels -0.5 to 255.5 (any number type) to [-1, 1], float32; the background to 0."""
        x = (grey.to(torch.float32) - self.background) / self.knee
        if self.curve == "root":
            return x.sign() * ((x.abs() + 1).sqrt() - 1) / self._reach()
        return torch.asinh(x) / self._reach()

    def to_levels(self, images: Tensor) -> Tensor:
        """The inverse of `to_network`, clipped to 0 … 255, float32, not rounded."""
        y = images.float() * self._reach()
        if self.curve == "root":
            x = y.sign() * ((y.abs() + 1).square() - 1)
        else:
            x = torch.sinh(y)
        return (x * self.knee + self.background).clamp(0.0, 255.0)

    def to_grey(self, images: Tensor) -> Tensor:
        """What the networks draw to whole grey levels, uint8."""
        return self.to_levels(images).round().to(torch.uint8)

    def _reach(self) -> float:
        x = (self.background + 0.5) / self.knee
        return math.sqrt(x + 1) - 1 if self.curve == "root" else math.asinh(x)
