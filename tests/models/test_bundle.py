"""Bundles: what is saved is what is loaded, and nothing else is trusted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.bundle import Manifest, OperatingPoint, load_bundle, resolve_bundle, save_bundle
from sorter.errors import BundleError

MODEL = b"not a network, but bytes with a hash"


def point(views: int, threshold: float = 0.5) -> OperatingPoint:
    return OperatingPoint(
        min_views=views,
        threshold=threshold,
        max_healthy_loss=0.03,
        healthy_loss=0.02,
        healthy_loss_interval=(0.01, 0.05),
        n_healthy=100,
        recall=0.97,
        recall_interval=(0.9, 0.99),
        n_unhealthy=100,
    )


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "test",
        "labels": ("healthy", "unhealthy", "other"),
        "pitch_um": 6.0,
        "size_px": 64,
        "background_level": 160,
        "preprocessing": "none",
        "training_data_hash": "0" * 64,
        "command": "sorter train classifier",
        "seed": 0,
        "versions": {"python": "3.11"},
        "metrics": {},
        "operating_points": (point(4, 0.6), point(12, 0.4)),
        "licence": "BSD-3-Clause",
        "created": "2026-01-01T00:00:00+00:00",
        "sha256": hashlib.sha256(MODEL).hexdigest(),
    }
    return Manifest(**{**values, **changes})


def test_round_trip(tmp_path: Path) -> None:
    folder = save_bundle(tmp_path / "deep" / "bundle", MODEL, manifest())
    bundle = load_bundle(folder)
    assert (bundle.model, bundle.manifest) == (MODEL, manifest())
    assert sorted(file.name for file in folder.parent.iterdir()) == ["bundle"]


@pytest.mark.parametrize(
    ("views", "threshold"), [(1, 0.6), (4, 0.6), (11, 0.6), (12, 0.4), (30, 0.4)]
)
def test_operating_point_of_so_many_views(tmp_path: Path, views: int, threshold: float) -> None:
    bundle = load_bundle(save_bundle(tmp_path / "b", MODEL, manifest()))
    assert bundle.operating_point(views).threshold == threshold


@pytest.mark.parametrize(("pitch", "fits"), [(6.0, True), (6.1, True), (6.2, False), (2.0, False)])
def test_pitch_must_fit(tmp_path: Path, pitch: float, fits: bool) -> None:
    bundle = load_bundle(save_bundle(tmp_path / "b", MODEL, manifest()))
    if fits:
        bundle.check_fits(pitch)
    else:
        with pytest.raises(BundleError, match="expects crops at 6 µm/px"):
            bundle.check_fits(pitch)


def _edit(folder: Path, **changes: Any) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for key, value in changes.items():
        content.pop(key) if value is None else content.update({key: value})
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.onnx").write_bytes(MODEL + b" "), "sha256.*copy the bundle again"),
        (lambda f: (f / "model.onnx").unlink(), r"model\.onnx can't be read"),
        (lambda f: (f / "manifest.json").unlink(), r"manifest\.json can't be read"),
        (lambda f: (f / "manifest.json").write_text("{"), "not JSON"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "not JSON"),
        (lambda f: _edit(f, sha256="0" * 64), "sha256"),
        (lambda f: _edit(f, pitch_um=None), "pitch_um is wrong"),
        (lambda f: _edit(f, pitch_um=-1), "pitch_um is wrong"),
        (lambda f: _edit(f, colour="red"), "colour is wrong"),
        (lambda f: _edit(f, labels=["healthy"]), "healthy and unhealthy"),
        (lambda f: _edit(f, format_version=2), "format_version is wrong"),
        (lambda f: _edit(f, operating_points=[]), "operating_points is wrong"),
    ],
    ids=[
        "tampered model", "no model", "no manifest", "half a manifest", "not text", "wrong hash",
        "missing key", "wrong pitch", "unknown key", "labels", "version", "no threshold",
    ],
)  # fmt: skip
def test_damage_is_told(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    folder = save_bundle(tmp_path / "b", MODEL, manifest())
    damage(folder)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="'default'"):
        load_bundle(tmp_path / "none")


def test_never_overwrites_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = save_bundle(tmp_path / "b", MODEL, manifest())
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(folder, MODEL, manifest(name="other"))
    with pytest.raises(BundleError, match="another model"):
        save_bundle(tmp_path / "c", MODEL + b" ", manifest())
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="can't be written"):
        save_bundle(tmp_path / "file" / "b", MODEL, manifest())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b", "file"]
    assert load_bundle(folder).manifest.name == "test"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("healthy", "unhealthy", "healthy")},
        {"operating_points": (point(12), point(4))},
        {"operating_points": (point(4), point(4))},
        {"training_data_hash": "abc"},
    ],
    ids=str,
)
def test_manifest_that_contradicts_itself(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        manifest(**changes)


def test_the_shipped_bundle_is_whole() -> None:
    bundle = load_bundle("default")
    assert bundle.path == resolve_bundle("default")
    assert len(bundle.model) < 2_000_000
    assert bundle.manifest.labels == ("healthy", "unhealthy", "other")
    assert bundle.operating_point(12).n_healthy >= 20
