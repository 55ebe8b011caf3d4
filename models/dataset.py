"""Labelled crops on disk: ``images/<id>.png`` (8 or 16 bit grey) and ``labels.csv``.

Columns that must be there: id, file, label, phenotype, severity, pitch_um, run. Columns that are
used where they are: object (views of one body share it), diameter_um. Others are left alone.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sorter.errors import CheckFailed, InputError

LABELS = ("healthy", "unhealthy", "other")
LABELS_FILE = "labels.csv"
_COLUMNS = ("id", "file", "label", "phenotype", "severity", "pitch_um", "run")
_MAKE_ADVICE = "Make it with `sorter sim dataset`, or bring images in with `sorter dataset import`."


@dataclass(frozen=True, slots=True)
class CropSet:
    """Crops of one size and one pitch, with what is known of each.

    Attributes:
        images: (n, size, size) uint8; 16-bit files are scaled by 255/65535.
        label: (n,) int64, index into `LABELS`.
        phenotype: (n,) str; ``healthy``, ``fragmented``, ``bubble`` …
        severity: (n,) float64 in [0, 1], NaN where there is none.
        diameter_um: (n,) float64, NaN where it isn't known.
        run: (n,) str; what must never be split between training and test.
        object: (n,) str, unique to a body over all runs; views of one body share it.
        id: (n,) str, unique.
        pitch_um: micrometres per pixel, the same for all.
        content_hash: sha256 over labels and images, whatever the folder is called.
    """

    images: NDArray[np.uint8]
    label: NDArray[np.int64]
    phenotype: NDArray[np.str_]
    severity: NDArray[np.float64]
    diameter_um: NDArray[np.float64]
    run: NDArray[np.str_]
    object: NDArray[np.str_]
    id: NDArray[np.str_]
    pitch_um: float
    content_hash: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size_px(self) -> int:
        """Height and width of a crop in pixels."""
        return int(self.images.shape[1])

    def subset(self, index: NDArray[np.intp]) -> CropSet:
        """The crops at ``index``; the content hash stays that of the whole."""
        return CropSet(
            images=self.images[index],
            label=self.label[index],
            phenotype=self.phenotype[index],
            severity=self.severity[index],
            diameter_um=self.diameter_um[index],
            run=self.run[index],
            object=self.object[index],
            id=self.id[index],
            pitch_um=self.pitch_um,
            content_hash=self.content_hash,
        )

    def with_images(self, images: NDArray[np.uint8], pitch_um: float) -> CropSet:
        """The same crops with other pixels at another pitch."""
        return replace(self, images=images, pitch_um=pitch_um)


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into a `CropSet`; no run is in two of them."""

    train: NDArray[np.intp]
    val: NDArray[np.intp]
    test: NDArray[np.intp]


def load_crops(folder: Path) -> CropSet:
    """Read a data set.

    Args:
        folder: holds ``labels.csv`` and the files that it names.

    Raises:
        InputError: a file or column is missing, an image is corrupt or not square grey, sizes or
            pitches are mixed, an id repeats, or a value can't be understood.
    """
    table = folder / LABELS_FILE
    rows = _read_table(table)
    digest = hashlib.sha256()
    rows.sort(key=lambda row: row["file"])
    images: NDArray[np.uint8] | None = None
    for i, row in enumerate(rows):
        content = _read(folder / row["file"])
        digest.update(f"{row['file']}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        image = _decode(content, folder / row["file"])
        if images is None:
            images = np.empty((len(rows), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise InputError(
                f"crops of mixed sizes: {images.shape[1:]} and {image.shape}",
                on=folder / row["file"],
                do="Make every crop the same size.",
            )
        images[i] = image
    assert images is not None  # a table without rows was refused
    digest.update(hashlib.sha256(_read(table)).hexdigest().encode())
    pitch = _one_pitch(rows, table)
    return CropSet(
        images=images,
        label=np.array([_label(row, table) for row in rows], dtype=np.int64),
        phenotype=np.array([row["phenotype"] for row in rows], dtype=np.str_),
        severity=np.array([_number(row, "severity", table) for row in rows]),
        diameter_um=np.array([_number(row, "diameter_um", table) for row in rows]),
        run=np.array([row["run"] for row in rows], dtype=np.str_),
        object=np.array(
            [f"{row['run']}/{row.get('object') or row['id']}" for row in rows], dtype=np.str_
        ),
        id=np.array([row["id"] for row in rows], dtype=np.str_),
        pitch_um=pitch,
        content_hash=digest.hexdigest(),
    )


def split_by_run(
    crops: CropSet, shares: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Split:
    """Whole runs to training, validation and test.

    Args:
        crops: at least three runs.
        shares: of the crops, wanted for training, validation and test; met as closely as whole
            runs allow.
        seed: of the order in which runs are dealt.

    Raises:
        InputError: fewer than three runs, or a part without healthy or unhealthy crops.
    """
    runs, counts = np.unique(crops.run, return_counts=True)
    if len(runs) < 3:
        raise InputError(
            f"{len(runs)} run(s) can't be split into training, validation and test",
            on=LABELS_FILE,
            do="Add runs: a split by image would test on what was learnt by heart.",
        )
    parts: list[list[str]] = [[], [], []]
    filled = np.zeros(3)
    target = np.array(shares) / sum(shares)
    for dealt, i in enumerate(np.random.default_rng(seed).permutation(len(runs))):
        # The first three go one to each, so that no part stays empty.
        part = dealt if dealt < 3 else int(np.argmax(target - filled / counts.sum()))
        parts[part].append(str(runs[i]))
        filled[part] += counts[i]
    split = Split(*(np.flatnonzero(np.isin(crops.run, part)) for part in parts))
    check_split(crops, split)
    for name, index in (("training", split.train), ("validation", split.val), ("test", split.test)):
        for label in (0, 1):
            if not np.any(crops.label[index] == label):
                raise InputError(
                    f"the {name} part has no {LABELS[label]} crops",
                    on=LABELS_FILE,
                    do="Add runs that hold both healthy and unhealthy ones, or change the seed.",
                )
    return split


def check_split(crops: CropSet, split: Split) -> None:
    """Raise `CheckFailed` when a run, and so possibly a body, is in two parts of the split."""
    parts = [set(crops.run[index].tolist()) for index in (split.train, split.val, split.test)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        shared = parts[a] & parts[b]
        if shared:
            raise CheckFailed(
                f"{len(shared)} run(s) are in two parts of the split",
                on=sorted(shared)[0],
                do="Split by run, never by image.",
            )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"a file of the data set can't be read: {error.strerror}", on=file, do=_MAKE_ADVICE
        ) from error


def _read_table(table: Path) -> list[dict[str, str]]:
    try:
        lines = _read(table).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("the table of labels is not UTF-8", on=table, do=_MAKE_ADVICE) from error
    reader = csv.DictReader(lines)
    _need_columns(reader.fieldnames or (), table)
    rows = list(reader)
    if not rows:
        raise InputError("the data set is empty", on=table, do=_MAKE_ADVICE)
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"line {number} has a wrong number of columns", on=table, do="Fix it.")
    for column in ("id", "file"):
        if len({row[column] for row in rows}) != len(rows):
            raise InputError(f"the column {column} has repeats", on=table, do="Make it unique.")
    return rows


def _need_columns(found: Iterable[str], table: Path) -> None:
    missing = [column for column in _COLUMNS if column not in set(found)]
    if missing:
        raise InputError(f"columns are missing: {', '.join(missing)}", on=table, do=_MAKE_ADVICE)


def _decode(content: bytes, file: Path) -> NDArray[np.uint8]:
    # imdecode raises on an empty buffer, and gives None on a corrupt one.
    image = (
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    )
    if image is None:
        raise InputError("an image is corrupt", on=file, do="Make or copy it again.")
    if image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise InputError(
            f"crops must be square and grey, this is {image.shape}",
            on=file,
            do="Bring images in with `sorter dataset import`.",
        )
    if image.dtype == np.uint16:
        return np.asarray(np.rint(image / 257.0), dtype=np.uint8)
    return np.asarray(image, dtype=np.uint8)


def _one_pitch(rows: Sequence[dict[str, str]], table: Path) -> float:
    pitches = {_number(row, "pitch_um", table) for row in rows}
    pitch = next(iter(pitches))
    if len(pitches) > 1 or not pitch > 0:
        raise InputError(
            f"pitch_um must be one positive number for all crops, found {sorted(pitches)[:4]}",
            on=table,
            do="Scale all crops to one pitch.",
        )
    return pitch


def _label(row: dict[str, str], table: Path) -> int:
    if row["label"] not in LABELS:
        raise InputError(
            f"the label {row['label']!r} of {row['id']} is none of {', '.join(LABELS)}",
            on=table,
            do="Correct the label.",
        )
    return LABELS.index(row["label"])


def _number(row: dict[str, str], column: str, table: Path) -> float:
    text = row.get(column, "").strip()
    if text in ("", "null", "nan"):
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"{column} of {row['id']} is {text!r}, not a number", on=table, do="Correct it."
        ) from error
