"""`sorter demo`, and what is done with its record afterwards."""

from __future__ import annotations

import csv
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sorter.record_reader import open_record
from sorter.record_writer import APPLICATION_ID
from tests.e2e.commands import answer, left_behind, sorter

KEYS = (
    *("seen", "decided", "late", "conflicts", "fps_measured", "frames_rendered"),
    *("frames_received", "frames_dropped"),
    *(f"latency_ms.{name}" for name in ("n", "p50", "p99", "p999", "max")),
    *(f"command_ms.{name}" for name in ("n", "p50", "p99", "max")),
    *(f"truth.{name}" for name in ("objects", "healthy", "unhealthy", "purity", "yield")),
    *(f"truth.{name}" for name in ("unhealthy_recall", "healthy_loss", "unsafe", "doubles")),
    *(f"truth.{name}" for name in ("doubles_unseen", "seen_twice", "not_seen")),
)


@dataclass(frozen=True)
class Demo:
    """A run that is over."""

    folder: Path
    told: dict[str, Any]

    @property
    def record(self) -> Path:
        return Path(self.told["record"])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "out"
    options = ("--duration-s", "6", "--rate-hz", "3", "--unhealthy", "0.3", "--seed", "4")
    return Demo(folder, answer("demo", *options, "--out", folder))


def test_prints_every_figure(demo: Demo) -> None:
    for key in KEYS:
        value: Any = demo.told
        for part in key.split("."):
            assert part in value, key
            value = value[part]
    assert demo.told["seen"] > 0
    assert demo.told["truth"]["unsafe"] == 0
    assert (demo.told["seed"], demo.told["end_reason"], demo.told["exit_code"]) == (4, "done", 0)


def test_every_frame_that_was_rendered_is_received(demo: Demo) -> None:
    assert demo.told["frames_received"] == demo.told["frames_rendered"] > 0


def test_leaves_a_page_a_record_and_the_whole_truth(demo: Demo) -> None:
    page = Path(demo.told["page"]).read_text(encoding="utf-8")
    assert page.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert 'src="http' not in page
    truth = json.loads((demo.folder / "truth.json").read_text(encoding="utf-8"))
    assert {key: truth[key] for key in demo.told["truth"]} == demo.told["truth"]
    assert len(truth["outlets"]) >= truth["objects"]
    with open_record(demo.record) as reader:
        assert reader.meta().end_reason == "done"
        assert len(reader.objects()) == demo.told["seen"]
    connection = sqlite3.connect(demo.record)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()
    assert not left_behind(demo.folder)


def test_replays_to_the_same_decisions_and_commands(demo: Demo) -> None:
    told = answer("replay", demo.record)
    assert told["identical"] is True
    assert told["decisions"] == demo.told["seen"]


def test_report_tells_the_same(demo: Demo, tmp_path: Path) -> None:
    page = tmp_path / "again.html"
    told = answer("report", demo.record, "--out", page)
    assert {key: told[key] for key in ("seen", "decided", "outlets")} == {
        key: demo.told[key] for key in ("seen", "decided", "outlets")
    }
    assert page.is_file()


def test_export_has_a_row_for_each_object(demo: Demo, tmp_path: Path) -> None:
    table, crops = tmp_path / "objects.csv", tmp_path / "to-label"
    told = answer("export", demo.record, "--table", table, "--crops", crops)
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == told["objects"] == demo.told["seen"]
    assert len(list((crops / "images").glob("*.png"))) == told["crops"] > 0


def test_a_folder_that_holds_something_is_left_alone(demo: Demo) -> None:
    before = sorted(demo.folder.iterdir())
    done = sorter("demo", "--out", demo.folder)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert "--out" in done.stderr
    assert sorted(demo.folder.iterdir()) == before


def test_real_cut_outs_have_no_truth_about_health(tmp_path: Path) -> None:
    done = sorter(
        *("demo", "--source", "real", "--duration-s", "4", "--rate-hz", "3"),
        *("--out", tmp_path / "out", "--json"),
    )
    assert done.returncode == 0, done.stderr
    truth = json.loads(done.stdout)["truth"]
    assert truth["healthy"] is truth["unhealthy_recall"] is truth["purity"] is None
    assert truth["objects"] >= 0


def test_optical_gates_measure_where_objects_went(tmp_path: Path) -> None:
    options = ("--duration-s", "8", "--rate-hz", "3", "--seed", "4", "--optical-gates")
    told = answer("demo", *options, "--out", tmp_path / "out")
    balance = told["junction"]
    assert balance["closes"]
    assert balance["entered"] > 0
    assert sum(balance["outlets"].values()) + sum(balance["unexpected"].values()) > 0
    page = Path(told["page"]).read_text(encoding="utf-8")
    assert "Measured at the junction" in page
    assert answer("replay", Path(told["record"]))["identical"] is True
