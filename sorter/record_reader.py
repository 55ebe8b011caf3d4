"""Reads a run record, while it grows or afterwards; never writes to it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from sorter.errors import InputError
from sorter.record_rows import CommandRow, EventRow, ObjectRow, RunMeta
from sorter.record_writer import APPLICATION_ID, SCHEMA_VERSION
from sorter.sighting import Sighting

_BUSY_S = 1.0


@dataclass(frozen=True, slots=True)
class MetaRecord:
    """What a run is, and how it ended.

    Attributes:
        run: what was known at the start.
        ended_utc, end_reason: None while the run lasts.
        exit_code: None while it lasts, and when the controller was gone.
    """

    run: RunMeta
    ended_utc: str | None
    end_reason: str | None
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object, its decision, and the later news of it; ``row.sightings`` is left empty."""

    row: ObjectRow
    sent_ns: int | None
    acknowledged_ns: int | None
    executed_ns: int | None
    refused: str | None
    changed_ns: int | None
    changed_outlet: str | None
    changed_reason: str | None

    @property
    def outlet(self) -> str:
        """The outlet by the last decision."""
        return self.row.outlet if self.changed_outlet is None else self.changed_outlet

    @property
    def reason(self) -> str:
        """The reason of the last decision."""
        return self.row.reason if self.changed_reason is None else self.changed_reason

    @property
    def view_probabilities(self) -> NDArray[np.float32]:
        """(n_views, classes) float32, rows sum to 1; (0, 0) where the network wasn't asked."""
        flat = np.frombuffer(self.row.view_probabilities, dtype="<f4")
        if not flat.size or not self.row.n_views:
            return np.zeros((0, 0), np.float32)
        return flat.reshape(self.row.n_views, -1)


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command and what became of it."""

    row: CommandRow
    acked_ns: int | None
    opened_us: int | None
    closed_us: int | None
    executed_ns: int | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class CropRecord:
    """A crop as kept: 8-bit grey PNG."""

    object_id: int
    view: int
    height: int
    width: int
    png: bytes

    def pixels(self) -> NDArray[np.uint8]:
        """(height, width) uint8."""
        image = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise InputError("a crop in the record is damaged", on=f"object {self.object_id}")
        return np.asarray(image, np.uint8)


@dataclass(frozen=True, slots=True)
class FrameArrays:
    """The times of all frames, in the order in which they were handled; each (n,) int64."""

    number: NDArray[np.int64]
    exposed_ns: NDArray[np.int64]
    exposed_error_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    n_objects: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """The newest counters and the wall time at which they were written (ISO 8601, UTC)."""

    updated_utc: str
    counters: dict[str, Any]


def open_record(path: Path) -> RecordReader:
    """Open a record for reading.

    Raises:
        InputError: no such file, not a run record, or written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such record", on=path, do="give the .sqlite file of a run")
    try:
        connection = _connect(path)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise InputError(
            f"the file can't be read as a run record: {error}",
            on=path,
            do="give the .sqlite file of a run",
        ) from error
    if application != APPLICATION_ID:
        connection.close()
        raise InputError(
            "the file is not a run record", on=path, do="give the .sqlite file of a run"
        )
    if version > SCHEMA_VERSION:
        connection.close()
        raise InputError(
            f"the record has version {version}, this program reads up to {SCHEMA_VERSION}",
            on=path,
            do="update spheroid-sorter",
        )
    return RecordReader(path, connection)


def _connect(path: Path) -> sqlite3.Connection:
    log = Path(f"{path}-wal")
    address = path.absolute().as_uri()
    # While somebody writes, there is a log. Without one the file is at rest, and may lie where
    # SQLite can't put its helper files; opened like this, it doesn't need, nor leave, any.
    written = False
    with contextlib.suppress(FileNotFoundError):
        written = log.stat().st_size > 0
    mode = "mode=ro" if written else "immutable=1"
    return sqlite3.connect(f"{address}?{mode}", uri=True, isolation_level=None, timeout=_BUSY_S)


class RecordReader:
    """Typed queries on one record. Closes with ``with`` or `close`; used from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._connection.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Inside, all queries see the same state of a record that grows. Can be nested."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    @property
    def version(self) -> int:
        """Of the schema with which it was written, see `sorter.record_writer`."""
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def meta(self) -> MetaRecord:
        """What the run is, and how it ended."""
        row = self._query("SELECT * FROM meta")[0]
        run = RunMeta(
            run_id=row["run_id"],
            started_utc=row["started_utc"],
            origin_ns=row["origin_ns"],
            versions=msgspec.json.decode(row["versions_json"], type=dict[str, str]),
            settings_toml=row["settings_toml"],
            model_hash=row["model_hash"],
            bundle_manifest=msgspec.json.decode(row["bundle_manifest_json"], type=dict[str, Any]),
            seed=row["seed"],
            note=row["note"],
        )
        return MetaRecord(run, row["ended_utc"], row["end_reason"], row["exit_code"])

    def objects(self, first_id: int = 0) -> list[ObjectRecord]:
        """Objects from ``first_id`` on, by id."""
        rows = self._query("SELECT * FROM objects WHERE id >= ? ORDER BY id", first_id)
        return [_object(row) for row in rows]

    def last_objects(self, n: int) -> list[ObjectRecord]:
        """The ``n`` newest objects, newest first."""
        rows = self._query("SELECT * FROM objects ORDER BY id DESC LIMIT ?", n)
        return [_object(row) for row in rows]

    def sightings(self, object_id: int) -> tuple[Sighting, ...]:
        """Where an object was seen, by frame."""
        rows = self._query(
            "SELECT frame_number, x_px, y_px FROM sightings WHERE object_id = ?"
            " ORDER BY frame_number",
            object_id,
        )
        return tuple(Sighting(*row) for row in rows)

    def crops(self, object_id: int) -> list[CropRecord]:
        """An object's crops, most telling view first."""
        rows = self._query("SELECT * FROM crops WHERE object_id = ? ORDER BY view", object_id)
        return [CropRecord(**_as_dict(row)) for row in rows]

    def commands(self) -> list[CommandRecord]:
        """All commands, by id."""
        news = ("acked_ns", "opened_us", "closed_us", "executed_ns", "refused")
        asked = ("id", "object_id", "outlet", "open_us", "close_us", "sent_ns", "cause_ns")
        rows = self._query("SELECT * FROM commands ORDER BY id")
        return [
            CommandRecord(CommandRow(*(row[c] for c in asked)), *(row[c] for c in news))
            for row in rows
        ]

    def events(self) -> list[EventRow]:
        """All events, in the order in which they were handed over."""
        rows = self._query("SELECT at_ns, level, name, text FROM events ORDER BY id")
        return [EventRow(*row) for row in rows]

    def last_alert(self) -> EventRow | None:
        """The newest warning or fault; None where all is well."""
        rows = self._query(
            "SELECT at_ns, level, name, text FROM events WHERE level != 'info'"
            " ORDER BY id DESC LIMIT 1"
        )
        return next((EventRow(*row) for row in rows), None)

    def frames(self) -> FrameArrays:
        """The times of all frames."""
        columns = FrameArrays.__slots__
        rows = self._connection.execute(f"SELECT {','.join(columns)} FROM frames ORDER BY id")
        table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, len(columns))
        return FrameArrays(*(np.ascontiguousarray(column) for column in table.T))

    def journal(self) -> Iterator[bytes]:
        """What the loop got from outside, step by step."""
        for row in self._connection.execute("SELECT blob FROM journal ORDER BY step"):
            yield bytes(row[0])

    def status(self) -> StatusRecord | None:
        """The newest counters; None before the first."""
        rows = self._query("SELECT updated_utc, counters_json FROM status")
        if not rows:
            return None
        return StatusRecord(rows[0][0], msgspec.json.decode(rows[0][1], type=dict[str, Any]))

    def latency_ms(self) -> NDArray[np.float64]:
        """Frame in the host's hands to pipeline done, over frames with an object; (n,) ms."""
        frames = self.frames()
        seen = frames.n_objects > 0
        return np.asarray((frames.done_ns - frames.received_ns)[seen] / 1e6, np.float64)

    def command_ms(self) -> NDArray[np.float64]:
        """Frame in the host's hands to the command's last byte written; (n,) ms.

        Where the loop didn't say which frame, it is the last one received before the command.
        """
        rows = self._query("SELECT sent_ns, cause_ns FROM commands ORDER BY id")
        received = np.sort(self.frames().received_ns)
        waits = []
        for sent_ns, cause_ns in rows:
            before = int(np.searchsorted(received, sent_ns, side="right"))
            if cause_ns is None and before == 0:
                continue
            waits.append(sent_ns - (received[before - 1] if cause_ns is None else cause_ns))
        return np.array(waits, np.float64) / 1e6

    def _query(self, statement: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(statement, values).fetchall()


def _as_dict(row: sqlite3.Row) -> Mapping[str, Any]:
    return dict(zip(row.keys(), row, strict=True))


_OBJECT_COLUMNS = tuple(name for name in ObjectRow.__struct_fields__ if name != "sightings")
_NEWS_COLUMNS = tuple(name for name in ObjectRecord.__slots__ if name != "row")
_FLAGS = ("double", "split", "touching")


def _object(row: sqlite3.Row) -> ObjectRecord:
    values = {name: row[name] for name in _OBJECT_COLUMNS}
    values |= {name: bool(values[name]) for name in _FLAGS}
    return ObjectRecord(ObjectRow(**values), *(row[name] for name in _NEWS_COLUMNS))
