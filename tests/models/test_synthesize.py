"""From a checkpoint to a data set, a page of quality, and ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.dataset import load_crops
from models.gan.checkpoint import checkpoints_in, load_checkpoint
from models.gan.kinds import Kind
from models.gan.onnx_export import export_generator
from models.quality import interpolation, judge
from models.synthesize import FilterSettings, load_generator, synthesize
from models.train_gan import train_gan
from sorter.errors import InputError, UsageError
from tests.models.gans import TELLING, TINY, training
from tests.models.toy import write_toy

EVERYTHING = FilterSettings(domain_percentile=100, copy_percentile=0, twin_percentile=0)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=270, views=1, size=32)
    return folder


@pytest.fixture(scope="module")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    base = tmp_path_factory.mktemp("gans")
    for kind in TINY:
        train_gan(toy, base / kind, training(kind, 64))
    return {kind: base / kind for kind in TINY}


@pytest.mark.parametrize("kind", TINY)
def test_what_is_drawn_reads_like_any_data_set(
    kind: Kind, trained: dict[Kind, Path], tmp_path: Path
) -> None:
    manifest = synthesize(trained[kind], tmp_path / "one", 9, seed=2)
    crops = load_crops(tmp_path / "one")
    assert (len(crops), crops.size_px, crops.pitch_um) == (9, 32, 6.0)
    assert set(crops.label.tolist()) == {1}
    about = load_checkpoint(trained[kind]).about
    assert manifest["checkpoint_sha256"] == about.sha256
    assert json.loads((tmp_path / "one" / "manifest.json").read_text("utf-8")) == manifest
    synthesize(trained[kind], tmp_path / "same", 9, seed=2)
    synthesize(trained[kind], tmp_path / "other", 9, seed=3)
    same, other = load_crops(tmp_path / "same"), load_crops(tmp_path / "other")
    assert np.array_equal(same.images, crops.images)
    assert not np.array_equal(other.images, crops.images)


def test_filter_leaves_out_what_is_far_from_the_real(
    trained: dict[Kind, Path], toy: Path, tmp_path: Path
) -> None:
    # After 64 images nothing looks real yet.
    with pytest.raises(InputError, match="passed the filter"):
        synthesize(
            trained["dcgan"],
            tmp_path / "none",
            20,
            filtering=FilterSettings(give_up_after=2),
            data=toy,
        )
    assert not (tmp_path / "none").exists()


def test_filter_knows_copies_and_twins(trained: dict[Kind, Path], toy: Path) -> None:
    from models.features import load_features
    from models.synthesize import _Judge

    loaded = load_checkpoint(trained["dcgan"])
    extract = load_features(trained["dcgan"] / "features")
    real = load_crops(toy)
    sick = real.images[real.label == 1]
    judge_ = _Judge(loaded, extract, toy, FilterSettings())
    assert not judge_.passes(sick[:10]).any()
    assert judge_.rejected["near-copy"] == 10
    ring = real.images[real.label == 2][:3]
    lenient = _Judge(loaded, extract, toy, EVERYTHING.model_copy(update={"twin_percentile": 1.0}))
    lenient._far = np.inf
    assert lenient.passes(np.concatenate([ring, ring])).tolist() == [True] * 3 + [False] * 3
    assert lenient.rejected["twin"] == 3


def test_quality_page(trained: dict[Kind, Path], toy: Path, tmp_path: Path) -> None:
    figures = judge(
        trained["stylegan2-ada"], toy, tmp_path / "q", n=90, two_sample_settings=TELLING
    )
    assert figures["two_sample"]["value"] > 0.9  # hardly trained
    assert figures["two_sample_in_features"]["value"] > 0.9
    for test in ("two_sample", "two_sample_in_features"):
        low, high = figures[f"{test}_real_against_real"]["interval"]
        assert low <= 0.5 <= high
    assert figures["kid"]["value"] > figures["kid_of_real_halves"]["value"]
    assert (
        figures["early_checkpoint"]
        == checkpoints_in(trained["stylegan2-ada"] / "checkpoints")[0].name
    )
    assert set(figures["phenotype_shares"]) >= {"spotted"}
    page = (tmp_path / "q" / "quality.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    kept = json.loads((tmp_path / "q" / "quality.json").read_text("utf-8"))
    assert kept == json.loads(json.dumps(figures))


@pytest.mark.parametrize("kind", TINY)
def test_generator_as_onnx(kind: Kind, trained: dict[Kind, Path]) -> None:
    generator = load_generator(load_checkpoint(trained[kind]))
    truncation = 0.7 if kind == "stylegan2-ada" else 1.0
    session = ort.InferenceSession(
        export_generator(generator, truncation), providers=["CPUExecutionProvider"]
    )
    rng = torch.Generator().manual_seed(5)
    z, label = generator.random(7, rng), torch.zeros(7, dtype=torch.long)
    taken = {one.name for one in session.get_inputs()}
    noise = torch.randn(7, generator.noise_numbers, generator=rng)
    feed = {"z": z.numpy(), "label": label.numpy(), "noise": noise.numpy()}
    found = session.run(None, {name: feed[name] for name in taken})[0]
    with torch.inference_mode():
        latents = generator.truncated(generator.latents(z, label), truncation)
        drawn = generator.draw_with(latents, noise)
    assert np.abs(found - generator.grey.to_levels(drawn).numpy()).max() < 0.05
    assert found.min() >= 0.0
    assert found.max() <= 255.0


def test_interpolation_ends_at_its_ends(trained: dict[Kind, Path]) -> None:
    generator = load_generator(load_checkpoint(trained["stylegan2-ada"]))
    images = interpolation(generator, 2, 5, seed=1)
    assert images.shape == (10, 32, 32)
    assert not np.array_equal(images[0], images[4])


def test_given_noise_draws_what_the_same_random_noise_draws(trained: dict[Kind, Path]) -> None:
    generator = load_generator(load_checkpoint(trained["stylegan2-ada"]))
    latents = generator.sample_latents(torch.zeros(1, dtype=torch.long), rng_of(1))
    with torch.inference_mode():
        wanted = generator.draw(latents, rng_of(2))
        left, sides = rng_of(2), (4, 8, 8, 16, 16, 32, 32)
        layers = [torch.randn(1, 1, side, side, generator=left) for side in sides]
        drawn = generator.draw_with(latents, torch.cat([one.reshape(1, -1) for one in layers], 1))
    assert torch.equal(drawn, wanted)


def rng_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bad_requests(trained: dict[Kind, Path], toy: Path, tmp_path: Path) -> None:
    run = trained["dcgan"]
    with pytest.raises(UsageError, match="exists already"):
        synthesize(run, toy, 3)
    with pytest.raises(UsageError, match="needs the training data"):
        synthesize(run, tmp_path / "x", 3, filtering=EVERYTHING)
    with pytest.raises(UsageError, match="knows no"):
        synthesize(run, tmp_path / "x", 3, condition="ring")
    with pytest.raises(InputError, match="no checkpoint"):
        synthesize(tmp_path, tmp_path / "x", 3)
    write_toy(tmp_path / "else", objects=120, views=1, seed=9)
    with pytest.raises(InputError, match="not the data set"):
        judge(run, tmp_path / "else", tmp_path / "q")


def test_a_checkpoint_of_another_kind_is_refused(trained: dict[Kind, Path], tmp_path: Path) -> None:
    loaded = load_checkpoint(trained["dcgan"])
    other = load_checkpoint(trained["biggan"])
    mixed = type(loaded)(loaded.path, loaded.about, other.tensors)
    with pytest.raises(InputError, match="doesn't hold a dcgan generator"):
        load_generator(mixed)
