"""The simulated dispenser: its parts, and the whole of it behind real ports."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import MonotonicClock
from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.ports import (
    Acknowledged,
    Command,
    DispenserEvent,
    Executed,
    Passed,
    Pedal,
    Stopped,
)
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.dispenser import serve, start_simulated_dispenser
from hardware_sim.dispenser_board import Happenings
from hardware_sim.dispenser_model import DeviceClock, SimDispenserSettings, Valve, Wire
from hardware_sim.gate_log import (
    GateEdge,
    PumpEdge,
    StopEdge,
    read_gate_log,
    read_log,
    read_pump_log,
)
from sorter.errors import DispenserError, LinkError, SettingsError

ROOT = Path(__file__).parents[2]
MS = 1_000_000
CLOCK = MonotonicClock()
# A busy machine may hold a test up for seconds; that is not what is tested here.
PATIENT = DispenserSettings(watchdog_ms=10_000, silent_ms=9_000, connect_ms=20_000)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
PORTS = [pytest.param(False, marks=posix_only, id="pseudo-terminal"), pytest.param(True, id="tcp")]


# -- its parts ----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(0, 2**40),
    st.integers(0, 2**32 - 1),
    st.floats(-1_000, 1_000),
    st.integers(0, 10**11),
)
def test_the_clock_says_first_when_it_shows_a_time(
    start_ns: int, offset_us: int, drift_ppm: float, ahead_us: int
) -> None:
    clock = DeviceClock(start_ns, offset_us, drift_ppm)
    when_ns = clock.ns_when(offset_us + ahead_us)
    assert clock.us_at(when_ns) >= offset_us + ahead_us
    assert ahead_us == 0 or clock.us_at(when_ns - 1) < offset_us + ahead_us


@pytest.mark.parametrize("drift_ppm", [-100, 0, 30, 100])
def test_the_clock_drifts_as_it_is_told(drift_ppm: int) -> None:
    clock = DeviceClock(5, 1_000, drift_ppm)
    assert clock.us_at(5) == 1_000
    assert clock.us_at(5 + 10**12) == 1_000 + 10**9 + 1_000 * drift_ppm


def test_the_valve_lags_within_its_jitter() -> None:
    valve = Valve(SimDispenserSettings(valve_on_ms=25, valve_off_ms=15, valve_jitter_ms=3))
    lags_ms: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(2_000):
        switched_ns = turn * 1_000 * MS
        lags_ms[turn % 2].append((valve.effective_ns(switched_ns, turn % 2) - switched_ns) / MS)
    assert 12 <= min(lags_ms[0]) < 12.2
    assert 17.8 < max(lags_ms[0]) <= 18
    assert 22 <= min(lags_ms[1]) < 22.2
    assert 27.8 < max(lags_ms[1]) <= 28


def test_a_short_pulse_never_moves_the_liquid_out_of_order() -> None:
    valve = Valve(SimDispenserSettings())
    opened_ns = valve.effective_ns(100 * MS, 1)
    assert valve.effective_ns(102 * MS, 0) >= opened_ns


def test_the_wire_takes_ten_bits_per_byte() -> None:
    wire = Wire(115_200, 0.0, "seed")
    wire.put(b"0123456789\nabcdefghi\n", 1_000)
    first_ns, second_ns = 1_000 + round(11 * 1e10 / 115_200), 1_000 + round(21 * 1e10 / 115_200)
    assert wire.due_ns() == first_ns
    assert wire.take(first_ns - 1) == b""
    assert wire.take(first_ns) == b"0123456789\n"
    assert wire.take(first_ns) == b""
    assert wire.take(second_ns + 1) == b"abcdefghi\n"
    assert wire.due_ns() is None


def test_a_wire_delays_each_line_for_itself_and_keeps_their_order() -> None:
    wire = Wire(0, jitter_ms=2.0, seed="seed", delay_ms=0.5)
    for one in range(2_000):
        wire.put(b"%d\n" % one, one * MS)
    delays_ms: list[float] = []
    due_ns = 0
    while (next_ns := wire.due_ns()) is not None:
        assert next_ns >= due_ns
        due_ns = next_ns
        one = int(wire.take(due_ns))
        assert one == len(delays_ms)
        delays_ms.append(due_ns / MS - one)
    # A line behind a slower one waits for it, so none is later than the slowest.
    assert 0.5 <= min(delays_ms) < 0.6
    assert 2.4 < max(delays_ms) <= 2.5


def test_happenings_come_in_order_and_once() -> None:
    happenings, seen = Happenings(), list[int]()
    for at_ns in (30, 10, 20, 10):
        happenings.put(at_ns, lambda at_ns=at_ns: seen.append(at_ns))  # type: ignore[misc]
    assert happenings.due_ns() == 10
    happenings.let(20)
    assert seen == [10, 10, 20]
    happenings.let(20)
    assert happenings.due_ns() == 30
    happenings.let(40)
    assert seen == [10, 10, 20, 30]
    assert happenings.due_ns() is None


def test_a_wire_without_a_rate_takes_no_time() -> None:
    wire = Wire(0, 0.0, "seed")
    wire.put(b"a\n", 1_000)
    assert wire.take(1_000) == b"a\n"


# -- behind a port ------------------------------------------------------------------------


def run_until(dispenser: SerialDispenser, wanted: int) -> list[DispenserEvent]:
    """Step until so many events have come, within ten seconds."""
    events: list[DispenserEvent] = []
    end_ns = CLOCK.now_ns() + 10_000 * MS
    while len(events) < wanted and CLOCK.now_ns() < end_ns:
        events += dispenser.step(CLOCK.now_ns())
        CLOCK.wait_until(CLOCK.now_ns() + MS)
    return events


def run_for_a_moment(dispenser: SerialDispenser) -> None:
    """One step, and a millisecond."""
    dispenser.step(CLOCK.now_ns())
    CLOCK.wait_until(CLOCK.now_ns() + MS)


def command(dispenser: SerialDispenser, one: int, after_ms: int, length_ms: int) -> Command:
    open_us = dispenser.to_device_us(CLOCK.now_ns() + after_ms * MS)
    return Command(one, "collect", open_us, open_us + length_ms * 1_000)


@pytest.mark.parametrize("tcp", PORTS)
def test_a_command_is_carried_out_and_logged(tcp: bool, tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    kept = SimDispenserSettings(tcp=tcp, gate_log=log)
    with start_simulated_dispenser(kept) as device:
        link = SerialLink(SerialLinkSettings(port=device.url))
        with closing(SerialDispenser(link, CLOCK, PATIENT)) as dispenser:
            about = dispenser.connect()
            assert about["outlets"] == ("waste", "collect")
            dispenser.arm()
            asked = command(dispenser, 1, 700, 40)
            dispenser.send(asked, CLOCK.now_ns())
            acknowledged, executed = run_until(dispenser, 2)
            opened_ns = dispenser.to_host_ns(asked.open_us)
            bound_us = dispenser.clock_bound_us(opened_ns)
    assert isinstance(acknowledged, Acknowledged)
    assert isinstance(executed, Executed)
    assert executed.opened_us >= asked.open_us
    assert executed.closed_us >= asked.close_us
    start, opened, closed = read_gate_log(log)
    assert (start.outlet, opened.outlet, closed.outlet) == ("waste", "collect", "waste")
    # Never early, by host and device clock alike.
    assert opened.t_ns >= opened_ns - 1_000 * (bound_us + 1)
    assert 22 * MS <= opened.effective_ns - opened.t_ns <= 28 * MS
    assert closed.effective_ns >= opened.effective_ns
    assert closed.t_ns - opened.t_ns >= 0


@pytest.mark.parametrize("tcp", PORTS)
def test_a_host_that_goes_is_followed_by_another(tcp: bool) -> None:
    with start_simulated_dispenser(SimDispenserSettings(tcp=tcp)) as device:
        causes = []
        for _ in range(2):
            link = SerialLink(SerialLinkSettings(port=device.url))
            with closing(SerialDispenser(link, CLOCK, PATIENT)) as dispenser:
                causes.append(dispenser.connect()["cause"])
    assert causes[0] == "BOOT"
    assert causes[1] in ("SESSION", "WATCHDOG")


@posix_only
def test_a_device_that_goes_is_a_link_error_and_stop_may_be_said_twice() -> None:
    device = start_simulated_dispenser(SimDispenserSettings())
    link = SerialLink(SerialLinkSettings(port=device.url))
    with closing(SerialDispenser(link, CLOCK, PATIENT)) as dispenser:
        dispenser.connect()
        device.stop()
        device.stop()
        with pytest.raises(LinkError):
            run_until(dispenser, 1)


def test_it_leaves_the_gate_at_rest_when_it_is_switched_off(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    with start_simulated_dispenser(SimDispenserSettings(gate_log=log)) as device:
        link = SerialLink(SerialLinkSettings(port=device.url))
        dispenser = SerialDispenser(link, CLOCK, PATIENT)
        dispenser.connect()
        dispenser.arm()
        dispenser.flow(CLOCK.now_ns())
        dispenser.send(command(dispenser, 1, 700, 5_000), CLOCK.now_ns())
        run_until(dispenser, 1)
        end_ns = CLOCK.now_ns() + 10_000 * MS
        while len(read_gate_log(log)) < 2 and CLOCK.now_ns() < end_ns:
            dispenser.step(CLOCK.now_ns())
            CLOCK.wait_until(CLOCK.now_ns() + MS)
        device.stop()
        link.close()
    assert [edge.outlet for edge in read_gate_log(log)] == ["waste", "collect", "waste"]
    assert [edge.held for edge in read_pump_log(log)] == [True, False, True]
    last_two = read_log(log)[-2:]
    assert [type(edge) for edge in last_two] == [PumpEdge, GateEdge]


def test_a_log_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    wrong = SimDispenserSettings(gate_log=tmp_path / "no such folder" / "gate.jsonl")
    with pytest.raises(SettingsError, match="gate log can't be written"):
        start_simulated_dispenser(wrong)
    with pytest.raises(SettingsError, match="gate log can't be written"):
        serve(wrong, lambda _: None)


def test_it_dies_with_its_parent() -> None:
    """However the parent dies: here as by kill -9."""
    code = (
        "import sys, time\n"
        "from hardware_sim.dispenser import *\n"
        "if __name__ == '__main__':\n"
        "    device = start_simulated_dispenser(SimDispenserSettings())\n"
        "    print(device.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        device = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, alive = psutil.wait_procs([device], timeout=10)
    assert gone
    assert not alive


@pytest.mark.parametrize("tcp", PORTS)
def test_serve_runs_until_it_is_stopped(tcp: bool) -> None:
    stop, ready, urls = threading.Event(), threading.Event(), list[str]()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(
        target=serve, args=(SimDispenserSettings(tcp=tcp), on_ready, stop.is_set), daemon=True
    )
    thread.start()
    assert ready.wait(10)
    link = SerialLink(SerialLinkSettings(port=urls[0]))
    with closing(SerialDispenser(link, CLOCK, PATIENT)) as dispenser:
        assert dispenser.connect()["version"] == 2
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("tcp", PORTS)
def test_inputs_reach_the_host(tcp: bool, tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    with start_simulated_dispenser(SimDispenserSettings(tcp=tcp, gate_log=log)) as device:
        link = SerialLink(SerialLinkSettings(port=device.url))
        with closing(SerialDispenser(link, CLOCK, PATIENT)) as dispenser:
            dispenser.connect()
            dispenser.arm()
            dispenser.flow(CLOCK.now_ns())
            began_ns = CLOCK.now_ns()
            device.passed("collect", began_ns, 4 * MS)
            (passed,) = run_until(dispenser, 1)
            began_us = dispenser.to_device_us(began_ns)
            bound_us = dispenser.clock_bound_us(began_ns)
            device.press_pedal()
            (pedal,) = run_until(dispenser, 1)
            exposed_ns = [CLOCK.now_ns() for _ in range(3)]
            for one_ns in exposed_ns:
                device.exposed(one_ns)
            device.press_estop()
            (stopped,) = run_until(dispenser, 1)
            with pytest.raises(DispenserError, match="its button is pressed"):
                dispenser.arm()
            device.press_estop(False)
            dispenser.arm()
            exposures = dispenser.exposures
            end_ns = CLOCK.now_ns() + 10_000 * MS
            while (exposures is None or exposures.count < 3) and CLOCK.now_ns() < end_ns:
                run_for_a_moment(dispenser)
                exposures = dispenser.exposures
            last_us = dispenser.to_device_us(exposed_ns[-1])
    assert isinstance(passed, Passed)
    assert (passed.seq, passed.outlet) == (1, "collect")
    assert abs(passed.begun_us - began_us) <= bound_us + 1
    assert abs(passed.length_us - 4_000) <= 1
    assert isinstance(pedal, Pedal)
    assert pedal.down
    assert isinstance(stopped, Stopped)
    assert stopped.cause == "PIN"
    assert exposures is not None
    assert exposures.count == 3
    assert abs(exposures.last_us - last_us) <= 2 * bound_us
    causes = [edge.cause for edge in read_log(log) if isinstance(edge, StopEdge)]
    assert causes == ["", "PIN", ""]
    assert [edge.held for edge in read_pump_log(log)] == [True, False, True]
