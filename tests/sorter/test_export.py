"""Objects as a table and crops as a data set: all of them, or nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from sorter.errors import InputError, UsageError
from sorter.export import export_crops, export_objects
from sorter.record import Recorder, RecordSettings, RunMeta
from sorter.record_reader import open_record
from tests.sorter.record_samples import META, crop, object_of, write_run


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run.sqlite", 8)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_object_is_a_line(tmp_path: Path, record: Path) -> None:
    assert export_objects(record, tmp_path / "objects.csv") == 8
    rows = rows_of(tmp_path / "objects.csv")
    with open_record(record) as reader:
        objects = reader.objects()
    for row, o in zip(rows, objects, strict=True):
        assert int(row["id"]) == o.row.id
        assert float(row["diameter_um"]) == o.row.diameter_um
        assert row["p_unhealthy"] == ("" if o.row.p_unhealthy is None else str(o.row.p_unhealthy))
        assert (row["reason"], row["last_reason"]) == (o.row.reason, o.reason)
        assert row["executed_ns"] == ("" if o.executed_ns is None else str(o.executed_ns))
        assert row["touching"] == str(int(o.row.touching))
    assert [row["last_reason"] for row in rows if row["reason"] != row["last_reason"]] == [
        "conflict"
    ]


def test_crops_become_a_data_set_to_be_labelled(tmp_path: Path, record: Path) -> None:
    assert export_crops(record, tmp_path / "set") == 16
    rows = rows_of(tmp_path / "set" / "labels.csv")
    assert len({row["id"] for row in rows}) == 16
    suggested = {"healthy": "healthy", "unhealthy": "unhealthy"}
    for row in rows:
        assert row["file"] == f"images/{row['id']}.png"
        assert row["label"] == ""
        assert (row["pitch_um"], row["run"]) == ("2.0", META.run_id)
        assert row["suggested"] == suggested.get(row["reason"], "")
    best = next(r for r in rows if r["object"] == "3")
    assert object_of(3).reason == best["reason"]
    image = cv2.imread(str(tmp_path / "set" / best["file"]), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert np.array_equal(image, crop(3))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_nothing_is_overwritten_or_left_behind(tmp_path: Path, record: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        export_crops(record, tmp_path / "set")
    with pytest.raises(UsageError, match="can't be made"):
        export_crops(record, tmp_path / "missing" / "set")
    with pytest.raises(InputError, match="no such record"):
        export_crops(tmp_path / "none.sqlite", tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_without_crops_or_pitch_it_says_so(tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare.sqlite", 2, RecordSettings(folder=tmp_path, crops=False))
    with pytest.raises(InputError, match="no crops"):
        export_crops(bare, tmp_path / "set")
    recorder = Recorder.start(tmp_path / "unscaled.sqlite", RunMeta.now())
    recorder.object(object_of(1), [crop(1)])
    recorder.finish("done", 0)
    with pytest.raises(InputError, match="no pitch_um"):
        export_crops(recorder.path, tmp_path / "set")
    assert not (tmp_path / "set").exists()
