"""What is trained, on what, for how long; and how a training ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.features import FeatureSettings
from models.gan.kinds import GanSettings
from models.gan.training_data import Condition, Part


class GanTraining(BaseModel):
    """What is trained, on what, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gan: GanSettings
    size_px: int = Field(default=64, description="side of the images")
    images: int = Field(default=1_000_000, ge=1, description="real images shown, in all")
    seed: int = Field(default=0, ge=0, description="of everything random")
    label: str = Field(default="unhealthy", description="class that is learnt")
    condition: Condition = Field(default="none", description="what the generator can be asked for")
    part: Part = Field(default="all", description="of the data set: all of it, or training runs")
    split_seed: int = Field(default=0, ge=0, description="of the split by run")
    limit: int | None = Field(default=None, ge=1, description="images of the class, at most")
    evaluate_every: int = Field(
        default=0, ge=0, description="images from one evaluation to the next; 0: a twentieth"
    )
    kid_images: int = Field(default=1000, ge=16, description="drawn for an evaluation, at most")
    patience: int = Field(
        default=10, ge=0, description="evaluations without a better KID that end it; 0: never"
    )
    collapse_share: float = Field(
        default=0.1, ge=0, lt=1, description="of the real variety, below which it has collapsed"
    )
    early_share: float = Field(
        default=0.01, ge=0, lt=1, description="after this share one checkpoint is kept for good"
    )
    features: FeatureSettings = FeatureSettings()
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=2, ge=1, description="CPU threads of torch")

    def interval(self) -> int:
        """Images from one evaluation to the next."""
        return self.evaluate_every or max(1, self.images // 20)

    def early(self) -> int:
        """Images after which the early checkpoint is due."""
        return math.ceil(self.early_share * self.images)

    def next_stop(self, images: int) -> int:
        """Image count of the evaluation after ``images``."""
        goals = [(images // self.interval() + 1) * self.interval(), self.images]
        return min(goals + ([self.early()] if images < self.early() else []))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Attributes:
        ended: ``images`` (all were shown), ``patience`` or ``stopped``.
        images: shown in all.
        best: the best checkpoint.
        kid: its kernel distance.
        images_per_s: over this process's own steps, evaluations not counted.
    """

    ended: str
    images: int
    best: Path
    kid: float
    images_per_s: float
