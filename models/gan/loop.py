"""The loop of a training: steps, and between them evaluation, checkpoint, grid and metrics."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from models.features import Extractor
from models.gan.checkpoint import (
    About,
    best_in,
    checkpoints_in,
    images_of,
    load_checkpoint,
    mark_best,
    prune,
    save_checkpoint,
)
from models.gan.networks import Generator, Rng
from models.gan.records import METRICS_FILE, Records, write_grid
from models.gan.state import new_state
from models.gan.step import Stepper
from models.gan.stream import ImageStream
from models.gan.training import GanTraining, Outcome
from models.gan.training_data import RareClass
from models.quality_metrics import kid, spread
from sorter.errors import InputError, RunFault, UsageError

Progress = Callable[[int, int, str], None]
_GRID = 8


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Kernel distance and variety (as a share of the real images') at one time."""

    kid: float
    variety: float


class TrainingLoop:
    """One training: the loop, and what is done between steps.

    Args:
        out: the training's folder.
        training: how.
        rare: what is trained on.
        judged: (n, size, size) uint8 real images that drawn ones are measured against.
        extract: features that they are measured in.
        fabric: device and processes, launched.
        tell: progress.
        stop: asked after each step.
    """

    def __init__(
        self,
        out: Path,
        training: GanTraining,
        rare: RareClass,
        judged: NDArray[np.uint8],
        extract: Extractor,
        fabric: Fabric,
        tell: Progress,
        stop: Callable[[], bool],
    ) -> None:
        self._out, self._training, self._rare = out, training, rare
        self._extract, self._fabric, self._tell, self._stop = extract, fabric, tell, stop
        self._checkpoints = out / "checkpoints"
        recipe = training.gan.recipe
        if recipe.batch % fabric.world_size:
            raise UsageError(
                f"a batch of {recipe.batch} can't be shared by {fabric.world_size} processes",
                do="Choose a number of processes that divides it.",
            )
        self._state = new_state(
            training.gan, training.size_px, len(rare.names), training.seed, fabric.device
        )
        self._stepper = Stepper(recipe, training.size_px, fabric, training.seed)
        self._stream = ImageStream(
            rare.crops.images, rare.condition, training.seed, recipe.mirror, training.gan.grey
        )
        pick = np.random.default_rng(training.seed).permutation(len(judged))
        self._real = extract(judged[np.sort(pick[: training.kid_images])])
        self._busy_s, self._own_images = 0.0, 0

    def run(self, resume: bool) -> Outcome:
        """Steps until the end, whichever it is."""
        state, training = self._state, self._training
        if resume:
            self._restore()
        first_rank = self._fabric.global_rank == 0
        past = _past(self._out / METRICS_FILE, state.images)
        with Records(self._out, state.images) if first_rank else nullcontext() as records:
            if first_rank and not resume:
                shown = self._rare.crops.images[: _GRID * _GRID]
                (self._out / "samples").mkdir(exist_ok=True)
                write_grid(self._out / "samples" / "real.png", shown, _GRID)
            # A training that had ended doesn't go on because it is resumed.
            ended = "patience" if self._exhausted(past) else "images"
            while ended == "images" and state.images < training.images:
                told = self._stretch()
                stopped = bool(self._fabric.broadcast(self._stop()))
                past = self._between(told, records, past)
                if stopped:
                    ended = "stopped"
                elif self._exhausted(past):
                    ended = "patience"
        best = best_in(self._checkpoints)
        assert best is not None, "an evaluation marks the best"
        speed = self._own_images / self._busy_s if self._busy_s else 0.0
        return Outcome(ended, state.images, best[0], best[1], speed)

    def _exhausted(self, past: list[Evaluation]) -> bool:
        """Whether the last ``patience`` evaluations brought no better KID."""
        kids, patience = [one.kid for one in past], self._training.patience
        return 0 < patience < len(kids) and min(kids[-patience:]) >= min(kids[:-patience])

    def _stretch(self) -> dict[str, float]:
        """Steps up to the next checkpoint; mean of what they told."""
        sums: dict[str, list[Tensor]] = {}
        goal = self._training.next_stop(self._state.images)
        started = time.monotonic()
        before = self._state.images
        text = "training"
        while self._state.images < goal:
            self._one_step(sums)
            if self._state.steps % 20 == 0:
                rate = (self._state.images - before) / (time.monotonic() - started)
                text = f"{rate:.0f} images/s"
                self._check_finite(sums)
            self._tell(self._state.images, self._training.images, text)
            if self._fabric.world_size == 1 and self._stop():
                break
        self._check_finite(sums)
        self._busy_s += time.monotonic() - started
        self._own_images += self._state.images - before
        told = {name: float(torch.stack(values).mean()) for name, values in sums.items()}
        rate = (self._state.images - before) / (time.monotonic() - started)
        return told | {"images_per_s": rate, "ada_p": self._state.strength.p}

    def _one_step(self, sums: dict[str, list[Tensor]]) -> None:
        recipe, fabric = self._training.gan.recipe, self._fabric
        batches = []
        for i in range(recipe.discriminator_steps):
            first = self._state.images + i * recipe.batch + fabric.global_rank
            count = recipe.batch - fabric.global_rank
            real, label = self._stream.batch(first, count, fabric.world_size)
            batches.append((real.to(fabric.device), label.to(fabric.device)))
        for name, value in self._stepper.step(self._state, batches).items():
            sums.setdefault(name, []).append(value)

    def _check_finite(self, sums: dict[str, list[Tensor]]) -> None:
        latest = torch.stack([values[-1].float() for values in sums.values()])
        if not bool(torch.isfinite(latest).all()):
            raise self._diverged("a loss is not a number any more")

    def _between(
        self, told: dict[str, float], records: Records | None, past: list[Evaluation]
    ) -> list[Evaluation]:
        """Evaluation, checkpoint, grid, metrics: on the first process; the others wait."""
        if records is not None:
            drawn = self._drawn()
            features = self._extract(drawn)
            found = kid(self._real, features)
            variety = spread(features) / spread(self._real)
            told |= {"kid": found.value, "kid_error": found.error, "variety": variety}
            write_grid(
                self._out / "samples" / f"images-{self._state.images:09d}.png",
                drawn[: _GRID * _GRID],
                _GRID,
            )
            past = [*past, Evaluation(found.value, variety)]
            collapsed = _collapsed(past, self._training.collapse_share)
            if not collapsed:
                self._save(found.value)
            records.tell(self._state.images, told)
            self._tell(
                self._state.images,
                self._training.images,
                f"KID {found.value:.4f} ± {found.error:.4f}",
            )
            if collapsed:
                raise self._diverged(
                    f"the images are all alike (variety {variety:.1%} of the real ones')"
                )
        answer: list[Evaluation] = self._fabric.broadcast(past)
        return answer

    def _save(self, value: float) -> None:
        best = best_in(self._checkpoints)
        path = save_checkpoint(self._checkpoints, self._state.tensors(), self._about(value))
        if best is None or value < best[1] or not best[0].exists():
            mark_best(self._checkpoints, path, value)
            best = (path, value)
        prune(self._checkpoints, {best[0], self._early()})

    def _early(self) -> Path:
        """The checkpoint that was due at 1 %: the last until then, or else the first of all.

        The last until then, because a training that is resumed may have been made longer.
        """
        found, recipe = checkpoints_in(self._checkpoints), self._training.gan.recipe
        end = self._training.early() + recipe.batch * recipe.discriminator_steps
        due = [one for one in found if images_of(one) < end]
        return due[-1] if due else found[0]

    def _drawn(self) -> NDArray[np.uint8]:
        """Images of the averaged generator, always from the same random vectors."""
        count = len(self._real)
        label = torch.from_numpy(self._rare.condition)[
            torch.arange(count) * len(self._rare.crops) // count
        ]
        return draw(self._state.average, label, seed=self._training.seed)

    def _about(self, value: float) -> About:
        training, crops = self._training, self._rare.crops
        return About(
            gan=training.gan,
            size_px=training.size_px,
            pitch_um=crops.pitch_um,
            classes=self._rare.names,
            label=training.label,
            trained_on=len(crops),
            data_hash=crops.content_hash,
            seed=training.seed,
            processes=self._fabric.world_size,
            numbers=self._state.numbers(),
            kid=value,
            versions=_versions(),
        )

    def _restore(self) -> None:
        found = checkpoints_in(self._checkpoints)
        if not found:
            return  # stopped before the first checkpoint: from the start
        loaded = load_checkpoint(found[-1])
        for what, then, now in (
            ("data set", loaded.about.data_hash, self._rare.crops.content_hash),
            ("number of processes", loaded.about.processes, self._fabric.world_size),
        ):
            if then != now:
                raise InputError(
                    f"the training was started with another {what}",
                    on=loaded.path,
                    do="Resume as it was started, or start anew in another folder.",
                )
        self._state.restore(loaded.tensors, loaded.about.numbers)

    def _diverged(self, why: str) -> RunFault:
        best = best_in(self._checkpoints)
        kept = f"the best checkpoint is kept: {best[0]} (KID {best[1]:.4f})" if best else "none"
        return RunFault(
            f"the training has diverged after {self._state.images} images: {why}; {kept}",
            on=self._out,
            do="Use the best checkpoint, or train anew with lower rates or more images.",
        )


def draw(
    generator: Generator, label: Tensor, seed: int, truncation: float = 1.0, batch: int = 64
) -> NDArray[np.uint8]:
    """(n, size, size) uint8 images of a generator for (n,) labels."""
    device = next(generator.parameters()).device
    rng = Rng(device=device)
    rng.manual_seed(seed)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(label), batch):
            part = label[start : start + batch].to(device)
            latents = generator.sample_latents(part, rng, truncation)
            parts.append(generator.grey.to_grey(generator.draw(latents, rng))[:, 0].cpu().numpy())
    return np.concatenate(parts)


def _collapsed(past: list[Evaluation], share: float) -> bool:
    """Whether there was variety once, and now twice in a row there is none.

    At the start of a training all images are alike without anything being wrong.
    """
    had = any(one.variety > 2 * share for one in past[:-2])
    return had and all(one.variety < share for one in past[-2:])


def _past(file: Path, images: int) -> list[Evaluation]:
    """Evaluations of a training up to ``images``."""
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.endswith("}")]
    return [Evaluation(row["kid"], row["variety"]) for row in rows if row["images"] <= images]


def _versions() -> dict[str, str]:
    names = ("spheroid-sorter", "torch", "numpy", "lightning-fabric")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
