"""A pump beside the dispenser's output: both must let it flow, and both are held."""

from __future__ import annotations

import pytest

from drivers.ports import PumpState
from drivers.pump_output import DevicePump
from drivers.pump_pair import PumpPair
from sorter.errors import LinkError
from tests.drivers.pump_bench import PumpBench

MS = 1_000_000


class Output:
    """The dispenser's output; it may be out of reach."""

    def __init__(self) -> None:
        self.held = True
        self.gone = False
        self.order: list[str] = []

    def hold(self, now_ns: int) -> None:
        self.order.append("hold")
        if self.gone:
            raise LinkError("gone")
        self.held = True

    def flow(self, now_ns: int) -> None:
        self.order.append("flow")
        self.held = False


class Pair:
    def __init__(self) -> None:
        self.bench = PumpBench().ready()
        self.output = Output()
        output = DevicePump(self.output, self.bench.clock, lambda: self.output.held)
        self.pump = PumpPair(output, self.bench.pump)

    def until(self, state: PumpState) -> None:
        end_ns = self.bench.clock.ns + 20_000 * MS
        while self.pump.status().state is not state:
            assert self.bench.clock.ns < end_ns
            self.bench.clock.wait_until(self.bench.clock.ns + MS)
            self.pump.step(self.bench.clock.ns)

    @property
    def now_ns(self) -> int:
        return self.bench.clock.ns


def test_both_let_it_flow_and_both_are_held() -> None:
    pair = Pair()
    pair.pump.start(pair.now_ns)
    pair.until(PumpState.RUNNING)
    assert not pair.output.held
    assert pair.bench.flow_ul_s == pytest.approx(12.8, rel=0.01)
    pair.pump.hold(pair.now_ns)
    assert pair.output.held
    pair.until(PumpState.HELD)
    assert pair.bench.flow_ul_s == 0.0
    pair.pump.resume(pair.now_ns)
    pair.until(PumpState.RUNNING)
    pair.pump.close()
    assert (pair.output.held, pair.bench.flow_ul_s, pair.bench.link.closed) == (True, 0.0, 1)


def test_an_output_out_of_reach_does_not_keep_the_pump_running() -> None:
    pair = Pair()
    pair.pump.start(pair.now_ns)
    pair.until(PumpState.RUNNING)
    pair.output.gone = True
    with pytest.raises(LinkError):
        pair.pump.hold(pair.now_ns)
    pair.until(PumpState.HELD)
    assert pair.bench.flow_ul_s == 0.0


def test_a_pulse_backwards_ends_with_both_held() -> None:
    pair = Pair()
    pair.pump.reverse(10.0, pair.now_ns)
    pair.until(PumpState.REVERSING)
    assert not pair.output.held
    pair.until(PumpState.HELD)
    pair.pump.step(pair.now_ns)
    assert pair.output.held
    assert pair.bench.moved_ul == pytest.approx(-10.0, rel=0.05)


def test_rate_volume_and_direction_are_the_pumps() -> None:
    pair = Pair()
    abilities = pair.pump.abilities()
    assert (abilities.rate, abilities.volume, abilities.reverse) == (True, True, True)
    pair.pump.set_rate_ul_s(6.4, pair.now_ns)
    pair.pump.start(pair.now_ns)
    pair.until(PumpState.RUNNING)
    assert pair.pump.status().rate_ul_s == pytest.approx(6.4)


def test_a_pump_that_runs_into_a_held_output_is_not_known_to_flow() -> None:
    pair = Pair()
    pair.pump.start(pair.now_ns)
    pair.until(PumpState.RUNNING)
    pair.output.held = True
    assert pair.pump.status().state is PumpState.UNKNOWN
