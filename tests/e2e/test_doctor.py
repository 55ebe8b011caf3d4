"""`sorter doctor`: on a simulated rig and its dispenser, and on ones that are not well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.conformance import CASES
from hardware_sim.dispenser import SimDispenserSettings, start_simulated_dispenser
from hardware_sim.gate_log import GateEdge, PumpEdge, read_log
from tests.e2e.commands import running, sorter
from tests.e2e.test_bad_input import write_rig

OUTLETS = ("waste", "collect", "recheck")


def doctor(*arguments: str | Path, code: int) -> dict[str, Any]:
    done = sorter("doctor", *arguments, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_dispenser_that_does_what_the_page_says(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    settings = SimDispenserSettings(outlets=OUTLETS, gate_log=log)
    with start_simulated_dispenser(settings) as device:
        found = doctor("--dispenser", device.url, code=0)
        edges = read_log(log)
    assert found["passed"] >= 6
    assert (found["failed"], found["moved_gate"]) == (0, False)
    assert [one["case"] for one in found["cases"]] == [case.name for case in CASES]
    # Nobody said --move-gate: no pin was switched, ever.
    assert len([one for one in edges if isinstance(one, GateEdge)]) == 1
    assert len([one for one in edges if isinstance(one, PumpEdge)]) == 1


def test_dispenser_whose_answers_get_lost_fails(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    settings = SimDispenserSettings(outlets=OUTLETS, gate_log=log, lose_acks=1.0)
    with start_simulated_dispenser(settings) as device:
        done = sorter("doctor", "--dispenser", device.url, "--move-gate", "--json")
        edges = read_log(log)
    assert done.returncode == 1
    assert "does not do what PROTOCOL.md says" in done.stderr
    failed = [one for one in json.loads(done.stdout)["cases"] if one["verdict"] == "failed"]
    assert any(one["expected"].startswith("A ") for one in failed)
    assert any(isinstance(one, GateEdge) and one.outlet == "collect" for one in edges)


def test_dispenser_that_does_not_answer() -> None:
    with start_simulated_dispenser(SimDispenserSettings(silent=True)) as device:
        done = sorter("doctor", "--dispenser", device.url)
    assert done.returncode == 3
    assert "no answer from the dispenser" in done.stderr


def test_what_was_found_before_the_link_was_lost_is_told() -> None:
    with (
        start_simulated_dispenser(SimDispenserSettings(outlets=OUTLETS)) as device,
        running("doctor", "--dispenser", device.url) as checking,
    ):
        assert checking.process.stdout is not None
        first = checking.process.stdout.readline()
        device.stop()
        assert checking.end() == 3, checking.said
    assert CASES[0].name in first


def test_rig_that_is_well(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    with start_simulated_dispenser(SimDispenserSettings(gate_log=log)) as device:
        file = write_rig(tmp_path, device.url)
        # The machine may be busy with other tests: how fast it is, is not asked here.
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("budget_ms = 20.0", "budget_ms = 10000.0"), encoding="utf-8")
        done = sorter("doctor", file, "--store", tmp_path / "calibration", "--json")
        edges = read_log(log)
    checks = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert set(checks) == {
        *("settings", "camera", "dispenser", "guarantees", "clock", "pump", "model"),
        *("latency", "calibration", "disk"),
    }
    well = {"settings", "camera", "dispenser", "guarantees", "pump", "model", "disk"}
    assert {checks[one]["verdict"] for one in well} == {"passed"}, done.stdout
    assert checks["calibration"]["verdict"] == "warning"
    assert "Run `sorter calibrate" in checks["calibration"]["do"]
    assert [one for one in edges if isinstance(one, GateEdge)][1:] == []
    assert [one for one in edges if isinstance(one, PumpEdge)][1:] == []


@pytest.mark.parametrize(
    ("outlets", "says"),
    [(("collect", "waste"), "rests at collect"), (("waste", "keep"), "no outlet collect")],
)
def test_rig_whose_dispenser_has_other_outlets(
    outlets: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    with start_simulated_dispenser(SimDispenserSettings(outlets=outlets)) as device:
        done = sorter("doctor", write_rig(tmp_path, device.url), "--json")
    assert done.returncode == 1
    row = next(one for one in json.loads(done.stdout)["checks"] if one["check"] == "dispenser")
    assert row["verdict"] == "failed"
    assert says in row["what"]
    assert "[outlets]" in row["do"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "name a rig file"), (("rig.toml", "--dispenser", "COM3"), "name a rig file"),
     (("rig.toml", "--move-gate"), "goes with --dispenser")],
)  # fmt: skip
def test_wrong_usage(arguments: tuple[str, ...], words: str) -> None:
    done = sorter("doctor", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_rig_without_its_dispenser_and_camera_tells_of_both(tmp_path: Path) -> None:
    file = write_rig(tmp_path)
    (tmp_path / "camera.cfg").unlink()
    done = sorter("doctor", file, "--json")
    assert done.returncode == 3
    checks = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert checks["camera"]["verdict"] == checks["dispenser"]["verdict"] == "failed"
    assert checks["camera"]["do"]
    assert checks["dispenser"]["do"]
    assert checks["disk"]["verdict"] == "passed"
