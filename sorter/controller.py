"""The loop: takes frames, decides, commands, records. Stepped; one thread; never blocks.

A step takes at most one frame. `sorter.life` has the states that a run goes through; only while
running is anything collected. While draining, what was in view when the drain began is still
sorted; what comes after it goes to rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.ports import (
    Acknowledged,
    Camera,
    Clock,
    Dispenser,
    DispenserEvent,
    Frame,
    Pedal,
    Pump,
    Refused,
    Stopped,
)
from sorter.books import Books
from sorter.decide import Decision, Reason
from sorter.errors import RunFault
from sorter.faults import Fault, FaultKind, Response
from sorter.flow import Flow
from sorter.gaps import Gaps
from sorter.journal import Journal
from sorter.life import Life, RunState
from sorter.limits import Progress
from sorter.liquid import Liquid
from sorter.object_row import object_row, telling_crops
from sorter.oversight import Oversight
from sorter.pipeline import DecidedObject, Pipeline
from sorter.priming import Priming
from sorter.record_rows import FrameRow, Level, ObjectRow
from sorter.record_sink import RecordSink
from sorter.schedule import Scheduler
from sorter.status import Counters
from sorter.track import Arrival, Track
from sorter.view import ViewGeometry

STATUS_PERIOD_NS = 400_000_000


class Controller:
    """One run of the loop over given parts; `sorter.build` wires them.

    Args:
        priming: until when nothing is collected.
        pump: what holds the flow; without one, nothing does.
        oversight: looks for faults; a replay has none.
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
        priming: Priming,
        pump: Pump | None = None,
        oversight: Oversight | None = None,
    ) -> None:
        self._clock = clock
        self._camera = camera
        self._dispenser = dispenser
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._liquid = liquid
        self._view = view
        self._books = Books(record, clock)
        self._journal = journal
        self._priming = priming
        self._flow = Flow(pump)
        self._oversight = oversight
        self._asked: list[tuple[RunState, str, str]] = []
        self._ready_ns = 0
        self._drain_ns: int | None = None
        self._waits_in_view = False
        self._last_frame: Frame | None = None
        self._gaps = Gaps(view)
        self._in_view: Sequence[Track] = ()
        self._lost = 0
        self._last_status_ns = 0
        self.life = Life()

    @property
    def counters(self) -> Counters:
        """What has been seen, decided and sent so far."""
        return self._books.counters

    def progress(self, now_ns: int) -> Progress:
        """How far the run has come."""
        outside_s = (now_ns - self._ready_ns) / 1e9
        return Progress(self.counters.executed, self._flow.volume_ul, outside_s)

    def start(self, now_ns: int) -> None:
        """Start camera and flow. Raises `CameraError`, `DispenserError`, `PumpError`.

        The dispenser is armed here: its watchdog may have tripped while the camera started.
        """
        self._ready_ns = now_ns
        self._to(RunState.READY, now_ns, "run", "everything answers")
        self._camera.start()
        self._dispenser.arm()
        self._flow.start(self._clock.now_ns())
        self._to(RunState.PRIMING, now_ns, "run", "started")

    def ask(self, state: RunState, by: str, why: str) -> None:
        """Have the next step pause or resume the run, where it can.

        Args:
            state: `PAUSED`, or `PRIMING` to resume.
            by: who or what wants it, see `sorter.life.Transition`.
        """
        self._asked.append((state, by, why))

    def drain(self, now_ns: int, why: str, by: str = "run") -> None:
        """Sort what is in view and under way, take nothing new."""
        if self.life.may(RunState.DRAINING):
            # Of what stands still while the flow is held, nothing is waited for.
            self._waits_in_view = self.life.state is not RunState.PAUSED  # until a frame tells
            self._drain_ns = now_ns
            self._journal.drained()
            self._to(RunState.DRAINING, now_ns, by, why)

    def is_drained(self) -> bool:
        """Nothing that was seen before the drain waits for a decision or for its opening's end."""
        return not self._waits_in_view and self._scheduler.waiting == 0

    def stop_camera(self) -> None:
        """Expose no more; frames that wait can still be taken, one a step.

        The flow is held first: nothing flows unwatched.
        """
        self._flow.hold(self._clock.now_ns())
        self._camera.stop()

    def stop(self, now_ns: int) -> None:
        """Camera off, flow held, gate to rest; what has no command is ruled to rest."""
        self._hold_and_rest(now_ns)
        self._camera.stop()
        self._close_books(Reason.STOPPING, now_ns)
        self._to(RunState.STOPPED, now_ns, "run", "stopped")
        self._publish(now_ns)

    def fault(self, now_ns: int, why: str, by: str = "run") -> None:
        """Rule everything to rest and note the fault; the caller holds flow and gate first."""
        self._close_books(Reason.FAULT, now_ns)
        if self.life.may(RunState.FAULTED):  # not from stopped, where the record may still fail
            self._to(RunState.FAULTED, now_ns, by, why, level="fault")
        self._publish(now_ns)

    def note(self, fault: Fault, response: Response) -> None:
        """Write a fault down."""
        text = f"{fault.what}. {fault.do}"
        level: Level = "fault" if response is Response.STOP else "warning"
        self._books.event(fault.at_ns, level, fault.kind.value, text)

    def step(self, now_ns: int) -> bool:
        """One turn of the loop; True when it took a frame.

        Raises `CameraError`, `LinkError`, `DispenserError`, `RecordError`.
        """
        self._journal.begin(now_ns)
        self._obey(now_ns)
        for event in self._dispenser.step(now_ns):
            self._hear(event, now_ns)
        self._flow.step(now_ns)
        self._watch_flow(now_ns)
        frame = self._camera.pop()
        n_objects = 0
        if frame is not None:
            crowded = self._camera.waiting() > 0
            self._journal.took(frame, crowded=crowded)
            n_objects = self._take(frame, now_ns, crowded=crowded)
        self._books.rulings(self._scheduler.plan(now_ns), now_ns)
        if frame is not None:
            self._scheduler.prune(now_ns)
            self._finish_frame(frame, n_objects)
        elif self._pipeline.learn():
            self._journal.learnt()
        if now_ns - self._last_status_ns > STATUS_PERIOD_NS:
            self._publish(now_ns)
        self._journal_step()
        return frame is not None

    def _obey(self, now_ns: int) -> None:
        """Pause or resume, as was asked since the last step."""
        asked, self._asked = self._asked, []
        for state, by, why in asked:
            if not self.life.may(state):
                continue
            self._journal.asked(state.value)
            if state is RunState.PAUSED:
                self._hold_and_rest(now_ns)
                self._to(RunState.PAUSED, now_ns, by, why, level="warning")
                self._books.rulings(self._scheduler.hold(now_ns), now_ns)
                self._close_books(Reason.HELD, now_ns)
            elif state is RunState.PRIMING:
                self._flow.resume(now_ns)
                self._priming.again()
                self._to(RunState.PRIMING, now_ns, by, why)

    def _watch_flow(self, now_ns: int) -> None:
        """Prime until the flow is known to run and all that nobody saw has passed.

        Raises `RunFault` when it is held later though nobody asked for that: what is under way
        does not arrive when it was expected.
        """
        if self._priming.flows and self._flow.fails:
            what = "the pump is held, and nobody asked for that"
            raise self._stopped_by(FaultKind.PUMP_FAILED, now_ns, what)
        if self.life.state is not RunState.PRIMING:
            return
        if not self._priming.flows and self._flow.runs:
            self._journal.flowing()
            self._priming.flowing(now_ns)
        if now_ns >= self._priming.until_ns:
            self._to(RunState.RUNNING, now_ns, "run", "primed")

    def _hold_and_rest(self, now_ns: int) -> None:
        """Flow held first, then the gate to rest: nothing may arrive between the two."""
        self._flow.hold(now_ns)
        self._dispenser.rest(now_ns)

    def _take(self, frame: Frame, now_ns: int, *, crowded: bool) -> int:
        """One frame through the pipeline; returns the number of objects in it."""
        last = self._last_frame
        self._lost = 0
        if last is not None and frame.exposed_ns <= last.exposed_ns:
            # Nobody can be followed back in time; the next frame shows this one as a gap.
            what = f"frame {frame.number} is not later than frame {last.number}: counts as lost"
            self._books.event(frame.received_ns, "warning", "frame_out_of_order", what)
            return 0
        if self.life.state is RunState.PAUSED:
            # Bodies that stand still would be learnt as background.
            self._last_frame = frame
            self._gaps.passed_over(frame)
            return 0
        liquid_ns = self._liquid.at(frame.exposed_ns, self._scheduler.openings)
        self._priming.looked(frame.exposed_ns)
        self._lost = self._answer_gap(frame, liquid_ns)
        result = self._pipeline.process(frame, liquid_ns, crowded=crowded)
        self._scheduler.looked(liquid_ns - frame.exposed_error_ns + self._view.crossing_ns)
        self._observe(result.in_view, liquid_ns, now_ns)
        if self._drain_ns is not None:
            before = [t for t in result.in_view if t.first_exposed_ns <= self._drain_ns]
            self._waits_in_view = bool(before)
        for decided in result.decided:
            self._decided(decided, frame, liquid_ns, now_ns)
        self._last_frame = frame
        self._in_view = result.in_view
        return result.n_objects

    def _observe(self, in_view: Sequence[Track], liquid_ns: float, now_ns: int) -> None:
        """Tell the scheduler who else is coming, where something is due and they could be there."""
        until_ns = self._scheduler.due_until_ns(now_ns)
        if until_ns is None:
            return
        for track in in_view:
            if liquid_ns + self._view.earliest_ns(track.last_x_um) <= until_ns:
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
        self._books.frame(row)
        if self._oversight is not None:
            self._oversight.frame(row, self._lost, self._in_view)

    def _answer_gap(self, frame: Frame, liquid_ns: float) -> int:
        """Lost frames, their number: where a body could have passed unseen, the gate stays shut."""
        gap = self._gaps.before(frame, liquid_ns)
        if gap is None:
            return 0
        self._books.counters.frames_dropped += gap.missing
        if gap.unseen is not None:
            self._scheduler.blind(*gap.unseen)
        self._books.event(frame.received_ns, "warning", "frames_lost", gap.words(frame.number))
        return gap.missing

    def _decided(self, decided: DecidedObject, frame: Frame, liquid_ns: float, now_ns: int) -> None:
        """Hand the object to the recorder, then to the scheduler."""
        track, decision = decided.track, decided.decision
        arrival = decided.arrival
        rest = self._scheduler.rest_outlet
        if arrival is None and decision.outlet != rest:
            decision = _changed(decision, rest, Reason.UNSEEN)
        unfit = self._unfit(track)
        if unfit is not None:
            decision = _changed(decision, rest, unfit)
        arrival = arrival or self._view.anywhen(track.last_liquid_ns)
        row = self._row(decided, decision, arrival, frame, self._clock.now_ns())
        self._books.object(row, decision, telling_crops(decided))
        if self._oversight is not None:
            self._oversight.object(row)
        if decision.reason is Reason.SPECK:
            self._scheduler.forget(track.id)  # it may go anywhere
        else:
            self._books.rulings(
                self._scheduler.decided(track.id, arrival, decision, now_ns), now_ns
            )

    def _unfit(self, track: Track) -> Reason | None:
        """Why nothing seen now may be collected, whatever it is."""
        if self._drain_ns is not None and track.first_exposed_ns > self._drain_ns:
            return Reason.STOPPING
        if track.first_exposed_ns < self._priming.until_ns:
            return Reason.PRIMING
        return None

    def _hear(self, event: DispenserEvent, now_ns: int) -> None:
        """News from the dispenser."""
        self._books.news(event, now_ns)
        if isinstance(event, Acknowledged):
            self._scheduler.acknowledged(event.id)
        elif isinstance(event, Refused):
            self._books.rulings(self._scheduler.refused(event.id, now_ns), now_ns)
        elif isinstance(event, Stopped):
            what = f"the emergency stop is latched ({event.cause}): flow held, gate at rest"
            raise self._stopped_by(FaultKind.EMERGENCY_STOP, now_ns, what)
        elif isinstance(event, Pedal) and event.down:
            paused = self.life.state is RunState.PAUSED
            wish = RunState.PRIMING if paused else RunState.PAUSED
            self.ask(wish, "pedal", "foot switch")

    def _stopped_by(self, kind: FaultKind, now_ns: int, what: str) -> RunFault:
        """Note a fault that stops the run; to be raised."""
        fault = Fault(kind, now_ns, what)
        self.note(fault, Response.STOP)
        return RunFault(what, on=kind.value, do=fault.do)

    def _close_books(self, reason: Reason, now_ns: int) -> None:
        """Decide what is still in view, and rule all that waits to rest."""
        if self._last_frame is not None:
            for decided in self._pipeline.drain():
                rest = self._scheduler.rest_outlet
                changed = _changed(decided.decision, rest, reason)
                arrival = self._view.anywhen(decided.track.last_liquid_ns)
                row = self._row(decided, changed, arrival, self._last_frame, now_ns)
                self._books.object(row, changed, telling_crops(decided))
        self._books.rulings(self._scheduler.abandon(reason), now_ns)

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
        self._books.status(self.life.state.value, self._scheduler.waiting)

    def _journal_step(self) -> None:
        blob = self._journal.blob()
        if blob is not None:
            self._books.journal(blob)

    def _to(
        self, state: RunState, now_ns: int, by: str, why: str, *, level: Level = "info"
    ) -> None:
        """Go to another state, and write down who or what caused it."""
        self.life.move(state, now_ns, by=by, why=why)
        self._books.event(now_ns, level, state.value, why if by == "run" else f"{why} (by {by})")


def _changed(decision: Decision, outlet: str, reason: Reason) -> Decision:
    return Decision(outlet, reason, decision.p_unhealthy, decision.p_other)
