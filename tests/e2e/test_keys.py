"""The operator's keys: pause, resume, drain and stop, on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hardware_sim.demo_rig import GATE_LOG
from sorter.record_reader import open_record
from tests.e2e.commands import COMMAND, ENVIRONMENT

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from hardware_sim.gate_log import read_pump_log
from tests.terminals import on_terminal


def test_an_operator_pauses_resumes_and_ends_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    options = ["--duration-s", "60", "--out", str(folder)]
    terminal = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"}
    with on_terminal([COMMAND, "demo", *options], terminal) as command:
        command.wait_for("p pause")
        command.wait_for("running")
        command.type("p")
        command.wait_for("paused")
        command.type("r")
        command.wait_for("priming")
        command.type("q")
        assert command.end() == 130
    assert [edge.held for edge in read_pump_log(folder / GATE_LOG)] == [
        True, False, True, False, True,
    ]  # fmt: skip
    (record,) = folder.glob("*.sqlite")
    with open_record(record) as reader:
        assert reader.meta().end_reason == "interrupted"
        told = [(event.name, event.text) for event in reader.events()]
    assert ("paused", "key (by operator)") in told
    assert ("draining", "q (by operator)") in told
