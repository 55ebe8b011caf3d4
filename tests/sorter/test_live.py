"""The live display: reads a growing record, on terminals and elsewhere, and never fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sorter.live import LiveDisplay, moment, picture, plain_line, watch
from sorter.record import Recorder
from sorter.record_reader import open_record
from sorter.record_rows import EventRow
from tests.sorter.record_samples import META, write_run

COUNTERS = {
    "state": "running",
    "seen": 31,
    "decided": 30,
    "late": 1,
    "conflicts": 2,
    "outlets": {"collect": 20, "waste": 11},
    "reasons": {"healthy": 20, "unhealthy": 8, "conflict": 2, "late": 1},
    "under_way": 3,
    "fps": 199.96,
    "frames_dropped": 4,
    "latency_p50_ms": 0.91,
    "latency_p99_ms": 2.34,
}


def recorded(tmp_path: Path, counters: dict[str, object] | None) -> Path:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    if counters is not None:
        recorder.status(counters)
    recorder.finish("done", 0)
    return recorder.path


def shown(record: Path, **kind: bool) -> str:
    console = Console(file=StringIO(), width=100, _environ={"TERM": "xterm"}, **kind)  # type: ignore[arg-type]
    ends = iter([False, True])
    watch(record, lambda _: next(ends), console=console, duration_s=60)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_a_panel(tmp_path: Path) -> None:
    text = re.sub(
        r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(recorded(tmp_path, COUNTERS), force_terminal=True)
    )
    for pattern in (
        r"running",
        r"seen\s+31",
        r"collect\s+20",
        r"conflict\s+2",
        r"frames/s\s+200\.0",
        r"dropped\s+4",
        r"latency p99\s+2\.34 ms",
        r"under way\s+3",
    ):
        assert re.search(pattern, text), pattern


def test_elsewhere_plain_lines_without_control_characters(tmp_path: Path) -> None:
    text = shown(recorded(tmp_path, COUNTERS), force_terminal=False)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 1
    for part in ("running", "seen=31", "collect=20 waste=11", "late=1", "p99=2.34 ms"):
        assert part in lines[0]


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    record = recorded(tmp_path, COUNTERS)
    console = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    with LiveDisplay(record, console) as display:
        display.step()
        display.step()
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().count("seen=31") == 1


def _nothing(path: Path) -> None:
    pass


def _empty(path: Path) -> None:
    path.touch()


def _rubbish(path: Path) -> None:
    path.write_text("rubbish " * 100)


@pytest.mark.parametrize("make", [_nothing, _empty, _rubbish])
def test_a_record_that_is_not_there_yet_shows_nothing(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "run.sqlite")
    assert shown(tmp_path / "run.sqlite", force_terminal=False) == ""


def test_before_the_first_counters(tmp_path: Path) -> None:
    with open_record(recorded(tmp_path, None)) as reader:
        now = moment(reader)
    assert "starting" in plain_line(now)
    console = Console(file=StringIO(), width=100)
    console.print(picture(now))
    assert isinstance(console.file, StringIO)
    assert "starting" in console.file.getvalue()


def test_the_newest_objects_are_shown_first(tmp_path: Path) -> None:
    with open_record(write_run(tmp_path / "run.sqlite", 12)) as reader:
        now = moment(reader)
    assert [o.row.id for o in now.recent] == [12, 11, 10, 9, 8, 7, 6, 5]


def test_the_newest_alert_and_the_keys_are_shown(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    recorder.status(COUNTERS)
    recorder.event(EventRow(1, "warning", "link_lost", "the port has gone"))
    recorder.event(EventRow(2, "warning", "link_back", "the dispenser answers again"))
    recorder.event(EventRow(3, "info", "running", "primed"))
    recorder.finish("done", 0)
    with open_record(recorder.path) as reader:
        now = moment(reader)
    console = Console(file=StringIO(), width=100)
    console.print(picture(now, "p pause"))
    assert isinstance(console.file, StringIO)
    shown_now = console.file.getvalue()
    assert "link_back: the dispenser answers again" in shown_now
    assert "link_lost" not in shown_now
    assert "p pause" in shown_now
