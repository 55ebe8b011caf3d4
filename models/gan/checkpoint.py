"""Checkpoints: a folder with ``state.safetensors`` and ``checkpoint.json``, whole or not at all.

Both are written to a folder with a temporary name, flushed, and the folder is renamed; so a full
disk or a power cut leaves the checkpoint before as it was. The JSON holds the tensors' hash: a
truncated file is noticed. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from models.gan.kinds import GanSettings
from sorter.errors import InputError, RunFault
from sorter.files import write_atomic

TENSORS_FILE, ABOUT_FILE = "state.safetensors", "checkpoint.json"
BEST_FILE = "best.json"
_PREFIX = "images-"


class About(BaseModel):
    """What a checkpoint says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[2] = 2
    gan: GanSettings
    size_px: int = Field(description="side of the images")
    pitch_um: float = Field(gt=0, description="micrometres per pixel of the images")
    classes: tuple[str, ...] = Field(min_length=1, description="names of the labels")
    label: str = Field(description="class that all images belong to: healthy, unhealthy, other")
    trained_on: int = Field(ge=1, description="different real images")
    data_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the data set")
    seed: int
    processes: int = Field(ge=1, description="that shared each batch")
    numbers: dict[str, Any] = Field(description="counters and the augmentation's strength")
    kid: float | None = Field(default=None, description="kernel distance at this checkpoint")
    versions: dict[str, str] = Field(description="software versions")
    sha256: str = Field(default="", description="of the tensors' file")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and whose hash was right."""

    path: Path
    about: About
    tensors: dict[str, Tensor]


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], about: About) -> Path:
    """Write a checkpoint into ``folder``, named by its image count.

    Raises:
        RunFault: the disk is full or failed; earlier checkpoints are as they were.
    """
    target = folder / f"{_PREFIX}{about.numbers['images']:09d}"
    data = safetensors.torch.save(tensors)
    about = about.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    scratch: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=folder))
        write_atomic(scratch / TENSORS_FILE, data)
        write_atomic(scratch / ABOUT_FILE, about.model_dump_json(indent=2) + "\n")
        scratch.chmod(0o755)
        if target.exists():  # a resumed training comes by the same count again
            shutil.rmtree(target)
        scratch.rename(target)
    except (OSError, RunFault) as error:
        raise RunFault(
            f"the checkpoint can't be written: {error}",
            on=target,
            do="Free disk space, then go on with --resume; earlier checkpoints are intact.",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint, or the best (else the latest) of a training's folder.

    Raises:
        InputError: there is none, it is truncated, or this version doesn't understand it.
    """
    path = _resolve(path)
    about = read_about(path)
    try:
        data = (path / TENSORS_FILE).read_bytes()
    except OSError as error:
        raise _unusable(path / TENSORS_FILE, f"can't be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != about.sha256:
        raise _unusable(path / TENSORS_FILE, "is truncated or was changed")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise _unusable(path / TENSORS_FILE, f"is damaged: {error}") from error
    return Checkpoint(path, about, tensors)


def read_about(path: Path) -> About:
    """What a checkpoint says of itself, without its tensors.

    Raises:
        InputError: it is missing or this version doesn't understand it.
    """
    try:
        return About.model_validate_json((path / ABOUT_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(path / ABOUT_FILE, f"can't be read: {error.strerror}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        detail = (
            str(error).splitlines()[-2:] if isinstance(error, ValidationError) else [str(error)]
        )
        raise _unusable(path / ABOUT_FILE, f"is not understood: {' '.join(detail)}") from error


def checkpoints_in(folder: Path) -> list[Path]:
    """All checkpoints of a training, the earliest first."""
    return sorted(one for one in folder.glob(f"{_PREFIX}*") if (one / ABOUT_FILE).is_file())


def images_of(checkpoint: Path) -> int:
    """Image count that a checkpoint's folder is named by."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def mark_best(folder: Path, checkpoint: Path, kid: float) -> None:
    """Write down which checkpoint is the best one so far."""
    write_atomic(folder / BEST_FILE, json.dumps({"checkpoint": checkpoint.name, "kid": kid}) + "\n")


def best_in(folder: Path) -> tuple[Path, float] | None:
    """The best checkpoint and its kernel distance, where one was marked."""
    try:
        found = json.loads((folder / BEST_FILE).read_text(encoding="utf-8"))
        return folder / str(found["checkpoint"]), float(found["kid"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(folder / BEST_FILE, f"is not understood: {error}") from error


def prune(folder: Path, keep: set[Path], latest: int = 2) -> None:
    """Remove all checkpoints but the latest ones and those in ``keep``."""
    for one in checkpoints_in(folder)[:-latest]:
        if one not in keep:
            shutil.rmtree(one)


def _resolve(path: Path) -> Path:
    """A checkpoint's folder from itself, a training's folder or its ``checkpoints``."""
    if (path / ABOUT_FILE).exists():
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = best_in(folder)
    if best is not None:
        return best[0]
    found = checkpoints_in(folder)
    if not found:
        raise InputError(
            "there is no checkpoint",
            on=path,
            do="Name the folder of a training (`sorter train gan --out`) or one checkpoint.",
        )
    return found[-1]


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        f"a file of the checkpoint {why}",
        on=path,
        do="Use another checkpoint of the same training; each stands for itself.",
    )
