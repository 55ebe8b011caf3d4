"""When a run has done what it was for: so many collected, a vessel full, or its time over."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class LimitSettings(BaseModel):
    """Limits that end a run; none of them is set by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collected: int | None = Field(None, gt=0, description="end after so many were collected")
    volume_ul: float | None = Field(
        None, gt=0, description="end when so much has flowed: a vessel is full, µL"
    )
    outside_min: float | None = Field(
        None, gt=0, description="end after so long outside the incubator, minutes"
    )

    @property
    def present(self) -> bool:
        """Whether there is any."""
        return (self.collected, self.volume_ul, self.outside_min) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        collected: objects whose opening the dispenser reported.
        volume_ul: that has flowed; None where nobody tells.
        outside_s: since the run was made ready.
    """

    collected: int
    volume_ul: float | None
    outside_s: float


def reached(progress: Progress, limits: LimitSettings) -> tuple[str, str] | None:
    """Name of the limit that is reached and what to say, or None."""
    if limits.collected is not None and progress.collected >= limits.collected:
        return "collected", f"{progress.collected} were collected"
    if limits.volume_ul is not None and (progress.volume_ul or 0.0) >= limits.volume_ul:
        return "volume", f"{progress.volume_ul:.0f} µL have flowed"
    if limits.outside_min is not None and progress.outside_s >= 60.0 * limits.outside_min:
        return "outside", f"{progress.outside_s / 60:.1f} minutes outside the incubator are over"
    return None
