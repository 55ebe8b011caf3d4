"""RigSettings: one TOML file, composed of every part's own settings model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from drivers.dispenser import DispenserSettings
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.serial_link import SerialLinkSettings
from drivers.text_valve_settings import TextValveSettings
from models.infer import InferSettings
from sorter.decide import DecideSettings, OutletSettings
from sorter.faults import FaultSettings
from sorter.limits import LimitSettings
from sorter.liquid import LiquidSettings
from sorter.opening_plan import JunctionSettings
from sorter.pumps import OutputPumpSettings, PumpChoice
from sorter.record import RecordSettings
from sorter.recovery import RecoverySettings
from sorter.schedule_settings import ScheduleSettings
from sorter.segment import SegmentSettings
from sorter.settings_io import load_toml
from sorter.track import TrackSettings
from sorter.watch import WatchSettings
from sorter.whereabouts import OpticalGateSettings


class ModelSettings(BaseModel):
    """Which bundle classifies, and how it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path | Literal["default"] = Field(
        "default",
        description="folder of the model bundle; 'default' is the shipped one, which "
        "was trained on simulated spheroids only",
    )
    infer: InferSettings = Field(default_factory=InferSettings)


def _kind(dispenser: Any) -> Any:
    """What a dispenser speaks; without a word about it, the project's own protocol."""
    if isinstance(dispenser, Mapping):
        return dispenser.get("kind", "protocol")
    return getattr(dispenser, "kind", None)


DispenserChoice = Annotated[
    Annotated[DispenserSettings, Tag("protocol")] | Annotated[TextValveSettings, Tag("text_valve")],
    Discriminator(
        _kind,
        custom_error_type="dispenser_kind",
        custom_error_message="kind must be 'protocol' or 'text_valve'",
    ),
]


class RunSettings(BaseModel):
    """How a run ends, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration_s: float | None = Field(
        None, gt=0, description="end the run after so long; none: until Ctrl-C, s"
    )
    prime_s: float = Field(
        1.0,
        ge=0,
        description="nothing is collected for at least so long after the first frame, s",
    )
    channel_empty: bool = Field(
        False,
        description="the operator knows that there are no bodies between view and junction at the "
        "start; otherwise nothing is collected until the slowest one has passed, whose speed is "
        "track.min_speed_um_s",
    )
    drain_s: float = Field(
        4.0, gt=0, description="longest wait at the end for what is under way, s"
    )
    unattended: bool = Field(
        False,
        description="nobody stands by: refused where the dispenser can't end a failure by itself",
    )
    shadow: bool = Field(False, description="decide and record, but leave the gate at rest")
    note: str = Field("", description="free text that is kept in the record")
    seed: int | None = Field(None, description="seed of a simulated rig; none on a real one")


class RigSettings(BaseModel):
    """Everything that a run needs to know about a rig."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: MMCoreCameraSettings
    port: SerialLinkSettings
    dispenser: DispenserChoice = Field(default_factory=DispenserSettings)
    pump: PumpChoice = Field(default_factory=OutputPumpSettings)
    outlets: OutletSettings = Field(default_factory=OutletSettings)
    junction: JunctionSettings = Field(default_factory=JunctionSettings)
    optical_gates: OpticalGateSettings = Field(default_factory=OpticalGateSettings)
    liquid: LiquidSettings = Field(default_factory=LiquidSettings)
    segment: SegmentSettings = Field(default_factory=SegmentSettings)
    track: TrackSettings = Field(default_factory=TrackSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    decide: DecideSettings = Field(default_factory=DecideSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    record: RecordSettings = Field(default_factory=RecordSettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    faults: FaultSettings = Field(default_factory=FaultSettings)
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    run: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="after")
    def _only_what_rests_by_itself_may_be_waited_for(self) -> RigSettings:
        waited = "hold" in (self.faults.link_lost, self.faults.device_reset)
        if waited and isinstance(self.dispenser, TextValveSettings):
            raise ValueError(
                "faults.link_lost and faults.device_reset must be 'stop' with a text valve: it "
                "does not rest by itself when it is lost"
            )
        return self


def load_rig(path: Path) -> RigSettings:
    """Read a rig file; raises `SettingsError` naming the key that is missing, unknown or wrong."""
    return load_toml(path, RigSettings)
