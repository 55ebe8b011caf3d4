"""The calibration store: round trip, which entry holds, nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from calibration.store import CalibrationStore, Entry, Value, mismatches, new_entry
from sorter.errors import SettingsError

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def entry(value: float = 1.0, days: int = 0, **conditions: Value) -> Entry:
    return new_entry(
        "scale",
        {"pitch_um": value},
        unit="um",
        uncertainty={"pitch_um": (value - 0.1, value + 0.1)},
        conditions=conditions,
        created=START + timedelta(days=days),
        note="stage micrometer",
    )


def test_round_trip(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path / "calibration")
    wanted = entry(1.73, lens="2x", binning=1)
    file = store.add(wanted)
    assert file.parent == tmp_path / "calibration"
    assert store.entries() == [wanted]
    assert store.latest("scale", {"lens": "2x", "binning": 1, "camera": "a"}) == wanted


def test_newest_wins_and_nothing_is_lost(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    newer, older = entry(2.0, days=2, lens="2x"), entry(1.0, days=1, lens="2x")
    for item in (newer, older):
        store.add(item)
    assert store.entries("scale") == [older, newer]
    assert store.latest("scale", {"lens": "2x"}) == newer
    assert store.superseded(older)
    assert not store.superseded(newer)


def test_an_older_entry_for_the_present_conditions_is_found(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    for item in (entry(1.0, days=1, lens="2x"), entry(4.0, days=2, lens="4x")):
        store.add(item)
    assert store.latest("scale", {"lens": "2x"}).values == {"pitch_um": 1.0}


@pytest.mark.parametrize(
    ("own", "now", "holds"),
    [
        ({}, {}, True),
        ({}, {"lens": "2x"}, True),
        ({"lens": "2x"}, {"lens": "2x", "more": 1}, True),
        ({"lens": "2x"}, {"lens": "4x"}, False),
        ({"lens": "2x"}, {}, False),
        ({"binning": 1}, {"binning": 1.0}, True),
        ({"exposure_us": 0.1 + 0.2}, {"exposure_us": 0.3}, True),
        ({"exposure_us": 40.0}, {"exposure_us": 41.0}, False),
        ({"strobe": True}, {"strobe": 1}, False),
        ({"strobe": True}, {"strobe": True}, True),
        ({"binning": 1}, {"binning": "1"}, False),
    ],
    ids=str,
)
def test_conditions(own: dict[str, Value], now: dict[str, Value], holds: bool) -> None:
    assert (mismatches(entry(1.0, 0, **own), now) == []) is holds


def test_refusal_says_what_differs(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    store.add(entry(lens="2x"))
    with pytest.raises(SettingsError, match=r"lens was 2x, and is 4x now.*calibrate scale"):
        store.latest("scale", {"lens": "4x"})


@pytest.mark.parametrize("made", [False, True])
def test_refusal_of_a_kind_that_is_not_there(tmp_path: Path, made: bool) -> None:
    folder = tmp_path if made else tmp_path / "none"
    with pytest.raises(SettingsError, match="no calibration of the focus"):
        CalibrationStore(folder).latest("focus", {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "scale"}'], ids=repr)
def test_a_damaged_entry_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "scale-x.json").write_text(content)
    with pytest.raises(SettingsError, match=r"scale-x\.json"):
        CalibrationStore(tmp_path).entries()


def test_a_half_written_entry_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".scale-x.json.part").write_text("{")
    assert CalibrationStore(tmp_path).entries() == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "calibration").write_text("")
    with pytest.raises(SettingsError, match="can't be written"):
        CalibrationStore(tmp_path / "calibration").add(entry())


def test_entries_are_frozen_and_checked() -> None:
    with pytest.raises(ValidationError):
        entry().values = {}  # type: ignore[misc]
    with pytest.raises(SettingsError, match="not there: wrong"):
        new_entry("scale", {"a": 1}, unit="um", conditions={}, uncertainty={"wrong": (0, 1)})
    with pytest.raises(SettingsError, match="kind"):
        new_entry("No Kind", {"a": 1}, unit="um", conditions={})
