"""However a run ends: its exit code, its record, its gate, and nothing that stays behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hardware_sim.demo_rig import GATE_LOG
from hardware_sim.dispenser import SimDispenserSettings, start_simulated_dispenser
from hardware_sim.gate_log import (
    PumpEdge,
    StopEdge,
    read_gate_log,
    read_log,
    read_pump_log,
)
from sorter.record_reader import MetaRecord, open_record
from sorter.record_rows import UNFINISHED
from tests.e2e.commands import DEADLINE_S, Running, left_behind, running
from tests.e2e.test_bad_input import write_rig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

# Long enough that no run ends by itself while a test looks at it.
LONG = ("--duration-s", "60")


@contextlib.contextmanager
def sorting(folder: Path) -> Iterator[Running]:
    """A demo that sorts: its controller takes frames and its record grows."""
    with running("demo", *LONG, "--rate-hz", "5", "--out", folder, "--json") as command:
        command.wait_for("running")
        yield command


def ending(folder: Path) -> MetaRecord:
    (record,) = folder.glob("*.sqlite")
    with open_record(record) as reader:
        return reader.meta()


def alerts(folder: Path) -> list[tuple[str, str]]:
    """Level and name of each warning and fault in the record."""
    (record,) = folder.glob("*.sqlite")
    with open_record(record) as reader:
        return [(event.level, event.name) for event in reader.events() if event.level != "info"]


def family(command: Running) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(command.process.pid).children(recursive=True)
    return found


def assert_held_and_rested(folder: Path) -> None:
    """The pump ran once and is held; the gate is at rest."""
    assert [edge.held for edge in read_pump_log(folder / GATE_LOG)] == [True, False, True]
    assert read_gate_log(folder / GATE_LOG)[-1].outlet == "waste"


def assert_all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S)
    assert not alive


def test_ctrl_c_drains_rests_and_ends_the_record(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with sorting(folder) as command:
        processes = family(command)
        command.interrupt()
        assert command.end() == 130
    assert "stopping" in command.said
    assert "Traceback" not in command.said
    meta = ending(folder)
    assert (meta.end_reason, meta.exit_code) == ("interrupted", 130)
    assert_held_and_rested(folder)
    assert (folder / "report.html").is_file()
    assert not left_behind(folder)
    assert_all_gone(processes)


def test_ctrl_c_twice_is_as_good_as_once(tmp_path: Path) -> None:
    with sorting(tmp_path / "out") as command:
        command.interrupt()
        command.wait_for("stopping")
        command.interrupt()
        assert command.end() == 130
    assert ending(tmp_path / "out").end_reason == "interrupted"


def test_ctrl_c_while_things_start(tmp_path: Path) -> None:
    with running("demo", *LONG, "--out", tmp_path / "out", "--json") as command:
        command.wait_for("starting")
        processes = family(command)
        command.interrupt()
        assert command.end() == 130
    assert "Traceback" not in command.said
    for record in (tmp_path / "out").glob("*.sqlite"):
        with open_record(record) as reader:
            assert reader.meta().end_reason == "interrupted"
    assert_all_gone(processes)


def test_ctrl_c_before_anything_starts() -> None:
    with running("demo", "--help") as command:
        command.interrupt()
        code = command.end()
    # Before Python has come to this project's first line: the signal itself, or 1 from its start.
    said = command.said
    early = code == 1 and "KeyboardInterrupt" in said and "sorter/cli" not in said
    assert early or code in (130, -2, 0)


def test_a_controller_that_dies_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with sorting(folder) as command:
        processes = family(command)
        command.controller().kill()
        assert command.end() == 4
    assert "the controller's process died" in command.said
    assert "sorter report" in command.said
    assert "Traceback" not in command.said
    assert_all_gone(processes)
    meta = ending(folder)
    assert (meta.end_reason, meta.exit_code) == (UNFINISHED, None)
    assert_held_and_rested(folder)


def test_a_link_that_is_lost_is_a_fault(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings()) as dispenser:
        file = write_rig(tmp_path, dispenser.url)
        with running("run", file, *LONG, "--json") as command:
            command.wait_for("running")
            processes = family(command)
            dispenser.stop()
            assert command.end() == 3
    assert "the port has gone" in command.said
    assert "Traceback" not in command.said
    meta = ending(tmp_path)
    assert (meta.end_reason, meta.exit_code) == ("fault", 3)
    assert ("fault", "link_lost") in alerts(tmp_path)
    assert_all_gone(processes)


def test_a_device_that_falls_silent_is_a_fault(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings(silent_after_s=6.0)) as dispenser:
        file = write_rig(tmp_path, dispenser.url)
        with running("run", file, *LONG, "--json") as command:
            assert command.end() == 3
    assert "Traceback" not in command.said
    for word in ("the dispenser has been silent", "Check its cable"):
        assert word in command.said
    assert (ending(tmp_path).end_reason, ending(tmp_path).exit_code) == ("fault", 3)


def test_the_emergency_stop_is_a_fault(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    with start_simulated_dispenser(SimDispenserSettings(gate_log=log)) as dispenser:
        file = write_rig(tmp_path, dispenser.url)
        with running("run", file, *LONG, "--json") as command:
            command.wait_for("running")
            processes = family(command)
            dispenser.press_estop()
            assert command.end() == 4
        edges = read_log(log)
    for word in ("emergency stop is latched (PIN)", "release the button"):
        assert word in command.said
    assert "Traceback" not in command.said
    assert (ending(tmp_path).end_reason, ending(tmp_path).exit_code) == ("fault", 4)
    assert_all_gone(processes)
    assert [edge.held for edge in edges if isinstance(edge, PumpEdge)][-1]
    assert [edge.cause for edge in edges if isinstance(edge, StopEdge)][-1] == "PIN"


def test_a_run_does_not_start_while_the_button_is_pressed(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings(estop_pressed=True)) as dispenser:
        file = write_rig(tmp_path, dispenser.url)
        with running("run", file, *LONG, "--json") as command:
            assert command.end() == 3
    assert "Release the emergency stop button" in command.said
    assert not list(tmp_path.glob("*.sqlite"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
def test_a_full_disk_is_a_fault_and_what_is_there_stays_readable(tmp_path: Path) -> None:
    import resource

    folder = tmp_path / "out"
    with sorting(folder) as command:
        processes = family(command)
        recorders = [
            one
            for one in command.controller().children()
            if any(".sqlite" in file.path for file in one.open_files())
        ]
        assert len(recorders) == 1
        resource.prlimit(recorders[0].pid, resource.RLIMIT_FSIZE, (4096, 4096))
        assert command.end() == 4
    for word in ("can't be written", "space"):
        assert word in command.said
    assert "Traceback" not in command.said
    assert_all_gone(processes)
    (record,) = folder.glob("*.sqlite")
    with open_record(record) as reader:
        assert reader.meta().run.note == "simulated rig"
    assert_held_and_rested(folder)


def test_the_sorter_stops_when_its_command_line_is_killed(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings()) as dispenser:
        file = write_rig(tmp_path, dispenser.url)
        with running("run", file, *LONG, "--json") as command:
            command.wait_for("running")
            processes = family(command)
            command.process.kill()
            assert_all_gone(processes)
    assert ending(tmp_path).end_reason == "interrupted"
