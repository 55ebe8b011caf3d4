"""How the host talks to the dispenser, and what happened while it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DispenserSettings(BaseModel):
    """How the host talks to the dispenser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["protocol"] = Field(
        "protocol",
        description="What the dispenser speaks: drivers/PROTOCOL.md; 'text_valve' is a box that "
        "takes text commands, see docs/text_valve.md",
    )
    watchdog_ms: int = Field(
        1_000, ge=50, le=10_000, description="Device goes to rest when the host is silent, ms"
    )
    ping_ms: int = Field(200, ge=10, le=5_000, description="Time between clock questions, ms")
    resend_ms: int = Field(30, ge=5, le=1_000, description="First wait for an answer, ms")
    report_ms: int = Field(
        300, ge=10, le=5_000, description="Wait for a report after the gate closed, ms"
    )
    silent_ms: int = Field(
        800, ge=50, le=10_000, description="Device is gone when it is silent so long, ms"
    )
    most_tries: int = Field(
        20, ge=3, le=1_000, description="A command is asked about so often before it is a fault"
    )
    connect_ms: int = Field(3_000, ge=100, le=60_000, description="Longest handshake, ms")
    max_drift_ppm: float = Field(
        200.0, gt=0, le=10_000, description="Host and device clocks differ by at most this, ppm"
    )
    max_wander_ppm_per_s: float = Field(
        0.05, ge=0, le=100, description="That difference changes by at most this, ppm per second"
    )
    least_us_per_byte: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Time that a byte certainly takes on the wire, µs: 10 bits at the baud rate "
        "of a true UART (86.8 at 115,200), 0 for USB or when not known",
    )


@dataclass(slots=True)
class DispenserCounters:
    """What happened on the link in this session.

    Attributes:
        damaged_in: lines of the device that arrived damaged.
        damaged_out: lines of the host that the device says arrived damaged.
        resent: lines written again for want of an answer.
        watchdog_trips: how often the device's watchdog took the gate to rest, since power-up.
        not_sent: commands that came too late, or for which the device's queue had no place.
        passages_lost: passages that the device dropped before they came through.
    """

    damaged_in: int = 0
    damaged_out: int = 0
    resent: int = 0
    not_sent: int = 0
    watchdog_trips: int = 0
    passages_lost: int = 0
