"""`sorter init`, `run`, `calibrate background` on the files of a rig, and `sim dispenser`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.clock import MonotonicClock
from drivers.dispenser import SerialDispenser
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.demo_rig import DemoRig, DemoSettings, start_demo_rig
from hardware_sim.gate_log import read_gate_log
from sorter.record_reader import open_record
from sorter.settings import load_rig
from tests.e2e.commands import answer, left_behind, running, sorter


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DemoRig]:
    settings = DemoSettings(seed=5, rate_hz=3.0, duration_s=5.0)
    with start_demo_rig(tmp_path / "rig", settings) as ready:
        yield ready


def test_run_sorts_and_shadow_leaves_the_gate(rig: DemoRig) -> None:
    told = answer("run", rig.rig_file)
    assert (told["seen"] > 0, told["end_reason"]) == (True, "done")
    assert Path(told["record"]).parent == rig.folder
    assert Path(told["page"]).is_file()
    edges = read_gate_log(rig.folder / "gate.jsonl")
    shadow = answer("run", rig.rig_file, "--shadow", "--duration-s", "4")
    assert shadow["seen"] > 0
    assert sum(one["sent"] for one in shadow["outlets"].values()) == 0
    assert read_gate_log(rig.folder / "gate.jsonl") == edges
    assert not left_behind(rig.folder)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_camera_with_more_bits_sorts_too(rig: DemoRig, bits: int) -> None:
    for file in (rig.folder / "scene.toml", rig.rig_file):
        text = file.read_text(encoding="utf-8")
        assert text.count("\nbit_depth = 8\n") == 1
        text = text.replace("\nbit_depth = 8\n", f"\nbit_depth = {bits}\n")
        file.write_text(text, encoding="utf-8")
    told = answer("run", rig.rig_file)
    with open_record(Path(told["record"])) as reader:
        judged = [one.row for one in reader.objects() if one.row.n_views >= 4]
    assert judged
    assert all(row.p_unhealthy is not None for row in judged)


def test_background_is_measured(rig: DemoRig, tmp_path: Path) -> None:
    told = answer(
        "calibrate", "background", rig.rig_file, "--frames", "200", "--store", tmp_path / "store"
    )
    assert told["kind"] == "background"
    assert 0.2 < told["values"]["level"] < 0.9
    assert 0 < told["values"]["noise"] < 0.05
    assert json.loads(Path(told["file"]).read_text(encoding="utf-8"))["id"] == told["id"]


def test_init_writes_a_file_that_loads(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    options = ("--camera-cfg", "my.cfg", "--port", "COM7")
    assert sorter("init", file, *options).returncode == 0
    rig = load_rig(file)
    assert (rig.port.port, rig.camera.config_file) == ("COM7", tmp_path / "my.cfg")
    text = file.read_bytes()
    again = sorter("init", file)
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    assert file.read_bytes() == text


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a group of processes")
def test_sim_dispenser_answers_until_ctrl_c(tmp_path: Path) -> None:
    with running("sim", "dispenser", "--gate-log", tmp_path / "gate.jsonl", "--json") as command:
        assert command.process.stdout is not None
        said = "".join(iter(command.process.stdout.readline, "}\n")) + "}"
        link = SerialLink(SerialLinkSettings(port=json.loads(said)["port"]))
        dispenser = SerialDispenser(link, MonotonicClock())
        assert list(dispenser.connect()["outlets"]) == ["waste", "collect"]
        dispenser.close()
        command.interrupt()
        assert command.end() == 130
    assert "Traceback" not in command.said
    first = (tmp_path / "gate.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first)["outlet"] == "waste"
