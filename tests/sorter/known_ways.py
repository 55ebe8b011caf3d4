"""Bodies whose way is known to the digit, and the shipped loop that sorts them, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.dispenser import SerialDispenser
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import Camera, CameraInfo, Clock, Dispenser, Frame, Pump
from drivers.serial_link import SerialLinkSettings
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import GateEdge
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_link import VirtualDispenser
from hardware_sim.virtual_rig import Trace
from models.bundle import load_bundle
from sorter.attention import Attention
from sorter.build import build_controller, build_guarded_dispenser, build_pump
from sorter.detection import Detection
from sorter.errors import SorterError
from sorter.faults import FaultSettings
from sorter.life import RunState
from sorter.limits import LimitSettings
from sorter.liquid import LiquidSettings
from sorter.overseer import Overseer, Sources
from sorter.pipeline import Vision
from sorter.record_sink import RecordSink
from sorter.recovery import RecoverySettings
from sorter.responder import Responder
from sorter.runner import StopRequest, turn
from sorter.settings import RigSettings, RunSettings
from sorter.watch import WatchSettings
from sorter.whereabouts import OpticalGateSettings
from tests.sorter.cables import START_NS, Cable, Plug
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

PERIOD_NS = 5_000_000
TRANSFER_NS = 8_000_000
VIEW_UM = PITCH_UM * WIDTH_PX
JUNCTION_UM = VIEW_UM + 10_000.0
NO_PIXELS = np.empty((0, 0), np.uint8)
HEALTHY, UNHEALTHY = (0.98, 0.01, 0.01), (0.01, 0.98, 0.01)
LAG_S = 0.15


@dataclass(frozen=True)
class Moving:
    """A body that enters the view ``enters_s`` after the start and goes straight on."""

    enters_s: float
    speed_um_s: float = 10_000.0
    probabilities: tuple[float, float, float] = HEALTHY
    y_um: float = 500.0
    double: bool = False

    def x_um(self, at_ns: int) -> float:
        return self.speed_um_s * ((at_ns - START_NS) * 1e-9 - self.enters_s)

    @property
    def arrives_ns(self) -> int:
        return START_NS + round((self.enters_s + JUNCTION_UM / self.speed_um_s) * 1e9)


@dataclass(frozen=True)
class SpeedingUp(Moving):
    """The same in a flow that begins with the run, and comes to its speed with a lag.

    Its way is that of a body which entered earlier, and lost `LAG_S` since.
    """

    def x_um(self, at_ns: int) -> float:
        since_s = max(0.0, (at_ns - START_NS) * 1e-9)
        pumped_s = since_s - LAG_S * (1.0 - math.exp(-since_s / LAG_S))
        return self.speed_um_s * (pumped_s - self.enters_s)

    @property
    def arrives_ns(self) -> int:
        return super().arrives_ns + round(LAG_S * 1e9)


class Bodies:
    """A `Vision` that knows."""

    def __init__(self, bodies: Sequence[Moving]) -> None:
        self._bodies = bodies

    def _seen(self, frame: Frame) -> list[tuple[Moving, Detection]]:
        found = []
        for body in self._bodies:
            x_um = body.x_um(frame.exposed_ns)
            if 0 <= x_um < VIEW_UM:
                found.append((body, detection(x_um, body.y_um, double=body.double)))
        return found

    def settle(self) -> None:
        """Nothing to learn."""

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        return False

    def detect(self, frame: Frame, attention: Attention) -> list[Detection]:
        return [one for _, one in self._seen(frame)]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        known = {(one.x_px, one.y_px): body.probabilities for body, one in self._seen(frame)}
        rows = [known[one.x_px, one.y_px] for one in detections]
        return np.array(rows, np.float32), np.zeros((len(rows), 8, 8), np.uint8)


class Ticking:
    """A camera without pixels: 200 frames/s, each in the host's hands 8 ms later."""

    def __init__(
        self, clock: Clock, silent_from_s: float = np.inf, early: Collection[int] = ()
    ) -> None:
        self._clock = clock
        self._next = 0
        self._stopped = False
        self._silent_ns = START_NS + silent_from_s * 1e9
        self._early = early

    def info(self) -> CameraInfo:
        return CameraInfo("ticking", WIDTH_PX, 512, 8)

    def start(self) -> None:
        """It always ticks."""

    def pop(self) -> Frame | None:
        exposed_ns = START_NS + self._next * PERIOD_NS
        if self._stopped or exposed_ns + TRANSFER_NS > self._clock.now_ns():
            return None
        if exposed_ns >= self._silent_ns:
            return None
        self._next += 1
        received_ns = exposed_ns + TRANSFER_NS
        if self._next - 1 in self._early:
            exposed_ns -= 3 * PERIOD_NS
        return Frame(NO_PIXELS, self._next - 1, exposed_ns, 100_000, received_ns)

    def waiting(self) -> int:
        exposed_ns = START_NS + self._next * PERIOD_NS
        return int(not self._stopped and exposed_ns + TRANSFER_NS <= self._clock.now_ns())

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """How a run goes.

    Attributes:
        wishes: states that are asked for so many seconds after the start.
        channel_empty: nothing is between view and junction at the start.
        silent_from_s: from when on the camera gives no frames.
        early: numbers of frames whose times are before those of the frames before them.
        watch: looks for faults by these limits; nobody looks without.
        faults: what is done about them.
        free_mb: room on the disk.
        limits: what ends the run.
        gates: optical gates in the outlets; what they see, ``meddle`` says.
        meddle: called once a turn with the device and the time.
        cable: what may be pulled out.
        pump_of: the pump beside a dispenser; its output alone without.
        recovery: what is done about a clog.
        camera_of, vision_of: what stands in place of the camera, or of the vision.
        record: what takes the rows of a run with these settings; the trace stays empty then.
    """

    duration_s: float = 2.5
    shadow: bool = False
    stop: StopRequest = lambda: None
    wishes: Sequence[tuple[float, RunState]] = ()
    prime_s: float = 0.0
    settles_ms: float = 0.0
    channel_empty: bool = True
    silent_from_s: float = np.inf
    early: Collection[int] = ()
    watch: WatchSettings | None = None
    faults: FaultSettings = field(default_factory=FaultSettings)
    free_mb: Callable[[], float] = lambda: 10_000.0
    limits: LimitSettings = field(default_factory=LimitSettings)
    gates: OpticalGateSettings = field(default_factory=OpticalGateSettings)
    meddle: Callable[[VirtualDispenser, int], None] = lambda device, now_ns: None
    cable: Cable = field(default_factory=Cable)
    record: Callable[[RigSettings], RecordSink] | None = None
    pump_of: Callable[[Dispenser, Clock], Pump | None] | None = None
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    camera_of: Callable[[Camera], Camera] = lambda camera: camera
    vision_of: Callable[[Vision], Vision] = lambda vision: vision

    def rig(self) -> RigSettings:
        """Its settings."""
        return RigSettings(
            camera=MMCoreCameraSettings(
                config_file=Path("none.cfg"), pitch_um=PITCH_UM, width_px=WIDTH_PX
            ),
            port=SerialLinkSettings(port="virtual"),
            liquid=LiquidSettings(displaced_um=0.0, settles_ms=self.settles_ms),
            limits=self.limits,
            optical_gates=self.gates,
            faults=self.faults,
            recovery=self.recovery,
            run=RunSettings(
                duration_s=self.duration_s,
                shadow=self.shadow,
                prime_s=self.prime_s,
                channel_empty=self.channel_empty,
            ),
        )

    def overseer(self, rig: RigSettings, dispenser: Dispenser) -> Overseer | None:
        """Who looks for faults."""
        if self.watch is None:
            return None
        sources = Sources(lambda: 0.6, self.free_mb, dispenser.clock_bound_us, PITCH_UM)
        return Overseer(self.watch, self.faults, rig.track.channel, sources, START_NS)


def sort(bodies: Sequence[Moving], **changes: Any) -> tuple[Trace, list[GateEdge]]:
    """Run the loop over bodies; what it handed over, and what the gate did.

    A fault is raised when it is in the books, as in `sorter.runner`.

    Args:
        changes: fields of `Story`.
    """
    story = Story(**changes)
    rig, clock, trace = story.rig(), VirtualClock(START_NS), Trace()
    device = VirtualDispenser(SimDispenserSettings(), clock)

    def plug() -> Plug:
        return story.cable.plugged_into(device, clock)

    waits = "hold" in (rig.faults.link_lost, rig.faults.device_reset)
    dispenser: Dispenser = (
        build_guarded_dispenser(rig, plug, clock)
        if waits
        else SerialDispenser(plug(), clock, draw_session=lambda: 1)
    )
    dispenser.connect()
    dispenser.arm()
    overseer = story.overseer(rig, dispenser)
    make_pump = story.pump_of or (lambda dispenser, clock: build_pump(rig, dispenser, clock))
    pump = make_pump(dispenser, clock)
    controller = build_controller(
        rig,
        clock=clock,
        camera=story.camera_of(Ticking(clock, story.silent_from_s, story.early)),
        dispenser=dispenser,
        vision=story.vision_of(Bodies(bodies)),
        bundle=load_bundle("default"),
        record=trace if story.record is None else story.record(rig),
        pump=pump,
        oversight=overseer,
    )
    waiting = list(story.wishes)

    def asked() -> str | None:
        story.meddle(device, clock.now_ns())
        while waiting and clock.now_ns() >= START_NS + waiting[0][0] * 1e9:
            controller.ask(waiting.pop(0)[1], "operator", "asked")
        return story.stop()

    responder = Responder(controller, overseer, rig.recovery, pump) if overseer else None
    try:
        turn(controller, rig, clock, asked, responder)
    except SorterError as error:
        controller.fault(clock.now_ns(), str(error))
        raise
    dispenser.close()
    # It flowed, and was held in the end: when the run was paused, or the gate sent to rest.
    flows = [held for _, held in device.pump_edges]
    assert flows == [False, True] * (len(flows) // 2)
    return trace, [GateEdge(*edge) for edge in device.gate_edges]


def final(trace: Trace) -> dict[int, tuple[str, str]]:
    """Outlet and reason of each object in the end."""
    return {track.object_id: (track.outlet, track.reason) for track in trace.tracks()}
