"""What a run does at this moment, on the terminal: polls its record, and never disturbs it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sorter.errors import InputError
from sorter.record_reader import ObjectRecord, RecordReader, open_record
from sorter.record_rows import EventRow
from sorter.report_words import TERMINAL_STYLE

POLL_S = 0.25
PLAIN_EVERY_S = 5.0
_RECENT = 8
_LOW_DISK_BYTES = 2 << 30
_STATE_STYLE = {
    "running": "green",
    "paused": "bold yellow",
    "draining": "yellow",
    "faulted": "bold red",
    "stopped": "cyan",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What is shown at one time.

    Attributes:
        elapsed_s: since the start of the run.
        duration_s: how long the run is meant to last; None: until it is stopped.
        counters: as `sorter.status.Counters.snapshot` gives them; what is missing shows as 0.
        recent: the newest objects, newest first.
        free_bytes: left on the record's disk.
        alert: the newest warning or fault, if any.
    """

    elapsed_s: float
    duration_s: float | None
    counters: Mapping[str, Any]
    recent: Sequence[ObjectRecord]
    free_bytes: int
    alert: EventRow | None = None


def moment(reader: RecordReader, duration_s: float | None = None) -> Moment:
    """Read what is to be shown. Raises `sqlite3.Error`."""
    with reader.snapshot():
        status, recent = reader.status(), reader.last_objects(_RECENT)
        alert = reader.last_alert()
        started = datetime.fromisoformat(reader.meta().run.started_utc)
    return Moment(
        elapsed_s=max(0.0, (datetime.now(UTC) - started).total_seconds()),
        duration_s=duration_s,
        counters={} if status is None else status.counters,
        recent=recent,
        free_bytes=shutil.disk_usage(reader.path.absolute().parent).free,
        alert=alert,
    )


def plain_line(now: Moment) -> str:
    """One line without control characters, for logs and dumb terminals."""
    c = now.counters
    outlets = " ".join(f"{name}={n}" for name, n in sorted(c.get("outlets", {}).items()))
    return (
        f"{now.elapsed_s:6.0f} s  {c.get('state', 'starting')}  seen={c.get('seen', 0)} "
        f"decided={c.get('decided', 0)} {outlets or 'no outlet yet'} late={c.get('late', 0)} "
        f"conflicts={c.get('conflicts', 0)} fps={c.get('fps', 0.0):.1f} "
        f"dropped={c.get('frames_dropped', 0)} p99={c.get('latency_p99_ms', 0.0):.2f} ms"
    )


def picture(now: Moment, hint: str | None = None) -> RenderableType:
    """The live display at one time; ``hint``: the keys that can be typed."""
    state = str(now.counters.get("state", "starting"))
    title = Text.assemble(
        ("spheroid sorter", "bold"), " · ", (state, _STATE_STYLE.get(state, "dim"))
    )
    parts: list[RenderableType] = [_progress(now), Text(), _counters(now)]
    if now.alert is not None:
        style = "bold red" if now.alert.level == "fault" else "yellow"
        parts += [Text(), Text(f"{now.alert.name}: {now.alert.text}", style)]
    if now.recent:
        parts += [Text(), _recent(now.recent)]
    return Panel(
        Group(*parts), title=title, subtitle=hint, box=box.ROUNDED, padding=(0, 2), width=80
    )


def _progress(now: Moment) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    if now.duration_s is None:
        grid.add_row(f"{now.elapsed_s:.0f} s", Text("Ctrl-C stops: drains, gate to rest", "dim"))
    else:
        done_s = min(now.elapsed_s, now.duration_s)
        bar = ProgressBar(total=now.duration_s, completed=done_s, width=50)
        grid.add_row(f"{done_s:.0f} of {now.duration_s:.0f} s", bar)
    return grid


def _counters(now: Moment) -> Table:
    c = now.counters
    grid = Table.grid(padding=(0, 3))
    for justify in ("left", "right") * 3:
        grid.add_column(justify="right" if justify == "right" else "left", min_width=7)
    outlets = sorted(c.get("outlets", {}).items())
    left = [("seen", c.get("seen", 0)), ("decided", c.get("decided", 0)), *outlets]
    middle = [(r, c.get("reasons", {}).get(r, 0)) for r in ("unhealthy", "unsure", "conflict")]
    middle += [("late", c.get("late", 0)), ("under way", c.get("under_way", 0))]
    right = [
        ("frames/s", f"{c.get('fps', 0.0):.1f}"),
        ("dropped", _alarm(c.get("frames_dropped", 0))),
        ("latency p50", f"{c.get('latency_p50_ms', 0.0):.2f} ms"),
        ("latency p99", f"{c.get('latency_p99_ms', 0.0):.2f} ms"),
        ("disk free", _disk(now.free_bytes)),
    ]
    for i in range(max(len(left), len(middle), len(right))):
        cells: list[str | Text] = []
        for column in (left, middle, right):
            name, value = column[i] if i < len(column) else ("", "")
            shown = value if isinstance(value, Text) else Text(str(value), "bold")
            cells += [Text(str(name), TERMINAL_STYLE.get(str(name), "")), shown]
        grid.add_row(*cells)
    return grid


def _recent(objects: Sequence[ObjectRecord]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("object", "diameter", "p unhealthy"):
        table.add_column(name, justify="right")
    table.add_column("outlet")
    table.add_column("reason")
    for o in objects:
        p, diameter_um = o.row.p_unhealthy, o.row.diameter_um
        table.add_row(
            str(o.row.id),
            "–" if diameter_um is None else f"{diameter_um:.0f} µm",
            "–" if p is None else f"{p:.3f}",
            o.outlet,
            Text(o.reason.replace("_", " "), TERMINAL_STYLE.get(o.reason, "dim")),
        )
    return table


def _alarm(count: int) -> Text:
    return Text(str(count), "bold red" if count else "bold")


def _disk(free_bytes: int) -> Text:
    return Text(
        f"{free_bytes / 1e9:.1f} GB", "bold red" if free_bytes < _LOW_DISK_BYTES else "bold"
    )


class LiveDisplay:
    """Shows a run while it lasts: a panel on a terminal, now and then a line elsewhere.

    Used with ``with``; `step` polls and shows once. The record may come into being later.

    Args:
        record: the record's file.
        console: standard error by default, so that standard output stays free for JSON.
        duration_s: how long the run is meant to last, for the progress bar.
        hint: the keys that can be typed.
    """

    def __init__(
        self,
        record: Path,
        console: Console | None = None,
        duration_s: float | None = None,
        hint: str | None = None,
    ) -> None:
        self._hint = hint
        self._record = Path(record)
        self._console = console or Console(stderr=True)
        self._duration_s = duration_s
        self._next_plain_s = 0.0
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self) -> None:
        """Poll the record once and show it. A record that can't be read now is read next time."""
        try:
            # Opened anew each time: a reader at the end of the run would keep the recorder from
            # clearing its log away.
            with open_record(self._record) as reader:
                now = moment(reader, self._duration_s)
        except (InputError, sqlite3.Error, OSError):
            return
        if self._live is not None:
            self._live.update(picture(now, self._hint), refresh=True)
        elif now.elapsed_s >= self._next_plain_s and now.counters:
            self._console.print(plain_line(now), markup=False, highlight=False, soft_wrap=True)
            self._next_plain_s = now.elapsed_s + PLAIN_EVERY_S


def watch(
    record: Path,
    wait: Callable[[float], bool],
    *,
    console: Console | None = None,
    duration_s: float | None = None,
    hint: str | None = None,
) -> None:
    """Show a run until ``wait`` says that it is over.

    Args:
        wait: waits for the run's end for at most the given seconds, and returns whether it has
            come; ``lambda s: process.join(s) or not process.is_alive()``, or `Event.wait`.
    """
    with LiveDisplay(record, console, duration_s, hint) as display:
        while not wait(POLL_S):
            display.step()
        display.step()
