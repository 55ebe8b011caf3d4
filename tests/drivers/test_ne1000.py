"""The NE-1000 driver on the simulated pump: in virtual time, and once over a real port."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.clock import MonotonicClock
from drivers.ne1000 import NE1000Pump, NE1000Settings
from drivers.ports import Pump, PumpAbilities, PumpState
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.ne1000 import SimNE1000Settings, start_simulated_ne1000
from hardware_sim.ne1000_model import Obeys
from sorter.errors import LinkError, PumpError
from tests.drivers.pump_bench import PumpBench
from tests.drivers.virtual_time import MS

# The longest question and answer, DIS: 6 bytes out, 21 back, 10 bits each at 19,200 baud, and
# 5 ms of thought; and the millisecond in which the bench steps.
ROUND_TRIP_MS = 27 * 10 / 19.2 + 5 + 1
HELD, RUNNING, STOPPED = PumpState.HELD, PumpState.RUNNING, PumpState.STOPPED
UNKNOWN, REVERSING = PumpState.UNKNOWN, PumpState.REVERSING


# -- what it is -----------------------------------------------------------------------------


def test_it_is_a_pump_that_can_do_all() -> None:
    pump: Pump = PumpBench().pump
    assert pump.abilities() == PumpAbilities(rate=True, volume=True, reverse=True)


@pytest.mark.parametrize(
    "wrong", [{"diameter_mm": 0}, {"rate_ul_s": -1}, {"address": 100}, {"port": "COM3"}]
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NE1000Settings.model_validate(wrong)


# -- the ordinary run -------------------------------------------------------------------------


def test_it_is_held_and_set_up_whatever_was_in_its_memory() -> None:
    bench = PumpBench()
    assert bench.state is UNKNOWN
    bench.ready()
    memory = bench.device.model.program.memory
    assert bench.state is HELD
    assert memory.diameter_mm == pytest.approx(26.59)
    assert memory.rate_ul_s(memory.phase(1)) == pytest.approx(12.8)
    assert (memory.phase(1).function, memory.phase(1).direction) == ("RAT", "INF")
    assert memory.volume_ul(memory.phase(1)) == 0
    assert memory.phase(2).function == "STP"
    assert not memory.power_fail
    assert bench.device.flow_edges == []
    assert bench.troubles == []


def test_a_pump_that_runs_when_the_program_comes_is_held() -> None:
    bench = PumpBench(SimNE1000Settings(wakes=False))
    model = bench.device.model
    model.program.alarm = ""
    model.press(bench.clock.ns)
    assert bench.flow_ul_s
    bench.until(lambda: bench.state is HELD)
    assert bench.flow_ul_s == 0
    assert bench.lies == []


def test_it_infuses_at_its_rate_and_tells_the_volume() -> None:
    bench = PumpBench().running()
    assert bench.flow_ul_s == pytest.approx(12.8)
    bench.run(60_000)
    status = bench.pump.status()
    assert status.rate_ul_s == 12.8
    assert bench.clock.ns - status.at_ns <= 600 * MS
    assert bench.moved_ul - 8 <= status.volume_ul <= bench.moved_ul + 1
    assert bench.troubles == []


@pytest.mark.parametrize(
    ("rate_ul_s", "settings"),
    [
        pytest.param(5.0, NE1000Settings(), id="same unit"),
        pytest.param(0.005, NE1000Settings(diameter_mm=4.7, rate_ul_s=1.0), id="another unit"),
    ],
)
def test_the_rate_can_be_set_while_it_runs(rate_ul_s: float, settings: NE1000Settings) -> None:
    bench = PumpBench(settings=settings).running()
    bench.pump.set_rate_ul_s(rate_ul_s, bench.clock.ns)
    bench.run(500)
    assert bench.state is RUNNING
    assert bench.flow_ul_s == pytest.approx(rate_ul_s, rel=0.01)
    assert bench.pump.status().rate_ul_s == rate_ul_s
    # And is still its rate after a stop, which makes the pump forget it.
    bench.pump.stop(bench.clock.ns)
    bench.until(lambda: bench.state is STOPPED)
    bench.pump.start(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    assert bench.flow_ul_s == pytest.approx(rate_ul_s, rel=0.01)
    assert bench.troubles == []


def test_a_rate_that_needs_another_unit_waits_for_a_hold() -> None:
    bench = PumpBench().running()
    bench.pump.set_rate_ul_s(400.0, bench.clock.ns)
    bench.until(lambda: bench.troubles)
    assert "another unit" in str(bench.troubles[0])
    bench.until(lambda: bench.state is HELD)
    assert bench.pump.status().rate_ul_s == 12.8
    bench.pump.set_rate_ul_s(400.0, bench.clock.ns)
    bench.pump.resume(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    assert bench.flow_ul_s == pytest.approx(400.0)


def test_stop_ends_the_program_and_start_begins_it_again() -> None:
    bench = PumpBench().running()
    bench.run(1_000)
    bench.pump.stop(bench.clock.ns)
    bench.until(lambda: bench.state is STOPPED)
    assert bench.device.model.program.prompt == "S"
    before_ul = bench.moved_ul
    bench.pump.start(bench.clock.ns)
    bench.run(2_000)
    assert bench.state is RUNNING
    assert bench.pump.status().volume_ul > before_ul + 10


def test_a_reverse_pulse_withdraws_so_much_and_ends_held() -> None:
    bench = PumpBench().running()
    bench.run(3_000)
    bench.pump.reverse(20.0, bench.clock.ns)
    bench.until(lambda: bench.state is REVERSING)
    before_ul = max(bench.moved_ul, 30.0)
    bench.until(lambda: bench.state is HELD)
    assert bench.device.flow_edges[-2][1] == pytest.approx(-12.8)
    assert bench.device.model.program.plunger.withdrawn_ul == pytest.approx(20.0)
    assert bench.moved_ul < before_ul
    bench.run(2_000)
    assert bench.flow_ul_s == 0
    bench.pump.resume(bench.clock.ns)
    bench.run(2_000)
    assert bench.state is RUNNING
    assert bench.flow_ul_s == pytest.approx(12.8)
    assert bench.troubles == []
    assert bench.lies == []


def test_a_reverse_pulse_is_at_the_rate_that_was_set_last() -> None:
    bench = PumpBench().running()
    bench.pump.set_rate_ul_s(5.0, bench.clock.ns)
    bench.pump.reverse(10.0, bench.clock.ns)
    bench.until(lambda: bench.state is REVERSING)
    assert bench.flow_ul_s == pytest.approx(-5.0)


def test_the_pump_answers_to_its_address_alone() -> None:
    bench = PumpBench(SimNE1000Settings(address=7), NE1000Settings(address=7)).running()
    assert bench.flow_ul_s
    other = PumpBench(SimNE1000Settings(address=7), NE1000Settings(address=8))
    other.run(3_000)
    assert other.state is UNKNOWN
    assert "does not answer" in str(other.troubles[0])


# -- the hold ---------------------------------------------------------------------------------

BUSY_WITH = ("nothing", "start", "rate", "reverse", "stop and start")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_600), st.sampled_from(BUSY_WITH), st.booleans())
def test_the_flow_stands_within_two_round_trips(after_ms: int, busy: str, deaf: bool) -> None:
    bench = PumpBench(SimNE1000Settings(deaf=deaf)).running()
    if busy == "rate":
        bench.pump.set_rate_ul_s(20.0, bench.clock.ns)
    elif busy == "reverse":
        bench.pump.reverse(10.0, bench.clock.ns)
    elif busy == "stop and start":
        bench.pump.stop(bench.clock.ns)
    if busy in ("start", "stop and start"):
        bench.pump.start(bench.clock.ns)
    bench.run(after_ms)
    told_ns = bench.clock.ns
    written = len(bench.link.written)
    bench.pump.hold(told_ns)
    # At once, in the call itself, ahead of all else.
    assert bench.link.written[written:] == [(told_ns, "00STP")] or bench.said("STP") > 1
    bench.run(2 * ROUND_TRIP_MS)
    assert bench.flow_ul_s == 0
    stood_ns = max((at_ns for at_ns, _ in bench.device.flow_edges), default=told_ns)
    assert stood_ns <= told_ns + 2 * ROUND_TRIP_MS * MS
    bench.until(lambda: bench.state is HELD, 1_000)
    assert bench.lies == []
    assert bench.troubles == []


def test_hold_may_be_said_at_every_step() -> None:
    bench = PumpBench().running()
    written = len(bench.link.written)
    for _ in range(500):
        bench.pump.hold(bench.clock.ns)
        bench.step()
    assert bench.state is HELD
    # No faster than the pump can answer: the shortest exchange is of 11 bytes.
    assert len(bench.link.written) - written < 500 / (11 * 10 / 19.2 + 5)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.lists(
        st.sampled_from(["start", "hold", "stop", "rate", "reverse", "wait"]),
        min_size=2,
        max_size=8,
    ),
)
def test_on_a_lossy_wire_it_keeps_trying_and_never_says_held_of_a_pump_that_runs(
    seed: int, answers: float, commands: float, garble: float, orders: list[str]
) -> None:
    bench = PumpBench(SimNE1000Settings(seed=seed)).ready()
    model = bench.device.model
    model.lose_answers, model.lose_commands, model.garble = answers, commands, garble
    for order in orders:
        _give(bench, order)
        bench.run(400)
    bench.pump.hold(bench.clock.ns)
    bench.run(3_000)
    model.lose_answers = model.lose_commands = model.garble = 0.0
    # What was being asked when the wire healed may still end as a fault.
    bench.run(2_000)
    bench.until(lambda: bench.state is HELD)
    assert bench.lies == []
    bench.pump.start(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    assert bench.flow_ul_s == pytest.approx(bench.pump.status().rate_ul_s, rel=1e-3)


def _give(bench: PumpBench, order: str) -> None:
    now_ns = bench.clock.ns
    # During a fault all but hold and stop are refused.
    with contextlib.suppress(PumpError):
        if order == "start":
            bench.pump.start(now_ns)
        elif order == "hold":
            bench.pump.hold(now_ns)
        elif order == "stop":
            bench.pump.stop(now_ns)
        elif order == "rate":
            bench.pump.set_rate_ul_s(20.0, now_ns)
        elif order == "reverse":
            bench.pump.reverse(5.0, now_ns)


# -- closing ----------------------------------------------------------------------------------


def test_close_holds_the_pump_and_releases_the_port_once() -> None:
    bench = PumpBench().running()
    bench.pump.close()
    bench.pump.close()
    assert bench.flow_ul_s == 0
    assert bench.link.closed == 1
    bench.run(100)
    with pytest.raises(PumpError, match="closed"):
        bench.pump.start(bench.clock.ns)


WRONG: list[Obeys | Exception] = ["no", LinkError("the port has gone")]


@pytest.mark.parametrize("wrong", WRONG, ids=["disobeys", "port gone"])
def test_close_says_when_the_pump_may_run_on(wrong: Obeys | Exception) -> None:
    bench = PumpBench().running()
    if isinstance(wrong, Exception):
        bench.link.cut = wrong
    else:
        bench.device.model.obeys = wrong
    with pytest.raises(PumpError, match="may be running"):
        bench.pump.close()
    assert bench.link.closed == 1


# -- over a real port -------------------------------------------------------------------------

CLOCK = MonotonicClock()
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
PORTS = [pytest.param(False, marks=posix_only, id="pseudo-terminal"), pytest.param(True, id="tcp")]


@pytest.mark.parametrize("tcp", PORTS)
def test_over_a_real_port(tcp: bool) -> None:
    # A busy machine may hold a test up for long; that is not what is tested here.
    patient = NE1000Settings(answer_ms=1_000, retries=10)
    with start_simulated_ne1000(SimNE1000Settings(tcp=tcp, wakes=False)) as device:
        link = SerialLink(SerialLinkSettings(port=device.url, baud=19_200))
        pump = NE1000Pump(link, CLOCK, patient)
        try:
            pump.start(CLOCK.now_ns())
            _until(pump, RUNNING)
            pump.hold(CLOCK.now_ns())
            _until(pump, HELD)
            pump.resume(CLOCK.now_ns())
            _until(pump, RUNNING)
        finally:
            pump.close()
        flows = [ul_s for _, ul_s in device.flow_edges]
    assert flows == pytest.approx([12.8, 0.0, 12.8, 0.0])


def _until(pump: NE1000Pump, state: PumpState) -> None:
    end_ns = CLOCK.now_ns() + 30_000 * MS
    while pump.status().state is not state:
        assert CLOCK.now_ns() < end_ns, f"still {pump.status().state}"
        CLOCK.wait_until(CLOCK.now_ns() + MS)
        pump.step(CLOCK.now_ns())
