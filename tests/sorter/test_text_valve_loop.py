"""The whole loop with a valve box instead of the protocol's device, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.serial_link import SerialLinkSettings
from drivers.text_valve import TextValve
from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.text_valve import SimTextValveSettings, VirtualTextValve
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_rig import Trace
from models.bundle import load_bundle
from sorter.build import build_controller
from sorter.errors import DispenserError, LinkError
from sorter.liquid import LiquidSettings
from sorter.runner import turn
from sorter.settings import RigSettings, RunSettings
from tests.drivers.text_bench import BLIND, COLLECT, strings
from tests.sorter.cables import START_NS
from tests.sorter.known_ways import UNHEALTHY, Bodies, Moving, Ticking, final
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX


class Run:
    """One run of the loop over bodies, on a box with or without faults."""

    def __init__(self, bodies: Sequence[Moving], *, blind: bool = False, **faults: Any) -> None:
        kept = strings(BLIND if blind else COLLECT)
        rig = RigSettings(
            camera=MMCoreCameraSettings(
                config_file=Path("none.cfg"), pitch_um=PITCH_UM, width_px=WIDTH_PX
            ),
            port=SerialLinkSettings(port="virtual"),
            dispenser=kept,
            liquid=LiquidSettings(displaced_um=0.0, settles_ms=0.0),
            run=RunSettings(duration_s=4.0, prime_s=0.0, channel_empty=True),
        )
        self._rig = rig
        # The box is there before the run begins, and its handshake takes time.
        self.clock = VirtualClock(START_NS - 1_500_000_000)
        self.device = VirtualTextValve(SimTextValveSettings(strings=kept, **faults), self.clock)
        self.valve = TextValve(self.device.link, self.clock, kept)
        self.valve.connect()
        self.valve.arm()
        self.clock.wait_until(START_NS)
        self.trace = Trace()
        self._controller = build_controller(
            rig,
            clock=self.clock,
            camera=Ticking(self.clock),
            dispenser=self.valve,
            vision=Bodies(bodies),
            bundle=load_bundle("default"),
            record=self.trace,
        )

    def turn(self) -> None:
        turn(self._controller, self._rig, self.clock, lambda: None)

    @property
    def gate(self) -> list[GateEdge]:
        return [GateEdge(*edge) for edge in self.device.gate_edges]


@pytest.mark.parametrize("blind", [False, True], ids=["asked", "can't be asked"])
def test_it_stands_open_for_the_healthy_and_at_rest_for_the_others(blind: bool) -> None:
    good, bad = Moving(0.3), Moving(1.0, probabilities=UNHEALTHY)
    run = Run([good, bad], blind=blind)
    run.turn()
    run.valve.close()
    assert list(final(run.trace).values()) == [("collect", "healthy"), ("waste", "unhealthy")]
    around_ns = np.linspace(good.arrives_ns - 4_000_000, good.arrives_ns + 4_000_000, 9)
    assert {outlet_at(run.gate, int(at_ns)) for at_ns in around_ns} == {"collect"}
    assert outlet_at(run.gate, bad.arrives_ns) == "waste"
    assert [edge.outlet for edge in run.gate] == ["collect", "waste"]
    assert run.valve.counters.closed_late == 0


def test_openings_are_wider_than_with_a_clock_of_its_own() -> None:
    run = Run([Moving(0.3)])
    run.turn()
    (command,) = run.trace.commands
    # 15 ms on each side, and the arrival's own uncertainty.
    assert command.close_us - command.open_us > 30_000


@pytest.mark.parametrize(
    ("faults", "error"),
    [({"dead_after_s": 2.0}, LinkError), ({"ignored_closes": 1_000}, DispenserError)],
    ids=["hangs", "does not close"],
)
def test_a_box_that_fails_ends_the_run(faults: dict[str, Any], error: type[Exception]) -> None:
    run = Run([Moving(0.3)], **faults)
    with pytest.raises(error):
        run.turn()
    with pytest.raises(DispenserError, match="at the end"):
        run.valve.close()
