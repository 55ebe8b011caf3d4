"""What the loop does with a frame: bodies are seen and decided, gaps are answered.

`sorter.controller` says when, and takes care of dispenser, flow and the run's states.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.ports import Clock, Frame
from sorter.books import Books
from sorter.decide import Decision, Reason
from sorter.gaps import Gaps
from sorter.lateness import Lateness
from sorter.liquid import Liquid
from sorter.object_row import object_row, telling_crops
from sorter.oversight import Oversight
from sorter.pipeline import DecidedObject, Pipeline
from sorter.priming import Priming
from sorter.record_rows import FrameRow, ObjectRow
from sorter.schedule import Scheduler
from sorter.telling import InView, to_tell
from sorter.track import Arrival, Track
from sorter.view import ViewGeometry
from sorter.whereabouts import Whereabouts

_SOON_NS = 50_000_000  # so long before something is due those that matter are told of, one by one


class Sorting:
    """Frames to decisions, for one run.

    Args:
        priming: until when nothing is collected.
        oversight: looks for faults; a replay has none.
        whereabouts: watches the junction, where its outlets have optical gates.

    Attributes:
        drain_ns: when the run began to drain; bodies seen first after that go to rest.
        waits_in_view: bodies of before the drain are still in view.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        pipeline: Pipeline,
        scheduler: Scheduler,
        liquid: Liquid,
        view: ViewGeometry,
        books: Books,
        priming: Priming,
        oversight: Oversight | None,
        whereabouts: Whereabouts | None,
    ) -> None:
        self._clock = clock
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._liquid = liquid
        self._view = view
        self._books = books
        self._priming = priming
        self._gaps = Gaps(view)
        self._oversight = oversight
        self._whereabouts = whereabouts
        self._last_frame: Frame | None = None
        self._in_view: Sequence[Track] = ()
        self._lost = 0
        self._told: dict[int, int] = {}
        self._to_tell: tuple[Track, float] | None = None
        self.drain_ns: int | None = None
        self.waits_in_view = False

    def take(self, frame: Frame, now_ns: int, lateness: Lateness, *, stands: bool) -> int:
        """One frame through the pipeline; returns the number of objects in it.

        Args:
            lateness: of the frame.
            stands: the flow is held.
        """
        last = self._last_frame
        self._lost = 0
        if last is not None and frame.exposed_ns <= last.exposed_ns:
            # Nobody can be followed back in time; the next frame shows this one as a gap.
            text = f"frame {frame.number} is not later than frame {last.number}: counts as lost"
            self._books.event(frame.received_ns, "warning", "frame_out_of_order", text)
            if self._gaps.is_ahead:  # it is the last one whose time is wrong
                self._pipeline.doubt_times(last.number)
            return 0
        if stands:
            # Bodies that stand still would be learnt as background.
            self._last_frame = frame
            self._gaps.passed_over(frame)
            return 0
        liquid_ns = self._liquid.at(frame.exposed_ns, self._scheduler.openings)
        self._priming.looked(frame.exposed_ns)
        self._lost = self._answer_gap(frame, liquid_ns)
        self._pipeline.steady_from(self._priming.steady_ns)
        if not self._scheduler.knows_gate(frame.exposed_ns):
            self._pipeline.doubt_times(frame.number)
        unrest_ns = self._liquid.unrest_ns(frame.exposed_ns, self._scheduler.openings)
        result = self._pipeline.process(frame, liquid_ns, unrest_ns, lateness)
        self._scheduler.looked(liquid_ns - frame.exposed_error_ns + self._view.crossing_ns)
        self._observe(result.in_view, liquid_ns, now_ns)
        if self.drain_ns is not None:
            before = [t for t in result.in_view if t.first_exposed_ns <= self.drain_ns]
            self.waits_in_view = bool(before)
        for decided in result.decided:
            self._decided(decided, frame, now_ns)
        self._last_frame = frame
        self._in_view = result.in_view
        return result.n_objects

    def tell(self) -> bool:
        """Tell the scheduler of one who will matter soon; True where there was somebody.

        It is work for a moment without frames: see `sorter.telling`.
        """
        to_tell, self._to_tell = self._to_tell, None
        if to_tell is None:
            return False
        track, liquid_ns = to_tell
        self._tell(track, liquid_ns)
        self._told[track.id] = track.n
        return True

    def finish_frame(self, frame: Frame, n_objects: int) -> None:
        """Write a frame down, and tell who watches."""
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

    def close(self, reason: Reason, now_ns: int) -> None:
        """Decide what is still in view, and rule all that waits to rest."""
        self._to_tell = None
        if self._last_frame is not None:
            for decided in self._pipeline.drain():
                changed = _changed(decided.decision, self._scheduler.rest_outlet, reason)
                arrival = self._view.anywhen(decided.track.last_liquid_ns)
                row = self._row(decided, changed, arrival, self._last_frame, now_ns)
                self._books.object(row, changed, telling_crops(decided))
                self._entered(row, decided, arrival)
        self._books.rulings(self._scheduler.abandon(reason), now_ns)

    def _observe(self, in_view: Sequence[Track], liquid_ns: float, now_ns: int) -> None:
        """Tell the scheduler who else is coming, see `sorter.telling`."""
        until_ns = self._scheduler.due_until_ns(now_ns)
        soon_ns = self._scheduler.due_until_ns(now_ns, within_ns=_SOON_NS)
        earliest_ns = self._view.earliest_ns
        bodies = [InView(t.id, t.n, t.last_liquid_ns + earliest_ns(t.last_x_um)) for t in in_view]
        telling = to_tell(bodies, self._told, until_ns, soon_ns)
        self._told, self._to_tell = telling.known, None
        for track in in_view:
            if track.id in telling.now:
                self._tell(track, liquid_ns)
            elif track.id == telling.later:
                self._to_tell = track, liquid_ns

    def _tell(self, track: Track, liquid_ns: float) -> None:
        arrival = self._pipeline.arrival(track)
        if arrival is not None and self._whereabouts is not None:
            arrival = self._whereabouts.corrected(arrival, track.last_liquid_ns)
        self._scheduler.observe(track.id, arrival or self._view.anywhen(liquid_ns))

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

    def _decided(self, decided: DecidedObject, frame: Frame, now_ns: int) -> None:
        """Hand the object to the recorder, then to the scheduler."""
        track, decision = decided.track, decided.decision
        arrival = decided.arrival
        rest = self._scheduler.rest_outlet
        if arrival is None and decision.outlet != rest:
            decision = _changed(decision, rest, Reason.UNSEEN)
        unfit = self._unfit(track)
        if unfit is not None and decision.reason is not Reason.SPECK:
            decision = _changed(decision, rest, unfit)
        if arrival is None:
            arrival = self._view.anywhen(track.last_liquid_ns)
        elif self._whereabouts is not None:
            opened = decision.outlet != rest
            arrival = self._whereabouts.corrected(arrival, track.last_liquid_ns, opened=opened)
        row = self._row(decided, decision, arrival, frame, self._clock.now_ns())
        crops = telling_crops(decided)
        self._books.object(row, decision, crops)
        self._entered(row, decided, arrival)
        if self._oversight is not None:
            self._oversight.object(row, crops)
        if decision.reason is Reason.SPECK:
            self._scheduler.forget(track.id)  # it may go anywhere
        else:
            self._scheduler.decided(track.id, arrival, decision, now_ns)

    def _entered(self, row: ObjectRow, decided: DecidedObject, arrival: Arrival) -> None:
        """Have the junction's watch expect an object at the arrival that the gate goes by."""
        if self._whereabouts is None:
            return
        predicted_ns = (decided.arrival or arrival).liquid_ns
        flight_ns = predicted_ns - decided.track.last_liquid_ns
        self._whereabouts.entered(row, arrival, flight_ns, arrival.liquid_ns - predicted_ns)

    def _unfit(self, track: Track) -> Reason | None:
        """Why nothing seen now may be collected, whatever it is."""
        if self.drain_ns is not None and track.first_exposed_ns > self.drain_ns:
            return Reason.STOPPING
        if track.first_exposed_ns < self._priming.until_ns:
            return Reason.PRIMING
        return None

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


def _changed(decision: Decision, outlet: str, reason: Reason) -> Decision:
    return Decision(outlet, reason, decision.p_unhealthy, decision.p_other)
