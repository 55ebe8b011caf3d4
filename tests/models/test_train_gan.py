"""Training of GANs: stopped and resumed is the same, checkpoints survive, divergence is noticed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.gan.checkpoint import (
    About,
    best_in,
    checkpoints_in,
    load_checkpoint,
    save_checkpoint,
)
from models.gan.grey import GreyScale
from models.gan.kinds import Kind
from models.gan.stream import ImageStream
from models.train_gan import train_gan
from sorter.errors import InputError, RunFault, UsageError
from tests.models.gans import RECIPE, TINY, training
from tests.models.toy import write_table, write_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=90, views=1, size=32)
    return folder


def last(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoints_in(out / "checkpoints")[-1]).tensors


@pytest.mark.parametrize("kind", TINY)
def test_stopped_and_resumed_is_as_if_it_had_not_been(
    kind: Kind, toy: Path, tmp_path: Path
) -> None:
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    train_gan(toy, straight, training(kind, 192))
    train_gan(toy, halves, training(kind, 96))
    before = last(halves)
    train_gan(toy, halves, training(kind, 192), resume=True)
    one, other = last(straight), last(halves)
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]
    moved = [name for name in one if not torch.equal(before[name], other[name])]
    assert len(moved) > len(one) / 2
    numbers = [
        load_checkpoint(checkpoints_in(out / "checkpoints")[-1]).about.numbers
        for out in (straight, halves)
    ]
    assert numbers[0] == numbers[1]
    assert numbers[0]["images"] == 192
    if TINY[kind].recipe.augment == "ada":
        assert numbers[0]["strength"]["p"] > 0


def test_stopping_leaves_a_checkpoint_to_go_on_from(toy: Path, tmp_path: Path) -> None:
    asked = iter([False] * 3 + [True] * 99)
    out = tmp_path / "gan"
    outcome = train_gan(toy, out, training("dcgan", 640), stop=lambda: next(asked))
    assert outcome.ended == "stopped"
    assert outcome.images == 24
    assert train_gan(toy, out, training("dcgan", 96), resume=True).images == 96


def test_folder_of_a_training(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    told: list[tuple[int, int, str]] = []
    outcome = train_gan(
        toy, out, training("dcgan", 192), progress=lambda *values: told.append(values)
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [8, 64, 128, 192]
    assert {"kid", "kid_error", "loss_d", "loss_g", "variety", "ada_p"} <= lines[0].keys()
    assert outcome.kid == min(line["kid"] for line in lines)
    assert best_in(out / "checkpoints") == (outcome.best, outcome.kid)
    # The early one, the latest two, and the best.
    kept = {one.name for one in checkpoints_in(out / "checkpoints")}
    assert {"images-000000008", "images-000000128", "images-000000192"} <= kept
    assert list((out / "tensorboard").glob("events*"))
    assert (out / "samples" / "images-000000192.png").is_file()
    assert told[-1][:2] == (192, 192)
    about = load_checkpoint(out).about
    assert (about.pitch_um, about.label, about.trained_on) == (6.0, "unhealthy", 30)


def test_ends_when_kid_does_not_improve(toy: Path, tmp_path: Path) -> None:
    frozen = TINY["dcgan"].model_copy(
        update={"recipe": RECIPE.model_copy(update={"generator_rate": 1e-30})}
    )
    outcome = train_gan(toy, tmp_path / "gan", training("dcgan", 6_400, gan=frozen, patience=3))
    assert outcome.ended == "patience"
    assert outcome.images < 6_400
    again = train_gan(
        toy, tmp_path / "gan", training("dcgan", 6_400, gan=frozen, patience=3), resume=True
    )
    assert (again.ended, again.images) == ("patience", outcome.images)


def test_early_checkpoint_stays_when_a_training_is_made_longer(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 64, evaluate_every=32))
    train_gan(toy, out, training("dcgan", 3_200, evaluate_every=800), resume=True)
    assert checkpoints_in(out / "checkpoints")[0].name == "images-000000032"


def test_divergence_is_noticed_and_the_best_kept(toy: Path, tmp_path: Path) -> None:
    wild = TINY["dcgan"].model_copy(
        update={"recipe": RECIPE.model_copy(update={"discriminator_rate": 1e30})}
    )
    out = tmp_path / "gan"
    with pytest.raises(RunFault, match=r"diverged after .* not a number"):
        train_gan(toy, out, training("dcgan", 6400, gan=wild))
    kept = best_in(out / "checkpoints")
    if kept is not None:
        assert load_checkpoint(kept[0]).tensors


def test_collapse_is_noticed_and_the_best_kept(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 128, evaluate_every=32))
    # As if there had been variety, and from now on hardly any image may be like another.
    line = json.dumps({"images": 1, "kid": 9.0, "variety": 3.0}) + "\n"
    (out / "metrics.jsonl").write_text(line, encoding="utf-8")
    settings = training("dcgan", 640, evaluate_every=32, collapse_share=0.999)
    (out / "training.json").write_text(settings.model_dump_json(), encoding="utf-8")
    with pytest.raises(RunFault, match="all alike"):
        train_gan(toy, out, settings, resume=True)
    kept = best_in(out / "checkpoints")
    assert kept is not None
    assert load_checkpoint(kept[0]).about.kid == kept[1]


def test_phenotypes_can_be_asked_for(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("biggan", 16, condition="phenotype"))
    assert load_checkpoint(out).about.classes == ("spotted",)


@pytest.mark.parametrize("changes", [{"seed": 4}, {"gan": TINY["biggan"]}, {"limit": 20}])
def test_resuming_as_something_else_is_refused(
    changes: dict[str, object], toy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 16))
    with pytest.raises(InputError, match="other settings"):
        train_gan(toy, out, training("dcgan", 32, **changes), resume=True)


def test_folders_are_neither_overwritten_nor_invented(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    with pytest.raises(UsageError, match="no training to resume"):
        train_gan(toy, out, training("dcgan", 16), resume=True)
    train_gan(toy, out, training("dcgan", 16))
    with pytest.raises(UsageError, match="holds a training already"):
        train_gan(toy, out, training("dcgan", 16))


def test_an_empty_class_or_one_image_is_refused(toy: Path, tmp_path: Path) -> None:
    rows = []
    shutil.copytree(toy, tmp_path / "few")
    for line in (toy / "labels.csv").read_text().splitlines()[1:]:
        values = line.split(",")
        names = (toy / "labels.csv").read_text().splitlines()[0].split(",")
        rows.append(dict(zip(names, values, strict=True)))
    for kept, words in ((0, "no image"), (1, r"1 image\(s\)")):
        sick = [row for row in rows if row["label"] == "unhealthy"][:kept]
        write_table(tmp_path / "few", [row for row in rows if row["label"] != "unhealthy"] + sick)
        with pytest.raises(InputError, match=words):
            train_gan(tmp_path / "few", tmp_path / f"gan{kept}", training("dcgan", 16))


def damage(path: Path, how: str) -> None:
    tensors, about = path / "state.safetensors", path / "checkpoint.json"
    if how == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif how == "changed":
        data = bytearray(tensors.read_bytes())
        data[-1] ^= 1
        tensors.write_bytes(bytes(data))
    elif how == "gone":
        tensors.unlink()
    else:
        about.write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "truncated or was changed"),
        ("changed", "truncated or was changed"),
        ("gone", "can't be read"),
        ("unknown", "not understood"),
    ],
)
def test_damaged_checkpoints_are_refused(how: str, words: str, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 16))
    damage(checkpoints_in(out / "checkpoints")[-1], how)
    with pytest.raises(InputError, match=words):
        train_gan(toy, out, training("dcgan", 32), resume=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits a file's size, which Windows can't")
def test_a_full_disk_leaves_the_checkpoint_before_intact(toy: Path, tmp_path: Path) -> None:
    import resource
    import signal

    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 16))
    first = load_checkpoint(out)
    before = sorted((out / "checkpoints").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # A file may not grow beyond 20 kB, which the tensors need more than: writing fails as on a
    # disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        about = first.about.model_copy(update={"numbers": first.about.numbers | {"images": 24}})
        with pytest.raises(RunFault, match="checkpoint can't be written") as caught:
            save_checkpoint(out / "checkpoints", first.tensors, about)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.exit_code == 4
    assert sorted((out / "checkpoints").iterdir()) == before
    again = load_checkpoint(out)
    assert not [k for k in first.tensors if not torch.equal(first.tensors[k], again.tensors[k])]


def test_about_survives_json() -> None:
    about = About(
        gan=TINY["stylegan2-ada"],
        size_px=32,
        pitch_um=6.0,
        classes=("a", "b"),
        label="unhealthy",
        trained_on=3,
        data_hash="0" * 64,
        seed=1,
        processes=1,
        numbers={"images": 3, "strength": {"p": 0.1 + 0.2}},
        versions={},
    )
    assert About.model_validate_json(about.model_dump_json()) == about


@pytest.mark.parametrize("share", [1, 2, 4])
def test_stream_shows_every_image_once_in_each_pass(share: int) -> None:
    images = np.zeros((16, 4, 4), np.uint8)
    images[:] = np.arange(16)[:, None, None]
    stream = ImageStream(images, np.arange(16), seed=1, mirror=False, grey=GreyScale())
    seen: list[int] = []
    for first in range(0, 48, 8):
        parts = [stream.batch(first + rank, 8 - rank, share) for rank in range(share)]
        seen += [int(label) for _, labels in parts for label in labels]
    for start in (0, 16, 32):
        assert sorted(seen[start : start + 16]) == list(range(16))
    assert seen[:16] != seen[16:32]


def test_stream_turns_and_mirrors() -> None:
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    grey = GreyScale()
    stream = ImageStream(images, np.zeros(1, np.int64), seed=1, mirror=True, grey=grey)
    batch, _ = stream.batch(0, 400)
    assert len({grey.to_grey(one).numpy().tobytes() for one in batch}) == 8


def test_stream_spreads_whole_levels_evenly() -> None:
    """What is given lies anywhere within half a level; the same place gives the same again."""
    grey = GreyScale()
    images = np.full((8, 16, 16), 163, np.uint8)
    stream = ImageStream(images, np.zeros(8, np.int64), seed=1, mirror=True, grey=grey)
    batch, _ = stream.batch(64, 8)
    within = np.sort(grey.to_levels(batch).numpy().ravel() - 163)
    even = np.linspace(-0.5, 0.5, within.size)
    assert np.abs(within - even).max() < 0.05
    assert torch.equal(batch, stream.batch(64, 8)[0])
    assert not torch.equal(batch, stream.batch(72, 8)[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"size_px": 60}, "networks are made for"), ({"condition": "phenotype"}, "no classes")],
)
def test_what_no_network_can_is_refused_at_once(
    changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        train_gan(tmp_path / "no data", tmp_path / "gan", training("dcgan", 16, **changes))
    assert not (tmp_path / "gan").exists()


def test_kid_is_against_the_whole_class_even_where_a_part_is_learnt(
    toy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gan"
    train_gan(toy, out, training("dcgan", 16, limit=10, kid_images=30))
    about = load_checkpoint(out).about
    assert about.trained_on == 10
    # As many are drawn as there are real ones to compare with: all thirty.
    picture = cv2.imread(str(out / "samples" / "images-000000016.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape[0] == 4 * 34 - 2
