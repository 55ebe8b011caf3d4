"""When commands go out, as settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ScheduleSettings(BaseModel):
    """When commands go out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lead_ms: float = Field(
        30.0, gt=0, description="a command goes out this long before the gate must move, ms"
    )
    min_lead_ms: float = Field(
        12.0, ge=0, description="later than this before the gate must move is too late, ms"
    )
