"""The loop's side of the run record: hands rows to the recorder's process, and never blocks.

A row is *handed over* once the kernel has it; from then on no death of this process loses it.
That is the case when a method returns, unless the recorder lags behind (a disk that stalls for
longer than the kernel's buffer and the recorder's memory last): then rows wait in a bounded
backlog here, which every later call sends on. The one-way street: rows go out through a
non-blocking socket pair, and news from the recorder is only read once a send fails.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.errors import RecordError
from sorter.processes import interrupts_held
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    Crop,
    End,
    EndReason,
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
from sorter.record_writer import LENGTH, run_writer
from sorter.sighting import Sighting

__all__ = [
    "CommandRow",
    "CommandUpdate",
    "EndReason",
    "EventRow",
    "FrameRow",
    "ObjectRow",
    "ObjectUpdate",
    "RecordSettings",
    "Recorder",
    "RunMeta",
    "Sighting",
]

_KERNEL_BUFFER_BYTES = 4 << 20
_DISK_ADVICE = "free some space or choose another folder, then start a new run"


class RecordSettings(BaseModel):
    """Where and how runs are recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(
        default=Path("runs"),
        description="folder of the records, on a local disk; one file per run",
    )
    crops: bool = Field(default=True, description="keep crops of every object")
    backlog_mb: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="memory for rows that the recorder has not taken yet; beyond it: a fault, MB",
    )
    commit_ms: int = Field(
        default=200, ge=20, le=5000, description="time between commits of the record, ms"
    )
    start_timeout_s: float = Field(
        default=30.0, gt=0, description="longest wait for the recorder's start, s"
    )


class Recorder:
    """Hands the rows of one run to the recorder's process. Used from one thread."""

    def __init__(
        self,
        channel: socket.socket,
        process: BaseProcess,
        path: Path,
        settings: RecordSettings,
    ) -> None:
        self.path = path
        self._channel = channel
        self._process = process
        self._settings = settings
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
        self._buffer = bytearray(4096)
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._steps = 0
        self._trouble: RecordError | None = None
        # Runs before multiprocessing waits for its children at exit: without it, a controller
        # that ends without finish() would wait for a recorder that waits for its end-of-file.
        atexit.register(channel.close)

    @classmethod
    def start(cls, path: Path, meta: RunMeta, settings: RecordSettings | None = None) -> Recorder:
        """Start the recorder's process and wait until the record exists.

        Raises `RecordError` when the file exists already or can't be written.
        """
        settings = settings or RecordSettings()
        path = Path(path).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(path, str(error)) from error
        ours, theirs = socket.socketpair()
        for end, option in ((ours, socket.SO_SNDBUF), (theirs, socket.SO_RCVBUF)):
            end.setsockopt(socket.SOL_SOCKET, option, _KERNEL_BUFFER_BYTES)
        process = multiprocessing.get_context("spawn").Process(
            target=run_writer,
            args=(theirs, path, meta, settings.commit_ms / 1e3),
            name="recorder",
        )
        try:
            with theirs, interrupts_held():
                process.start()
            _await_ready(ours, path, settings.start_timeout_s)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return cls(ours, process, path, settings)

    @property
    def process_id(self) -> int | None:
        """Process id of the recorder."""
        return self._process.pid

    def frame(self, row: FrameRow) -> None:
        """Hand over one frame's times."""
        self._hand(row)

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """Hand over one decided object and its crops: (height, width) each, best view first."""
        kept = crops if self._settings.crops else ()
        images = tuple(Crop(c.shape[0], c.shape[1], c.tobytes()) for c in kept)
        self._hand(ObjectWithCrops(row, images))

    def update_object(self, row: ObjectUpdate) -> None:
        """Hand over a decision that was taken back; the first one stays in the record."""
        self._hand(row)

    def command(self, row: CommandRow) -> None:
        """Hand over a command that was sent; its object goes first."""
        self._hand(row)

    def update_command(self, row: CommandUpdate) -> None:
        """Hand over later news of a command; the objects that it serves get them too."""
        self._hand(row)

    def event(self, row: EventRow) -> None:
        """Hand over an event."""
        self._hand(row)

    def journal(self, blob: bytes) -> None:
        """Hand over what the loop got from outside; entries are numbered from 0."""
        self._hand(JournalEntry(self._steps, blob))
        self._steps += 1

    def status(self, counters: dict[str, Any]) -> None:
        """Replace the newest counters; JSON-able values."""
        self._hand(StatusNow(msgspec.json.encode(counters, enc_hook=_plain)))

    def flush(self) -> None:
        """Send on what waits here; raises `RecordError` when the recorder reported trouble."""
        self._raise_trouble()
        self._send_backlog()
        if select.select([self._channel], [], [], 0)[0]:
            self._fail()

    def finish(self, reason: EndReason, exit_code: int, timeout_s: float = 10) -> None:
        """End the record: drain, wait for the recorder to commit and exit.

        Raises `RecordError` when it can't within ``timeout_s``; the recorder then goes on by
        itself, and ends when it has written what it holds.
        """
        self._raise_trouble()
        deadline = time.monotonic() + timeout_s
        try:
            self._hand(End(reason, exit_code))
            self._drain(deadline)
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
            report = _read_report(self._channel, deadline - time.monotonic())
        finally:
            self._close()
        if report is None or report.kind != "done":
            self._trouble = _lost(self.path, report)
            raise self._trouble
        self._process.join(max(0.0, deadline - time.monotonic()))

    def _hand(self, message: Message) -> None:
        if self._trouble is not None:
            self._raise_trouble()
        self._encoder.encode_into(message, self._buffer, LENGTH.size)
        LENGTH.pack_into(self._buffer, 0, len(self._buffer) - LENGTH.size)
        if self._backlog:
            self._keep(bytes(self._buffer))
            self._send_backlog()
            return
        sent = self._send(self._buffer)
        if sent < len(self._buffer):
            self._keep(bytes(self._buffer[sent:]))

    def _send(self, data: bytearray | memoryview) -> int:
        try:
            return self._channel.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._fail()

    def _keep(self, data: bytes) -> None:
        self._backlog.append(memoryview(data))
        self._backlog_bytes += len(data)
        if self._backlog_bytes > self._settings.backlog_mb << 20:
            self._close()
            self._trouble = RecordError(
                f"the recorder fell {self._settings.backlog_mb} MB behind",
                on=self.path,
                do="use a faster disk, or set record.crops = false",
            )
            self._raise_trouble()

    def _send_backlog(self) -> None:
        while self._backlog:
            piece = self._backlog[0]
            sent = self._send(piece)
            self._backlog_bytes -= sent
            if sent < len(piece):
                self._backlog[0] = piece[sent:]
                return
            self._backlog.popleft()

    def _drain(self, deadline: float) -> None:
        self._send_backlog()
        while self._backlog:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self._channel], [], left)[1]:
                raise RecordError(
                    "the recorder did not take the last rows in time",
                    on=self.path,
                    do="check the disk's speed",
                )
            self._send_backlog()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _fail(self) -> NoReturn:
        report = _read_report(self._channel, 1.0)
        self._close()
        self._trouble = _lost(self.path, report)
        raise self._trouble

    def _close(self) -> None:
        atexit.unregister(self._channel.close)
        self._channel.close()
        if self._trouble is None:
            self._trouble = RecordError("the record is closed", on=self.path, do="start a new run")


def _plain(value: object) -> object:
    """NumPy scalars and paths as what they stand for."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"can't record a {type(value).__name__}")


def _cannot_write(path: Path, why: str) -> RecordError:
    return RecordError(f"the record can't be written: {why}", on=path, do=_DISK_ADVICE)


def _lost(path: Path, report: Report | None) -> RecordError:
    if report is not None and report.kind == "error":
        return _cannot_write(path, report.text)
    return RecordError(
        "the recorder's process died or hangs",
        on=path,
        do="rows up to its last commit are in the file; see why it ended, then start a new run",
    )


def _read_report(channel: socket.socket, timeout_s: float) -> Report | None:
    """The recorder's last report; None when it said nothing, died, or took too long."""
    data = bytearray()
    with contextlib.suppress(OSError, msgspec.DecodeError):
        channel.settimeout(max(0.001, timeout_s))
        while piece := channel.recv(65536):
            data += piece
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.msgpack.decode(data, type=Report)
    return None


def _await_ready(channel: socket.socket, path: Path, timeout_s: float) -> None:
    report = _read_report(channel, timeout_s)
    if report is None:
        raise RecordError(
            "the recorder's process did not start",
            on=path,
            do=f"check that Python can start processes here (waited {timeout_s:g} s at most)",
        )
    if report.kind == "error":
        raise _cannot_write(path, report.text)
