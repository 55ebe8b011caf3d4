"""`sorter run` on a simulated rig whose dispenser is a valve box with text commands."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from drivers.serial_link import SerialLinkSettings
from hardware_sim.demo_rig import GATE_LOG, DemoSettings, rig_of, scene_of
from hardware_sim.dispenser import SimTextValveSettings, start_simulated_dispenser
from hardware_sim.gate_log import read_gate_log
from hardware_sim.scene_settings import dump_scene
from sorter.record_reader import open_record
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from tests.drivers.text_bench import COLLECT, strings
from tests.e2e.commands import answer, left_behind, sorter


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A rig's folder with rig.toml, while its valve box runs."""
    # A busy machine comes late; that is tested elsewhere.
    kept = strings(COLLECT, late_ms=100, timing_error_ms=100)
    settings = DemoSettings(seed=5, rate_hz=1.0, duration_s=8.0)
    scene = scene_of(settings)
    (tmp_path / "scene.toml").write_text(dump_scene(scene), encoding="utf-8")
    camera = resources.files("hardware_sim").joinpath("sim_camera.cfg").read_text("utf-8")
    (tmp_path / "camera.cfg").write_text(camera, encoding="utf-8")
    box = SimTextValveSettings(strings=kept, gate_log=tmp_path / GATE_LOG)
    with start_simulated_dispenser(box) as device:
        port = SerialLinkSettings(port=device.url, baud=9_600)
        rig = rig_of(settings, scene, device.url)
        rig = rig.model_copy(update={"port": port, "dispenser": kept})
        (tmp_path / "rig.toml").write_text(dump_commented_toml(RigSettings, rig), encoding="utf-8")
        yield tmp_path


def test_it_sorts_says_what_is_not_guaranteed_and_is_refused_unattended(folder: Path) -> None:
    told = answer("run", folder / "rig.toml")
    assert (told["seen"] > 0, told["end_reason"]) == (True, "done")
    edges = [edge.outlet for edge in read_gate_log(folder / GATE_LOG)]
    assert edges[0] == edges[-1] == "waste"
    with open_record(Path(told["record"])) as reader:
        said = [one.text for one in reader.events() if one.name == "not_guaranteed"]
        executed = [one for one in reader.commands() if one.executed_ns is not None]
    assert len(said) == 5
    assert len(executed) >= edges.count("collect")
    assert not left_behind(folder)
    text = (folder / "rig.toml").read_text(encoding="utf-8")
    assert text.count("\nunattended = false\n") == 1
    text = text.replace("\nunattended = false\n", "\nunattended = true\n")
    (folder / "rig.toml").write_text(text, encoding="utf-8")
    refused = sorter("run", folder / "rig.toml")
    assert refused.returncode == 2
    assert "not for unattended runs" in " ".join(refused.stderr.split())
