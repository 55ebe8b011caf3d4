"""The dispenser's plug falls out of a run and is put back, on real ports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drivers.dispenser import DispenserSettings
from hardware_sim.dispenser import SimDispenserSettings, start_simulated_dispenser
from hardware_sim.gate_log import read_log, read_pump_log
from sorter.faults import FaultSettings
from sorter.record_reader import open_record
from sorter.settings import RigSettings, load_rig
from sorter.settings_dump import dump_commented_toml
from tests.e2e.commands import COMMAND, ENVIRONMENT
from tests.e2e.test_bad_input import write_rig

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from tests.terminals import OnTerminal, on_terminal


def test_it_goes_on_after_a_fresh_handshake_and_on_the_operators_word(tmp_path: Path) -> None:
    port = tmp_path / "port"
    file = write_rig(tmp_path, str(port))
    rig = load_rig(file)
    changed = rig.model_copy(
        update={
            "faults": FaultSettings(link_lost="hold", device_reset="hold"),
            "run": rig.run.model_copy(update={"duration_s": 100.0}),
            # A port that is gone is noticed at once; a busy machine is not to be taken for it.
            "dispenser": DispenserSettings(watchdog_ms=10_000, silent_ms=9_000),
        }
    )
    file.write_text(dump_commented_toml(RigSettings, changed), encoding="utf-8")
    terminal = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"}
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    with start_simulated_dispenser(SimDispenserSettings(gate_log=before)) as first:
        port.symlink_to(first.url)
        with on_terminal([COMMAND, "run", str(file)], terminal) as command:
            command.wait_for("running")
            first.stop()
            command.wait_for("paused")
            port.unlink()
            with start_simulated_dispenser(SimDispenserSettings(gate_log=after)) as second:
                port.symlink_to(second.url)
                command.wait_for("link_back")
                assert not released(after)
                command.type("r")
                command.wait_for("priming")
                assert resumed(command, after)
                command.type("q")
                assert command.end() == 130
    assert [edge.held for edge in read_pump_log(before)] == [True, False, True]
    assert [edge.held for edge in read_pump_log(after)] == [True, False, True]
    (record,) = tmp_path.glob("*.sqlite")
    with open_record(record) as reader:
        names = [event.name for event in reader.events()]
    wanted = ["running", "link_lost", "paused", "link_back", "priming"]
    assert [name for name in names if name in wanted][:6] == ["priming", *wanted]


def released(log: Path) -> bool:
    """Whether the pump was ever let run, or the emergency stop cleared."""
    return any(not getattr(edge, "held", True) for edge in read_log(log))


def resumed(command: OnTerminal, log: Path) -> bool:
    """Look on until the pump runs again."""
    while not released(log):
        command.wait_for("priming")
    return True
