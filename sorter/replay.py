"""A recorded run once more, in virtual time: the same code must decide and command the same.

The journal in the record holds what came from outside in each step (see `sorter.journal`); here it
is fed back (`sorter.tape`) to a controller built from the record's own settings and manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, Manifest
from sorter.build import build_controller
from sorter.controller import Controller
from sorter.decide import Reason
from sorter.errors import CheckFailed, InputError
from sorter.journal_step import Step
from sorter.life import RunState
from sorter.record_reader import RecordReader, open_record
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    ObjectRow,
    ObjectUpdate,
)
from sorter.settings import RigSettings
from sorter.settings_io import parse_toml
from sorter.tape import Tape, TapeCamera, TapeClock, TapeDispenser, TapePump, TapeVision


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a run decided and commanded: comparable, in order."""

    decisions: tuple[tuple[Any, ...], ...]
    commands: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Recorded against replayed.

    Attributes:
        steps: steps that were replayed.
        recorded, replayed: decisions and commands of both.
        difference: the first one in words, None when they are identical.
        left_out: decisions, changes and commands of the step in which a record was cut off, as by
            a kill: the journal has each step when it is over.
    """

    steps: int
    recorded: Verdicts
    replayed: Verdicts
    difference: str | None
    left_out: int


@dataclass(slots=True)
class CollectingSink:
    """A `RecordSink` that keeps decisions and commands in memory."""

    objects: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    commands: list[tuple[Any, ...]] = field(default_factory=list)

    def frame(self, row: FrameRow) -> None:
        """Not compared."""

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """Keep the decision."""
        self.objects[row.id] = (row.id, row.outlet, row.reason, row.p_unhealthy, row.p_other)

    def update_object(self, row: ObjectUpdate) -> None:
        """Keep the change beside the decision."""
        self.objects[row.id] += (row.changed_outlet, row.changed_reason)

    def command(self, row: CommandRow) -> None:
        """Keep the command."""
        self.commands.append((row.id, row.object_id, row.outlet, row.open_us, row.close_us))

    def update_command(self, row: CommandUpdate) -> None:
        """Not compared."""

    def event(self, row: EventRow) -> None:
        """Not compared."""

    def journal(self, blob: bytes) -> None:
        """Not kept."""

    def status(self, counters: dict[str, Any]) -> None:
        """Not compared."""

    def flush(self) -> None:
        """Nothing waits."""

    def verdicts(self) -> Verdicts:
        """Everything decided and commanded, in order of id."""
        decisions = tuple(self.objects[i] for i in sorted(self.objects))
        return Verdicts(decisions, tuple(sorted(self.commands)))


def replay(record: Path) -> ReplayResult:
    """Replay a record's journal.

    Raises:
        InputError: not a record, or one without a journal.
        CheckFailed: the replay asks something that the run never asked, fails in another step, or
            does not fail where the run did.
    """
    with open_record(record) as reader:
        meta = reader.meta()
        rig = parse_toml(meta.run.settings_toml, RigSettings, on=record)
        manifest = Manifest.model_validate(meta.run.bundle_manifest)
        steps = [msgspec.msgpack.decode(blob, type=Step) for blob in reader.journal()]
        if not steps:
            raise InputError(
                "the record has no journal", on=record, do="Only runs that began can be replayed"
            )
        if reader.version == 1:
            reason = Reason.FAULT if meta.end_reason == "fault" else Reason.STOPPING
            steps.append(Step(steps[-1].now_ns, closed=reason.value))
        replayed = _run(steps, rig, manifest)
        ended = any(step.closed for step in steps)
        end = None if ended else _CutOff(steps[-1].now_ns, replayed)
        recorded = _recorded(reader, end)
    left_out = 0 if end is None else end.left_out
    difference = _difference(recorded, replayed)
    return ReplayResult(len(steps), recorded, replayed, difference, left_out)


def _run(steps: Iterable[Step], rig: RigSettings, manifest: Manifest) -> Verdicts:
    tape, sink = Tape(), CollectingSink()
    controller = build_controller(
        rig,
        clock=TapeClock(tape),
        camera=TapeCamera(tape, rig),
        dispenser=TapeDispenser(tape, rig),
        vision=TapeVision(tape, manifest.size_px),
        bundle=Bundle(Path("record"), manifest, b""),
        record=sink,
        pump=TapePump(tape),
    )
    for i, step in enumerate(steps):
        tape.put(step)
        if i == 0:
            controller.start(step.now_ns)
        if step.drain:
            controller.drain(step.drain_ns or step.now_ns, "as recorded")
        if step.closed:
            controller.close_books(Reason(step.closed), step.now_ns)
            continue
        for state, by in step.asked:
            controller.ask(RunState(state), by, "as recorded")
        _turn(controller, tape)
    return sink.verdicts()


def _turn(controller: Controller, tape: Tape) -> None:
    """One step, which must raise where it did in the run, and only there."""
    step, on = tape.step, f"step at {tape.step.now_ns} ns"
    tape.turning = True
    try:
        controller.step(step.now_ns)
    except CheckFailed:
        raise
    except Exception as error:
        if not step.raised:
            raise CheckFailed(
                f"the replay fails in a step that the run got through: {error}", on=on
            ) from error
    else:
        if step.raised:
            raise CheckFailed(
                f"the run failed in that step ({step.raised}), the replay does not", on=on
            )
    finally:
        tape.turning = False


class _CutOff:
    """What a record holds of the step in which it was cut off, and which the journal lacks.

    Args:
        until_ns: time of the last step in the journal.
        replayed: what was decided and commanded up to its end.
    """

    def __init__(self, until_ns: int, replayed: Verdicts) -> None:
        self._until_ns = until_ns
        self._decisions = {decision[0] for decision in replayed.decisions}
        self._commands = {command[0] for command in replayed.commands}
        self.left_out = 0

    def _leave_out(self, known: bool, at_ns: int) -> bool:
        leave_out = not known and at_ns > self._until_ns
        self.left_out += leave_out
        return leave_out

    def decided(self, row: ObjectRow) -> bool:
        """Whether a decision is of that step."""
        return self._leave_out(row.id in self._decisions, row.decided_ns)

    def changed(self, at_ns: int) -> bool:
        """Whether a decision was taken back in that step."""
        return self._leave_out(False, at_ns)

    def commanded(self, row: CommandRow) -> bool:
        """Whether a command is of that step."""
        return self._leave_out(row.id in self._commands, row.sent_ns)


def _recorded(reader: RecordReader, end: _CutOff | None) -> Verdicts:
    """What the record has, without what is of a step that was cut off."""
    decisions: list[tuple[Any, ...]] = []
    for o in reader.objects():
        row = o.row
        if end is not None and end.decided(row):
            continue
        decision: tuple[Any, ...] = (
            row.id, row.outlet, row.reason, row.p_unhealthy, row.p_other
        )  # fmt: skip
        if o.changed_ns is not None and not (end is not None and end.changed(o.changed_ns)):
            decision = (*decision, o.changed_outlet, o.changed_reason)
        decisions.append(decision)
    rows = [c.row for c in reader.commands()]
    rows = [row for row in rows if end is None or not end.commanded(row)]
    commands = [(c.id, c.object_id, c.outlet, c.open_us, c.close_us) for c in rows]
    return Verdicts(tuple(sorted(decisions)), tuple(sorted(commands)))


def _difference(recorded: Verdicts, replayed: Verdicts) -> str | None:
    for what in ("decisions", "commands"):
        ours, theirs = getattr(recorded, what), getattr(replayed, what)
        for a, b in zip(ours, theirs, strict=False):
            if a != b:
                return f"{what}: the run had {a}, the replay {b}"
        if len(ours) != len(theirs):
            return f"{what}: the run had {len(ours)}, the replay {len(theirs)}"
    return None
