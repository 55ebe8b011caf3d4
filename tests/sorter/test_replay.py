"""A recorded run replays to the same decisions and commands; what was changed is noticed."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from hardware_sim.demo_rig import DemoSettings, rig_of, scene_of
from hardware_sim.virtual_rig import START_NS, sort_virtual
from models.bundle import load_bundle
from sorter.errors import CheckFailed, InputError
from sorter.record import Recorder
from sorter.replay import replay
from sorter.runner import run_meta
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml

SETTINGS = DemoSettings(seed=8, rate_hz=1.5, unhealthy=0.3, duration_s=6.0)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a run in virtual time."""
    folder = tmp_path_factory.mktemp("run")
    rig = rig_of(SETTINGS, scene_of(SETTINGS), "virtual")
    manifest = load_bundle("default").manifest.model_dump(mode="json")
    meta = run_meta(rig, dump_commented_toml(RigSettings, rig), manifest, START_NS)
    recorder = Recorder.start(folder / "run.sqlite", meta)
    sort_virtual(SETTINGS, rig, folder, recorder)
    recorder.finish("done", 0)
    return recorder.path


def test_identical(recorded: Path) -> None:
    result = replay(recorded)
    assert result.difference is None
    assert result.recorded == result.replayed
    assert len(result.recorded.decisions) > 10
    assert len(result.recorded.commands) > 0


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
