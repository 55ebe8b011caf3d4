"""Which pump drives the flow, by the rig file's ``[pump]``, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from drivers.mmcore_pump import MMCorePump, MMCorePumpSettings
from drivers.ne1000 import NE1000Pump, NE1000Settings
from drivers.ports import Clock, Link, Pump
from drivers.pump_pair import PumpPair
from drivers.serial_link import SerialLinkSettings


class OutputPumpSettings(BaseModel):
    """Any pump that the dispenser's pump-hold output can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["output"] = Field(
        "output", description="What drives the flow; all of them are in docs/pumps.md"
    )


class NE1000PortSettings(SerialLinkSettings):
    """The port of a syringe pump."""

    baud: int = Field(19_200, gt=0, description="Bits per second, as set at the pump")


class NE1000PumpSettings(BaseModel):
    """A New Era NE-1000 syringe pump, beside the dispenser's pump-hold output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ne1000"] = Field("ne1000", description="What drives the flow, see docs/pumps.md")
    port: NE1000PortSettings
    syringe: NE1000Settings = Field(default_factory=NE1000Settings)


class MMCorePumpChoice(BaseModel):
    """A pump behind Micro-Manager, beside the dispenser's pump-hold output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mmcore"] = Field("mmcore", description="What drives the flow, see docs/pumps.md")
    device: MMCorePumpSettings


def _kind(pump: Any) -> Any:
    """Without a word about it, the dispenser's output."""
    if isinstance(pump, Mapping):
        return pump.get("kind", "output")
    return getattr(pump, "kind", None)


PumpChoice = Annotated[
    Annotated[OutputPumpSettings, Tag("output")]
    | Annotated[NE1000PumpSettings, Tag("ne1000")]
    | Annotated[MMCorePumpChoice, Tag("mmcore")],
    Discriminator(
        _kind,
        custom_error_type="pump_kind",
        custom_error_message="kind must be 'output', 'ne1000' or 'mmcore'",
    ),
]


def make_pump(
    choice: OutputPumpSettings | NE1000PumpSettings | MMCorePumpChoice,
    output: Pump | None,
    open_link: Callable[[SerialLinkSettings], Link],
    clock: Clock,
) -> Pump | None:
    """The pump that is chosen, beside the dispenser's output where it has one.

    Raises:
        LinkError: the pump's port can't be opened. PumpError: MMCore can't load it.
    """
    if isinstance(choice, OutputPumpSettings):
        return output
    pump: Pump
    if isinstance(choice, NE1000PumpSettings):
        pump = NE1000Pump(open_link(choice.port), clock, choice.syringe)
    else:
        pump = MMCorePump(choice.device)
    return pump if output is None else PumpPair(output, pump)
