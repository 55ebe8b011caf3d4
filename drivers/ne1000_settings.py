"""Settings of an NE-1000 syringe pump."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class NE1000Settings(BaseModel):
    """A New Era NE-1000 syringe pump; its port is set beside this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    diameter_mm: float = Field(
        26.59, ge=0.1, le=50.0, description="Inner diameter of the syringe, mm"
    )
    rate_ul_s: float = Field(12.8, gt=0, le=2_000, description="Rate of the infusion, µL/s")
    address: int = Field(0, ge=0, le=99, description="The pump's network address")
    poll_ms: int = Field(
        500, ge=50, le=10_000, description="State and volume are asked for this often, ms"
    )
    answer_ms: int = Field(
        200, ge=50, le=5_000, description="Longest time that an answer may take, ms"
    )
    retries: int = Field(3, ge=1, le=20, description="How often a lost question is asked again")
