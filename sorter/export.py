"""A record's objects as a table, and its crops as a data set that a person can label."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sorter.errors import InputError, RunFault, UsageError
from sorter.files import write_atomic
from sorter.record_reader import ObjectRecord, open_record
from sorter.record_rows import ObjectRow

_LEFT_OUT = frozenset({"sightings", "view_probabilities"})
_ROW_COLUMNS = tuple(name for name in ObjectRow.__struct_fields__ if name not in _LEFT_OUT)
_NEWS_COLUMNS = tuple(name for name in ObjectRecord.__slots__ if name != "row")
_SUGGESTED = {"healthy": "healthy", "unhealthy": "unhealthy", "not_a_spheroid": "other"}
_LABEL_COLUMNS = (
    "id",
    "file",
    "label",
    "phenotype",
    "severity",
    "pitch_um",
    "run",
    "object",
    "diameter_um",
    "suggested",
    "p_unhealthy",
    "outlet",
    "reason",
)


def export_objects(record: Path, out: Path) -> int:
    """Write one line for each object to the CSV file ``out``; returns how many.

    Columns are those of the record's table ``objects`` but its blobs; ``outlet`` and ``reason``
    are the first decision, ``last_outlet`` and ``last_reason`` the one that stood. Unknown values
    are empty.

    Raises:
        InputError: ``record`` is not a run record.
        UsageError: ``out`` can't be written there.
        RunFault: the disk is full.
    """
    with open_record(record) as reader:
        objects = reader.objects()
    header = (*_ROW_COLUMNS, *_NEWS_COLUMNS, "last_outlet", "last_reason")
    lines = (
        (
            *(_plain(getattr(o.row, name)) for name in _ROW_COLUMNS),
            *(getattr(o, name) for name in _NEWS_COLUMNS),
            o.outlet,
            o.reason,
        )
        for o in objects
    )
    write_atomic(Path(out), _csv(header, lines))
    return len(objects)


def export_crops(record: Path, folder: Path) -> int:
    """Write all crops to the new folder ``folder`` as a data set to be labelled; returns how many.

    ``images/<id>.png`` and ``labels.csv`` with an empty label, the program's own opinion as
    ``suggested`` where it has one, and the run's id as the run. Nothing is left when it fails.

    Raises:
        InputError: ``record`` is not a run record, holds no crops, or its manifest no pitch.
        UsageError: ``folder`` exists, or can't be made there.
        RunFault: the disk is full.
    """
    with open_record(record) as reader, reader.snapshot(), _new_folder(Path(folder)) as target:
        meta = reader.meta()
        pitch_um = meta.run.bundle_manifest.get("pitch_um")
        if not isinstance(pitch_um, int | float):
            raise InputError(
                "the record's model manifest has no pitch_um, so the crops have no scale",
                on=record,
                do="use a record of a run with a bundle",
            )
        (target / "images").mkdir()
        lines: list[Sequence[Any]] = []
        for o in reader.objects():
            for crop in reader.crops(o.row.id):
                name = f"{meta.run.run_id[:8]}_{o.row.id:06d}_{crop.view}"
                (target / "images" / f"{name}.png").write_bytes(crop.png)
                lines.append(_label_line(name, o, float(pitch_um), meta.run.run_id))
        if not lines:
            raise InputError(
                "the record holds no crops", on=record, do="record with record.crops = true"
            )
        (target / "labels.csv").write_bytes(_csv(_LABEL_COLUMNS, lines))
    return len(lines)


def _label_line(name: str, o: ObjectRecord, pitch_um: float, run_id: str) -> Sequence[Any]:
    suggested = _SUGGESTED.get(o.reason, "")
    empty = ""
    return (
        name,
        f"images/{name}.png",
        empty,
        empty,
        empty,
        pitch_um,
        run_id,
        o.row.id,
        o.row.diameter_um,
        suggested,
        o.row.p_unhealthy,
        o.outlet,
        o.reason,
    )


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    """RFC 4180, UTF-8; None is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue().encode()


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when all went well, and vanishes otherwise."""
    if folder.exists():
        raise UsageError("the folder exists already", on=folder, do="choose a new one")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UsageError(
            f"the folder can't be made: {error.strerror}",
            on=folder,
            do="check that its parent exists and that you may write there",
        ) from error
    except OSError as error:
        raise RunFault(
            f"writing failed: {error.strerror}", on=folder, do="free some space on that disk"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
