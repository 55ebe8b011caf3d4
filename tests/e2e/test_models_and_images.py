"""`segment`, `bench`, `sim dataset`, `train classifier`, `bundle`, `calibrate threshold`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.bundle import load_bundle
from tests.e2e.commands import answer, sorter
from tests.models.toy import write_toy


def test_segment_finds_two_discs(tmp_path: Path) -> None:
    image = np.full((400, 600), 180, np.uint8)
    for centre, radius in (((150, 200), 50), ((420, 180), 70)):
        cv2.circle(image, centre, radius, 90, -1)
    image = cv2.GaussianBlur(image, (0, 0), 2).astype(np.uint8)
    file = tmp_path / "discs.png"
    assert cv2.imwrite(str(file), image)
    told = answer("segment", file, "--pitch-um", "2", "--out", tmp_path / "overlays")
    (found,) = told["images"]
    assert Path(found["file"]).name == "discs.png"
    detections = sorted(found["detections"], key=lambda one: one["x_px"])
    assert len(detections) == 2
    for one, (x, y, diameter_um) in zip(
        detections, ((150, 200, 200), (420, 180, 280)), strict=True
    ):
        assert (one["x_px"], one["y_px"]) == pytest.approx((x, y), abs=1.0)
        assert one["diameter_um"] == pytest.approx(diameter_um, rel=0.05)
        assert one["area_um2"] == pytest.approx(np.pi * diameter_um**2 / 4, rel=0.1)
        assert one["circularity"] > 0.85
        assert one["touches_border"] is False
        assert len(one["contour"]) > 20
    assert len(list((tmp_path / "overlays").glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.png", "--pitch-um", "2"), ("absent.png",)),
        (("words.png", "--pitch-um", "2"), ("words.png",)),
        (("words.png", "--pitch-um", "0"), ("--pitch-um", "positive")),
        (("words.png",), ("--pitch-um",)),
    ],
    ids=["absent", "no image", "pitch 0", "no pitch"],
)
def test_segment_says_what_is_wrong(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "words.png").write_text("not an image")
    done = sorter("segment", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr


def test_bench_prints_its_table() -> None:
    told = answer("bench", "--frames", "50")
    assert told["spheroids_per_s"] > 0
    assert {row["objects"] for row in told["table"]} == {1, 2, 4, 8, 16, 32}
    sizes = [row["megapixels"] for row in told["table"]]
    assert (min(sizes), max(sizes)) == pytest.approx((0.3, 5.0), abs=0.3)


def test_sim_dataset_writes_what_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "crops"
    options = ("--n", "24", "--unhealthy", "0.5", "--seed", "3", "--size", "48", "--runs", "2")
    assert answer("sim", "dataset", out, *options, "--workers", "1") == {
        "folder": str(out),
        "crops": 24,
    }
    assert len(list((out / "images").glob("*.png"))) == 24
    assert (out / "labels.csv").read_text(encoding="utf-8").count("\n") == 25
    again = sorter("sim", "dataset", out, *options)
    assert again.returncode == 2, again.stderr
    assert str(out) in again.stderr


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=480, views=1, runs=12)
    return folder


@pytest.fixture(scope="module")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "bundle"
    told = answer(
        *("train", "classifier", "--data", toy, "--out", folder, "--epochs", "1", "--name", "toy")
    )
    assert (told["name"], Path(told["folder"])) == ("toy", folder)
    assert told["command"].startswith("sorter train classifier")
    return folder


def test_a_trained_bundle_verifies_and_shows(trained: Path) -> None:
    shown = answer("bundle", "show", trained)
    assert shown["sha256"] == answer("bundle", "verify", trained)["sha256"]
    assert shown["sha256"] == load_bundle(trained).manifest.sha256


def test_threshold_is_calibrated_and_kept(trained: Path, toy: Path, tmp_path: Path) -> None:
    told = answer(
        *("calibrate", "threshold", "--data", toy, "--bundle", trained, "--min-views", "1"),
        *("--max-healthy-loss", "0.2", "--store", tmp_path / "store"),
    )
    assert told["values"]["n_healthy"] == told["values"]["n_unhealthy"] == 160
    assert told["values"]["healthy_loss"] <= 0.2
    assert told["conditions"]["model_sha256"] == load_bundle(trained).manifest.sha256
    assert json.loads(Path(told["file"]).read_text(encoding="utf-8"))["id"] == told["id"]


def test_the_shipped_bundle_verifies() -> None:
    assert "good" in sorter("bundle", "verify").stdout
    assert "unvalidated" in sorter("bundle", "show").stdout
