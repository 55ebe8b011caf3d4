"""Rows and whole records with known content, for the tests of what is done with a record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sorter.record import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    ObjectRow,
    ObjectUpdate,
    Recorder,
    RecordSettings,
    RunMeta,
    Sighting,
)

ORIGIN_NS = 1_000_000_000
FRAME_NS = 5_000_000
META = RunMeta(
    run_id="6b0c2f6e-9a52-4b5d-8d4e-0f6f3b0f2a11",
    started_utc="2026-03-04T05:06:07.000+00:00",
    origin_ns=ORIGIN_NS,
    versions={"spheroid-sorter": "0.1.0", "python": "3.11"},
    settings_toml='[outlets]\ncollect = "collect"\nrest = "waste"\n',
    model_hash="ab" * 32,
    bundle_manifest={"labels": ["healthy", "unhealthy"], "pitch_um": 2.0},
    seed=7,
    note="a <b>note</b> of the operator",
)
FATES = ("healthy", "healthy", "unhealthy", "conflict", "late", "too_small", "withdrawn", "healthy")


def crop(seed: int, size: int = 48) -> NDArray[np.uint8]:
    """A grey crop that no other seed gives."""
    return np.random.default_rng(seed).integers(0, 255, (size, size)).astype(np.uint8)


def frame_row(number: int, n_objects: int = 1, took_ns: int = 1_000_000) -> FrameRow:
    at_ns = ORIGIN_NS + number * FRAME_NS
    return FrameRow(number, at_ns - 8_000_000, 1_000_000, at_ns, at_ns + took_ns, n_objects)


def object_row(
    object_id: int, outlet: str = "waste", reason: str = "unhealthy", command_id: int | None = None
) -> ObjectRow:
    at_ns = ORIGIN_NS + object_id * 100_000_000
    opening = (None, None) if command_id is None else (at_ns // 1000, at_ns // 1000 + 80_000)
    asked = reason not in ("too_small",)
    views = np.array([[0.9, 0.1], [0.4, 0.6]], "<f4")
    return ObjectRow(
        id=object_id,
        first_exposed_ns=at_ns - 100_000_000,
        last_exposed_ns=at_ns - 20_000_000,
        received_ns=at_ns,
        decided_ns=at_ns + 900_000,
        diameter_um=150.0 + 10 * object_id,
        circularity=0.9,
        solidity=0.95,
        grey_ratio=0.7,
        velocity_um_s=20_000.0,
        n_views=2 if asked else 0,
        double=False,
        split=False,
        touching=object_id % 2 == 0,
        p_unhealthy=0.125 if asked else float("nan"),
        p_other=0.0 if asked else None,
        view_probabilities=views.tobytes() if asked else b"",
        outlet=outlet,
        reason=reason,
        open_us=opening[0],
        close_us=opening[1],
        command_id=command_id,
        arrival_ns=at_ns + 500_000_000,
        arrival_error_ns=20_000_000,
        sightings=(Sighting(2 * object_id, 10.5, 20.0), Sighting(2 * object_id + 1, 30.5, 21.0)),
    )


def object_of(object_id: int) -> ObjectRow:
    """One of a run in which fates repeat: see `FATES`."""
    fate = FATES[(object_id - 1) % len(FATES)]
    if fate in ("healthy", "withdrawn"):
        return object_row(object_id, "collect", "healthy", command_id=1000 + object_id)
    return object_row(object_id, "waste", fate)


def news_of(row: ObjectRow) -> list[CommandRow | CommandUpdate | ObjectUpdate]:
    """What becomes of an object that has a command."""
    if row.command_id is None or row.open_us is None or row.close_us is None:
        return []
    sent_ns = row.decided_ns + 100_000
    sent = CommandRow(
        row.command_id, row.id, row.outlet, row.open_us, row.close_us, sent_ns, row.received_ns
    )
    acked = CommandUpdate(row.command_id, acked_ns=sent_ns + 2_000_000)
    if FATES[(row.id - 1) % len(FATES)] == "withdrawn":
        changed = ObjectUpdate(row.id, sent_ns + 3_000_000, "waste", "conflict")
        return [sent, acked, changed, CommandUpdate(row.command_id, refused="cancelled")]
    done = CommandUpdate(
        row.command_id,
        opened_us=row.open_us + 25_000,
        closed_us=row.close_us + 15_000,
        executed_ns=sent_ns + 400_000_000,
    )
    return [sent, acked, done]


def hand(recorder: Recorder, row: CommandRow | CommandUpdate | ObjectUpdate) -> None:
    match row:
        case CommandRow():
            recorder.command(row)
        case CommandUpdate():
            recorder.update_command(row)
        case ObjectUpdate():
            recorder.update_object(row)


def write_run(path: Path, n_objects: int = 16, settings: RecordSettings | None = None) -> Path:
    """A finished record of ``n_objects`` objects; frame 3 is lost, every fifth frame is slow."""
    recorder = Recorder.start(path, META, settings)
    recorder.event(EventRow(ORIGIN_NS, "info", "started", "the run starts"))
    for number in range(20 * n_objects + 40):
        if number != 3:
            slow_ns = 2_000_000 if number % 5 == 0 else 0
            recorder.frame(frame_row(number, number % 2, 1_000_000 + slow_ns))
    recorder.event(EventRow(ORIGIN_NS + 15_000_000, "warning", "frames_lost", "1 frame lost"))
    for object_id in range(1, n_objects + 1):
        row = object_of(object_id)
        recorder.object(row, [crop(object_id), crop(-object_id & 0xFFFF)])
        for news in news_of(row):
            hand(recorder, news)
        recorder.journal(msgspec.msgpack.encode(("step", object_id)))
    recorder.status({"state": "running", "seen": n_objects})
    recorder.finish("done", 0, timeout_s=30)
    return path
