"""The doctor's checks that need no hardware, and how findings become an exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calibration.background import background_conditions
from calibration.store import CalibrationStore, Value, new_entry
from calibration.threshold import threshold_conditions
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.serial_link import SerialLinkSettings
from models.bundle import load_bundle
from sorter.doctor.calibrations import check_calibrations, rig_conditions
from sorter.doctor.disk import check_disk
from sorter.doctor.finding import Finding, broken, exit_code, failed, passed, warning
from sorter.errors import LinkError, SettingsError
from sorter.record import RecordSettings
from sorter.settings import RigSettings
from sorter.watch import WatchSettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def rig(folder: Path, *, disk_free_mb: float = 0.0) -> RigSettings:
    return RigSettings(
        camera=MMCoreCameraSettings(config_file=folder / "camera.cfg"),
        port=SerialLinkSettings(port="nowhere"),
        record=RecordSettings(folder=folder),
        watch=WatchSettings(disk_free_mb=disk_free_mb),
    )


WELL, WARNED, WRONG = passed("a", "b"), warning("a", "b", "c"), failed("a", "b", "c")
SILENT = broken("a", LinkError("no answer", on="COM3", do="Look"))


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((), 0),
        ((WELL, WARNED), 0),
        ((WELL, WRONG), 1),
        ((WRONG, SILENT), 3),
        ((broken("a", SettingsError("x")),), 1),
    ],
)
def test_exit_codes(findings: tuple[Finding, ...], code: int) -> None:
    assert exit_code(findings) == code


def test_an_error_is_told_whole() -> None:
    assert (SILENT.what, SILENT.do, SILENT.exit_code) == ("no answer (COM3)", "Look", 3)


@pytest.mark.parametrize(
    ("ages", "verdict", "words"),
    [
        ((), "warning", "no entries"),
        ((10,), "passed", "background 10 days old"),
        ((200, 3), "passed", "background 3 days old"),
        ((91,), "warning", "91 days"),
    ],
)
def test_calibrations(tmp_path: Path, ages: tuple[int, ...], verdict: str, words: str) -> None:
    store = CalibrationStore(tmp_path)
    for age in ages:
        made = NOW - timedelta(days=age)
        store.add(new_entry("background", {"level": 0.5}, unit="1", conditions={}, created=made))
    found = check_calibrations(tmp_path, rig(tmp_path), NOW, 90)
    assert found.verdict == verdict
    assert words in found.what


RIG = rig(Path("anywhere"))
FITS = rig_conditions(RIG, load_bundle("default").manifest)
FRAME = ("height_px", "width_px", "bit_depth", "pitch_um")


@pytest.mark.parametrize(
    ("kind", "conditions", "words"),
    [
        ("background", {name: FITS[name] for name in FRAME}, ""),
        ("background", {"pitch_um": 0.5}, "pitch_um was 0.5, and is"),
        ("threshold", {name: FITS[name] for name in FITS if name not in FRAME}, ""),
        ("threshold", {"model_sha256": "0" * 64}, "model_sha256 was 000"),
        ("threshold", {"min_views": 9}, "min_views was 9, and is 4 now"),
        ("focus", {"objective": "10x"}, "objective was 10x, and is not known now"),
    ],
)
def test_a_calibration_for_other_conditions_is_told(
    tmp_path: Path, kind: str, conditions: dict[str, Value], words: str
) -> None:
    """Those that `sorter calibrate` writes, and one that nobody here can judge."""
    made = NOW - timedelta(days=1)
    entry = new_entry(kind, {"value": 0.5}, unit="1", conditions=conditions, created=made)
    CalibrationStore(tmp_path).add(entry)
    found = check_calibrations(tmp_path, RIG, NOW, 90)
    assert found.verdict == ("warning" if words else "passed")
    assert (words or "1 days old") in found.what
    assert (kind in found.do) is bool(words)


def test_an_older_calibration_that_holds_counts(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    for age, pitch_um in ((9, RIG.camera.pitch_um), (2, 0.5)):
        made = NOW - timedelta(days=age)
        conditions: dict[str, Value] = {"pitch_um": pitch_um}
        store.add(
            new_entry("background", {"level": 0.5}, unit="1", conditions=conditions, created=made)
        )
    found = check_calibrations(tmp_path, RIG, NOW, 90)
    assert (found.verdict, found.what) == ("passed", "background 9 days old")


def test_the_conditions_are_those_that_calibrations_are_kept_with() -> None:
    manifest = load_bundle("default").manifest
    camera = RIG.camera
    shape = (camera.height_px, camera.width_px)
    frame = background_conditions(shape, camera.bit_depth, camera.pitch_um)
    model = threshold_conditions(manifest.sha256, manifest.votes, RIG.decide.min_views)
    assert frame | model == FITS


def test_disk_with_room(tmp_path: Path) -> None:
    assert check_disk(rig(tmp_path / "new")).verdict == "passed"
    assert list((tmp_path / "new").iterdir()) == []


def test_disk_without_room(tmp_path: Path) -> None:
    found = check_disk(rig(tmp_path, disk_free_mb=1e15))
    assert (found.verdict, found.exit_code) == ("failed", 1)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    assert check_disk(rig(tmp_path / "runs")).verdict == "failed"
