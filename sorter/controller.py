"""The loop: takes frames, decides, commands, records. Stepped; one thread; never blocks.

        idle ──start──> running ──drain──> draining ──stop──> stopped
                           └──────── fault ────┴────────────> faulted

A step takes at most one frame. While draining, what was in view when the drain began is still
sorted; what comes after it goes to rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Acknowledged, Camera, Clock, Dispenser, DispenserEvent, Frame, Refused
from sorter.decide import Decision, Reason
from sorter.journal import Journal
from sorter.liquid import Liquid
from sorter.object_row import object_row, telling_crops
from sorter.pipeline import DecidedObject, Pipeline
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    Level,
    ObjectRow,
    ObjectUpdate,
)
from sorter.schedule import Ruling, Scheduler
from sorter.status import Counters
from sorter.track import Arrival, Track
from sorter.view import ViewGeometry

STATUS_PERIOD_NS = 400_000_000


class RunState(StrEnum):
    """Where a run is in its life."""

    IDLE = "idle"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAULTED = "faulted"


class RecordSink(Protocol):
    """What the loop hands over; `sorter.record.Recorder` is the one that writes a file."""

    def frame(self, row: FrameRow) -> None:
        """One frame's times."""

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """One decided object."""

    def update_object(self, row: ObjectUpdate) -> None:
        """A decision that was taken back."""

    def command(self, row: CommandRow) -> None:
        """A command that was sent."""

    def update_command(self, row: CommandUpdate) -> None:
        """News of a command."""

    def event(self, row: EventRow) -> None:
        """An event."""

    def journal(self, blob: bytes) -> None:
        """What a step got from outside."""

    def status(self, counters: dict[str, Any]) -> None:
        """The newest counters."""

    def flush(self) -> None:
        """Send on what waits; raises `RecordError`."""


class Controller:
    """One run of the loop over given parts; `sorter.build` wires them.

    Args:
        flowing_before: bodies may be between view and junction when the run starts. Nobody has seen
            them, so nothing is opened until even the slowest has passed.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        camera: Camera,
        dispenser: Dispenser,
        pipeline: Pipeline,
        scheduler: Scheduler,
        liquid: Liquid,
        view: ViewGeometry,
        record: RecordSink,
        journal: Journal,
        flowing_before: bool = False,
    ) -> None:
        self._clock = clock
        self._camera = camera
        self._dispenser = dispenser
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._liquid = liquid
        self._view = view
        self._record = record
        self._journal = journal
        self._flowing_before = flowing_before
        self._drain_ns: int | None = None
        self._waits_in_view = False
        self._last_frame: Frame | None = None
        self._gap_ns = 0  # exposure of the first frame after the last gap
        self._last_status_ns = 0
        self.counters = Counters()
        self.state = RunState.IDLE

    def start(self, now_ns: int) -> None:
        """Start the camera. Raises `CameraError`."""
        self._camera.start()
        self._to(RunState.RUNNING, now_ns, "started")

    def drain(self, now_ns: int, why: str) -> None:
        """Sort what is in view and under way, take nothing new."""
        if self.state is RunState.RUNNING:
            self._drain_ns = now_ns
            self._waits_in_view = True  # until a frame tells
            self._journal.drained()
            self._to(RunState.DRAINING, now_ns, why)

    def is_drained(self) -> bool:
        """Nothing that was seen before the drain waits for a decision or for its opening's end."""
        return not self._waits_in_view and self._scheduler.waiting == 0

    def stop_camera(self) -> None:
        """Expose no more; frames that wait can still be taken, one a step."""
        self._camera.stop()

    def stop(self, now_ns: int) -> None:
        """Camera off, gate to rest; what has no command is ruled to rest."""
        self._camera.stop()
        self._close_books(Reason.STOPPING, now_ns)
        self._dispenser.rest(now_ns)
        self._to(RunState.STOPPED, now_ns, "stopped")
        self._publish(now_ns)

    def fault(self, now_ns: int, why: str) -> None:
        """Rule everything to rest and note the fault; the caller sends the gate to rest first."""
        self._close_books(Reason.FAULT, now_ns)
        self._to(RunState.FAULTED, now_ns, why, level="fault")
        self._publish(now_ns)

    def step(self, now_ns: int) -> bool:
        """One turn of the loop; True when it took a frame.

        Raises `CameraError`, `LinkError`, `DispenserError`, `RecordError`.
        """
        self._journal.begin(now_ns)
        for event in self._dispenser.step(now_ns):
            self._hear(event, now_ns)
        frame = self._camera.pop()
        n_objects = 0
        if frame is not None:
            crowded = self._camera.waiting() > 0
            self._journal.took(frame, crowded=crowded)
            n_objects = self._take(frame, now_ns, crowded=crowded)
        self._apply(self._scheduler.plan(now_ns), now_ns)
        if frame is not None:
            self._scheduler.prune(now_ns)
            self._finish_frame(frame, n_objects)
        elif self._pipeline.learn():
            self._journal.learnt()
        if now_ns - self._last_status_ns > STATUS_PERIOD_NS:
            self._publish(now_ns)
        self._journal_step()
        return frame is not None

    def _take(self, frame: Frame, now_ns: int, *, crowded: bool) -> int:
        """One frame through the pipeline; returns the number of objects in it."""
        last = self._last_frame
        if last is not None and frame.exposed_ns <= last.exposed_ns:
            # Nobody can be followed back in time; the next frame shows this one as a gap.
            self._event(
                frame.received_ns,
                "warning",
                "frame_out_of_order",
                f"frame {frame.number} is not later than frame {last.number}: it counts as lost",
            )
            return 0
        liquid_ns = self._liquid.at(frame.exposed_ns, self._scheduler.openings)
        self._answer_gap(frame, liquid_ns)
        result = self._pipeline.process(frame, liquid_ns, crowded=crowded)
        crossing_ns = self._view.junction_um / self._view.max_speed_um_s * 1e9
        self._scheduler.looked(liquid_ns - frame.exposed_error_ns + crossing_ns)
        self._observe(result.in_view, liquid_ns, now_ns)
        if self._drain_ns is not None:
            before = [t for t in result.in_view if t.first_exposed_ns <= self._drain_ns]
            self._waits_in_view = bool(before)
        for decided in result.decided:
            self._decided(decided, frame, liquid_ns, now_ns)
        self._last_frame = frame
        return result.n_objects

    def _observe(self, in_view: Sequence[Track], liquid_ns: float, now_ns: int) -> None:
        """Tell the scheduler who else is coming, where something is due and they could be there."""
        until_ns = self._scheduler.due_until_ns(now_ns)
        if until_ns is None:
            return
        view = self._view
        for track in in_view:
            flight_s = (view.junction_um - track.last_x_um) / view.max_speed_um_s
            if liquid_ns + flight_s * 1e9 <= until_ns:
                arrival = self._pipeline.arrival(track) or self._view.anywhen(liquid_ns)
                self._scheduler.observe(track.id, arrival)

    def _finish_frame(self, frame: Frame, n_objects: int) -> None:
        done_ns = self._clock.now_ns()
        row = FrameRow(
            number=frame.number,
            exposed_ns=frame.exposed_ns,
            exposed_error_ns=frame.exposed_error_ns,
            received_ns=frame.received_ns,
            done_ns=done_ns,
            n_objects=n_objects,
        )
        self.counters.frame(row)
        self._record.frame(row)

    def _answer_gap(self, frame: Frame, liquid_ns: float) -> None:
        """Lost frames: count them, and if a body could have passed unseen, keep the gate shut."""
        last = self._last_frame
        if last is None:
            self._answer_start(liquid_ns)
            return
        if frame.number <= last.number + 1:
            return
        missing = frame.number - last.number - 1
        self._gap_ns = frame.exposed_ns
        self.counters.frames_dropped += missing
        # By the times and by the numbers: a camera's times may be wrong just then.
        counted_ns = (missing + 1) * self._view.frame_period_ns
        gap_ns = max(frame.exposed_ns - last.exposed_ns, counted_ns)
        unseen = self._view.unseen_in(gap_ns, liquid_ns)
        if unseen is not None:
            self._scheduler.blind(*unseen)
        self._event(
            frame.received_ns,
            "warning",
            "frames_lost",
            f"{missing} frames lost before frame {frame.number}; "
            + ("what may have passed unseen goes to rest" if unseen else "no body can have passed"),
        )

    def _answer_start(self, liquid_ns: float) -> None:
        """Whoever is past the view, or too far through it to be tracked, goes to rest."""
        if self._flowing_before:
            self._scheduler.blind(liquid_ns, liquid_ns + self._view.flushed_ns)

    def _decided(self, decided: DecidedObject, frame: Frame, liquid_ns: float, now_ns: int) -> None:
        """Hand the object to the recorder, then to the scheduler."""
        track, decision = decided.track, decided.decision
        arrival = decided.arrival
        rest = self._scheduler.rest_outlet
        if arrival is None and decision.outlet != rest:
            decision = _changed(decision, rest, Reason.UNSEEN)
        if decision.reason is Reason.SPECK and self._view.near(self._gap_ns, track):
            # With frames lost, few views are no sign of a speck: it may be what it looks.
            decision = _changed(decision, rest, Reason.UNSEEN)
        if self._drain_ns is not None and track.first_exposed_ns > self._drain_ns:
            decision = _changed(decision, rest, Reason.STOPPING)
        arrival = arrival or self._view.anywhen(track.last_liquid_ns)
        self.counters.decided(decision)
        row = self._row(decided, decision, arrival, frame, self._clock.now_ns())
        self._record.object(row, telling_crops(decided))
        if decision.reason is Reason.SPECK:
            self._scheduler.forget(track.id)  # it may go anywhere
        else:
            self._apply(self._scheduler.decided(track.id, arrival, decision, now_ns), now_ns)

    def _apply(self, rulings: Sequence[Ruling], now_ns: int) -> None:
        """Write down what became of objects: a command, or another outlet than decided."""
        for ruling in rulings:
            if ruling.command is not None:
                c = ruling.command
                self.counters.commands += 1
                self._record.command(
                    CommandRow(
                        id=c.id,
                        object_id=ruling.object_id,
                        outlet=c.outlet,
                        open_us=c.open_us,
                        close_us=c.close_us,
                        sent_ns=self._clock.now_ns(),
                    )
                )
            else:
                self.counters.changed(ruling.before, ruling.decision)
                self._record.update_object(
                    ObjectUpdate(
                        id=ruling.object_id,
                        changed_ns=now_ns,
                        changed_outlet=ruling.decision.outlet,
                        changed_reason=ruling.decision.reason.value,
                    )
                )

    def _hear(self, event: DispenserEvent, now_ns: int) -> None:
        """News from the dispenser."""
        if isinstance(event, Acknowledged):
            self._record.update_command(CommandUpdate(event.id, acked_ns=event.at_ns))
        elif isinstance(event, Refused):
            self._record.update_command(CommandUpdate(event.id, refused=event.reason))
            self._event(now_ns, "warning", "refused", f"command {event.id}: {event.reason}")
            self._apply(self._scheduler.refused(event.id, now_ns), now_ns)
        else:
            self._record.update_command(
                CommandUpdate(
                    event.id,
                    opened_us=event.opened_us,
                    closed_us=event.closed_us,
                    executed_ns=event.at_ns,
                )
            )

    def _close_books(self, reason: Reason, now_ns: int) -> None:
        """Decide what is still in view, and rule all that waits to rest."""
        if self._last_frame is not None:
            for decided in self._pipeline.drain():
                rest = self._scheduler.rest_outlet
                changed = _changed(decided.decision, rest, reason)
                self.counters.decided(changed)
                arrival = self._view.anywhen(decided.track.last_liquid_ns)
                row = self._row(decided, changed, arrival, self._last_frame, now_ns)
                self._record.object(row, telling_crops(decided))
        self._apply(self._scheduler.abandon(reason), now_ns)

    def _row(
        self,
        decided: DecidedObject,
        decision: Decision,
        arrival: Arrival,
        frame: Frame,
        decided_ns: int,
    ) -> ObjectRow:
        arrival_ns = self._liquid.first_passage_ns(arrival.liquid_ns, self._scheduler.openings)
        return object_row(
            decided,
            decision,
            frame.received_ns,
            decided_ns,
            arrival_ns=arrival_ns,
            arrival_error_ns=int(arrival.error_ns),
        )

    def _publish(self, now_ns: int) -> None:
        self._last_status_ns = now_ns
        self._record.status(self.counters.snapshot(self.state.value, self._scheduler.waiting))
        self._record.flush()

    def _journal_step(self) -> None:
        blob = self._journal.blob()
        if blob is not None:
            self._record.journal(blob)

    def _to(self, state: RunState, now_ns: int, why: str, level: Level = "info") -> None:
        self.state = state
        self._event(now_ns, level, state.value, why)

    def _event(self, at_ns: int, level: Level, name: str, text: str) -> None:
        self._record.event(EventRow(at_ns, level, name, text))


def _changed(decision: Decision, outlet: str, reason: Reason) -> Decision:
    return Decision(outlet, reason, decision.p_unhealthy, decision.p_other)
