"""The whole rig in virtual time, on one thread: scene, camera, controller, link, firmware.

Exactly three things stand in for real ones: the clock, the camera's frame queue and the serial
port. Everything else is the shipped code, the loop's turning included; the same settings give the
same trace to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.ports import Camera
from drivers.pump_output import DevicePump
from hardware_sim.demo_rig import TRUTH_LOG, DemoSettings, rig_of, scene_of
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import GateEdge
from hardware_sim.optical_gates import optical_gates_of
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.truth_log import read_truth
from hardware_sim.verdict import TrackRow, judge
from hardware_sim.virtual_camera import VirtualCamera, VirtualClock
from hardware_sim.virtual_link import VirtualDispenser
from sorter.build import build_controller, build_vision, load_model
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    ObjectRow,
    ObjectUpdate,
    Row,
)
from sorter.record_sink import RecordSink
from sorter.runner import StopRequest, turn
from sorter.settings import RigSettings
from sorter.status import Counters

START_NS = 1_000_000_000


@dataclass(slots=True)
class Trace:
    """A `RecordSink` that keeps objects and commands, and a digest of all that it is handed."""

    objects: dict[int, ObjectRow] = field(default_factory=dict)
    changes: dict[int, ObjectUpdate] = field(default_factory=dict)
    commands: list[CommandRow] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    events: list[EventRow] = field(default_factory=list)
    frames: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _encoder: msgspec.msgpack.Encoder = field(default_factory=msgspec.msgpack.Encoder)

    def _digest(self, row: Row) -> None:
        self._hash.update(self._encoder.encode(row))

    @property
    def digest(self) -> str:
        """sha256 of every row so far, hexadecimal."""
        return str(self._hash.hexdigest())

    def frame(self, row: FrameRow) -> None:
        """A frame's times."""
        self.frames += 1
        self._digest(row)

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """A decided object; its crops count for the digest too."""
        self.objects[row.id] = row
        self._digest(row)
        for crop in crops:
            self._hash.update(crop.tobytes())

    def update_object(self, row: ObjectUpdate) -> None:
        """A decision that was taken back."""
        self.changes[row.id] = row
        self._digest(row)

    def command(self, row: CommandRow) -> None:
        """A command."""
        self.commands.append(row)
        self._digest(row)

    def update_command(self, row: CommandUpdate) -> None:
        """News of a command."""
        if row.refused is not None:
            self.refused.add(row.id)
        self._digest(row)

    def event(self, row: EventRow) -> None:
        """An event."""
        self.events.append(row)
        self._digest(row)

    def journal(self, blob: bytes) -> None:
        """What a step got from outside."""
        self._hash.update(blob)

    def status(self, counters: dict[str, Any]) -> None:
        """Not part of the trace."""

    def flush(self) -> None:
        """Nothing waits."""

    def tracks(self) -> list[TrackRow]:
        """Objects as the verdict wants them."""
        commanded = {c.object_id for c in self.commands if c.id not in self.refused}
        rows: list[TrackRow] = []
        for row in self.objects.values():
            change = self.changes.get(row.id)
            rows.append(
                TrackRow(
                    object_id=row.id,
                    sightings=[(s.frame, s.x_px, s.y_px) for s in row.sightings],
                    outlet=change.changed_outlet if change else row.outlet,
                    reason=change.changed_reason if change else row.reason,
                    commanded=row.id in commanded,
                )
            )
        return rows


@dataclass(frozen=True, slots=True)
class VirtualResult:
    """A run in virtual time.

    Attributes:
        trace: what the controller handed over; its ``digest`` names the run.
        truth: the simulator's verdict.
        gate: what the gate did.
        counters: the controller's own.
    """

    trace: Trace
    truth: dict[str, Any]
    gate: list[GateEdge]
    counters: Counters


def run_virtual(
    settings: DemoSettings,
    folder: Path,
    *,
    adjust: Callable[[RigSettings], RigSettings] = lambda rig: rig,
    arrange: Callable[[SceneSettings], SceneSettings] = lambda scene: scene,
    through: Callable[[Camera], Camera] = lambda camera: camera,
    stop: StopRequest = lambda: None,
) -> VirtualResult:
    """Sort a simulated rig in virtual time, and judge it.

    Args:
        settings: as for the demo.
        folder: where the truth log goes.
        adjust: changes the rig's settings before it is built.
        arrange: changes the scene's.
        through: what stands between camera and controller, to inject faults.
        stop: asked once a turn, see `sorter.runner.turn`.
    """
    trace = Trace()
    rig = adjust(rig_of(settings, scene_of(settings), "virtual"))
    counters, gate = sort_virtual(
        settings, rig, folder, trace, arrange=arrange, through=through, stop=stop
    )
    truth = judge(read_truth(folder / TRUTH_LOG), gate, trace.tracks())
    return VirtualResult(trace, truth, gate, counters)


def sort_virtual(
    settings: DemoSettings,
    rig: RigSettings,
    folder: Path,
    record: RecordSink,
    *,
    arrange: Callable[[SceneSettings], SceneSettings] = lambda scene: scene,
    through: Callable[[Camera], Camera] = lambda camera: camera,
    stop: StopRequest = lambda: None,
) -> tuple[Counters, list[GateEdge]]:
    """The same on a given rig, with any record; returns the counters and what the gate did."""
    assert isinstance(rig.dispenser, DispenserSettings)
    clock = VirtualClock(START_NS)
    device = VirtualDispenser(SimDispenserSettings(seed=settings.seed), clock)

    scene_settings = arrange(scene_of(settings)).model_copy(
        update={"truth_log": folder / TRUTH_LOG, "gate_log": None, "passage_log": None}
    )
    bundle, classifier = load_model(rig)
    gates = optical_gates_of(scene_settings, device.passed) if settings.optical_gates else None
    scene = Scene(scene_settings, gates=gates)
    camera = VirtualCamera(scene, rig.camera, clock, lambda: device.edges)
    dispenser = SerialDispenser(
        device.link, clock, rig.dispenser, draw_session=lambda: settings.seed + 1
    )
    try:
        dispenser.connect()
        dispenser.arm()
        controller = build_controller(
            rig,
            clock=clock,
            camera=through(camera),
            dispenser=dispenser,
            vision=build_vision(rig, bundle, classifier),
            bundle=bundle,
            record=record,
            pump=DevicePump(dispenser, clock, lambda: dispenser.held),
        )
        turn(controller, rig, clock, stop)
    finally:
        dispenser.close()
        camera.close()
    return controller.counters, [GateEdge(*edge) for edge in device.gate_edges]
