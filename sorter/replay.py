"""A recorded run once more, in virtual time: the same code must decide and command the same.

The journal in the record holds what came from outside in each step (see `sorter.journal`); here it
is fed back to a controller built from the record's own settings and manifest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.ports import (
    CameraInfo,
    Command,
    DispenserEvent,
    Frame,
    Guarantees,
    PumpAbilities,
    PumpState,
    PumpStatus,
)
from models.bundle import Bundle, Manifest
from sorter.build import build_controller
from sorter.detection import Detection
from sorter.errors import CheckFailed, DispenserError, InputError
from sorter.guarantees import guarantees_of
from sorter.journal import Step, pack_command, unpack_detection, unpack_event
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

_NO_PIXELS = np.empty((0, 0), np.uint8)


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
    """

    steps: int
    recorded: Verdicts
    replayed: Verdicts
    difference: str | None


class _Tape:
    """The step that is being replayed, and how far into its answers the controller is.

    What the dispenser is told between the steps, as the run starts and ends, is not journalled:
    ``turning`` says whether the controller is inside one.
    """

    def __init__(self) -> None:
        self.step = Step(0)
        self.turning = False
        self._call = 0

    def put(self, step: Step) -> None:
        """The next step."""
        self.step, self._call = step, 0

    def answer(self, method: str, arguments: list[Any]) -> Any:
        """The recorded answer; raises `CheckFailed` when the replay asks something else."""
        calls = self.step.calls
        recorded = calls[self._call] if self._call < len(calls) else None
        if recorded is None or recorded[0] != method or list(recorded[1]) != arguments:
            raise CheckFailed(
                f"the replay asks the dispenser {method}{tuple(arguments)}, "
                f"the run had {recorded[:2] if recorded else 'nothing more'} in that step",
                on=f"step at {self.step.now_ns} ns",
                do="Replay with the version that recorded the run (see its meta table)",
            )
        self._call += 1
        return recorded[2]

    def told(self, method: str, arguments: list[Any]) -> None:
        """What has no answer, but must have been said in the run as well."""
        if self.turning:
            self.answer(method, arguments)

    def next_is(self, method: str) -> bool:
        """Whether the next recorded call is `method`."""
        return self._call < len(self.step.calls) and self.step.calls[self._call][0] == method


class _TapeClock:
    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def now_ns(self) -> int:
        return self._tape.step.now_ns

    def wait_until(self, deadline_ns: int) -> None:
        """The tape decides when the next step is."""


class _TapeCamera:
    def __init__(self, tape: _Tape, rig: RigSettings) -> None:
        self._tape = tape
        camera = rig.camera
        self._info = CameraInfo("replay", camera.width_px, camera.height_px, camera.bit_depth)

    def info(self) -> CameraInfo:
        return self._info

    def start(self) -> None:
        """Nothing to start."""

    def pop(self) -> Frame | None:
        head = self._tape.step.frame
        if head is None:
            return None
        return Frame(
            _NO_PIXELS, head.number, head.exposed_ns, head.exposed_error_ns, head.received_ns
        )

    def waiting(self) -> int:
        return int(self._tape.step.crowded)

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


class _TapePump:
    """Runs from the step on that found it running, until it is held."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        self._flows = False

    def abilities(self) -> PumpAbilities:
        return PumpAbilities(rate=False, volume=False, reverse=False)

    def start(self, now_ns: int) -> None:
        self._flows = False

    def hold(self, now_ns: int) -> None:
        self._flows = False

    resume, stop = start, hold

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """Nothing to push."""

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Nothing to set."""

    def status(self) -> PumpStatus:
        self._flows |= self._tape.step.flows
        state = PumpState.RUNNING if self._flows else PumpState.UNKNOWN
        return PumpStatus(state, math.nan, math.nan, 0)

    def step(self, now_ns: int) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing to close."""


class _TapeVision:
    def __init__(self, tape: _Tape, size_px: int) -> None:
        self._tape = tape
        self._size_px = size_px

    def settle(self) -> None:
        """Nothing to learn."""

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        if not self._tape.step.hides:
            raise CheckFailed("the replay would collect an object that the run did not")
        return self._tape.step.hides.pop(0)

    def detect(self, frame: Frame) -> Sequence[Detection]:
        return [unpack_detection(fields) for fields in self._tape.step.detections]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        step = self._tape.step
        flat = np.frombuffer(step.probabilities, np.float32)
        probabilities = flat.reshape(-1, step.classes or 1)
        if len(probabilities) != len(detections):
            raise CheckFailed(
                f"the replay classifies {len(detections)} views, the run {len(probabilities)}",
                on=f"frame {frame.number}",
            )
        return probabilities, np.zeros((len(detections), self._size_px, self._size_px), np.uint8)


class _TapeDispenser:
    def __init__(self, tape: _Tape, rig: RigSettings) -> None:
        self._tape = tape
        self._guarantees = guarantees_of(rig)

    def guarantees(self) -> Guarantees:
        return self._guarantees

    def connect(self) -> dict[str, Any]:
        return {}

    def arm(self) -> None:
        """As in the run; what armed it before the first step is not on the tape."""
        if not self._tape.turning:
            return
        if not self._tape.next_is("arm"):
            raise DispenserError("it did not arm in the run either", do="")
        self._tape.answer("arm", [])

    def to_device_us(self, host_ns: int) -> int:
        return int(self._tape.answer("to_device_us", [host_ns]))

    def to_host_ns(self, device_us: int) -> int:
        return int(self._tape.answer("to_host_ns", [device_us]))

    def clock_bound_us(self, host_ns: int) -> int:
        return int(self._tape.answer("clock_bound_us", [host_ns]))

    def send(self, command: Command, now_ns: int) -> None:
        self._tape.answer("send", pack_command(command))

    def cancel(self, command_id: int, now_ns: int) -> None:
        self._tape.answer("cancel", [command_id])

    def rest(self, now_ns: int) -> None:
        self._tape.told("rest", [])

    def hold(self, now_ns: int) -> None:
        self._tape.told("hold", [])

    def flow(self, now_ns: int) -> None:
        self._tape.told("flow", [])

    def stop(self, now_ns: int) -> None:
        self._tape.told("stop", [])

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        self._tape.told("lines", [ready, hold, fault])

    def step(self, now_ns: int) -> list[DispenserEvent]:
        if not self._tape.next_is("step"):
            return []
        return [unpack_event(fields) for fields in self._tape.answer("step", [])]

    def close(self) -> None:
        """Nothing to close."""


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
        CheckFailed: the replay asks something that the run never asked.
    """
    with open_record(record) as reader:
        meta = reader.meta().run
        rig = parse_toml(meta.settings_toml, RigSettings, on=record)
        manifest = Manifest.model_validate(meta.bundle_manifest)
        recorded = _recorded(reader)
        steps = [msgspec.msgpack.decode(blob, type=Step) for blob in reader.journal()]
    if not steps:
        raise InputError(
            "the record has no journal", on=record, do="Only runs that took frames can be replayed"
        )
    replayed = _run(steps, rig, manifest)
    return ReplayResult(len(steps), recorded, replayed, _difference(recorded, replayed))


def _run(steps: Iterable[Step], rig: RigSettings, manifest: Manifest) -> Verdicts:
    tape, sink = _Tape(), CollectingSink()
    controller = build_controller(
        rig,
        clock=_TapeClock(tape),
        camera=_TapeCamera(tape, rig),
        dispenser=_TapeDispenser(tape, rig),
        vision=_TapeVision(tape, manifest.size_px),
        bundle=Bundle(Path("record"), manifest, b""),
        record=sink,
        pump=_TapePump(tape),
    )
    now_ns = 0
    for i, step in enumerate(steps):
        tape.put(step)
        now_ns = step.now_ns
        if i == 0:
            controller.start(now_ns)
        if step.drain:
            controller.drain(now_ns, "as recorded")
        for state, by in step.asked:
            controller.ask(RunState(state), by, "as recorded")
        tape.turning = True
        controller.step(now_ns)
        tape.turning = False
    if controller.life.may(RunState.DRAINING):  # the run was cut short
        controller.drain(now_ns, "the recording ends")
    controller.stop(now_ns)
    return sink.verdicts()


def _recorded(reader: RecordReader) -> Verdicts:
    decisions: list[tuple[Any, ...]] = []
    for o in reader.objects():
        row = o.row
        decision: tuple[Any, ...] = (
            row.id, row.outlet, row.reason, row.p_unhealthy, row.p_other
        )  # fmt: skip
        if o.changed_outlet is not None:
            decision = (*decision, o.changed_outlet, o.changed_reason)
        decisions.append(decision)
    rows = [c.row for c in reader.commands()]
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
