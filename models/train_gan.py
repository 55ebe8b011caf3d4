"""Trains a GAN on one class of a data set. Behind ``sorter train gan``.

In the folder of a training: ``training.json`` (settings), ``checkpoints/``, ``metrics.jsonl``,
``tensorboard/``, ``samples/`` (grids) and ``features/`` (the network that KID is measured in).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric

from models.dataset import load_crops
from models.features import load_features, save_features, train_features
from models.gan.loop import Progress, TrainingLoop
from models.gan.networks import doublings
from models.gan.training import GanTraining, Outcome
from models.gan.training_data import rare_class, resized
from sorter.errors import InputError, UsageError
from sorter.files import write_atomic

SETTINGS_FILE = "training.json"
# What may differ between a training and its continuation.
_FREE = {"images", "patience", "accelerator", "threads", "evaluate_every"}


def train_gan(
    data: Path,
    out: Path,
    training: GanTraining,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train, or go on with a training.

    On the same number of processes a training that was stopped and goes on gives what an
    uninterrupted one gives, on the CPU to the bit.

    Args:
        data: a data set (see `models.dataset`).
        out: the training's folder; must not hold one yet, unless ``resume``.
        training: how.
        resume: go on from the latest checkpoint in ``out``.
        progress: called with (images shown, images, what happened).
        stop: asked after each step; True ends the training with a checkpoint.

    Raises:
        InputError: the data or a checkpoint can't be used.
        UsageError: ``out`` holds a training already, or none to resume.
        RunFault: a full disk, or the training has diverged; the best checkpoint stays.
    """
    doublings(training.size_px)  # before anything takes long
    if training.gan.kind == "dcgan" and training.condition != "none":
        raise InputError("DCGAN knows no classes", on="--condition", do="Use another kind.")
    fabric = _fabric(training)
    tell = progress if progress and fabric.global_rank == 0 else (lambda done, total, text: None)
    _prepare(out, training, resume, fabric)
    tell(0, training.images, "reading the data set")
    crops = load_crops(data)
    choose = functools.partial(
        rare_class,
        crops,
        label=training.label,
        size_px=training.size_px,
        condition=training.condition,
        part=training.part,
        split_seed=training.split_seed,
    )
    rare = choose(limit=training.limit)
    # Quality is judged by all of the class: learning a few by heart must not look good.
    judged = choose().crops.images
    tell(0, training.images, "training the features that quality is measured in")
    with _threads(training.threads):
        if fabric.global_rank == 0 and not (out / "features").exists():
            whole = resized(crops, training.size_px)
            save_features(train_features(whole, training.features, training.seed), out / "features")
        fabric.barrier()
        extract = load_features(out / "features", fabric.device)
        del crops
        return TrainingLoop(out, training, rare, judged, extract, fabric, tell, stop).run(resume)


def _prepare(out: Path, training: GanTraining, resume: bool, fabric: Fabric) -> None:
    """Make the folder, or check that it holds this very training."""
    file = out / SETTINGS_FILE
    if resume:
        try:
            then = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                "there is no training to resume", on=out, do="Start one without --resume."
            ) from error
        now = training.model_dump(mode="json")
        changed = [key for key in now if key not in _FREE and then.get(key) != now[key]]
        if changed:
            raise InputError(
                f"the training was started with other settings: {', '.join(changed)}",
                on=file,
                do="Resume with the same options, or start anew in another folder.",
            )
    elif fabric.global_rank == 0:
        if file.exists():
            raise UsageError(
                "the folder holds a training already",
                on=out,
                do="Go on with --resume, or name another folder.",
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the folder can't be made: {error.strerror}", on=out, do="Name another one."
            ) from error
        write_atomic(file, training.model_dump_json(indent=2) + "\n")
    fabric.barrier()


def gpu_found() -> bool:
    """Whether there is a GPU to train on."""
    return torch.cuda.is_available()


def _fabric(training: GanTraining) -> Fabric:
    """Device and processes; `torchrun` says how many."""
    world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=training.accelerator,
        devices=world,
        num_nodes=nodes,
        strategy="ddp" if world * nodes > 1 else "auto",
        precision=training.precision,
    )
    fabric.launch()
    return fabric


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """CPU threads of torch for the block; what was before comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
