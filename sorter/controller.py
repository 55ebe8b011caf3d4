"""The loop: takes frames, decides, commands, records. Stepped; one thread; never blocks.

A step takes at most one frame. `sorter.life` has the states that a run goes through; only while
running is anything collected. While draining, what was in view when the drain began is still
sorted; what comes after it goes to rest.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress

from drivers.ports import (
    Acknowledged,
    Camera,
    Clock,
    Dispenser,
    DispenserEvent,
    Executed,
    Frame,
    LinkBack,
    LinkLost,
    Passed,
    Pedal,
    Pump,
    Refused,
    Stopped,
)
from sorter.books import Books
from sorter.decide import Reason
from sorter.errors import (
    DeviceResetError,
    DispenserError,
    HardwareError,
    LinkError,
    PumpError,
    RunFault,
)
from sorter.faults import ADVICE, Fault, FaultKind, Response
from sorter.flow import Flow
from sorter.journal import Door, Journal
from sorter.lateness import FrameLateness
from sorter.life import FLOWS, Life, RunState
from sorter.limits import Progress
from sorter.liquid import Liquid
from sorter.oversight import Oversight
from sorter.pipeline import Pipeline
from sorter.priming import Priming
from sorter.record_rows import Level
from sorter.record_sink import RecordSink
from sorter.schedule import Scheduler
from sorter.sorting import Sorting
from sorter.status import Counters
from sorter.view import ViewGeometry
from sorter.whereabouts import Whereabouts

STATUS_PERIOD_NS = 400_000_000


class Controller:
    """One run of the loop over given parts; `sorter.build` wires them.

    Args:
        priming: until when nothing is collected.
        pump: what holds the flow; without one, nothing does.
        oversight: looks for faults; a replay has none.
        whereabouts: watches the junction, where its outlets have optical gates.
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
        whereabouts: Whereabouts | None = None,
    ) -> None:
        self._clock = clock
        self._camera = camera
        self._dispenser = dispenser
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._books = Books(record, clock, whereabouts)
        self._journal = journal
        self._camera_door, self._pump_door = Door(journal, "camera"), Door(journal, "pump")
        self._priming = priming
        self._flow = Flow(pump)
        self._oversight = oversight
        self._whereabouts = whereabouts
        self._sorting = Sorting(
            clock=clock,
            pipeline=pipeline,
            scheduler=scheduler,
            liquid=liquid,
            view=view,
            books=self._books,
            priming=priming,
            oversight=oversight,
            whereabouts=whereabouts,
        )
        self._asked: list[tuple[RunState, str, str]] = []
        self._ready_ns = 0
        self._was_lost = False  # and has not been armed since
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
            sorting = self._sorting
            sorting.waits_in_view = self.life.state is not RunState.PAUSED  # until a frame tells
            sorting.drain_ns = now_ns
            self._journal.drained(now_ns)
            self._to(RunState.DRAINING, now_ns, by, why)

    def is_drained(self) -> bool:
        """Nothing that was seen before the drain waits for a decision or for its opening's end."""
        return not self._sorting.waits_in_view and self._scheduler.waiting == 0

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
        self.close_books(Reason.STOPPING, now_ns)
        self._books.ended(now_ns)
        self._to(RunState.STOPPED, now_ns, "run", "stopped")
        self._publish(now_ns)

    def fault(self, now_ns: int, why: str, by: str = "run") -> None:
        """Rule everything to rest and note the fault; the caller holds flow and gate first."""
        self.close_books(Reason.FAULT, now_ns)
        self._books.ended(now_ns)
        if self.life.may(RunState.FAULTED):  # not from stopped, where the record may still fail
            self._to(RunState.FAULTED, now_ns, by, why, level="fault")
        self._publish(now_ns)

    def close_books(self, reason: Reason, now_ns: int) -> None:
        """Rule what is in view, and what has no command, to rest; `stop` and `fault` do it."""
        if self._journal.broken():
            self._journal_step()
        self._sorting.close(reason, now_ns)
        self._journal.closed(reason.value, now_ns)
        self._journal_step()

    def note(self, fault: Fault, response: Response) -> None:
        """Write a fault down."""
        text = f"{fault.what}. {fault.do}"
        level: Level = "fault" if response is Response.STOP else "warning"
        self._books.event(fault.at_ns, level, fault.kind.value, text)

    def tell_recovery(self, now_ns: int, text: str) -> None:
        """Write down what became of a clog's recovery."""
        self._books.event(now_ns, "warning", "recovery", text)

    def step(self, now_ns: int) -> bool:
        """One turn of the loop; True when it took a frame.

        Raises `CameraError`, `LinkError`, `DispenserError`, `PumpError`, `RecordError`.
        """
        self._journal.begin(now_ns)
        self._obey(now_ns)
        for event in self._dispenser.step(now_ns):
            self._hear(event, now_ns)
        self._step_flow(now_ns)
        self._watch_flow(now_ns)
        with self._camera_door:
            frame = self._camera.pop()
        n_objects = 0
        if frame is not None:
            self._journal.took(frame)
            n_objects = self._take(frame, now_ns)
        self._books.rulings(self._scheduler.plan(now_ns), now_ns)
        if frame is not None:
            self._sorting.finish_frame(frame, n_objects)
            self._scheduler.prune(now_ns)
            self._look_at_junction(frame, now_ns)
        else:
            self._use_the_moment(now_ns)
        if now_ns - self._last_status_ns > STATUS_PERIOD_NS:
            self._publish(now_ns)
        self._journal_step()
        return frame is not None

    def _look_at_junction(self, frame: Frame, now_ns: int) -> None:
        """Where objects went, by a frame's time; while the flow is held, that waits."""
        if self._whereabouts is None or self.life.state is RunState.PAUSED:
            return
        alarms = self._whereabouts.step(min(frame.exposed_ns, now_ns))
        if alarms and self._oversight is not None:
            self._oversight.junction(alarms, now_ns)

    def _use_the_moment(self, now_ns: int) -> None:
        """Do what can wait for a moment without frames."""
        if self._sorting.tell():
            self._journal.told()
        elif self._pipeline.learn(now_ns):
            self._journal.learnt()
        if self._whereabouts is not None:
            self._whereabouts.settle()

    def _step_flow(self, now_ns: int) -> None:
        try:
            with self._pump_door:
                self._flow.step(now_ns)
        except LinkError as error:  # its port: not to be taken for the dispenser's
            raise PumpError(error.what, on=error.on, do=error.do) from error

    def _watch_flow(self, now_ns: int) -> None:
        """Prime until the flow is known to run and all that nobody saw has passed.

        Raises `PumpError` when it is held later though nobody asked for that: what is under way
        does not arrive when it was expected.
        """
        if self._priming.flows and self._flow.fails:
            self._journal.raised("flow")
            what = "the pump is held, and nobody asked for that"
            raise PumpError(what, do=ADVICE[FaultKind.PUMP_FAILED])
        if self.life.state is not RunState.PRIMING:
            return
        if not self._priming.flows and self._flow.runs:
            self._journal.flowing()
            self._priming.flowing(now_ns)
        if now_ns >= self._priming.until_ns:
            self._to(RunState.RUNNING, now_ns, "run", "primed")

    def _take(self, frame: Frame, now_ns: int) -> int:
        """Sort what a frame shows; returns the number of objects in it."""
        stands = self.life.state is RunState.PAUSED
        lateness = FrameLateness(
            frame.received_ns, self._clock.now_ns, self._camera.waiting, self._journal.crowded
        )
        return self._sorting.take(frame, now_ns, lateness, stands=stands)

    def _obey(self, now_ns: int) -> None:
        """Pause or resume, as was asked since the last step."""
        asked, self._asked = self._asked, []
        for state, by, why in asked:
            if not self.life.may(state):
                continue
            if state is RunState.PAUSED:
                self._journal.asked(state.value, by)
                self._pause(now_ns, by, why)
            elif state is RunState.PRIMING and self._is_armed(now_ns):
                self._journal.asked(state.value, by)
                self._resume(now_ns, by, why)

    def _pause(self, now_ns: int, by: str, why: str) -> None:
        self._hold_and_rest(now_ns)
        self._to(RunState.PAUSED, now_ns, by, why, level="warning")
        self._books.rulings(self._scheduler.hold(now_ns), now_ns)
        self._sorting.close(Reason.HELD, now_ns)
        if self._whereabouts is not None:
            self._whereabouts.held(now_ns)

    def _resume(self, now_ns: int, by: str, why: str) -> None:
        with Door(self._journal, "resume"):
            self._flow.resume(now_ns)
        self._priming.again()
        self._to(RunState.PRIMING, now_ns, by, why)

    def _is_armed(self, now_ns: int) -> bool:
        """Whether the dispenser can act; one that was lost is armed now, where it is back."""
        if not self._was_lost:
            return True
        try:
            self._dispenser.arm()
        except (LinkError, DispenserError) as error:
            self._books.event(now_ns, "warning", "not_resumed", error.message)
            return False
        self._was_lost = False
        return True

    def _hold_and_rest(self, now_ns: int) -> None:
        """Flow held first, then the gate to rest: nothing may arrive between the two."""
        with Door(self._journal, "hold"):
            self._flow.hold(now_ns)
        self._dispenser.rest(now_ns)

    def _hear(self, event: DispenserEvent, now_ns: int) -> None:
        """News from the dispenser."""
        self._books.news(event, now_ns)
        if isinstance(event, Acknowledged):
            self._scheduler.acknowledged(event.id)
        elif isinstance(event, Refused):
            self._books.rulings(self._scheduler.refused(event.id, now_ns), now_ns)
        elif isinstance(event, Executed):
            rulings = self._scheduler.executed(event.id, event.closed_us, now_ns)
            self._books.rulings(rulings, now_ns)
        elif isinstance(event, Passed) and self._whereabouts is not None:
            self._whereabouts.passed(event)
        elif isinstance(event, Stopped):
            what = f"the emergency stop is latched ({event.cause}): flow held, gate at rest"
            raise self._stopped_by(FaultKind.EMERGENCY_STOP, now_ns, what)
        elif isinstance(event, LinkLost):
            self._lost(event, now_ns)
        elif isinstance(event, LinkBack):
            text = "the dispenser answers again; the run goes on when the operator says so"
            self._books.event(now_ns, "warning", "link_back", text)
        elif isinstance(event, Pedal) and event.down:
            paused = self.life.state is RunState.PAUSED
            wish = RunState.PRIMING if paused else RunState.PAUSED
            self.ask(wish, "pedal", "foot switch")

    def _lost(self, event: LinkLost, now_ns: int) -> None:
        """Its watchdog takes the dispenser to rest; wait for it, and for the operator's word.

        Raises `LinkError` where the run can't be held any more.
        """
        fault = Fault(FaultKind(event.loss), event.at_ns, event.what)
        self._was_lost = True
        if self.life.state is RunState.PAUSED:
            self.note(fault, Response.HOLD)
            return
        if not self.life.may(RunState.PAUSED):
            gone = DeviceResetError if event.loss == "device_reset" else LinkError
            raise gone(fault.what, do=fault.do)
        self.note(fault, Response.HOLD)
        self._pause(now_ns, f"fault:{event.loss}", event.what)

    def _stopped_by(self, kind: FaultKind, now_ns: int, what: str) -> RunFault:
        """Note a fault that stops the run; to be raised."""
        fault = Fault(kind, now_ns, what)
        self.note(fault, Response.STOP)
        return RunFault(what, on=kind.value, do=fault.do)

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
        # After a fault the device may not hear it; its watchdog sets the lines then.
        with suppress(HardwareError) if state is RunState.FAULTED else nullcontext():
            self._dispenser.lines(
                ready=state is RunState.RUNNING,
                hold=state not in FLOWS,
                fault=state is RunState.FAULTED or by.startswith("fault:"),
                now_ns=now_ns,
            )
