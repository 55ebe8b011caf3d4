"""How a GAN is trained: losses, rates, averaging, augmentation. One model for all kinds.

What a paper does not use has the weight 0; the trainer knows no kinds, only weights.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Augment = Literal["none", "ada", "diffaugment"]


class Recipe(BaseModel):
    """Losses, rates and averages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=64, ge=2, description="images in a step, over all processes")
    discriminator_steps: int = Field(
        default=1, ge=1, description="steps of the discriminator for one of the generator"
    )
    generator_rate: float = Field(default=2e-4, gt=0, description="Adam's learning rate")
    discriminator_rate: float = Field(default=2e-4, gt=0, description="Adam's learning rate")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's first decay")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's second decay")
    adversarial: Literal["non_saturating", "hinge"] = Field(
        default="non_saturating", description="Goodfellow 2014, or Lim & Ye 2017"
    )
    r1_gamma: float = Field(
        default=0.0, ge=0, description="weight of the gradient penalty on real images; 0: none"
    )
    r1_interval: int = Field(default=16, ge=1, description="steps from one penalty to the next")
    path_weight: float = Field(default=0.0, ge=0, description="of path-length regularisation")
    path_interval: int = Field(default=4, ge=1, description="steps from one to the next")
    path_decay: float = Field(default=0.01, gt=0, le=1, description="of the running mean length")
    path_batch_share: float = Field(
        default=0.5, gt=0, le=1, description="of the batch that is used"
    )
    orthogonal_weight: float = Field(
        default=0.0, ge=0, description="of orthogonal regularisation of the generator"
    )
    ema_half_life_images: float = Field(
        default=10_000, ge=0, description="images after which half of the averaged weights is new"
    )
    ema_ramp: float = Field(
        default=0.05, gt=0, description="the half-life is at most this share of the images so far"
    )
    augment: Augment = Field(default="none", description="of what the discriminator sees")
    ada_target: float = Field(default=0.6, gt=0, lt=1, description="wanted mean sign of D(real)")
    ada_interval: int = Field(default=4, ge=1, description="steps from one adjustment to the next")
    ada_images: float = Field(
        default=500_000, gt=0, description="images in which the strength could go from 0 to 1"
    )
    ada_limit: float = Field(default=0.85, gt=0, le=1, description="highest strength")
    mirror: bool = Field(
        default=True, description="real images come in all eight flips and quarter turns"
    )

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.path_weight and not round(self.batch * self.path_batch_share):
            raise ValueError("path_batch_share leaves no image for path-length regularisation")
        return self
