"""Training on a toy data set, end to end: learns, is repeatable, exports what it trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.augment import NO_AUGMENT
from models.bundle import load_bundle
from models.classifier import ExportedNet, NetSettings, SpheroidNet
from models.dataset import load_crops
from models.export import check_parity, export_onnx
from models.infer import Classifier
from models.train_classifier import TrainSettings, class_weights, fit_temperature, train_classifier
from sorter.errors import BundleError, CheckFailed, InputError
from tests.models.toy import write_toy

SETTINGS = TrainSettings(
    epochs=8,
    batch=32,
    ema_decay=0.9,
    learning_rate=1e-2,
    threads=1,
    shares=(0.4, 0.3, 0.3),
    views=(1, 2, 12),
    augment=NO_AUGMENT.model_copy(update={"flips": True}),
    net=NetSettings(stem_channels=8, blocks=((16, 2), (24, 2))),
    command="a test",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=300, views=2)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_classifier(data, tmp_path_factory.mktemp("bundle") / "b", SETTINGS, seed=3)


def test_learns_the_toy(data: Path, trained: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    write_toy(fresh, objects=90, views=1, seed=77)
    crops = load_crops(fresh)
    prediction = Classifier(load_bundle(trained)).predict(crops.images)
    assert np.mean(prediction.probabilities.argmax(axis=1) == crops.label) > 0.95


def test_manifest_says_what_was_done(data: Path, trained: Path) -> None:
    manifest = load_bundle(trained).manifest
    assert manifest.training_data_hash == load_crops(data).content_hash
    assert (manifest.seed, manifest.command, manifest.size_px) == (3, "a test", 32)
    assert [point.min_views for point in manifest.operating_points] == [1, 2]
    two = manifest.metrics["by_views"]["2"]
    assert two["recall"]["value"] > 0.9
    assert set(two["rejected_by_phenotype"]) == {
        "healthy/healthy", "unhealthy/spotted", "other/ring",
    }  # fmt: skip
    assert "unvalidated" in manifest.metrics["note"]
    assert "NaN" not in (trained / "manifest.json").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_model(data: Path, tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1})
    one, same, other = (
        load_bundle(train_classifier(data, tmp_path / name, short, seed=seed)).manifest.sha256
        for name, seed in (("one", 5), ("same", 5), ("other", 6))
    )
    assert one == same != other


def test_progress_is_told_and_torch_left_as_it_was(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    short = SETTINGS.model_copy(update={"epochs": 2})
    train_classifier(
        data, tmp_path / "b", short, progress=lambda done, total, _: told.append((done, total))
    )
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_bad_wishes_are_refused_before_training(data: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        train_classifier(data, trained, SETTINGS)
    with pytest.raises(InputError, match="can't be read"):
        train_classifier(tmp_path / "none", tmp_path / "b", SETTINGS)
    big = SETTINGS.model_copy(update={"batch": 10_000})
    with pytest.raises(InputError, match="fewer than a batch"):
        train_classifier(data, tmp_path / "b", big)
    assert list(tmp_path.iterdir()) == []


def net() -> ExportedNet:
    torch.manual_seed(0)
    return ExportedNet(SpheroidNet(3, 160, SETTINGS.net), 1.3)


def crops(n: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32), dtype=np.uint8)


def test_export_says_the_same_as_torch() -> None:
    model = net()
    data = export_onnx(model, crops(9))
    assert check_parity(model, data, crops(9)) <= 1e-4


def test_a_model_that_lost_parity_is_refused() -> None:
    model = net()
    data = export_onnx(model, crops(2))
    with torch.no_grad():
        model.net.head.bias.copy_(torch.tensor([0.05, 0.0, 0.0]))
    with pytest.raises(CheckFailed, match="differ"):
        check_parity(model, data, crops(2))


def test_an_empty_crop_is_zero_inside() -> None:
    seen: list[torch.Tensor] = []
    model = SpheroidNet(3, 160, SETTINGS.net)
    model.features.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.eval()(torch.full((1, 1, 32, 32), 160, dtype=torch.uint8))
    assert torch.equal(seen[0], torch.zeros(1, 1, 32, 32))


def test_classes_count_the_same() -> None:
    label = np.array([0] * 90 + [1] * 10)
    weight = class_weights(label).numpy()
    assert weight == pytest.approx([100 / 180, 5.0, 0.0])
    assert weight[label].mean() == pytest.approx(1.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(temperature: float) -> None:
    logits = torch.randn(8_000, 3, generator=torch.Generator().manual_seed(1)) * 2
    label = torch.multinomial(
        torch.softmax(logits, 1), 1, generator=torch.Generator().manual_seed(2)
    )[:, 0]
    assert fit_temperature(logits * temperature, label) == pytest.approx(temperature, rel=0.08)


def test_manifest_is_plain_json(trained: Path) -> None:
    content = json.loads((trained / "manifest.json").read_text(encoding="utf-8"))
    assert content["labels"] == ["healthy", "unhealthy", "other"]
