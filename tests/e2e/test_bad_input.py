"""Bad input: how a rig is broken, the exit code, what the message says; nothing half-written.

A message says what happened, on what, and what to do.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import pytest

from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.demo_rig import RIG_FILE, DemoSettings, rig_of, scene_of
from hardware_sim.dispenser import SimDispenserSettings, start_simulated_dispenser
from hardware_sim.scene_settings import dump_scene
from models.bundle import resolve_bundle
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from tests.e2e.commands import left_behind, sorter

NOBODY = "socket://127.0.0.1:9"


def write_rig(folder: Path, port: str = NOBODY) -> Path:
    """The files of a simulated rig that would work with a dispenser behind ``port``."""
    settings = DemoSettings(duration_s=1.0)
    scene = scene_of(settings).model_copy(update={"gate_log": None})
    (folder / "scene.toml").write_text(dump_scene(scene), encoding="utf-8")
    camera = resources.files("hardware_sim").joinpath("sim_camera.cfg").read_text("utf-8")
    (folder / "camera.cfg").write_text(camera, encoding="utf-8")
    file = folder / RIG_FILE
    file.write_text(
        dump_commented_toml(RigSettings, rig_of(settings, scene, port)), encoding="utf-8"
    )
    return file


def replaced(pattern: str, by: str, file: str = RIG_FILE) -> Callable[[Path], None]:
    """Breaks a rig by changing one line of one of its files."""

    def change(folder: Path) -> None:
        path = folder / file
        text, count = re.subn(pattern, by, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert count == 1, f"{pattern} stands {count} times in {file}"
        path.write_text(text, encoding="utf-8")

    return change


def gone(name: str) -> Callable[[Path], None]:
    """Breaks a rig by taking one of its files away."""
    return lambda folder: (folder / name).unlink()


def own_bundle(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Gives the rig a copy of the shipped bundle, beside its settings file, and changes that."""

    def apply(folder: Path) -> None:
        shutil.copytree(resolve_bundle("default"), folder / "bundle")
        replaced('^bundle = "default"$', 'bundle = "bundle"')(folder)
        change(folder / "bundle")

    return apply


def damaged(bundle: Path) -> None:
    model = bundle / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)


@dataclass(frozen=True)
class Case:
    """One way to break a rig."""

    name: str
    breaks: Callable[[Path], None]
    code: int
    says: tuple[str, ...]
    arguments: tuple[str, ...] = field(default=())


CASES = (
    Case("no settings file", gone(RIG_FILE), 2, ("no such settings file", RIG_FILE, "sorter init")),
    Case(
        "missing key",
        replaced('^config_file = "camera.cfg"$', ""),
        2,
        ("`camera.config_file` is missing", RIG_FILE, "Correct the file"),
    ),
    Case(
        "unknown key",
        replaced("^pitch_um = ", "pich_um = "),
        2,
        ("`camera.pich_um` is unknown", "did you mean `pitch_um`?", RIG_FILE),
    ),
    Case(
        "wrong value",
        replaced("^frame_rate_hz = 200.0$", "frame_rate_hz = -1"),
        2,
        ("`camera.frame_rate_hz` = -1", "greater than 0", RIG_FILE),
    ),
    Case(
        "wrong word",
        replaced('^policy = "purity"$', 'policy = "puritty"'),
        2,
        ("`decide.policy` = 'puritty'", "did you mean `purity`?"),
    ),
    Case("not TOML", replaced(r"^\[camera\]$", "[camera"), 2, ("not valid TOML", RIG_FILE)),
    Case(
        "no camera file",
        gone("camera.cfg"),
        3,
        ("configuration file is missing", "camera.cfg", "Set camera.config_file"),
    ),
    Case(
        "camera file doesn't load",
        replaced(r"^#py pyDevice,.*$", "Device,Camera,NoSuchLibrary,NoSuchDevice", "camera.cfg"),
        3,
        ("doesn't load", "NoSuchLibrary", "camera.cfg"),
    ),
    Case(
        "no such camera in the file",
        replaced('^camera = "Camera"$', 'camera = "Eye"'),
        3,
        ("no device labelled 'Eye'", "camera.cfg", "Set camera.camera to one of"),
    ),
    Case(
        "frames of another size",
        replaced("^width_px = 1280$", "width_px = 640"),
        3,
        ("frames are 1280×512 px, the settings say 640×512", "Set camera.width_px"),
    ),
    Case(
        "frames of another depth",
        replaced("^bit_depth = 8$", "bit_depth = 12"),
        3,
        ("8 bits", "the settings say 12 bits", "Set camera.bit_depth"),
    ),
    Case(
        "scene of the simulated camera is gone",
        gone("scene.toml"),
        3,
        ("scene", "camera.cfg"),
    ),
    Case("port absent", lambda _: None, 3, ("the port is absent", NOBODY, "name another port")),
    Case(
        "not a port",
        replaced(f"^port = .*{NOBODY[-5:]}.*$", 'port = "nonsense://x"'),
        3,
        ("not a port that can be opened", "nonsense", "Use a port's name or a URL"),
    ),
    Case(
        "bundle is not there",
        replaced('^bundle = "default"$', 'bundle = "no-bundle"'),
        2,
        ("manifest.json can't be read", "no-bundle", "Name a folder"),
    ),
    Case(
        "bundle with a wrong hash",
        own_bundle(damaged),
        2,
        ("sha256", "model.onnx", "copy the bundle again"),
    ),
    Case(
        "bundle with another manifest",
        own_bundle(replaced(r'^  "size_px": \d+,$', '  "size_px": "x",', "manifest.json")),
        2,
        ("size_px", "manifest.json", "sorter train classifier"),
    ),
    Case(
        "bundle of finer µm/px",
        own_bundle(replaced(r'^  "pitch_um": [\d.]+,$', '  "pitch_um": 0.5,', "manifest.json")),
        2,
        ("1.73 µm/px", "0.5 µm/px", "bundle", "train a bundle"),
    ),
    Case("no duration", lambda _: None, 2, ("--duration-s",), ("--duration-s", "0")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_told_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    file = write_rig(tmp_path)
    case.breaks(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = sorter("run", file, *case.arguments, "--json")
    assert done.returncode == case.code, done.stderr
    assert done.stdout == ""
    for word in case.says:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_port_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings()) as dispenser:
        if dispenser.url.startswith("socket:"):
            pytest.skip("TCP has no exclusive open; the second client is turned away")
        file = write_rig(tmp_path, dispenser.url)
        link = SerialLink(SerialLinkSettings(port=dispenser.url))  # this process holds it
        done = sorter("run", file)
        link.close()
    assert done.returncode == 3
    for word in ("the port is busy", dispenser.url, "Close the other program"):
        assert word in done.stderr
    assert not list(tmp_path.glob("*.sqlite"))


def test_a_device_that_never_answers_is_told(tmp_path: Path) -> None:
    with start_simulated_dispenser(SimDispenserSettings(silent=True)) as dispenser:
        done = sorter("run", write_rig(tmp_path, dispenser.url))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for word in ("answer", "Check"):
        assert word in done.stderr
    assert not list(tmp_path.glob("*.sqlite"))


def test_a_device_that_rests_at_collect_is_refused(tmp_path: Path) -> None:
    settings = SimDispenserSettings(outlets=("collect", "waste"))
    with start_simulated_dispenser(settings) as dispenser:
        done = sorter("run", write_rig(tmp_path, dispenser.url))
    assert done.returncode == 2, done.stderr[-1500:]
    assert "rests at collect" in done.stderr
    assert "Correct [outlets]" in done.stderr
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_what_speaks_another_language_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        file = write_rig(tmp_path, f"socket://127.0.0.1:{server.getsockname()[1]}")
        done = sorter("run", file)
    assert done.returncode == 3, done.stderr
    assert not list(tmp_path.glob("*.sqlite"))
    assert not left_behind(tmp_path)
