"""Draws a data set from a checkpoint. Behind ``sorter synthesize``.

What is written reads like any data set, and says of each image that it is synthetic; the manifest
says what drew it.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.dataset import LABELS_FILE, load_crops
from models.features import Extractor, load_features
from models.gan.checkpoint import About, Checkpoint, load_checkpoint
from models.gan.kinds import build
from models.gan.loop import draw
from models.gan.networks import Generator
from models.gan.records import png
from models.gan.training_data import rare_class
from models.quality_metrics import nearest, nearest_other
from sorter.errors import InputError, RunFault, UsageError

MANIFEST_FILE = "manifest.json"
Progress = Callable[[int, int, str], None]
_COLUMNS = (
    *("id", "file", "label", "phenotype", "severity", "pitch_um", "run", "object"),
    "synthetic",
)
_CHUNK = 256


class FilterSettings(BaseModel):
    """What an image must pass to be kept; measured in the training's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain_percentile: float = Field(
        default=99.0, gt=0, le=100,
        description="its distance to the nearest real image may be at most this percentile of the "
        "distances among real images",
    )  # fmt: skip
    copy_percentile: float = Field(
        default=1.0, ge=0, lt=100,
        description="… and at least this percentile: what is nearer is a near-copy",
    )  # fmt: skip
    twin_percentile: float = Field(
        default=1.0, ge=0, lt=100,
        description="the same for its distance to images kept before: variety",
    )  # fmt: skip
    give_up_after: int = Field(default=20, ge=1, description="images drawn for each that is wanted")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Images, the condition that each was drawn for, and how many were thrown away for what."""

    images: NDArray[np.uint8]
    condition: NDArray[np.int64]
    rejected: dict[str, int]


def load_generator(checkpoint: Checkpoint) -> Generator:
    """The averaged generator of a checkpoint, in evaluation mode, on the CPU.

    Raises:
        InputError: the tensors are another network's.
    """
    about = checkpoint.about
    generator, _ = build(about.gan, about.size_px, len(about.classes))
    weights = {
        name.removeprefix("average/"): one
        for name, one in checkpoint.tensors.items()
        if name.startswith("average/")
    }
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint doesn't hold a {about.gan.kind} generator of {about.size_px} px",
            on=checkpoint.path,
            do="Use the checkpoint as `sorter train gan` wrote it.",
        ) from error
    return generator.eval().requires_grad_(False)


def synthesize(
    checkpoint: Path,
    out: Path,
    n: int,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    condition: str | None = None,
    filtering: FilterSettings | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write ``n`` drawn images as a data set.

    Args:
        checkpoint: a training's folder (its best is used) or one checkpoint.
        out: new folder.
        n: images.
        seed: of everything random; the same seed and checkpoint give the same bytes.
        truncation: in (0, 1]; below 1 less variety, fewer odd images.
        condition: class to ask for; None: all, in turn.
        filtering: keep only what passes; needs ``data``.
        data: the data set that was trained on.
        progress: called with (done, n, what).

    Returns:
        The manifest.

    Raises:
        InputError: the checkpoint or the data can't be used, or too little passes the filter.
        UsageError: ``out`` exists, or the filter lacks the data.
        RunFault: a full disk.
    """
    if out.exists():
        raise UsageError("the folder exists already", on=out, do="Name a new one.")
    if filtering is not None and data is None:
        raise UsageError("a filter needs the training data", on="--data", do="Name it.")
    loaded = load_checkpoint(checkpoint)
    about = loaded.about
    if condition is not None and condition not in about.classes:
        raise UsageError(
            f"the generator knows no {condition}", on="--condition", do=", ".join(about.classes)
        )
    tell = progress or (lambda done, total, text: None)
    asked = [about.classes.index(condition)] if condition else list(range(len(about.classes)))
    generator = load_generator(loaded)
    judge = None
    if filtering is not None and data is not None:
        judge = _Judge(loaded, _features_of(loaded.path), data, filtering)
    drawn = _draw(generator, n, asked, seed, truncation, judge, tell)
    manifest = _manifest(loaded, n, seed, truncation, condition, filtering, drawn)
    _write(out, drawn, about, manifest, seed)
    return manifest


class _Judge:
    """Keeps what is in the domain, no near-copy of a training image, and no twin."""

    def __init__(
        self, loaded: Checkpoint, extract: Extractor, data: Path, settings: FilterSettings
    ) -> None:
        about = loaded.about
        crops = load_crops(data)
        if crops.content_hash != about.data_hash:
            raise InputError(
                "this is not the data set that the checkpoint was trained on",
                on=data,
                do="Name the one that was given to `sorter train gan --data`.",
            )
        rare = rare_class(crops, label=about.label, size_px=about.size_px)
        self._extract = extract
        self._real = extract(rare.crops.images)
        own = nearest_other(self._real)
        self._far, self._near, self._twin = (
            float(np.percentile(own, p))
            for p in (
                settings.domain_percentile,
                settings.copy_percentile,
                settings.twin_percentile,
            )
        )
        self._kept = np.empty((0, self._real.shape[1]), np.float32)
        self.give_up_after = settings.give_up_after
        self.rejected = {"out of the domain": 0, "near-copy": 0, "twin": 0}

    def passes(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) which images are kept."""
        features = self._extract(images)
        distance, _ = nearest(features, self._real)
        good = np.zeros(len(images), np.bool_)
        for i, one in enumerate(features):
            if distance[i] > self._far:
                self.rejected["out of the domain"] += 1
            elif distance[i] < self._near:
                self.rejected["near-copy"] += 1
            elif len(self._kept) and np.linalg.norm(self._kept - one, axis=1).min() < self._twin:
                self.rejected["twin"] += 1
            else:
                good[i] = True
                self._kept = np.concatenate([self._kept, one[None]])
        return good


def _draw(
    generator: Generator,
    n: int,
    asked: list[int],
    seed: int,
    truncation: float,
    judge: _Judge | None,
    tell: Progress,
) -> Drawn:
    kept: list[NDArray[np.uint8]] = []
    conditions: list[NDArray[np.int64]] = []
    done, tried = 0, 0
    while done < n:
        if judge is not None and tried > judge.give_up_after * n:
            raise InputError(
                f"of {tried} images drawn only {done} passed the filter: {judge.rejected}",
                on="--filter",
                do="Train for longer or on more images, or draw without the filter.",
            )
        count = _CHUNK if judge is not None else min(_CHUNK, n - done)
        condition = np.array(asked, np.int64)[np.arange(tried, tried + count) % len(asked)]
        # Each chunk has a seed of its own: what passes before doesn't move what comes.
        images = draw(generator, torch.from_numpy(condition), seed * 1_000_003 + tried, truncation)
        tried += count
        if judge is not None:
            good = judge.passes(images)
            images, condition = images[good], condition[good]
        kept.append(images[: n - done])
        conditions.append(condition[: n - done])
        done += len(kept[-1])
        tell(done, n, "drawing")
    rejected = judge.rejected if judge is not None else {}
    return Drawn(np.concatenate(kept), np.concatenate(conditions), rejected)


def _features_of(checkpoint: Path) -> Extractor:
    """The feature network of the training that a checkpoint belongs to."""
    return load_features(checkpoint.parent.parent / "features")


def _manifest(
    loaded: Checkpoint,
    n: int,
    seed: int,
    truncation: float,
    condition: str | None,
    filtering: FilterSettings | None,
    drawn: Drawn,
) -> dict[str, Any]:
    about = loaded.about
    return {
        "format_version": 1,
        "synthetic": True,
        "images": n,
        "kind": about.gan.kind,
        "checkpoint": loaded.path.name,
        "checkpoint_sha256": about.sha256,
        "training_data_hash": about.data_hash,
        "trained_on": about.trained_on,
        "images_shown": about.numbers["images"],
        "kid": about.kid,
        "seed": seed,
        "truncation": truncation,
        "label": about.label,
        "condition": condition,
        "classes": list(about.classes),
        "filter": filtering.model_dump() if filtering else None,
        "rejected": drawn.rejected,
        "versions": about.versions,
    }


def _write(out: Path, drawn: Drawn, about: About, manifest: dict[str, Any], seed: int) -> None:
    run = f"synthetic-{about.sha256[:8]}-{seed}"
    scratch: Path | None = None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
        (scratch / "images").mkdir()
        with (scratch / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            for i, (image, which) in enumerate(zip(drawn.images, drawn.condition, strict=True)):
                name = f"{run}-{i:06d}"
                (scratch / "images" / f"{name}.png").write_bytes(png(image))
                phenotype = about.classes[which] if len(about.classes) > 1 else "synthetic"
                where, pitch = f"images/{name}.png", about.pitch_um
                writer.writerow((name, where, about.label, phenotype, "", pitch, run, name, "1"))
        text = json.dumps(manifest, indent=2) + "\n"
        (scratch / MANIFEST_FILE).write_text(text, encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(out)
    except OSError as error:
        raise RunFault(
            f"the data set can't be written: {error.strerror or error}",
            on=out,
            do="Free disk space or choose another folder; nothing was left behind.",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
