"""What can go wrong in a run: each fault's name, what the run does about it, and what to do.

The response is one of these: **warn** notes it and goes on; **hold** stops the flow and sends the
gate to rest until the operator says go on; **stop** ends the run that way. For a clog there is
**recover**: hold, a pulse backwards, resume (`sorter.recovery`). Where a milder response would not
be safe, the settings refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sorter.errors import DeviceResetError, LinkError, PumpError


class FaultKind(StrEnum):
    """Names of faults, as in the record and in the settings."""

    LINK_LOST = "link_lost"
    DEVICE_RESET = "device_reset"
    EMERGENCY_STOP = "emergency_stop"
    PUMP_FAILED = "pump_failed"
    CLOCK_UNSURE = "clock_unsure"
    CAMERA_STALLED = "camera_stalled"
    FRAMES_LOST = "frames_lost"
    LIGHT_OUT_OF_RANGE = "light_out_of_range"
    MODEL_SLOW = "model_slow"
    DISK_FILLING = "disk_filling"
    NO_ARRIVALS = "no_arrivals"
    CLOGGED = "clogged"
    FOCUS_OUT_OF_RANGE = "focus_out_of_range"
    SPEED_FALLING = "speed_falling"
    BUBBLES = "bubbles"
    EVENT_RATE = "event_rate"
    BATCH_BAD = "batch_bad"
    MISROUTED = "misrouted"


class Response(StrEnum):
    """What a run does about a fault."""

    WARN = "warn"
    HOLD = "hold"
    RECOVER = "recover"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it was found.

    Attributes:
        at_ns: host time.
        what: what happened, with the figures that tell.
    """

    kind: FaultKind
    at_ns: int
    what: str

    @property
    def do(self) -> str:
        """What a person can do about it."""
        return ADVICE[self.kind]


ADVICE: Mapping[FaultKind, str] = {
    FaultKind.LINK_LOST: "Check the dispenser's cable and power; go on when it answers",
    FaultKind.DEVICE_RESET: "Check the dispenser's power supply; go on when it answers",
    FaultKind.EMERGENCY_STOP: "Find out why; release the button, then start again",
    FaultKind.PUMP_FAILED: "Check the pump: an alarm on its display, its syringe, its cable",
    FaultKind.CLOCK_UNSURE: "Check the link for delays: a hub, a busy port, a loaded machine",
    FaultKind.CAMERA_STALLED: "Check the camera's cable and its driver",
    FaultKind.FRAMES_LOST: "Lower the frame rate or the frame's size, or free the machine",
    FaultKind.LIGHT_OUT_OF_RANGE: "Check lamp, shutter and exposure; calibrate the background",
    FaultKind.MODEL_SLOW: "Free the machine, or choose a smaller bundle (sorter bench)",
    FaultKind.DISK_FILLING: "Free space on the record's disk",
    FaultKind.NO_ARRIVALS: "Check the reservoir, the tubing and the pump",
    FaultKind.FOCUS_OUT_OF_RANGE: "Focus on the bodies' outlines; look for dirt on the channel",
    FaultKind.CLOGGED: "Free the channel: a reverse pulse of the pump, then look at the view",
    FaultKind.SPEED_FALLING: "Look for a clog or a leak, and at the pump's rate",
    FaultKind.BUBBLES: "Degas the liquid and look for a leak on the pump's side",
    FaultKind.EVENT_RATE: "Dilute the sample or lower the flow: the gate can't part them",
    FaultKind.BATCH_BAD: "Look at the gallery: is the batch bad, or the light, or the model?",
    FaultKind.MISROUTED: "Check the valve and the junction's calibration before going on",
}
"""What to do about each fault."""


def kind_of(error: Exception) -> FaultKind | None:
    """The fault that an error is, where it is one that a loop's step raises; else None."""
    kinds = (
        (PumpError, FaultKind.PUMP_FAILED),
        (DeviceResetError, FaultKind.DEVICE_RESET),
        (LinkError, FaultKind.LINK_LOST),
    )
    return next((kind for raised, kind in kinds if isinstance(error, raised)), None)


Any3 = Literal["warn", "hold", "stop"]
AtLeastHold = Literal["hold", "stop"]
Recoverable = Literal["hold", "stop", "recover"]
OnlyStop = Literal["stop"]


class FaultSettings(BaseModel):
    """What a run does about each fault; nothing milder than what is safe can be chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    link_lost: AtLeastHold = Field(
        "stop",
        description="the dispenser does not answer; hold: wait until it does, and for the operator",
    )
    device_reset: AtLeastHold = Field(
        "stop", description="the dispenser has lost the session; hold: as with link_lost"
    )
    emergency_stop: OnlyStop = Field(
        "stop", description="the emergency stop was pressed or tripped"
    )
    pump_failed: OnlyStop = Field("stop", description="the pump alarms, or does not obey")
    clock_unsure: AtLeastHold = Field(
        "hold", description="the dispenser's clock is not known well enough"
    )
    camera_stalled: AtLeastHold = Field("hold", description="no frames come")
    frames_lost: Any3 = Field("warn", description="many frames are lost")
    light_out_of_range: AtLeastHold = Field(
        "hold", description="the image is too dark or too bright"
    )
    model_slow: Any3 = Field("warn", description="frames take longer than their budget")
    disk_filling: AtLeastHold = Field("hold", description="little room is left for the record")
    no_arrivals: Any3 = Field("warn", description="nothing has come for long")
    clogged: Recoverable = Field(
        "hold",
        description="an object stands still in the view; recover: a pulse backwards, where the "
        "pump can, then as hold",
    )
    focus_out_of_range: Any3 = Field("warn", description="outlines are blurred")
    speed_falling: Any3 = Field("warn", description="objects get slower and slower")
    bubbles: Any3 = Field("warn", description="many bubbles come")
    event_rate: Any3 = Field("warn", description="objects come faster than the gate resolves")
    batch_bad: Any3 = Field("warn", description="more unhealthy than the control limits allow")
    misrouted: AtLeastHold = Field(
        "stop", description="objects are seen to go where they were not sent"
    )

    def response_to(self, kind: FaultKind) -> Response:
        """What the run does about a fault."""
        return Response(getattr(self, kind.value))
