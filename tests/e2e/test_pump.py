"""A rig file that names a syringe pump: it flows while the run does, and is held with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware_sim.demo_rig import DemoSettings, start_demo_rig
from hardware_sim.ne1000 import SimNE1000Settings, SimulatedNE1000, start_simulated_ne1000
from sorter.files import write_atomic
from sorter.pumps import NE1000PortSettings, NE1000PumpSettings
from sorter.record_reader import open_record
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from tests.e2e.commands import COMMAND, ENVIRONMENT, sorter

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from tests.terminals import OnTerminal, on_terminal


def flow(syringe: SimulatedNE1000) -> float:
    """Now, µL/s; the truth."""
    return round(syringe.flow_edges[-1][1], 1) if syringe.flow_edges else 0.0


def show_until(command: OnTerminal, state: str, holds: Callable[[], bool]) -> None:
    """Look at the display, which shows this state, until something holds."""
    command.wait_for(state)
    while not holds():
        command.wait_for(state)


def test_a_run_that_is_paused_holds_the_syringe_pump(tmp_path: Path) -> None:
    settings = DemoSettings(seed=5, rate_hz=1.0, duration_s=60.0)
    with (
        start_demo_rig(tmp_path / "rig", settings) as ready,
        start_simulated_ne1000(SimNE1000Settings()) as syringe,
    ):
        pump = NE1000PumpSettings(port=NE1000PortSettings(port=syringe.url))
        rig = ready.rig.model_copy(update={"pump": pump})
        write_atomic(ready.rig_file, dump_commented_toml(RigSettings, rig))
        terminal = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"}
        with on_terminal([COMMAND, "run", str(ready.rig_file)], terminal) as command:
            show_until(command, "running", lambda: flow(syringe) == 12.8)
            command.type("p")
            show_until(command, "paused", lambda: flow(syringe) == 0.0)
            command.type("r")
            show_until(command, "priming", lambda: flow(syringe) == 12.8)
            command.type("q")
            assert command.end() == 130
    assert flow(syringe) == 0.0


def test_a_pump_that_is_not_there_is_said(tmp_path: Path) -> None:
    with start_demo_rig(tmp_path / "rig", DemoSettings(duration_s=5.0)) as ready:
        pump = NE1000PumpSettings(port=NE1000PortSettings(port=str(tmp_path / "no-port")))
        rig = ready.rig.model_copy(update={"pump": pump})
        write_atomic(ready.rig_file, dump_commented_toml(RigSettings, rig))
        done = sorter("run", ready.rig_file)
    assert done.returncode == 3
    assert "no-port" in done.stderr


def test_a_pump_that_stalls_ends_the_run_by_its_name(tmp_path: Path) -> None:
    settings = DemoSettings(seed=5, rate_hz=1.0, duration_s=60.0)
    with (
        start_demo_rig(tmp_path / "rig", settings) as ready,
        start_simulated_ne1000(SimNE1000Settings(stall_after_ul=20.0)) as syringe,
    ):
        pump = NE1000PumpSettings(port=NE1000PortSettings(port=syringe.url))
        rig = ready.rig.model_copy(update={"pump": pump})
        write_atomic(ready.rig_file, dump_commented_toml(RigSettings, rig))
        done = sorter("run", ready.rig_file)
    assert done.returncode == 3
    assert flow(syringe) == 0.0
    (record,) = (tmp_path / "rig").glob("*.sqlite")
    with open_record(record) as reader:
        assert (reader.meta().end_reason, reader.meta().exit_code) == ("fault", 3)
        told = [event.text for event in reader.events() if event.name == "pump_failed"]
    assert len(told) == 1
    assert "stall" in told[0]
