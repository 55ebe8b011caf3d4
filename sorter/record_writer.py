"""The recorder: a process that does nothing but write one run record.

It reads rows from its end of a socket pair, and puts them into SQLite. What the controller handed
over lies in the kernel's buffer or in this process, so the death of the controller loses none of
it: the recorder drains to end-of-file, commits, marks the record unfinished and exits. It ignores
Ctrl-C, hang-up and termination requests; end-of-file is the only thing that ends it.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from sorter.processes import give_way, leave_first_core
from sorter.record_rows import (
    UNFINISHED,
    CommandRow,
    CommandUpdate,
    End,
    EventRow,
    FrameRow,
    JournalEntry,
    Message,
    ObjectRow,
    ObjectUpdate,
    ObjectWithCrops,
    Report,
    RunMeta,
    StatusNow,
)

APPLICATION_ID = 0x53_50_48_52  # "SPHR"
# 1: the journal did not say how a run ended; 2: no detection was glimpsed.
SCHEMA_VERSION = 3
LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 18
_PACE_S = 0.02
_HELD_LIMIT_BYTES = 256 << 20


def utc_now() -> str:
    """Wall time, ISO 8601 with milliseconds, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode_png(height: int, width: int, pixels: bytes) -> bytes:
    """An 8-bit grey PNG (ISO/IEC 15948) of ``height * width`` bytes in C order."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + pixels[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 3))
        + chunk(b"IEND", b"")
    )


class Inbox:
    """Takes everything off the socket at once, on a thread, while the main thread writes.

    So the loop's rows leave its process even while a commit waits for the disk.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._changed = threading.Condition()
        self._held = bytearray()
        self._ended = False
        self._pause = threading.Event()
        threading.Thread(target=self._receive, name="inbox", daemon=True).start()

    def take(self, wait_s: float) -> tuple[bytes, bool]:
        """Bytes that came within ``wait_s``, and whether there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, wait_s)
            data, self._held = bytes(self._held), bytearray()
            self._changed.notify_all()
            return data, self._ended

    def _receive(self) -> None:
        buffer = memoryview(bytearray(_READ_BYTES))
        while True:
            try:
                n = self._channel.recv_into(buffer)
            except OSError:  # Windows resets the connection when the other process dies
                n = 0
            with self._changed:
                if n == 0:
                    self._ended = True
                    self._changed.notify_all()
                    return
                self._held += buffer[:n]
                self._changed.wait_for(lambda: len(self._held) < _HELD_LIMIT_BYTES)
            if n < _READ_BYTES:
                # Not waiting in recv most of the time keeps the loop's sends from waking this
                # process 200 times a second.
                self._pause.wait(_PACE_S)


def split_frames(data: bytes) -> tuple[list[memoryview], bytes]:
    """Complete length-prefixed messages at the start of ``data``, and the torn rest."""
    view, start, messages = memoryview(data), 0, []
    while len(data) - start >= LENGTH.size:
        (length,) = LENGTH.unpack_from(data, start)
        end = start + LENGTH.size + length
        if end > len(data):
            break
        messages.append(view[start + LENGTH.size : end])
        start = end
    return messages, data[start:]


def create(path: Path, meta: RunMeta) -> sqlite3.Connection:
    """A new record at ``path``; raises `FileExistsError`, `OSError`, `sqlite3.Error`."""
    path.touch(exist_ok=False)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise OSError("the folder's file system can't share memory (a network drive?)")
        # NORMAL: the death of a process loses nothing; a power cut at most the last checkpoint.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        schema = resources.files("sorter").joinpath("record_schema.sql").read_text("utf-8")
        connection.executescript(f"BEGIN;{schema}")
        connection.execute(
            "INSERT INTO meta VALUES (1,?,?,?,?,?,?,?,?,?,NULL,NULL,NULL)", _meta_values(meta)
        )
        connection.execute("COMMIT")
    except (OSError, sqlite3.Error):
        for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            with contextlib.suppress(OSError):
                leftover.unlink()
        raise
    return connection


def _meta_values(meta: RunMeta) -> tuple[Any, ...]:
    def text(value: object) -> str:
        return msgspec.json.encode(value).decode()

    return (
        meta.run_id,
        meta.started_utc,
        meta.origin_ns,
        text(meta.versions),
        meta.settings_toml,
        meta.model_hash,
        text(meta.bundle_manifest),
        meta.seed,
        meta.note,
    )


def _insert(table: str, columns: Iterable[str]) -> str:
    names = tuple(columns)
    return f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})"


_OBJECT_COLUMNS = [name for name in ObjectRow.__struct_fields__ if name != "sightings"]
_COMMAND_COLUMNS = [name for name in CommandRow.__struct_fields__ if name != "also"]
_ADD_FRAME = _insert("frames", FrameRow.__struct_fields__)
_ADD_OBJECT = _insert("objects", _OBJECT_COLUMNS)
_ADD_SIGHTING = _insert("sightings", ("object_id", "frame_number", "x_px", "y_px"))
_ADD_CROP = _insert("crops", ("object_id", "view", "height", "width", "png"))
_ADD_COMMAND = _insert("commands", _COMMAND_COLUMNS)
_ADD_EVENT = _insert("events", EventRow.__struct_fields__)
_ADD_JOURNAL = _insert("journal", JournalEntry.__struct_fields__)
_SET_STATUS = "INSERT OR REPLACE INTO status VALUES (1,?,?)"
_SET_END = "UPDATE meta SET ended_utc=?, end_reason=?, exit_code=?"
_CHANGE_OBJECT = "UPDATE objects SET changed_ns=?, changed_outlet=?, changed_reason=? WHERE id=?"
_UPDATE_COMMAND = (
    "UPDATE commands SET acked_ns=coalesce(?,acked_ns), opened_us=coalesce(?,opened_us),"
    " closed_us=coalesce(?,closed_us), executed_ns=coalesce(?,executed_ns),"
    " refused=coalesce(?,refused) WHERE id=?"
)
_LINK = (
    "UPDATE objects SET (open_us, close_us, sent_ns, acknowledged_ns, executed_ns, refused) ="
    " (c.open_us, c.close_us, c.sent_ns, c.acked_ns, c.executed_ns, c.refused)"
    " FROM commands AS c WHERE c.id=? AND objects.command_id=c.id"
)


class Writer:
    """Applies messages to a record; one transaction for each batch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._decoder = msgspec.msgpack.Decoder(Message)
        self._touched: set[int] = set()
        self.ended = False

    def apply(self, messages: Iterable[memoryview]) -> None:
        """Write the messages and commit. Raises `sqlite3.Error`."""
        with self._transaction():
            for raw in messages:
                self._one(self._decoder.decode(raw))
            self._connection.executemany(_LINK, [(i,) for i in sorted(self._touched)])
        self._touched.clear()

    def end(self, reason: str, exit_code: int | None) -> None:
        """Mark the end of the record, once. Raises `sqlite3.Error`."""
        if not self.ended:
            self._connection.execute(_SET_END, (utc_now(), reason, exit_code))
            self.ended = True

    def close(self) -> None:
        """Fold the write-ahead log into the file where no reader holds it, and close."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA busy_timeout=300")  # for a reader in the way
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, message: Message) -> None:
        execute = self._connection.execute
        match message:
            case FrameRow():
                execute(_ADD_FRAME, msgspec.structs.astuple(message))
            case JournalEntry():
                execute(_ADD_JOURNAL, msgspec.structs.astuple(message))
            case ObjectWithCrops():
                self._object(message)
            case ObjectUpdate():
                execute(_CHANGE_OBJECT, (*msgspec.structs.astuple(message)[1:], message.id))
            case CommandRow():
                self._command(message)
            case CommandUpdate():
                execute(_UPDATE_COMMAND, (*msgspec.structs.astuple(message)[1:], message.id))
                self._touched.add(message.id)
            case EventRow():
                execute(_ADD_EVENT, msgspec.structs.astuple(message))
            case StatusNow():
                execute(_SET_STATUS, (utc_now(), message.counters_json.decode()))
            case End():
                self.end(message.reason, message.exit_code)

    def _object(self, message: ObjectWithCrops) -> None:
        row = message.row
        self._connection.execute(_ADD_OBJECT, [getattr(row, name) for name in _OBJECT_COLUMNS])
        self._connection.executemany(
            _ADD_SIGHTING, [(row.id, s.frame, s.x_px, s.y_px) for s in row.sightings]
        )
        for view, crop in enumerate(message.crops):
            png = encode_png(crop.height, crop.width, crop.pixels)
            self._connection.execute(_ADD_CROP, (row.id, view, crop.height, crop.width, png))
        if row.command_id is not None:
            self._touched.add(row.command_id)

    def _command(self, row: CommandRow) -> None:
        self._connection.execute(_ADD_COMMAND, [getattr(row, name) for name in _COMMAND_COLUMNS])
        self._connection.executemany(
            "UPDATE objects SET command_id=? WHERE id=?",
            [(row.id, object_id) for object_id in (row.object_id, *row.also)],
        )
        self._touched.add(row.id)


def tell(channel: socket.socket, report: Report) -> None:
    """Send a report to the loop, which may be gone."""
    with contextlib.suppress(OSError):
        channel.sendall(msgspec.msgpack.encode(report))


def _ignore_signals() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def run_writer(channel: socket.socket, path: Path, meta: RunMeta, commit_s: float) -> None:
    """The recorder's whole life; the target of its process."""
    _ignore_signals()
    give_way()
    leave_first_core()
    with channel:
        try:
            writer = Writer(create(path, meta))
        except (OSError, sqlite3.Error) as error:
            tell(channel, Report("error", str(error)))
            return
        tell(channel, Report("ready"))
        try:
            _write_all(writer, Inbox(channel), commit_s)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            with contextlib.suppress(sqlite3.Error):
                writer.end("fault: the record could not be written", 4)
            writer.close()
            tell(channel, Report("error", str(error)))
            return
        writer.close()
        tell(channel, Report("done"))


def _write_all(writer: Writer, inbox: Inbox, commit_s: float) -> None:
    rest, over = b"", False
    while not over:
        data, over = inbox.take(commit_s)
        messages, rest = split_frames(rest + data)
        if messages:
            writer.apply(messages)
    writer.end(UNFINISHED, None)
