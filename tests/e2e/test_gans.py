"""The commands about GANs, data sets and reviews, in processes of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from models.dataset import load_crops
from models.gan.checkpoint import checkpoints_in, load_checkpoint
from tests.e2e.commands import ENVIRONMENT, answer, left_behind, running, sorter
from tests.models.gans import training
from tests.models.toy import draw, write_table, write_toy

SHORT = (
    *("--size", "32", "--preset", "cpu", "--threads", "1", "--evaluate-every", "64"),
    *("--feature-crops", "640"),
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "data"
    write_toy(folder, objects=270, views=1, size=32)
    return folder


@pytest.fixture(scope="module")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCGAN from the command itself: trained, stopped at its end, gone on with."""
    out = tmp_path_factory.mktemp("gan") / "dcgan"
    command = ("train", "gan", "--kind", "dcgan", "--data", toy, "--out", out, *SHORT)
    told = answer(*command, "--images", "128")
    assert (told["images"], told["ended"]) == (128, "images")
    told = answer(*command, "--images", "192", "--resume")
    assert told["images"] == 192
    assert Path(told["best"]).parent == out / "checkpoints"
    return out


def test_drawing_judging_exporting(trained: Path, toy: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    manifest = answer(
        *("synthesize", "--checkpoint", trained, "--n", "50", "--out", drawn, "--seed", "1")
    )
    assert manifest["kind"] == "dcgan"
    assert len(load_crops(drawn)) == 50
    figures = answer(
        *("gan", "quality", "--checkpoint", trained, "--data", toy, "--out", tmp_path / "q"),
        *("--n", "60", "--shown", "640"),
    )
    assert figures["drawn"] == 60
    told = answer(*("gan", "export", "--checkpoint", trained, "--out", tmp_path / "generator.onnx"))
    assert Path(told["file"]).stat().st_size == told["bytes"]
    # What was drawn can be looked at, and shown to a reviewer beside the real.
    assert answer("dataset", "show", drawn)["labels"]["unhealthy"] == 50
    review = tmp_path / "review"
    asked = subprocess.run(
        [*_command("review", review, "--blinded", "--real", toy, "--synthetic", drawn),
         "--n", "6", "--reviewer", "AB"],
        input="r\ns\nx\nr\nr\ns\ns\n", text=True, capture_output=True, env=ENVIRONMENT,
        encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "exact 95 % interval" in asked.stdout
    assert "synthetic" not in re.sub(r"\[s\]ynthetic", "", asked.stderr)
    results = answer("review", review, "--blinded", "--results")
    assert results["answers"] == 6
    assert results["results"]["AB"]["accuracy"]["n"] == 6


def _command(*arguments: str | Path) -> list[str]:
    from tests.e2e.commands import COMMAND

    return [COMMAND, *map(str, arguments)]


def test_ctrl_c_leaves_a_checkpoint(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan"
    command = ("train", "gan", "--kind", "dcgan", "--data", toy, "--out", out, *SHORT)
    with running(*command, "--images", "10000000") as training_:
        metrics = out / "metrics.jsonl"
        while not (metrics.exists() and metrics.read_text("utf-8").count("\n") >= 1):
            assert training_.process.poll() is None
        training_.interrupt()
        assert training_.end() == 130
    assert "go on with --resume" in training_.said
    assert checkpoints_in(out / "checkpoints")
    assert not left_behind(out / "checkpoints")


@dataclass(frozen=True)
class Bad:
    """A command that can't work, and what is said of it."""

    name: str
    arguments: Callable[[Path, Path, Path], tuple[str | Path, ...]]
    code: int
    words: str


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def _emptied(toy: Path, work: Path) -> tuple[str | Path, ...]:
    data = _copy(toy, work / "data")
    _keep(data, 0)
    return ("train", "gan", "--kind", "dcgan", "--data", data, "--out", work / "x", *SHORT)


def _one_image(toy: Path, work: Path) -> tuple[str | Path, ...]:
    data = _copy(toy, work / "data")
    _keep(data, 1)
    return ("train", "gan", "--kind", "biggan", "--data", data, "--out", work / "x", *SHORT)


def _keep(data: Path, sick: int) -> None:
    names, *lines = (data / "labels.csv").read_text("utf-8").splitlines()
    rows = [dict(zip(names.split(","), one.split(","), strict=True)) for one in lines]
    unhealthy = [row for row in rows if row["label"] == "unhealthy"]
    write_table(data, [row for row in rows if row not in unhealthy] + unhealthy[:sick])


def _corrupt(toy: Path, work: Path) -> tuple[str | Path, ...]:
    data = _copy(toy, work / "data")
    next((data / "images").iterdir()).write_bytes(b"no picture")
    return ("train", "gan", "--kind", "dcgan", "--data", data, "--out", work / "x", *SHORT)


def _mixed(toy: Path, work: Path) -> tuple[str | Path, ...]:
    data = _copy(toy, work / "data")
    image = draw("ring", 48, np.random.default_rng(0))
    cv2.imwrite(str(next((data / "images").iterdir())), image)
    return ("train", "gan", "--kind", "dcgan", "--data", data, "--out", work / "x", *SHORT)


def _other_kind(trained: Path, toy: Path, work: Path) -> tuple[str | Path, ...]:
    out = _copy(trained, work / "gan")
    return (
        *("train", "gan", "--kind", "biggan", "--data", toy, "--out", out, *SHORT),
        "--resume",
    )


def _truncated(trained: Path, toy: Path, work: Path) -> tuple[str | Path, ...]:
    out = _copy(trained, work / "gan")
    for one in checkpoints_in(out / "checkpoints"):
        file = one / "state.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
    return ("synthesize", "--checkpoint", out, "--n", "3", "--out", work / "x")


BAD = [
    Bad("an empty class", lambda g, t, w: _emptied(t, w), 2, "has no image"),
    Bad("one image", lambda g, t, w: _one_image(t, w), 2, r"has 1 image\(s\)"),
    Bad("a corrupt file", lambda g, t, w: _corrupt(t, w), 2, "corrupt"),
    Bad("mixed sizes", lambda g, t, w: _mixed(t, w), 2, "mixed sizes"),
    Bad("another kind", _other_kind, 2, "other settings: gan"),
    Bad("a truncated checkpoint", _truncated, 2, "truncated or was changed"),
    Bad(
        "a size that no network has",
        lambda g, t, w: (
            *("train", "gan", "--kind", "dcgan", "--data", t, "--out", w / "x"),
            *("--size", "60"),
        ),
        2,
        "networks are made for",
    ),
    Bad(
        "no checkpoint",
        lambda g, t, w: ("gan", "export", "--checkpoint", w, "--out", w / "x"),
        2,
        "there is no checkpoint",
    ),
    Bad(
        "a setting out of range",
        lambda g, t, w: (
            *("train", "gan", "--kind", "dcgan", "--data", t, "--out", w / "x", *SHORT),
            *("--precision", "64"),
        ),
        2,
        "--precision",
    ),
    Bad(
        "folders without classes",
        lambda g, t, w: ("dataset", "import", w / "x", "--folders", t),
        2,
        "no folder of a class",
    ),
    Bad(
        "a review of nothing",
        lambda g, t, w: ("review", w / "x", "--blinded", "--reviewer", "AB"),
        2,
        "needs crops",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input(bad: Bad, trained: Path, toy: Path, tmp_path: Path) -> None:
    done = sorter(*bad.arguments(trained, toy, tmp_path))
    assert done.returncode == bad.code, done.stderr
    assert re.search(bad.words, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x" / "checkpoints").exists()


def test_a_full_disk_ends_the_training_and_leaves_what_was(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits a file's size, which Windows can't")
    out = _copy(trained, tmp_path / "gan")
    before = load_checkpoint(checkpoints_in(out / "checkpoints")[-1])
    limit = before.path.joinpath("state.safetensors").stat().st_size // 2

    def small_files() -> None:
        import signal

        # Python ignores the signal already; a write beyond the limit fails like on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    done = subprocess.run(
        _command(
            *("train", "gan", "--kind", "dcgan", "--data", toy, "--out", out, *SHORT),
            *("--images", "640", "--resume"),
        ),
        capture_output=True, text=True, encoding="utf-8", env=ENVIRONMENT, timeout=120,
        check=False, preexec_fn=small_files,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "checkpoint can't be written" in done.stderr
    after = load_checkpoint(checkpoints_in(out / "checkpoints")[-1])
    assert after.path == before.path
    assert not [k for k in before.tensors if not torch.equal(before.tensors[k], after.tensors[k])]
    assert not left_behind(out / "checkpoints")


_TWO = """
import sys
from pathlib import Path
import safetensors.torch
from lightning_fabric import Fabric
from models.gan.loop import TrainingLoop
from models.gan.training import GanTraining
from models.train_gan import train_gan

states = []
run = TrainingLoop.run
def noted(self, resume):
    states.append((self._state, self._fabric.global_rank))
    return run(self, resume)
TrainingLoop.run = noted
training = GanTraining.model_validate_json(Path(sys.argv[3]).read_text())
train_gan(Path(sys.argv[1]), Path(sys.argv[2]), training, resume=sys.argv[4] == "resume")
(state, rank), = states
data = safetensors.torch.save(state.tensors())
Path(sys.argv[2]).with_name(f"rank{rank}.safetensors").write_bytes(data)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows lacks its store")
def test_two_processes_stay_the_same_and_go_on(toy: Path, tmp_path: Path) -> None:
    """Each sees its own half of a batch, yet all weights and averages stay the same."""
    script, settings = tmp_path / "two.py", tmp_path / "settings.json"
    script.write_text(_TWO, encoding="utf-8")
    for how, images in (("new", 32), ("resume", 64)):
        asked = training("stylegan2-ada", images, evaluate_every=16)
        settings.write_text(asked.model_dump_json(), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
             "--standalone", str(script), str(toy), str(tmp_path / "two"), str(settings), how],
            capture_output=True, text=True, timeout=240, check=False,
            env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    kept = load_checkpoint(checkpoints_in(tmp_path / "two" / "checkpoints")[-1])
    assert (kept.about.processes, kept.about.numbers["images"]) == (2, 64)
    lines = (tmp_path / "two" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(one)["images"] for one in lines] == [8, 16, 32, 48, 64]
    ranks = [safetensors.torch.load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1)]
    for found in (ranks[1], kept.tensors):
        assert not [name for name in ranks[0] if not torch.equal(ranks[0][name], found[name])]
