"""A recorded run replays to the same decisions and commands; what was changed is noticed."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from hardware_sim.demo_rig import DemoSettings, rig_of, scene_of
from hardware_sim.virtual_rig import START_NS, sort_virtual
from models.bundle import load_bundle
from sorter.arrival_correction import CorrectionSettings
from sorter.errors import CheckFailed, InputError
from sorter.record import Recorder
from sorter.record_reader import open_record
from sorter.replay import replay
from sorter.report_junction import BALANCE_EVENT
from sorter.runner import run_meta
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml

SETTINGS = DemoSettings(seed=8, rate_hz=1.5, unhealthy=0.3, duration_s=6.0)


def record_of(settings: DemoSettings, rig: RigSettings, folder: Path) -> Path:
    """The record of a run in virtual time."""
    manifest = load_bundle("default").manifest.model_dump(mode="json")
    meta = run_meta(rig, dump_commented_toml(RigSettings, rig), manifest, START_NS)
    recorder = Recorder.start(folder / "run.sqlite", meta)
    sort_virtual(settings, rig, folder, recorder)
    recorder.finish("done", 0)
    return recorder.path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the rig as it comes."""
    rig = rig_of(SETTINGS, scene_of(SETTINGS), "virtual")
    return record_of(SETTINGS, rig, tmp_path_factory.mktemp("run"))


def test_identical(recorded: Path) -> None:
    result = replay(recorded)
    assert result.difference is None
    assert result.recorded == result.replayed
    assert len(result.recorded.decisions) > 10
    assert len(result.recorded.commands) > 0


def test_identical_with_optical_gates_whose_passages_move_the_arrivals(tmp_path: Path) -> None:
    settings = replace(SETTINGS, optical_gates=True, rate_hz=3.0, duration_s=10.0)
    rig = rig_of(settings, scene_of(settings), "virtual")
    # The junction is further away than set: the arrivals must be moved, and soon.
    gates = rig.optical_gates.model_copy(
        update={"correction": CorrectionSettings(least_passages=10)}
    )
    junction = rig.junction.model_copy(update={"distance_um": 0.97 * rig.junction.distance_um})
    rig = rig.model_copy(update={"optical_gates": gates, "junction": junction})
    path = record_of(settings, rig, tmp_path)
    result = replay(path)
    assert result.difference is None
    assert len(result.recorded.commands) > 0
    with open_record(path) as reader:
        (event,) = [one for one in reader.events() if one.name == BALANCE_EVENT]
    told = msgspec.json.decode(event.text)
    assert told["efficiency"]["n"] + told["went"]["waste"]["waste"] > 10


def changed(recorded: Path, folder: Path, statement: str) -> Path:
    """A copy of the record in which somebody has meddled."""
    copy = folder / "copy.sqlite"
    shutil.copyfile(recorded, copy)
    connection = sqlite3.connect(copy)
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()
    return copy


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "UPDATE objects SET reason = 'healthy' WHERE reason = 'too_small'",
            "decisions",
        ),
        ("UPDATE commands SET close_us = close_us + 1", "commands"),
        ("DELETE FROM commands WHERE id = (SELECT max(id) FROM commands)", "commands"),
    ],
    ids=["a decision", "an opening", "a command less"],
)
def test_a_record_that_was_changed_is_noticed(
    recorded: Path, tmp_path: Path, statement: str, what: str
) -> None:
    result = replay(changed(recorded, tmp_path, statement))
    assert result.difference is not None
    assert result.difference.startswith(what)


def test_other_settings_are_noticed(recorded: Path, tmp_path: Path) -> None:
    statement = (
        "UPDATE meta SET settings_toml = replace(settings_toml, 'lead_ms = ', 'lead_ms = 1')"
    )
    with pytest.raises(CheckFailed, match="the replay asks"):
        replay(changed(recorded, tmp_path, statement))


def test_a_record_without_a_journal_is_refused(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no journal"):
        replay(changed(recorded, tmp_path, "DELETE FROM journal"))
