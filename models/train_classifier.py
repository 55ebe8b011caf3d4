"""Trains the classifier on a data set and writes a bundle. Behind ``sorter train classifier``."""

from __future__ import annotations

import copy
import hashlib
import math
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.augment import AugmentSettings, augment
from models.bundle import Manifest, OperatingPoint, refuse_existing, save_bundle
from models.classifier import ExportedNet, NetSettings, SpheroidNet, preprocessing_text
from models.dataset import LABELS, CropSet, Split, load_crops, split_by_run
from models.evaluate import evaluate
from models.export import export_onnx
from models.votes import DEFAULT_VOTES, VoteSettings
from sorter.errors import InputError, RunFault

Progress = Callable[[int, int, str], None]
_EVAL_BATCH = 512


class TrainSettings(BaseModel):
    """How the classifier is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="spheroids", min_length=1, description="the bundle's name")
    epochs: int = Field(default=16, ge=1, description="passes over the training crops")
    batch: int = Field(default=128, ge=2, description="crops in a step")
    learning_rate: float = Field(default=3e-3, gt=0, description="AdamW's, at its highest")
    weight_decay: float = Field(default=0.02, ge=0, description="AdamW's")
    warm_up_share: float = Field(default=0.05, ge=0, lt=1, description="share of steps to warm up")
    label_smoothing: float = Field(default=0.02, ge=0, lt=0.5, description="taken off the truth")
    ema_decay: float = Field(
        default=0.998, ge=0, lt=1, description="of the averaged weights that are kept; 0 for none"
    )
    threads: int = Field(default=2, ge=1, description="CPU threads of torch")
    shares: tuple[float, float, float] = Field(
        default=(0.6, 0.2, 0.2), description="of the crops for training, validation, test"
    )
    max_healthy_loss: float = Field(
        default=0.02, gt=0, lt=0.5, description="share of the healthy that may be lost"
    )
    views: tuple[int, ...] = Field(
        default=(1, 4, 8, 12), min_length=1, description="view counts to choose thresholds for"
    )
    background_level: int = Field(default=160, ge=1, le=255, description="of the crops; grey level")
    licence: str = Field(default="BSD-3-Clause", min_length=1, description="of the bundle")
    command: str = Field(
        default="", description="the commands that make this bundle, for the manifest"
    )
    net: NetSettings = NetSettings()
    augment: AugmentSettings = AugmentSettings()
    votes: VoteSettings = DEFAULT_VOTES


@dataclass(frozen=True, slots=True)
class Trained:
    """The network of the best epoch, calibrated."""

    model: ExportedNet
    epoch: int
    val_loss: float


def train_classifier(
    data: Path,
    out: Path,
    settings: TrainSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Train, calibrate, export, measure, and write a bundle.

    The same data, settings, seed, thread count and torch give the same model.

    Args:
        data: a data set (see `models.dataset`).
        out: the bundle's folder; must not exist yet.
        settings: how.
        seed: of split, weights, order and augmentation.
        progress: called with (epochs done, epochs, what happened).

    Returns:
        The bundle's folder.

    Raises:
        InputError: the data set can't be used.
        BundleError: ``out`` exists, or can't be written.
        CheckFailed: the exported model is not the trained one.
    """
    settings = settings or TrainSettings()
    tell = progress or (lambda done, total, text: None)
    refuse_existing(out)
    tell(0, settings.epochs, "reading the data set")
    crops = load_crops(data)
    split = split_by_run(crops, settings.shares, seed)
    with _torch_set_up(settings.threads, seed):
        trained = fit(crops, split, settings, seed, tell)
        sample = crops.images[split.val[np.linspace(0, len(split.val) - 1, 64).astype(int)]]
        model = export_onnx(trained.model, sample)
        points, metrics = evaluate(
            predict_all(trained.model, crops.images[split.val]),
            predict_all(trained.model, crops.images[split.test]),
            crops.subset(split.val),
            crops.subset(split.test),
            views=settings.views,
            max_healthy_loss=settings.max_healthy_loss,
            votes=settings.votes,
        )
    metrics["training"] = {
        "crops": [len(split.train), len(split.val), len(split.test)],
        "runs": [len(set(crops.run[i])) for i in (split.train, split.val, split.test)],
        "best_epoch": trained.epoch,
        "temperature": trained.model.temperature,
        "settings": settings.model_dump(exclude={"command"}, mode="json"),
    }
    command = settings.command or f"sorter train classifier --data {data} --seed {seed}"
    return save_bundle(
        out, model, _manifest(crops, settings, seed, command, model, points, metrics)
    )


def _manifest(
    crops: CropSet,
    settings: TrainSettings,
    seed: int,
    command: str,
    model: bytes,
    points: tuple[OperatingPoint, ...],
    metrics: dict[str, Any],
) -> Manifest:
    return Manifest(
        name=settings.name,
        labels=LABELS,
        pitch_um=crops.pitch_um,
        size_px=crops.size_px,
        background_level=settings.background_level,
        preprocessing=preprocessing_text(settings.background_level),
        training_data_hash=crops.content_hash,
        command=command,
        seed=seed,
        versions=_versions(),
        metrics=metrics,
        votes=settings.votes,
        operating_points=points,
        licence=settings.licence,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sha256=hashlib.sha256(model).hexdigest(),
    )


def fit(
    crops: CropSet, split: Split, settings: TrainSettings, seed: int, tell: Progress
) -> Trained:
    """Train and keep the epoch with the lowest validation loss, then set its temperature.

    Raises:
        InputError: fewer training crops than a batch.
        RunFault: the loss became infinite.
    """
    if len(split.train) < settings.batch:
        raise InputError(
            f"{len(split.train)} training crops are fewer than a batch of {settings.batch}",
            on="data set",
            do="Add crops or lower the batch.",
        )
    generator = torch.Generator().manual_seed(seed)
    net = SpheroidNet(len(LABELS), settings.background_level, settings.net)
    # Depthwise convolutions train twice as fast on a CPU with the channels last in memory.
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean_net = copy.deepcopy(net)
    images = torch.from_numpy(crops.images)[:, None]
    label = torch.from_numpy(crops.label)
    weight = class_weights(crops.label[split.train])
    steps = settings.epochs * (len(split.train) // settings.batch)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate(step, steps, settings.warm_up_share)
    )
    best: tuple[float, int, SpheroidNet] | None = None
    done = 0
    for epoch in range(1, settings.epochs + 1):
        net.train()
        for index in _batches(split.train, settings.batch, generator):
            batch = augment(
                images[index].float(), settings.background_level, settings.augment, generator
            )
            loss = functional.cross_entropy(
                net(batch), label[index], weight, label_smoothing=settings.label_smoothing
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            done += 1
            _follow(mean_net, net, settings.ema_decay, done)
        val = _loss(mean_net, crops, split.val, weight)
        if not math.isfinite(val):
            raise RunFault("the loss is not finite", on=f"epoch {epoch}", do="Lower the rate.")
        if best is None or val < best[0]:
            best = (val, epoch, copy.deepcopy(mean_net))
        tell(epoch, settings.epochs, f"validation loss {val:.4f}, best {best[0]:.4f}")
    assert best is not None
    temperature = fit_temperature(_logits(best[2], crops.images[split.val]), label[split.val])
    return Trained(ExportedNet(best[2], temperature), best[1], best[0])


def class_weights(label: NDArray[np.int64]) -> Tensor:
    """(classes,) weights that make every class that occurs count the same, mean 1 over crops."""
    counts = np.bincount(label, minlength=len(LABELS)).astype(np.float64)
    present = counts > 0
    weight = np.zeros(len(LABELS))
    weight[present] = len(label) / (present.sum() * counts[present])
    return torch.from_numpy(weight.astype(np.float32))


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """The temperature with the lowest loss (Guo et al. 2017), searched on 0.25 to 8."""
    grid = torch.logspace(-2, 3, 201, base=2.0)
    losses = torch.stack([functional.cross_entropy(logits / t, label) for t in grid])
    return float(grid[int(torch.argmin(losses))])


def predict_all(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, classes) output of a model for (n, size, size) uint8 crops."""
    model.eval()
    with torch.inference_mode():
        parts = [
            model(torch.from_numpy(images[i : i + _EVAL_BATCH])[:, None])
            for i in range(0, len(images), _EVAL_BATCH)
        ]
    return torch.cat(parts).numpy()


def _logits(net: SpheroidNet, images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(predict_all(net, images))


def _loss(net: SpheroidNet, crops: CropSet, index: NDArray[np.intp], weight: Tensor) -> float:
    logits = _logits(net, crops.images[index])
    label = torch.from_numpy(crops.label[index])
    return float(functional.cross_entropy(logits, label, weight))


def _batches(index: NDArray[np.intp], batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Whole batches in a new order; the rest waits for the next epoch."""
    order = torch.from_numpy(index)[torch.randperm(len(index), generator=generator)]
    for start in range(0, len(order) - batch + 1, batch):
        yield order[start : start + batch]


def _rate(step: int, steps: int, warm_up_share: float) -> float:
    """Linear warm-up, then a cosine to nothing (Loshchilov & Hutter 2017)."""
    warm_up = warm_up_share * steps
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1.0, steps - warm_up)))


@torch.no_grad()
def _follow(mean_net: SpheroidNet, net: SpheroidNet, decay: float, step: int) -> None:
    """Moving average of weights and statistics, shorter at the start."""
    share = 1 - min(decay, step / (step + 10))
    for mean, new in zip(mean_net.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(new, share)
        else:
            mean.copy_(new)


@contextmanager
def _torch_set_up(threads: int, seed: int) -> Iterator[None]:
    """Threads and global random state of torch for the block; what was before comes back."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _versions() -> dict[str, str]:
    names = ("spheroid-sorter", "torch", "onnx", "numpy", "opencv-python")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
