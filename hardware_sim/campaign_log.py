"""What is known of a campaign's rig when it is over; `hardware_sim.invariants` judges by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from drivers import protocol as wire
from hardware_sim.campaign_device import Met, Stay
from hardware_sim.campaign_parts import CampaignRecord, NotedDispenser, PixelEyes
from hardware_sim.campaign_plan import RunPlan
from hardware_sim.campaign_scene import CampaignScene
from hardware_sim.detections import DetectionVision
from hardware_sim.faults import Struck
from hardware_sim.gate_log import GateEdge
from hardware_sim.light_camera import LightCamera
from hardware_sim.told import Told, told_by
from hardware_sim.truth_log import BodyTruth


@dataclass(slots=True)
class RunLog:
    """A run as it went.

    Attributes:
        number: within its rig, from 0.
        nonce: of its session with the device.
        began_ns, ended_ns: from the handshake to the port's closing.
        ended: ``stopped``, ``killed``, ``deadlock``, ``crash``, or the fault that ended it.
        error: what that said.
        wrote: (host ns, bytes) of all that the host wrote to the device.
    """

    number: int
    nonce: int
    began_ns: int
    plan: RunPlan
    record: CampaignRecord
    camera: LightCamera
    vision: DetectionVision | PixelEyes
    dispenser: NotedDispenser | None = None
    ended: str = ""
    error: str = ""
    ended_ns: int = 0
    wrote: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass
class RigLog:
    """All of a rig.

    Attributes:
        edges: what the gate did to the liquid.
        stays: when the gate's pin led away from rest; flows: when the pump's let it run.
        met: what the device met; said: what it said, (host ns, line).
        held_up: (host ns, host ns) between which the controller could not go on.
    """

    seed: int
    scene: CampaignScene
    runs: list[RunLog] = field(default_factory=list)
    truth: list[BodyTruth] = field(default_factory=list)
    edges: list[GateEdge] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    flows: list[Stay] = field(default_factory=list)
    met: list[Met] = field(default_factory=list)
    said: list[tuple[int, bytes]] = field(default_factory=list)
    faults: list[Struck] = field(default_factory=list)
    held_up: list[tuple[int, int]] = field(default_factory=list)
    ended_ns: int = 0

    @cached_property
    def told(self) -> Told:
        """What the host's lines allowed."""
        return told_by(self.met, self.scene)

    @cached_property
    def answers(self) -> list[tuple[int, Any]]:
        """What the device said, (host ns, message); None for a line that no protocol knows."""
        return [(at_ns, _message(line)) for at_ns, line in self.said]


def _message(line: bytes) -> Any:
    try:
        return wire.decode_from_device(line.rstrip(b"\n"))
    except wire.BadLine:
        return None
