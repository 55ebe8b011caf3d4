"""Brings labelled images in as a data set. Behind ``sorter dataset import``.

Images come as folders by class (``healthy/…``, ``unhealthy/…``, ``other/…``; a folder below is a
run) or as a table (CSV) with at least the columns file and label. Any size, 8 or 16 bit, grey or
colour. Each is scaled to one pitch, cut or padded to one square, divided by its background and
multiplied by the level that the sorter's own crops have.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.dataset import LABELS, LABELS_FILE
from sorter.errors import InputError, RunFault, UsageError

Image = NDArray[np.uint8] | NDArray[np.uint16]
Progress = Callable[[int, int, str], None]
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
NOTES = ("donor", "plate", "day")
COLUMNS = (
    *("id", "file", "label", "phenotype", "severity", "pitch_um", "run", "object", "diameter_um"),
    *NOTES,
    "source",
)


class ImportSettings(BaseModel):
    """What imported crops look like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(default=64, ge=16, le=512, description="side of a crop, px")
    pitch_um: float = Field(default=6.0, gt=0, description="of the crops, µm/px")
    source_pitch_um: float | None = Field(
        default=None, gt=0, description="of the images, where the table doesn't say; µm/px"
    )
    normalise: bool = Field(default=True, description="divide by the background")
    level: int = Field(default=160, ge=1, le=255, description="grey of the background, of 255")
    bits: int = Field(default=8, description="of the written files: 8 or 16")
    run: str = Field(default="imported", min_length=1, description="where nothing says which run")
    group_by: str = Field(
        default="run", description="column that must not be split: run, donor, plate or day"
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to bring in, with what is known of it."""

    file: Path
    label: str
    known: dict[str, str] = field(default_factory=dict)


def entries_from_folders(folder: Path) -> list[Entry]:
    """Images in folders named as the classes; a folder below one names the run.

    Raises:
        InputError: no folder of a class, or one without images.
    """
    classes = [one for one in sorted(folder.iterdir()) if one.is_dir()] if folder.is_dir() else []
    named = [one for one in classes if one.name in LABELS]
    if not named:
        raise InputError(
            f"no folder of a class ({', '.join(LABELS)})",
            on=folder,
            do="Sort the images into such folders, or give a table with --table.",
        )
    entries = []
    for one in named:
        images = [
            file
            for file in sorted(one.rglob("*"))
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        ]
        if not images:
            raise InputError(
                "the class has no images", on=one, do=f"Add {', '.join(SUFFIXES)} files."
            )
        for file in images:
            below = file.relative_to(one).parts[:-1]
            entries.append(Entry(file, one.name, {"run": below[0]} if below else {}))
    return entries


def entries_from_table(table: Path) -> list[Entry]:
    """Images of a CSV table; files are relative to the table.

    Raises:
        InputError: the table can't be read, or lacks a column or a value.
    """
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the table can't be read: {error}", on=table, do="Give a CSV file in UTF-8."
        ) from error
    reader = csv.DictReader(lines)
    missing = {"file", "label"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(
            f"columns are missing: {', '.join(sorted(missing))}",
            on=table,
            do=f"Needed: file, label. Used where they are: {', '.join(COLUMNS[3:-1])}.",
        )
    entries = []
    for number, row in enumerate(reader, start=2):
        known = {key: value.strip() for key, value in row.items() if key and value}
        if not known.get("file") or known.get("label") not in LABELS:
            raise InputError(
                f"line {number} needs a file and a label ({', '.join(LABELS)})",
                on=table,
                do="Fix it.",
            )
        entries.append(Entry(table.parent / known["file"], known["label"], known))
    if not entries:
        raise InputError("the table is empty", on=table, do="Add a line for each image.")
    return entries


def import_crops(
    entries: list[Entry],
    out: Path,
    settings: ImportSettings | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a data set from images; all of it or nothing.

    Args:
        entries: what to bring in.
        out: new folder.
        settings: how.
        progress: called with (done, entries, file).

    Returns:
        How many were written.

    Raises:
        UsageError: ``out`` exists.
        InputError: an image is corrupt, or nothing says its pitch.
        RunFault: a full disk.
    """
    settings = settings or ImportSettings()
    if out.exists():
        raise UsageError("the folder exists already", on=out, do="Name a new one.")
    if settings.bits not in (8, 16):
        raise UsageError(f"{settings.bits} bits can't be written", on="--bits", do="8 or 16.")
    scratch: Path | None = None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
        (scratch / "images").mkdir()
        with (scratch / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            for i, entry in enumerate(entries):
                name = f"{i:06d}"
                crop = normalised(read_image(entry.file), _pitch(entry, settings), settings)
                _write_png(scratch / "images" / f"{name}.png", crop, settings.bits)
                writer.writerow(_row(name, entry, settings))
                if progress is not None:
                    progress(i + 1, len(entries), entry.file.name)
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
    return len(entries)


def read_image(file: Path) -> Image:
    """(height, width) uint8 or uint16; colours become grey.

    Raises:
        InputError: missing, corrupt, or of another depth.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"an image can't be read: {error.strerror}", on=file, do="Check its path."
        ) from error
    buffer = np.frombuffer(content, np.uint8)
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if content else None
    if image is None or image.size == 0:
        raise InputError("an image is corrupt", on=file, do="Copy it again, or leave it out.")
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"an image has {image.dtype} pixels", on=file, do="Give 8 or 16 bit.")
    if image.ndim == 3:
        image = image[:, :, 0] if image.shape[2] < 3 else cv2.cvtColor(
            image[:, :, :3], cv2.COLOR_BGR2GRAY
        )  # fmt: skip
    return cast(Image, image)


def normalised(image: Image, pitch_um: float, settings: ImportSettings) -> NDArray[np.float32]:
    """(size, size) float32, 0 to 255: at the crops' pitch, centred, the background at its level.

    The background of an image is the median of its border, which a centred crop leaves free.

    Args:
        image: (height, width) uint8 or uint16.
        pitch_um: of the image.
        settings: size, pitch and level of the crops.
    """
    grey = image.astype(np.float32) / (257.0 if image.dtype == np.uint16 else 1.0)
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    background = float(np.median(border))
    if settings.normalise and background > 0:
        grey = grey * (settings.level / background)
        background = float(settings.level)
    factor = pitch_um / settings.pitch_um
    if not np.isclose(factor, 1.0):
        shape = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
        how = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(grey, shape, interpolation=how), np.float32)
    out = np.full((settings.size_px, settings.size_px), background, np.float32)
    taken, put = zip(*(_overlap(have, settings.size_px) for have in grey.shape), strict=True)
    out[put] = grey[taken]
    return np.clip(out, 0.0, 255.0)


def _overlap(have: int, want: int) -> tuple[slice, slice]:
    """Where the middle of ``have`` samples is, and where it goes among ``want``."""
    count = min(have, want)
    start, goal = (have - count) // 2, (want - count) // 2
    return slice(start, start + count), slice(goal, goal + count)


def _pitch(entry: Entry, settings: ImportSettings) -> float:
    text = entry.known.get("pitch_um", "")
    try:
        pitch = float(text) if text else settings.source_pitch_um
    except ValueError:
        pitch = None
    if pitch is None or not pitch > 0:
        raise InputError(
            f"nothing says how many µm a pixel has (pitch_um is {text!r})",
            on=entry.file,
            do="Give --source-pitch-um, or a column pitch_um.",
        )
    return pitch


def _row(name: str, entry: Entry, settings: ImportSettings) -> dict[str, str]:
    known = entry.known
    group = known.get(settings.group_by) or known.get("run") or settings.run
    row = {key: known[key] for key in ("severity", "diameter_um", *NOTES) if key in known}
    return row | {
        "id": name,
        "file": f"images/{name}.png",
        "label": entry.label,
        "phenotype": known.get("phenotype") or entry.label,
        "pitch_um": f"{settings.pitch_um:g}",
        "run": group,
        "object": known.get("object") or name,
        "source": entry.file.name,
    }


def _write_png(file: Path, crop: NDArray[np.float32], bits: int) -> None:
    pixels = (
        np.rint(crop).astype(np.uint8) if bits == 8 else np.rint(crop * 257.0).astype(np.uint16)
    )
    good, data = cv2.imencode(".png", pixels)
    if not good:
        raise InputError("an image can't be encoded", on=file, do="Report this.")
    file.write_bytes(data.tobytes())
