"""Features of a network trained in the domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.augment import elastic
from models.dataset import CropSet, load_crops
from models.distort import DISTORTIONS, distort
from models.features import load_features, save_features, train_features
from models.quality_metrics import kid
from sorter.errors import InputError
from tests.models.gans import FEATURES
from tests.models.toy import write_toy


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> CropSet:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=120, views=1)
    return load_crops(folder)


def test_kept_and_read_they_are_the_same(crops: CropSet, tmp_path: Path) -> None:
    extract = train_features(crops, FEATURES)
    save_features(extract, tmp_path)
    again = load_features(tmp_path)
    assert np.array_equal(extract(crops.images), again(crops.images))
    assert again.net.phenotypes == ("healthy", "ring", "spotted")
    assert np.array_equal(extract.phenotype(crops.images), again.phenotype(crops.images))


def test_scaled_over_the_data_set(crops: CropSet) -> None:
    features = train_features(crops, FEATURES)(crops.images)
    assert np.abs(features.mean(0)).max() < 1e-3
    assert features.std(0).max() == pytest.approx(1.0, rel=0.02)


def test_they_tell_spoilt_crops_even_for_a_single_class(crops: CropSet) -> None:
    one = crops.subset(np.flatnonzero(crops.label == 0))
    extract = train_features(one, FEATURES.model_copy(update={"crops": 3200, "batch": 32}))
    assert extract.net.phenotypes == ()
    images = torch.from_numpy(one.images)[:, None].float()
    rng = torch.Generator().manual_seed(1)
    kind = torch.full((len(one),), DISTORTIONS.index("blur"))
    spoilt = distort(images, kind, 160, rng)[:, 0].round().to(torch.uint8).numpy()
    plain = extract(one.images)
    half = kid(plain[::2], plain[1::2], 10)
    assert kid(plain, extract(spoilt), 10).value > half.value + 3 * half.error


@pytest.mark.parametrize("kind", range(len(DISTORTIONS)))
def test_each_distortion_changes_its_own_crops_only(kind: int) -> None:
    rng = torch.Generator().manual_seed(1)
    crops = torch.rand(6, 1, 32, 32, generator=rng) * 200
    which = torch.tensor([kind, 0, kind, 0, 0, kind])
    out = distort(crops, which, 160, rng)
    assert out.shape == crops.shape
    changed = [not torch.equal(a, b) for a, b in zip(out, crops, strict=True)]
    assert changed == [bool(one) for one in which.tolist()]


def test_elastic_keeps_what_is_level() -> None:
    level = torch.full((2, 1, 32, 32), 160.0)
    assert torch.allclose(elastic(level, 3.0, 160, torch.Generator().manual_seed(1)), level)


@pytest.mark.parametrize("name", ["features.json", "features.safetensors"])
def test_damaged_files_are_refused(name: str, crops: CropSet, tmp_path: Path) -> None:
    save_features(train_features(crops, FEATURES), tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:50])
    with pytest.raises(InputError, match="feature network"):
        load_features(tmp_path)


def test_too_few(crops: CropSet) -> None:
    with pytest.raises(InputError, match="too few"):
        train_features(crops.subset(np.arange(5)), FEATURES)
