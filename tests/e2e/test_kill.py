"""kill -9 of the controller while it sorts: what the dispenser does then, and what is kept."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from hardware_sim.aftermath import aftermath, recorded
from hardware_sim.demo_rig import GATE_LOG, DemoSettings, start_demo_rig
from hardware_sim.gate_log import Accepted, Edge, PumpEdge, StopEdge, read_log
from sorter.files import write_atomic
from sorter.record_reader import open_record
from sorter.record_rows import UNFINISHED
from sorter.replay import replay
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from sorter.watch import WatchSettings
from tests.e2e.commands import DEADLINE_S, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="finds processes as POSIX has them")


def until(log: Path, is_there: type[Edge] | str, *, since_ns: int = 0) -> None:
    """Until the log has a line of a kind, or a stop with a cause; its writer wakes nobody.

    The watchdog bites while the camera starts, too, and is armed anew: ``since_ns`` tells.
    """
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for edge in read_log(log):
            found = edge.cause == is_there if isinstance(edge, StopEdge) else type(edge) is is_there
            if found and edge.t_ns >= since_ns:
                return
        time.sleep(0.02)
    raise AssertionError(f"{is_there} never came: {read_log(log)[-8:]}")


def patient(rig: RigSettings) -> RigSettings:
    """The rig on a machine that is busy with other tests: it must not be held for that."""
    watch = WatchSettings(stall_ms=20_000, first_frame_s=60, clock_bound_us=100_000)
    return rig.model_copy(update={"watch": watch})


def test_kill_9_holds_and_rests_by_the_watchdog_and_loses_no_object(tmp_path: Path) -> None:
    settings = DemoSettings(rate_hz=3.0, unhealthy=0.0, duration_s=100.0)
    with start_demo_rig(tmp_path / "rig", settings) as rig:
        log = rig.folder / GATE_LOG
        file = rig.folder / "patient.toml"
        write_atomic(file, dump_commented_toml(RigSettings, patient(rig.rig)))
        with running("run", file, "--json") as command:
            until(log, Accepted)
            death_ns = time.perf_counter_ns()
            command.controller().kill()
            assert command.end() == 4
            until(log, "WATCHDOG", since_ns=death_ns)
        # Read while the device has power: without, it holds and rests anyway.
        edges = read_log(log)
    after = aftermath(edges, death_ns)
    assert after.held_ns is not None
    assert after.rested_ns is not None
    assert after.causes == ("WATCHDOG",)
    # Held by the watchdog's own stop, and let run once before: nobody else held it.
    assert [edge.held for edge in edges if isinstance(edge, PumpEdge)] == [True, False, True]
    (record,) = rig.folder.glob("*.sqlite")
    with open_record(record) as reader:
        assert recorded(reader, after.accepted).complete
        assert reader.meta().end_reason == UNFINISHED
    assert replay(record).difference is None
