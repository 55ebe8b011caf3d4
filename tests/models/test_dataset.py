"""Data sets on disk: what is read, what is refused, how it is split."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.dataset import LABELS, CropSet, Split, check_split, load_crops, split_by_run
from sorter.errors import CheckFailed, InputError
from tests.models.toy import write_table, write_toy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy(tmp_path / "data", objects=21, views=2, size=16)
    return tmp_path / "data"


def test_reads_what_was_written(folder: Path) -> None:
    crops = load_crops(folder)
    assert (len(crops), crops.size_px, crops.pitch_um) == (42, 16, 6.0)
    file = folder / "images" / "0004_1.png"
    at = crops.id.tolist().index("0004_1")
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert np.array_equal(crops.images[at], written)
    assert LABELS[crops.label[at]] == "unhealthy"
    assert (crops.phenotype[at], crops.severity[at]) == ("spotted", 0.5)
    assert crops.object[at] == crops.object[crops.id.tolist().index("0004_0")]
    assert np.isnan(crops.severity[crops.label == 0]).all()


def test_sixteen_bit_is_scaled_to_eight(folder: Path) -> None:
    file = folder / "images" / "0000_0.png"
    before = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert before is not None
    cv2.imwrite(str(file), before.astype(np.uint16) * 257)
    assert np.array_equal(load_crops(folder).images[0], before)


def test_hash_is_of_the_content(folder: Path, tmp_path: Path) -> None:
    before = load_crops(folder).content_hash
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert load_crops(copy).content_hash == before
    cv2.imwrite(str(copy / "images" / "0000_0.png"), np.zeros((16, 16), np.uint8))
    assert load_crops(copy).content_hash != before


def _change(folder: Path, **values: str) -> None:
    rows = write_toy(folder.parent / "other", objects=21, views=2, size=16)
    rows[5].update(values)
    write_table(folder, rows)


def _big_image(folder: Path) -> None:
    cv2.imwrite(str(folder / "images" / "0000_0.png"), np.zeros((20, 20), np.uint8))


def _colour_image(folder: Path) -> None:
    cv2.imwrite(str(folder / "images" / "0000_0.png"), np.zeros((16, 16, 3), np.uint8))


def _no_run_column(folder: Path) -> None:
    rows = write_toy(folder.parent / "other", objects=3)
    write_table(folder, [{k: v for k, v in row.items() if k != "run"} for row in rows])


def _write(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "labels.csv").unlink(), r"can't be read.*labels\.csv.*sim dataset"),
        (lambda f: (f / "images" / "0000_0.png").unlink(), r"can't be read.*0000_0\.png"),
        (lambda f: _write(f, "images/0000_0.png", b"\x89PNG nonsense"), "corrupt.*0000_0"),
        (lambda f: _write(f, "images/0000_0.png", b""), "corrupt.*0000_0"),
        (lambda f: _write(f, "labels.csv", b""), "columns are missing"),
        (lambda f: _write(f, "labels.csv", b"\xff\xfe\x00"), "not UTF-8"),
        (_big_image, "mixed sizes"),
        (_colour_image, "square and grey"),
        (_no_run_column, "columns are missing: run"),
        (lambda f: _change(f, label="sick"), "'sick' of 0002_1 is none of healthy"),
        (lambda f: _change(f, pitch_um="2.0"), "one positive number"),
        (lambda f: _change(f, severity="bad"), "severity of 0002_1"),
        (lambda f: _change(f, id="0000_0"), "id has repeats"),
    ],
    ids=[
        "no table", "no image", "corrupt", "empty image", "empty table", "not text", "mixed sizes",
        "colour", "no column", "label", "pitch", "number", "same id",
    ],
)  # fmt: skip
def test_bad_data_is_refused_by_name(folder: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    damage(folder)
    with pytest.raises(InputError, match=message):
        load_crops(folder)


@pytest.mark.parametrize("seed", range(5))
def test_no_run_and_no_body_in_two_parts(folder: Path, seed: int) -> None:
    crops = load_crops(folder)
    split = split_by_run(crops, seed=seed)
    parts = (split.train, split.val, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(crops)))
    for column in (crops.run, crops.object):
        names = [set(column[part].tolist()) for part in parts]
        assert sum(len(part) for part in names) == len(set.union(*names))
    assert len(split.train) > max(len(split.val), len(split.test))


def test_split_is_the_seeds(folder: Path) -> None:
    crops = load_crops(folder)
    a, b = (split_by_run(crops, seed=4) for _ in range(2))
    assert np.array_equal(a.train, b.train)


def test_a_split_by_image_is_caught(folder: Path) -> None:
    crops = load_crops(folder)
    index = np.arange(len(crops))
    with pytest.raises(CheckFailed, match="two parts"):
        check_split(crops, Split(index[::3], index[1::3], index[2::3]))


@pytest.mark.parametrize(("runs", "message"), [(1, r"1 run\(s\)"), (2, r"2 run\(s\)")])
def test_too_few_runs(tmp_path: Path, runs: int, message: str) -> None:
    write_toy(tmp_path / "data", objects=12, size=16, runs=runs)
    with pytest.raises(InputError, match=message):
        split_by_run(load_crops(tmp_path / "data"))


def test_a_part_without_unhealthy_is_refused(folder: Path) -> None:
    crops = load_crops(folder)
    healthy_run = np.where(crops.label == 1, "sick", np.where(crops.label == 0, "a", "b"))
    fields = {name: getattr(crops, name) for name in CropSet.__dataclass_fields__}
    with pytest.raises(InputError, match="has no"):
        split_by_run(CropSet(**{**fields, "run": healthy_run}))
