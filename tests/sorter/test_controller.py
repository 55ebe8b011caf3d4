"""The loop on bodies whose way is known to the digit: the gate must stand right when they arrive.

Scheduler, driver and firmware are the shipped ones, in virtual time. In place of pixels there is a
`Vision` that says where bodies are; in place of the liquid, bodies that go straight on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.dispenser import SerialDispenser
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import CameraInfo, Clock, Frame
from drivers.serial_link import SerialLinkSettings
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_link import VirtualDispenser
from hardware_sim.virtual_rig import Trace
from models.bundle import load_bundle
from sorter.build import build_controller
from sorter.detection import Detection
from sorter.errors import DispenserError
from sorter.liquid import LiquidSettings
from sorter.runner import IDLE_NS, StopRequest, turn
from sorter.settings import RigSettings, RunSettings
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

START_NS = 1_000_000_000
PERIOD_NS = 5_000_000
TRANSFER_NS = 8_000_000
VIEW_UM = PITCH_UM * WIDTH_PX
JUNCTION_UM = VIEW_UM + 10_000.0
NO_PIXELS = np.empty((0, 0), np.uint8)
HEALTHY, UNHEALTHY = (0.98, 0.01, 0.01), (0.01, 0.98, 0.01)


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

    def detect(self, frame: Frame) -> list[Detection]:
        return [one for _, one in self._seen(frame)]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        known = {(one.x_px, one.y_px): body.probabilities for body, one in self._seen(frame)}
        rows = [known[one.x_px, one.y_px] for one in detections]
        return np.array(rows, np.float32), np.zeros((len(rows), 8, 8), np.uint8)


class Ticking:
    """A camera without pixels: 200 frames/s, each in the host's hands 8 ms later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0
        self._stopped = False

    def info(self) -> CameraInfo:
        return CameraInfo("ticking", WIDTH_PX, 512, 8)

    def start(self) -> None:
        """It always ticks."""

    def pop(self) -> Frame | None:
        exposed_ns = START_NS + self._next * PERIOD_NS
        if self._stopped or exposed_ns + TRANSFER_NS > self._clock.now_ns():
            return None
        self._next += 1
        return Frame(NO_PIXELS, self._next - 1, exposed_ns, 100_000, exposed_ns + TRANSFER_NS)

    def waiting(self) -> int:
        exposed_ns = START_NS + self._next * PERIOD_NS
        return int(not self._stopped and exposed_ns + TRANSFER_NS <= self._clock.now_ns())

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        """Nothing is held."""


def sort(
    bodies: Sequence[Moving],
    *,
    duration_s: float = 2.5,
    shadow: bool = False,
    stop: StopRequest = lambda: None,
    meddle: Callable[[VirtualDispenser, int], None] = lambda device, now_ns: None,
) -> tuple[Trace, list[GateEdge]]:
    """Run the loop over bodies; what it handed over, and what the gate did.

    ``meddle`` is called once a turn with the device and the time.
    """
    rig = RigSettings(
        camera=MMCoreCameraSettings(
            config_file=Path("none.cfg"), pitch_um=PITCH_UM, width_px=WIDTH_PX
        ),
        port=SerialLinkSettings(port="virtual"),
        liquid=LiquidSettings(displaced_um=0.0),
        run=RunSettings(duration_s=duration_s, shadow=shadow),
    )
    clock, trace = VirtualClock(START_NS), Trace()
    device = VirtualDispenser(SimDispenserSettings(), clock)
    dispenser = SerialDispenser(device.link, clock, draw_session=lambda: 1)
    dispenser.connect()
    dispenser.arm()
    controller = build_controller(
        rig,
        clock=clock,
        camera=Ticking(clock),
        dispenser=dispenser,
        vision=Bodies(bodies),
        bundle=load_bundle("default"),
        record=trace,
    )

    def stop_and_meddle() -> str | None:
        meddle(device, clock.now_ns())
        return stop()

    turn(controller, rig, clock, stop_and_meddle)
    # It flowed while the run lasted, and was held when the gate was sent to rest.
    dispenser.close()
    assert [held for _, held in device.pump_edges] == [False, True]
    return trace, [GateEdge(*edge) for edge in device.gate_edges]


def final(trace: Trace) -> dict[int, tuple[str, str]]:
    """Outlet and reason of each object in the end."""
    return {track.object_id: (track.outlet, track.reason) for track in trace.tracks()}


@pytest.mark.parametrize("speed_um_s", [6_000.0, 10_000.0, 20_000.0, 40_000.0])
def test_the_gate_stands_open_when_a_healthy_body_arrives(speed_um_s: float) -> None:
    body = Moving(0.3, speed_um_s)
    trace, gate = sort([body])
    assert list(final(trace).values()) == [("collect", "healthy")]
    around_ns = np.linspace(body.arrives_ns - 4_000_000, body.arrives_ns + 4_000_000, 9)
    assert {outlet_at(gate, int(at_ns)) for at_ns in around_ns} == {"collect"}
    assert outlet_at(gate, body.arrives_ns - 400_000_000) == "waste"
    assert outlet_at(gate, body.arrives_ns + 400_000_000) == "waste"
    (row,) = trace.objects.values()
    assert row.arrival_ns is not None
    assert row.arrival_error_ns is not None
    assert abs(row.arrival_ns - body.arrives_ns) <= row.arrival_error_ns
    assert row.velocity_um_s == pytest.approx(speed_um_s, rel=0.01)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (Moving(0.3, probabilities=UNHEALTHY), "unhealthy"),
        (Moving(0.3, probabilities=(0.01, 0.01, 0.98)), "not_a_spheroid"),
        (Moving(0.3, double=True), "double"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_gate_stays_at_rest_for_others(body: Moving, reason: str) -> None:
    trace, gate = sort([body])
    assert list(final(trace).values()) == [("waste", reason)]
    assert outlet_at(gate, body.arrives_ns) == "waste"
    assert not trace.commands


def test_a_neighbour_bound_elsewhere_is_a_conflict_and_both_go_to_rest() -> None:
    good, bad = Moving(0.3, y_um=200.0), Moving(0.32, probabilities=UNHEALTHY, y_um=700.0)
    trace, gate = sort([good, bad])
    assert sorted(final(trace).values()) == [("waste", "conflict"), ("waste", "unhealthy")]
    assert {outlet_at(gate, one.arrives_ns) for one in (good, bad)} == {"waste"}


def test_one_that_overtakes_is_foreseen() -> None:
    """The slow one is seen long before, and both arrive within some ms."""
    slow, fast = Moving(0.2, 6_000.0, y_um=200.0), Moving(1.21, 12_000.0, UNHEALTHY, 700.0)
    assert abs(slow.arrives_ns - fast.arrives_ns) < 20_000_000
    trace, gate = sort([slow, fast], duration_s=3.0)
    assert outlet_at(gate, fast.arrives_ns) == "waste"
    assert sorted(reason for _, reason in final(trace).values()) == ["conflict", "unhealthy"]


def test_two_healthy_neighbours_share_an_opening() -> None:
    bodies = [Moving(0.3, y_um=200.0), Moving(0.34, y_um=700.0)]
    trace, gate = sort(bodies)
    assert list(final(trace).values()) == [("collect", "healthy")] * 2
    assert {outlet_at(gate, one.arrives_ns) for one in bodies} == {"collect"}
    switched = [edge.outlet for edge in gate if edge.t_ns > START_NS]
    assert switched == ["collect", "waste"]


def test_shadow_decides_and_moves_nothing() -> None:
    trace, gate = sort([Moving(0.3), Moving(0.9, probabilities=UNHEALTHY)], shadow=True)
    assert sorted(final(trace).values()) == [("waste", "shadow"), ("waste", "unhealthy")]
    assert not [edge for edge in gate if edge.outlet != "waste"]


def test_a_drain_sorts_what_is_in_view_and_nothing_after() -> None:
    before, after = Moving(0.3), Moving(0.45, y_um=200.0)
    turns = iter(range(10**9))
    asked = 350_000_000 // IDLE_NS  # in turns: 0.35 s after the start
    trace, gate = sort([before, after], stop=lambda: "Ctrl-C" if next(turns) > asked else None)
    reasons = [reason for _, reason in final(trace).values()]
    assert reasons == ["healthy", "stopping"]
    assert outlet_at(gate, before.arrives_ns) == "collect"
    assert outlet_at(gate, after.arrives_ns) == "waste"
    assert [event.name for event in trace.events] == ["running", "draining", "stopped"]


def test_an_emergency_stop_ends_the_run() -> None:
    def press(device: VirtualDispenser, now_ns: int) -> None:
        if now_ns > START_NS + 400_000_000 and not device.estop:
            device.press_estop()

    with pytest.raises(DispenserError, match=r"emergency stop is latched \(PIN\)"):
        sort([Moving(0.3)], meddle=press)
