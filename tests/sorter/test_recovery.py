"""A clog: hold, a pulse backwards, resume; and then the operator. On a simulated syringe pump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drivers.dispenser import SerialDispenser
from drivers.ne1000 import NE1000Pump, NE1000Settings
from drivers.ports import Clock, Dispenser, Pump, PumpAbilities, PumpState, PumpStatus
from drivers.pump_output import DevicePump
from drivers.pump_pair import PumpPair
from hardware_sim.ne1000 import SimNE1000Settings, VirtualNE1000
from hardware_sim.virtual_rig import Trace
from sorter.faults import FaultSettings
from sorter.life import RunState
from sorter.limits import LimitSettings
from sorter.recovery import Recovery, RecoverySettings
from sorter.watch import WatchSettings
from tests.sorter.cables import START_NS
from tests.sorter.known_ways import Moving, sort

S = 1_000_000_000
SOON = WatchSettings(still_s=0.15)
RECOVERS = FaultSettings(clogged="recover")
SLOW = 6_000.0


class Syringe:
    """Makes the pump of a run, and keeps the simulated one."""

    def __init__(self) -> None:
        self.device: VirtualNE1000 | None = None

    def beside(self, dispenser: Dispenser, clock: Clock) -> Pump:
        self.device = VirtualNE1000(SimNE1000Settings(), clock)
        pump = NE1000Pump(self.device.link, clock, NE1000Settings())
        assert isinstance(dispenser, SerialDispenser)
        return PumpPair(DevicePump(dispenser, clock, lambda: dispenser.held), pump)

    @property
    def flows(self) -> list[tuple[float, float]]:
        """(s after the start, µL/s) of each change."""
        assert self.device is not None
        return [((at_ns - START_NS) / S, ul_s) for at_ns, ul_s in self.device.flow_edges]


def states(trace: Trace) -> list[tuple[str, str]]:
    """States from the first pause on, with who caused them."""
    told = [(event.name, event.text) for event in trace.events if event.name in set(RunState)]
    first = next(i for i, (name, _) in enumerate(told) if name == "paused")
    return [(name, text.partition("(by ")[2].rstrip(")")) for name, text in told[first:]]


def test_a_clog_is_answered_by_a_pulse_backwards_and_the_run_goes_on() -> None:
    syringe = Syringe()
    trace, _ = sort(
        [Moving(2.0, SLOW)], duration_s=16.0, watch=SOON, faults=RECOVERS, pump_of=syringe.beside
    )
    assert states(trace) == [
        ("paused", "recovery"), ("priming", "recovery"), ("running", ""),
        ("draining", ""), ("stopped", ""),
    ]  # fmt: skip
    (began_s, _), (ended_s, _) = [
        (at_s, ul_s) for at_s, ul_s in syringe.flows if ul_s < 0 or at_s > 0
    ][2:4]
    backwards = [-ul_s for _, ul_s in syringe.flows if ul_s < 0]
    assert backwards == [pytest.approx(12.8, rel=0.01)]
    assert backwards[0] * (ended_s - began_s) == pytest.approx(20.0, rel=0.02)


def test_too_many_clogs_hold_the_run_for_the_operator() -> None:
    bodies = [Moving(2.0, SLOW), Moving(14.0, SLOW)]
    trace, _ = sort(
        bodies, duration_s=30.0, watch=SOON, faults=RECOVERS, pump_of=Syringe().beside,
        recovery=RecoverySettings(tries=1),
    )  # fmt: skip
    assert states(trace) == [
        ("paused", "recovery"), ("priming", "recovery"), ("running", ""),
        ("paused", "fault:clogged"), ("draining", ""), ("stopped", ""),
    ]  # fmt: skip


def test_a_pump_that_can_not_push_backwards_is_held() -> None:
    trace, _ = sort([Moving(0.3, SLOW)], watch=SOON, faults=RECOVERS)
    assert states(trace)[0] == ("paused", "fault:clogged")


def test_the_operators_word_comes_first() -> None:
    """Resumed while the pump still holds: no pulse comes after that."""
    syringe = Syringe()
    trace, _ = sort(
        [Moving(2.0, SLOW)], duration_s=5.0, watch=SOON, faults=RECOVERS, pump_of=syringe.beside,
        wishes=[(2.2, RunState.PRIMING)],
    )  # fmt: skip
    assert states(trace)[:2] == [("paused", "recovery"), ("priming", "operator")]
    assert not [ul_s for _, ul_s in syringe.flows if ul_s < 0]


class Stubborn:
    """A pump whose state is what the test says."""

    def __init__(self) -> None:
        self.state = PumpState.UNKNOWN
        self.pulses: list[float] = []

    def abilities(self) -> PumpAbilities:
        return PumpAbilities(rate=True, volume=True, reverse=True)

    def status(self) -> PumpStatus:
        return PumpStatus(self.state, 1.0, 0.0, 0)

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        self.pulses.append(volume_ul)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.mark.parametrize("stuck_in", ["never held", "never pulses", "never ends"])
def test_a_pump_that_does_not_get_there_leaves_the_run_held(stuck_in: str) -> None:
    pump: Any = Stubborn()
    asked: list[RunState] = []
    told: list[str] = []
    recovery = Recovery(
        RecoverySettings(patience_s=5.0), pump,
        lambda state, by, why: asked.append(state), lambda at_ns, text: told.append(text),
    )  # fmt: skip
    assert recovery.begin("stands still", 0)
    recovery.step(RunState.PAUSED, 1)
    if stuck_in != "never held":
        pump.state = PumpState.HELD
        recovery.step(RunState.PAUSED, S)
    if stuck_in == "never ends":
        pump.state = PumpState.REVERSING
        recovery.step(RunState.PAUSED, 2 * S)
    recovery.step(RunState.PAUSED, 20 * S)
    assert not recovery.busy
    assert asked == [RunState.PAUSED]
    assert "stays held" in told[0]


def test_pulses_of_long_ago_do_not_count() -> None:
    pump: Any = Stubborn()
    recovery = Recovery(
        RecoverySettings(tries=1, again_min=1.0), pump, lambda *_: None, lambda *_: None
    )
    assert [recovery.begin("clog", at_s * S) for at_s in (0, 30, 61)] == [True, False, True]


LIMITS = {
    "collected": (LimitSettings(collected=1), "1 were collected (by limit:collected)"),
    "volume": (LimitSettings(volume_ul=40.0), "µL have flowed (by limit:volume)"),
    "outside": (
        LimitSettings(outside_min=0.1),
        "0.1 minutes outside the incubator are over (by limit:outside)",
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_ends_the_run(limit: str) -> None:
    """In virtual time, with a pump that tells its volume."""
    settings, why = LIMITS[limit]
    trace, _ = sort(
        [Moving(1.0), Moving(3.0)], duration_s=60.0, limits=settings, pump_of=Syringe().beside
    )
    (draining,) = [event for event in trace.events if event.name == "draining"]
    assert draining.text.endswith(why)
    assert trace.events[-1].name == "stopped"
    assert trace.events[-1].at_ns < START_NS + 15 * S
