"""The doctor's checks that need no hardware, and how findings become an exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calibration.store import CalibrationStore, new_entry
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.serial_link import SerialLinkSettings
from sorter.doctor.calibrations import check_calibrations
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
    found = check_calibrations(tmp_path, NOW, 90)
    assert found.verdict == verdict
    assert words in found.what


def test_disk_with_room(tmp_path: Path) -> None:
    assert check_disk(rig(tmp_path / "new")).verdict == "passed"
    assert list((tmp_path / "new").iterdir()) == []


def test_disk_without_room(tmp_path: Path) -> None:
    found = check_disk(rig(tmp_path, disk_free_mb=1e15))
    assert (found.verdict, found.exit_code) == ("failed", 1)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    assert check_disk(rig(tmp_path / "runs")).verdict == "failed"
