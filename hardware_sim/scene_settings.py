"""Everything that decides what a simulated scene is, as one frozen model and one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hardware_sim.flow import FlowSettings
from hardware_sim.optics import OpticsSettings
from hardware_sim.passages import PassageSettings
from hardware_sim.spheroids import SIZE_PRESETS, SizePreset
from sorter.errors import SettingsError


class SceneCamera(BaseModel):
    """The simulated camera: its sensor, its clock, and the way from it to the host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width_px: int = Field(1280, ge=16, description="frame width, pixels")
    height_px: int = Field(512, ge=16, description="frame height, pixels")
    bit_depth: int = Field(8, ge=8, le=16, description="significant bits of a pixel")
    frame_rate_hz: float = Field(200.0, gt=0, description="frames per second of its own clock")
    transfer_delay_ms: float = Field(8.0, ge=0, description="mean time to the host, ms")
    transfer_jitter_ms: float = Field(3.0, ge=0, description="half width of its spread, ms")
    stall_ms: float = Field(30.0, ge=0, description="length of a transfer stall, ms")
    stall_every_s: float = Field(60.0, gt=0, description="time from stall to stall, s")
    clock_drift_ppm: float = Field(
        40.0, ge=-500, le=500, description="how much faster its clock runs than the host's, ppm"
    )
    clock_zero_ms: float = Field(
        1234.5, ge=0, description="what its clock shows at the first frame, ms"
    )

    @model_validator(mode="after")
    def _delay_is_never_negative(self) -> SceneCamera:
        if self.transfer_jitter_ms > self.transfer_delay_ms:
            raise ValueError("transfer_jitter_ms must not exceed transfer_delay_ms")
        return self

    @property
    def period_ns(self) -> float:
        """Host time from one exposure to the next."""
        return 1e9 / self.frame_rate_hz / (1.0 + self.clock_drift_ppm * 1e-6)


class FeedSettings(BaseModel):
    """Which bodies come, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: float = Field(1.0, ge=0, description="spheroids (or touching groups) per second")
    unhealthy: float = Field(0.10, ge=0, le=1, description="share of unhealthy spheroids")
    unhealthy_drift: float = Field(
        0.3, ge=0, le=1, description="relative amplitude of the slow drift of that share"
    )
    drift_period_s: float = Field(300.0, gt=0, description="period of that drift, s")
    size: SizePreset = Field("150-400", description="size preset of channel and lens")
    doubles: float = Field(0.03, ge=0, le=1, description="share of arrivals that are two touching")
    clumps: float = Field(
        0.005, ge=0, le=1, description="share of arrivals that are three to five touching"
    )
    decay_s: float = Field(600.0, gt=0, description="time constant of the decaying feed, s")
    burst_factor: float = Field(2.5, ge=1, description="rate in a burst over the mean rate")
    burst_s: float = Field(1.5, gt=0, description="mean length of a burst, s")
    gap_s: float = Field(2.0, gt=0, description="mean length of a gap in which nothing comes, s")
    steady_s: float = Field(8.0, gt=0, description="mean length of the steady feed between, s")
    bursts: bool = Field(True, description="bursts and gaps; without them arrivals are Poisson")
    debris_per_spheroid: float = Field(5.0, ge=0, description="small debris per spheroid")
    debris_max_um: float = Field(90.0, gt=5, description="diameter of the largest debris, µm")
    bubbles_per_min: float = Field(2.0, ge=0, description="bubbles per minute")
    fibres_per_min: float = Field(1.0, ge=0, description="fibres per minute")
    lead_in_s: float = Field(
        1.5, ge=0, description="time without bodies, in which a background can be learnt, s"
    )


class SceneSettings(BaseModel):
    """One simulated scene, reproducible from its seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="everything random in the scene")
    source: Literal["simulated", "real"] = Field(
        "simulated", description="drawn spheroids, or cut-outs of real images"
    )
    real_images: Path | None = Field(
        None, description="folder with the real images; needed for the source real"
    )
    focus_height_um: float | None = Field(
        None, ge=0, description="height of the focal plane, µm; none: median radius of the preset"
    )
    gate_log: Path | None = Field(None, description="log of the gate that moves the liquid")
    truth_log: Path | None = Field(None, description="where to write what passed, JSON lines")
    passage_log: Path | None = Field(
        None, description="where to write what the optical gates see; none: there are none"
    )
    optical_gates: PassageSettings = PassageSettings()
    camera: SceneCamera = SceneCamera()
    feed: FeedSettings = FeedSettings()
    flow: FlowSettings = FlowSettings()
    optics: OpticsSettings = OpticsSettings()

    @property
    def focus_um(self) -> float:
        """Height of the focal plane above the floor, µm."""
        if self.focus_height_um is not None:
            return self.focus_height_um
        return SIZE_PRESETS[self.feed.size][1] / 2

    @property
    def junction_um(self) -> float:
        """Where the junction is, µm downstream of pixel column 0."""
        return self.camera.width_px * self.optics.pitch_um + self.flow.junction_mm * 1e3


def load_scene(path: Path) -> SceneSettings:
    """Read a scene file (TOML); relative paths in it are taken against its folder.

    Raises:
        SettingsError: the file is missing, is no TOML, or has a key that is unknown or wrong.
    """
    if not path.is_file():
        raise SettingsError(
            "the scene file is missing", on=path, do="Set the property SceneFile to a scene file."
        )
    try:
        scene = SceneSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the scene file is no TOML: {error}", on=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{key}: {first['msg']}", on=path, do="Correct the key in the scene file."
        ) from error
    folder = path.resolve().parent
    return scene.model_copy(
        update={
            name: folder / value
            for name in ("gate_log", "truth_log", "passage_log", "real_images")
            if (value := getattr(scene, name)) is not None
        }
    )


def dump_scene(scene: SceneSettings) -> str:
    """The scene as TOML, all defaults written out."""
    return tomli_w.dumps(scene.model_dump(mode="json", exclude_none=True))
