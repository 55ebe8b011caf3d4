"""Simulated data sets: what is on disk, and that a seed fixes all of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware_sim.crops import crops_of_run, run_optics
from hardware_sim.dataset import FIELD_UM, plan_runs, write_dataset
from models.dataset import load_crops
from sorter.crop import CropSettings
from sorter.errors import SorterError, UsageError

SMALL: dict[str, Any] = {"n": 40, "unhealthy": 0.3, "seed": 4, "size_px": 64, "runs": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "small"
    write_dataset(out, **SMALL, others=0.25, views=2)
    return out


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_trainer_reads_it(folder: Path) -> None:
    crops = load_crops(folder)
    assert len(crops) == 40
    assert crops.images.shape == (40, 64, 64)
    assert crops.pitch_um == pytest.approx(6.0)
    # Background is divided out: the border of most crops is at the level of the crop settings.
    border = np.concatenate([crops.images[:, 0], crops.images[:, -1]], axis=1)
    assert np.median(border) == pytest.approx(160.0, abs=2.0)


def test_labels_views_and_runs_are_as_ordered(folder: Path) -> None:
    found = rows(folder)
    assert {row["run"] for row in found} == {"sim-00", "sim-01", "sim-02", "sim-03"}
    objects = {row["object"]: row for row in found}
    assert len(objects) == 20
    labels = [row["label"] for row in objects.values()]
    assert {name: labels.count(name) for name in set(labels)} == {
        "other": 5, "unhealthy": 4, "healthy": 11,
    }  # fmt: skip
    for row in found:
        assert row["run"] == objects[row["object"]]["run"]
        severity = float(row["severity"])
        assert severity >= 0.4 if row["label"] == "unhealthy" else True
        assert severity < 0.3 if row["label"] == "healthy" else True
        if row["label"] == "other":
            assert row["phenotype"] in {"bubble", "debris", "fibre", "double"}


def test_the_sorter_measures_about_the_true_size() -> None:
    plan = plan_runs(n=30, unhealthy=0.0, others=0.0, seed=9, views=1, runs=1)[0]
    found = crops_of_run(plan, seed=9, crop_settings=CropSettings())
    ratios = [one.detection.diameter_um / one.spec.diameter_um for one in found]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.06)


def test_a_seed_fixes_every_byte_whatever_the_number_of_workers(tmp_path: Path) -> None:
    small = SMALL | {"n": 6, "runs": 2}
    write_dataset(tmp_path / "a", **small)
    write_dataset(tmp_path / "b", **small, workers=2)
    write_dataset(tmp_path / "c", **(small | {"seed": 5}))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_crops_of_another_size_show_the_same_field(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", **(SMALL | {"n": 3, "runs": 1, "size_px": 96}))
    crops = load_crops(tmp_path / "a")
    assert crops.size_px == 96
    assert crops.pitch_um * 96 == pytest.approx(FIELD_UM)


def test_progress_ends_at_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path / "a",
        **(SMALL | {"n": 5, "runs": 1}),
        progress=lambda done, n: seen.append((done, n)),
    )
    assert seen[-1] == (5, 5)


def test_plans_hold_what_was_asked_for() -> None:
    plans = plan_runs(n=103, unhealthy=0.25, others=0.1, seed=1, views=4, runs=5)
    assert sum(sum(plan.views) for plan in plans) == 103
    labels = [label for plan in plans for label in plan.labels]
    assert (labels.count("other"), labels.count("unhealthy"), len(labels)) == (3, 6, 26)
    assert [plan.run for plan in plans] == [0, 1, 2, 3, 4]


def test_runs_differ_in_their_optics() -> None:
    first, second = run_optics(1, 0), run_optics(1, 1)
    assert first != second
    assert first == run_optics(1, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"n": 0}, {"views": 0}, {"runs": 0}, {"size_px": 4}, {"unhealthy": 1.2}, {"others": -0.1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_impossible_orders_leave_nothing_behind(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(SorterError):
        write_dataset(tmp_path / "a", **(SMALL | wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        write_dataset(tmp_path / "a", **SMALL)
    with pytest.raises(UsageError, match="parent does not exist"):
        write_dataset(tmp_path / "b" / "c", **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_a_break_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "a", **(SMALL | {"n": 2, "runs": 1}), progress=stop)
    assert list(tmp_path.iterdir()) == []
