"""What a run came to, in figures: what ``sorter demo --json`` prints, and reports show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sorter.record_reader import CommandRecord, FrameArrays, MetaRecord, ObjectRecord, RecordReader
from sorter.report_junction import last_balance

NOT_DECIDED = frozenset({"late", "stopping", "fault"})
"""Reasons of objects that went to rest because no decision was made in time."""


class Latency(msgspec.Struct, frozen=True):
    """Spread of times in ms; all 0 when ``n`` is 0."""

    n: int
    p50: float
    p99: float
    p999: float
    max: float


class CommandLatency(msgspec.Struct, frozen=True):
    """Spread of times in ms; all 0 when ``n`` is 0."""

    n: int
    p50: float
    p99: float
    max: float


class OutletCount(msgspec.Struct, frozen=True):
    """Target and actual of one outlet.

    Attributes:
        target: objects that the last decision meant for it.
        sent, acknowledged, executed, refused: commands that open it; all 0 for the rest outlet,
            which needs none.
        reasons: objects meant for it by reason.
    """

    target: int
    sent: int
    acknowledged: int
    executed: int
    refused: int
    reasons: dict[str, int]


class Summary(msgspec.Struct, frozen=True):
    """The figures of a run.

    Attributes:
        run_id, started_utc, ended_utc, end_reason, exit_code, seed, model_hash, note: as in
            the record's ``meta``.
        duration_s: from the start to the last frame.
        seen: objects in the record.
        decided: those for which a decision was made in time: all but late, stopping and fault.
        late: objects whose decision or command came too late.
        conflicts: objects aborted for coincidence: a neighbour bound elsewhere.
        taken_back: objects whose first decision was changed later.
        outlets: outlet -> target and actual.
        reasons: reason -> objects.
        objects_per_min: ``seen`` over ``duration_s``.
        efficiency: openings executed for healthy objects, of all objects that the network
            called healthy (conflicts and late ones included); None without any.
        fps_measured: frames received per second, between the first and the last.
        frames_received, frames_dropped: the latter are gaps in the camera's numbers.
        latency_ms: frame in the host's hands to pipeline done, last byte of a command written;
            over frames with at least one object.
        command_ms: frame in the host's hands to the command's last byte written.
        warnings, faults: events of these levels.
        junction: the last mass balance, with the sort efficiency that was measured at the junction;
            None where its outlets have no optical gates.
    """

    run_id: str
    started_utc: str
    ended_utc: str | None
    end_reason: str | None
    exit_code: int | None
    seed: int | None
    model_hash: str
    note: str
    duration_s: float
    seen: int
    decided: int
    late: int
    conflicts: int
    taken_back: int
    outlets: dict[str, OutletCount]
    reasons: dict[str, int]
    objects_per_min: float
    efficiency: float | None
    fps_measured: float
    frames_received: int
    frames_dropped: int
    latency_ms: Latency
    command_ms: CommandLatency
    warnings: int
    faults: int
    junction: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, nested like this object."""
        return dict(msgspec.to_builtins(self))


def summarize(reader: RecordReader) -> Summary:
    """The figures of a record, complete or growing."""
    with reader.snapshot():
        meta, objects, commands = reader.meta(), reader.objects(), reader.commands()
        frames, events = reader.frames(), reader.events()
        latency_ms, command_ms = reader.latency_ms(), reader.command_ms()
    reasons = Counter(o.reason for o in objects)
    levels = Counter(event.level for event in events)
    duration_s = _duration_s(meta, frames, objects)
    undecided = sum(reasons[reason] for reason in NOT_DECIDED)
    return Summary(
        run_id=meta.run.run_id,
        started_utc=meta.run.started_utc,
        ended_utc=meta.ended_utc,
        end_reason=meta.end_reason,
        exit_code=meta.exit_code,
        seed=meta.run.seed,
        model_hash=meta.run.model_hash,
        note=meta.run.note,
        duration_s=duration_s,
        seen=len(objects),
        decided=len(objects) - undecided,
        late=reasons["late"],
        conflicts=reasons["conflict"],
        taken_back=sum(o.changed_ns is not None for o in objects),
        outlets=_outlets(objects, commands),
        reasons=dict(reasons.most_common()),
        objects_per_min=60 * len(objects) / duration_s if duration_s else 0.0,
        efficiency=_efficiency(objects),
        fps_measured=_fps(frames),
        frames_received=len(frames.number),
        frames_dropped=_dropped(frames),
        latency_ms=Latency(len(latency_ms), *_spread(latency_ms, (50, 99, 99.9, 100))),
        command_ms=CommandLatency(len(command_ms), *_spread(command_ms, (50, 99, 100))),
        warnings=levels["warning"],
        faults=levels["fault"],
        junction=last_balance(events),
    )


def _duration_s(meta: MetaRecord, frames: FrameArrays, objects: Iterable[ObjectRecord]) -> float:
    """Until the last frame, or the last decision where a record holds no frames."""
    last_ns = [int(frames.done_ns.max())] if len(frames.number) else []
    last_ns += [o.row.decided_ns for o in objects]
    return max(0.0, (max(last_ns) - meta.run.origin_ns) / 1e9) if last_ns else 0.0


def _outlets(
    objects: Iterable[ObjectRecord], commands: Iterable[CommandRecord]
) -> dict[str, OutletCount]:
    meant: dict[str, Counter[str]] = {}
    for o in objects:
        meant.setdefault(o.outlet, Counter())[o.reason] += 1
    opened: dict[str, Counter[str]] = {}
    for command in commands:
        counter = opened.setdefault(command.row.outlet, Counter())
        counter["sent"] += 1
        counter["acknowledged"] += command.acked_ns is not None
        counter["executed"] += command.executed_ns is not None
        counter["refused"] += command.refused is not None
    names = sorted(meant.keys() | opened.keys())
    return {
        name: OutletCount(
            target=meant.get(name, Counter()).total(),
            sent=opened.get(name, Counter())["sent"],
            acknowledged=opened.get(name, Counter())["acknowledged"],
            executed=opened.get(name, Counter())["executed"],
            refused=opened.get(name, Counter())["refused"],
            reasons=dict(meant.get(name, Counter()).most_common()),
        )
        for name in names
    }


def _efficiency(objects: Iterable[ObjectRecord]) -> float | None:
    called = [o for o in objects if "healthy" in (o.reason, o.row.reason)]
    # A conflict or a late command that was known before the object was recorded took its reason.
    aborted = [o for o in objects if o.row.reason in ("conflict", "late")]
    n = len(called) + len(aborted)
    return (
        sum(o.executed_ns is not None and o.reason == "healthy" for o in called) / n if n else None
    )


def _fps(frames: FrameArrays) -> float:
    if len(frames.number) < 2:
        return 0.0
    span_ns = int(frames.received_ns.max() - frames.received_ns.min())
    return (len(frames.number) - 1) / (span_ns / 1e9) if span_ns else 0.0


def _dropped(frames: FrameArrays) -> int:
    """Numbers that are missing; a number that falls back (a restarted camera) begins anew."""
    steps = np.diff(frames.number)
    return int((steps[steps > 1] - 1).sum())


def _spread(values_ms: NDArray[np.float64], percent: tuple[float, ...]) -> tuple[float, ...]:
    if not len(values_ms):
        return (0.0,) * len(percent)
    return tuple(float(value) for value in np.percentile(values_ms, percent))


def with_truth(
    summary: Summary, truth: Mapping[str, Any] | None, frames_rendered: int | None = None
) -> dict[str, Any]:
    """The JSON of a simulated run: the summary, frames rendered, and the simulator's verdict."""
    result = summary.to_dict()
    if frames_rendered is not None:
        result["frames_rendered"] = frames_rendered
    if truth is not None:
        result["truth"] = dict(truth)
    return result
