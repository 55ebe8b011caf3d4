"""A bundle: a model file with all that is needed to use and to trust it.

A folder with ``model.onnx`` and ``manifest.json``. The model takes ``crops``, uint8
(n, 1, size, size), and gives ``probabilities``, float32 (n, classes): preprocessing is inside.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.votes import DEFAULT_VOTES, VoteSettings
from sorter.errors import BundleError

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
DEFAULT_NAME = "default"
INPUT_NAME = "crops"
OUTPUT_NAME = "probabilities"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OperatingPoint(_Frozen):
    """A threshold on the vote's score, and what it gave on objects held out of training."""

    min_views: int = Field(ge=1, description="holds for objects with this many views or more")
    threshold: float = Field(
        ge=0, le=1, description="an object whose score reaches this is not healthy"
    )
    max_healthy_loss: float = Field(ge=0, le=1, description="the loss that was allowed")
    healthy_loss: float = Field(ge=0, le=1, description="share of the healthy at or above it")
    healthy_loss_interval: tuple[float, float] = Field(description="95 % Wilson interval")
    n_healthy: int = Field(ge=1, description="objects")
    recall: float = Field(ge=0, le=1, description="share of the unhealthy at or above it")
    recall_interval: tuple[float, float] = Field(description="95 % Wilson interval")
    n_unhealthy: int = Field(ge=1, description="objects")


class Manifest(_Frozen):
    """All that a bundle says of its model."""

    format_version: Literal[1] = 1
    name: str = Field(min_length=1)
    labels: tuple[str, ...] = Field(description="class names in the order of the output's columns")
    pitch_um: float = Field(gt=0, description="micrometres per pixel of a crop")
    size_px: int = Field(ge=8, description="height and width of a crop in pixels")
    background_level: int = Field(
        ge=1, le=255, description="grey level, 0 to 255, that a crop's background is scaled to"
    )
    preprocessing: str = Field(description="what is done to a crop before and inside the model")
    training_data_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256")
    command: str = Field(min_length=1, description="the commands that made this bundle")
    seed: int
    versions: dict[str, str] = Field(description="software versions at training")
    metrics: dict[str, Any] = Field(description="measured on runs held out of training")
    votes: VoteSettings = Field(default=DEFAULT_VOTES, description="how views are to vote")
    operating_points: tuple[OperatingPoint, ...] = Field(
        min_length=1, description="thresholds on the vote, ascending in min_views"
    )
    licence: str = Field(min_length=1)
    created: str = Field(min_length=10, description="date and time, ISO 8601, UTC")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the model file")

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels repeat: {self.labels}")
        if not {"healthy", "unhealthy"} <= set(self.labels):
            raise ValueError(f"labels must hold healthy and unhealthy, got {self.labels}")
        views = [point.min_views for point in self.operating_points]
        if views != sorted(set(views)):
            raise ValueError(f"operating points must ascend in min_views, got {views}")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were read and checked.

    Attributes:
        path: the folder it came from.
        manifest: what it says of itself.
        model: the bytes of the ONNX file, the very ones whose hash was checked.
    """

    path: Path
    manifest: Manifest
    model: bytes

    def operating_point(self, views: int) -> OperatingPoint:
        """The operating point for an object seen ``views`` times (1 or more).

        Fewer views than any point allows for get the one with the fewest; whether to decide on
        so few is the policy's choice.
        """
        points = self.manifest.operating_points
        fitting = [point for point in points if point.min_views <= views]
        return fitting[-1] if fitting else points[0]

    def check_fits(self, pitch_um: float, tolerance: float = 0.02) -> None:
        """Raise `BundleError` unless crops of ``pitch_um`` µm/px are what the model was fed."""
        own = self.manifest.pitch_um
        if abs(pitch_um / own - 1.0) > tolerance:
            raise BundleError(
                f"the model expects crops at {own:g} µm/px, but they come at {pitch_um:g} µm/px",
                on=self.path,
                do=f"Set the crops' pitch to {own:g} µm/px, or train a bundle at {pitch_um:g}.",
            )


def resolve_bundle(path: Path | str) -> Path:
    """The folder of a bundle; ``default`` is the one that ships with the package."""
    if str(path) == DEFAULT_NAME:
        return Path(str(files("models"))) / "bundles" / DEFAULT_NAME
    return Path(path)


def load_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle.

    Args:
        path: the bundle's folder, or ``default`` for the shipped one.

    Raises:
        BundleError: a file is missing, the manifest is not what this version understands, or the
            model's sha256 is not the manifest's.
    """
    folder = resolve_bundle(path)
    manifest = _read_manifest(folder / MANIFEST_FILE)
    model = _read(folder / MODEL_FILE)
    found = hashlib.sha256(model).hexdigest()
    if found != manifest.sha256:
        raise BundleError(
            f"the model's sha256 is {found[:12]}…, the manifest says {manifest.sha256[:12]}…",
            on=folder / MODEL_FILE,
            do="The file was changed or damaged: copy the bundle again from where it was trained.",
        )
    return Bundle(folder, manifest, model)


def save_bundle(folder: Path, model: bytes, manifest: Manifest) -> Path:
    """Write a bundle: all of it or nothing.

    Args:
        folder: where; must not exist yet (its parent is made).
        model: the ONNX file.
        manifest: its ``sha256`` must be the model's.

    Raises:
        BundleError: the folder exists, can't be written, or the hash is another model's.
    """
    if hashlib.sha256(model).hexdigest() != manifest.sha256:
        raise BundleError("the manifest is another model's", on=folder, do="Make it again.")
    refuse_existing(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            (scratch / MODEL_FILE).write_bytes(model)
            text = manifest.model_dump_json(indent=2) + "\n"
            (scratch / MANIFEST_FILE).write_text(text, encoding="utf-8")
            scratch.chmod(0o755)
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise BundleError(
            f"the bundle can't be written: {error}", on=folder, do="Check the disk and the path."
        ) from error
    return folder


def refuse_existing(folder: Path) -> None:
    """Raise `BundleError` when ``folder`` is there already: bundles are never overwritten."""
    if folder.exists():
        raise BundleError(
            "the bundle's folder exists already",
            on=folder,
            do="Name a new folder, or move the old one away: bundles are never overwritten.",
        )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"the bundle's {file.name} can't be read: {error.strerror}",
            on=file,
            do="Name a folder with model.onnx and manifest.json, or 'default'.",
        ) from error


def _read_manifest(file: Path) -> Manifest:
    text = _read(file)
    try:
        return Manifest.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise BundleError(
            f"the manifest's {key} is wrong: {first['msg']}",
            on=file,
            do="Use a bundle made by this version of `sorter train classifier`.",
        ) from error
    except ValueError as error:
        raise BundleError(
            f"the manifest is not JSON: {error}", on=file, do="Copy the bundle again."
        ) from error
