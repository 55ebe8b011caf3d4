"""The record: all that is handed over is in the file, whoever dies; trouble is told at once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sorter.errors import InputError, RecordError
from sorter.record import (
    CommandRow,
    CommandUpdate,
    EventRow,
    ObjectUpdate,
    Recorder,
    RecordSettings,
    RunMeta,
)
from sorter.record_reader import open_record
from sorter.record_rows import UNFINISHED
from sorter.record_writer import APPLICATION_ID, SCHEMA_VERSION, encode_png, split_frames
from tests.sorter.record_samples import (
    META,
    crop,
    frame_row,
    hand,
    news_of,
    object_of,
    object_row,
    write_run,
)

CONTROLLER = """
import sys
from pathlib import Path
from sorter.record import Recorder, RecordSettings
from tests.sorter.record_samples import META, crop, frame_row, object_of

def main():
    recorder = Recorder.start(Path(sys.argv[1]), META)
    ending = sys.argv[2]
    for i in range(1, 400 if ending != "killed" else 10**9):
        recorder.frame(frame_row(i))
        recorder.object(object_of(i), [crop(i)])
        recorder.journal(b"step %d" % i)
        print(i, flush=True)
    if ending == "raises":
        raise SystemExit(3)

if __name__ == "__main__":
    main()
"""


def controller(tmp_path: Path, ending: str) -> tuple[Path, subprocess.Popen[bytes]]:
    """A controller in a process of its own that records until it ends without finish()."""
    script = tmp_path / "controller.py"
    script.write_text(CONTROLLER)
    record = tmp_path / "run.sqlite"
    process = subprocess.Popen(
        [sys.executable, str(script), str(record), ending],
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return record, process


def numbers_until_both_ended(process: subprocess.Popen[bytes]) -> list[int]:
    """The recorder inherits standard output, so that end-of-file means that both have ended."""
    out, _ = process.communicate(timeout=60)
    return [int(line) for line in out.split(b"\n")[:-1]]


def test_kill_9_of_the_controller_loses_nothing_handed_over(tmp_path: Path) -> None:
    record, process = controller(tmp_path, "killed")
    assert process.stdout is not None
    first = [int(process.stdout.readline()) for _ in range(500)]
    process.kill()
    handed = first + numbers_until_both_ended(process)
    with open_record(record) as reader:
        objects, frames, meta = reader.objects(), reader.frames(), reader.meta()
        journal = list(reader.journal())
        assert [o.row.id for o in objects][: len(handed)] == handed
        assert list(frames.number[: len(handed)]) == handed
        assert journal[: len(handed)] == [b"step %d" % i for i in handed]
        assert len(objects) <= len(handed) + 1
        assert all(len(reader.crops(i)) == 1 for i in handed[::50])
    assert (meta.end_reason, meta.exit_code) == (UNFINISHED, None)
    assert meta.ended_utc is not None


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_a_controller_that_ends_without_finish_neither_hangs_nor_loses(
    tmp_path: Path, ending: str
) -> None:
    record, process = controller(tmp_path, ending)
    handed = numbers_until_both_ended(process)
    assert process.returncode == (3 if ending == "raises" else 0)
    with open_record(record) as reader:
        assert [o.row.id for o in reader.objects()] == handed == list(range(1, 400))
        assert reader.meta().end_reason == UNFINISHED


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals to the recorder")
def test_the_recorder_outlives_requests_to_end(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    assert recorder.process_id is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(recorder.process_id, number)
        recorder.frame(frame_row(int(number)))
    recorder.finish("interrupted", 130)
    with open_record(recorder.path) as reader:
        assert len(reader.frames().number) == 3
        meta = reader.meta()
    assert (meta.end_reason, meta.exit_code) == ("interrupted", 130)


def hand_until_trouble(recorder: Recorder, limit: int) -> RecordError:
    """Hand rows over until the recorder's trouble is told."""
    noise = crop(1, 400)
    try:
        for i in range(1, limit):
            recorder.object(object_of(i), [noise])
        recorder.finish("done", 0, timeout_s=60)
    except RecordError as error:
        return error
    raise AssertionError("no trouble was told")


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
def test_a_full_disk_is_a_record_error_with_advice(tmp_path: Path) -> None:
    import resource

    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    assert recorder.process_id is not None
    resource.prlimit(recorder.process_id, resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
    error = hand_until_trouble(recorder, limit=100)
    assert error.exit_code == 4
    assert "can't be written" in error.what
    assert "space" in error.do
    with pytest.raises(RecordError, match="can't be written"):
        recorder.frame(frame_row(1))
    with pytest.raises(RecordError, match="can't be written"):
        recorder.flush()
    with open_record(recorder.path) as reader:
        ids = [o.row.id for o in reader.objects()]
    assert ids == list(range(1, len(ids) + 1))
    check = sqlite3.connect(recorder.path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_recorder_that_dies_is_told_at_the_next_calls(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    assert recorder.process_id is not None
    os.kill(recorder.process_id, signal.SIGKILL)
    error = hand_until_trouble(recorder, limit=10**6)
    assert "died" in error.what


@pytest.mark.skipif(os.name != "posix", reason="stops the recorder by signal")
def test_the_loop_never_blocks_and_a_full_backlog_is_told(tmp_path: Path) -> None:
    settings = RecordSettings(folder=tmp_path, backlog_mb=1)
    recorder = Recorder.start(tmp_path / "run.sqlite", META, settings)
    assert recorder.process_id is not None
    os.kill(recorder.process_id, signal.SIGSTOP)
    try:
        error = hand_until_trouble(recorder, limit=10**6)
    finally:
        os.kill(recorder.process_id, signal.SIGCONT)
    assert "1 MB behind" in error.what


@pytest.mark.skipif(os.name != "posix", reason="stops the recorder by signal")
def test_what_waited_in_the_backlog_is_sent_in_order(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    assert recorder.process_id is not None
    noise = crop(1, 400)
    os.kill(recorder.process_id, signal.SIGSTOP)
    try:
        for i in range(1, 101):
            recorder.object(object_row(i), [noise])
    finally:
        os.kill(recorder.process_id, signal.SIGCONT)
    recorder.finish("done", 0, timeout_s=60)
    with open_record(recorder.path) as reader:
        assert [o.row.id for o in reader.objects()] == list(range(1, 101))
        assert np.array_equal(reader.crops(100)[0].pixels(), noise)


def test_a_record_is_readable_while_it_grows(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    with open_record(recorder.path) as reader:
        assert reader.meta().end_reason is None
        assert reader.status() is None
        with reader.snapshot():
            before = len(reader.objects())
            for i in range(1, 11):
                recorder.object(object_of(i), [crop(i)])
            recorder.status({"seen": np.int64(10)})
            recorder.finish("done", 0)
            assert len(reader.objects()) == before == 0
        assert len(reader.objects()) == 10
        status = reader.status()
        assert status is not None
        assert status.counters == {"seen": 10}


def test_everything_comes_back_as_it_was_handed_over(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.sqlite")
    with open_record(path) as reader:
        meta = reader.meta()
        assert meta.run == META
        assert (meta.end_reason, meta.exit_code) == ("done", 0)
        for record in reader.objects():
            asked = object_of(record.row.id)
            assert reader.sightings(record.row.id) == asked.sightings
            for name in asked.__struct_fields__:
                if name not in ("sightings", "p_unhealthy"):
                    assert getattr(record.row, name) == getattr(asked, name), name
            none_asked = asked.n_views == 0
            assert record.row.p_unhealthy == (None if none_asked else asked.p_unhealthy)
            assert record.view_probabilities.shape == ((0, 0) if none_asked else (2, 2))
        best, other = reader.crops(1)
        assert np.array_equal(best.pixels(), crop(1))
        assert other.view == 1
        assert [e.name for e in reader.events()] == ["started", "frames_lost"]


def test_news_of_a_command_reach_its_objects(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    recorder.object(object_row(1, "collect", "healthy", command_id=5), [])
    recorder.object(object_row(2, "collect", "healthy"), [])
    recorder.command(CommandRow(5, 1, "collect", 10, 20, sent_ns=100, also=(2,)))
    recorder.update_command(CommandUpdate(5, acked_ns=110))
    recorder.update_command(CommandUpdate(5, opened_us=11, closed_us=21, executed_ns=130))
    recorder.object(object_row(3, "collect", "healthy", command_id=5), [])
    recorder.object(object_row(4, "collect", "healthy", command_id=6), [])
    recorder.command(CommandRow(6, 4, "collect", 30, 40, sent_ns=140))
    recorder.update_object(ObjectUpdate(4, 150, "waste", "late"))
    recorder.update_command(CommandUpdate(6, refused="late"))
    recorder.finish("done", 0)
    with open_record(recorder.path) as reader:
        shared, refused = reader.objects()[:3], reader.objects()[3]
        first, second = reader.commands()
    for o in shared:
        assert (o.sent_ns, o.acknowledged_ns, o.executed_ns, o.refused) == (100, 110, 130, None)
        assert (o.row.command_id, o.row.open_us, o.row.close_us) == (5, 10, 20)
    assert (refused.row.outlet, refused.row.reason) == ("collect", "healthy")
    assert (refused.outlet, refused.reason, refused.refused) == ("waste", "late", "late")
    assert (first.opened_us, first.closed_us, first.executed_ns) == (11, 21, 130)
    assert (second.acked_ns, second.refused) == (None, "late")


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.sqlite", 1)
    with open_record(path) as reader:
        assert len(reader.objects()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.sqlite"]
    connection = sqlite3.connect(path)
    pragmas = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "journal_mode", "integrity_check")
    ]
    connection.close()
    assert pragmas == [APPLICATION_ID, SCHEMA_VERSION, "wal", "ok"]


def _text(path: Path) -> None:
    path.write_text("id,label\n" * 50)


def _other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (x)")
    connection.close()


def _newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such record"),
        (Path.mkdir, "no such record"),
        (_text, "can't be read as a run record"),
        (_other_database, "not a run record"),
        (_newer, "update spheroid-sorter"),
    ],
    ids=["missing", "folder", "text", "other database", "newer version"],
)
def test_what_is_not_a_record_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "x.sqlite"
    make(path)
    with pytest.raises(InputError, match=message):
        open_record(path)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_text("precious")
    with pytest.raises(RecordError, match="exists"):
        Recorder.start(path, META)
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_is_a_record_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="can't be written"):
        Recorder.start(tmp_path / "file" / "run.sqlite", META)


def test_a_closed_record_takes_no_rows(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    recorder.flush()
    recorder.finish("done", 0)
    with pytest.raises(RecordError, match="closed"):
        recorder.event(EventRow(1, "info", "x", "y"))
    with pytest.raises(RecordError, match="closed"):
        recorder.flush()
    with pytest.raises(RecordError, match="closed"):
        recorder.finish("done", 0)


def test_crops_can_be_left_out(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.sqlite", 2, RecordSettings(folder=tmp_path, crops=False))
    with open_record(path) as reader:
        assert len(reader.objects()) == 2
        assert reader.crops(1) == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (64, 48)])
def test_png_is_read_by_others(height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 255, (height, width)).astype(np.uint8)
    png = encode_png(height, width, pixels.tobytes())
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert np.array_equal(image, pixels)


def test_torn_messages_wait_for_their_rest() -> None:
    whole = b"\x03\0\0\0abc" + b"\0\0\0\0" + b"\x02\0\0\0de"
    for cut in range(len(whole) + 1):
        first, rest = split_frames(whole[:cut])
        second, left = split_frames(rest + whole[cut:])
        assert [bytes(m) for m in (*first, *second)] == [b"abc", b"", b"de"]
        assert left == b""


def test_a_new_run_has_an_id_of_its_own() -> None:
    assert RunMeta.now().run_id != RunMeta.now().run_id


def test_samples_cover_the_news(tmp_path: Path) -> None:
    recorder = Recorder.start(tmp_path / "run.sqlite", META)
    rows = [news for i in range(1, 9) for news in news_of(object_of(i))]
    for row in rows:
        hand(recorder, row)
    recorder.finish("done", 0)
    assert {type(row) for row in rows} == {CommandRow, CommandUpdate, ObjectUpdate}
