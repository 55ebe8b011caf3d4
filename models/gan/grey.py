"""The scale of grey that the networks work in: fine near the background, coarse far from it.

In crops the background varies by less than 1 of 255 grey levels and bodies by 100. On a linear
scale neither network learns the first; yet whoever looks at the pixels tells drawn from real by
nothing else. As sound is companded before it is quantised, contrast is therefore compressed here,
by a square root: as Anscombe's transform (1948) brings counts of any size to the same noise. The
change is pointwise and can be undone.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class GreyScale(BaseModel):
    """y = ±(√(1 + |c| / knee) - 1), c = grey - background, over its largest value: |y| <= 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    background: int = Field(default=160, ge=128, le=255, description="of the crops; grey level")
    knee: float = Field(
        default=1.0,
        gt=0,
        description="contrast up to which the scale is about linear; grey levels",
    )

    def to_network(self, grey: Tensor) -> Tensor:
        """Grey levels -0.5 to 255.5 (any number type) to [-1, 1], float32; the background to 0."""
        contrast = (grey.to(torch.float32) - self.background) / self.knee
        return contrast.sign() * ((1.0 + contrast.abs()).sqrt() - 1.0) / self._reach()

    def to_levels(self, images: Tensor) -> Tensor:
        """The inverse of `to_network`, clipped to 0 … 255, float32, not rounded."""
        root = images.float() * self._reach()
        contrast = root.sign() * ((1.0 + root.abs()).square() - 1.0)
        return (contrast * self.knee + self.background).clamp(0.0, 255.0)

    def to_grey(self, images: Tensor) -> Tensor:
        """What the networks draw to whole grey levels, uint8."""
        return self.to_levels(images).round().to(torch.uint8)

    def _reach(self) -> float:
        return math.sqrt(1.0 + (self.background + 0.5) / self.knee) - 1.0
