"""Watches a run: turns what the loop did into facts for the checks, and faults into responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sorter.decide import Reason
from sorter.faults import Fault, FaultSettings, Response
from sorter.record_rows import FrameRow, ObjectRow
from sorter.sinking import ChannelSettings
from sorter.track import Track
from sorter.watch import FrameFacts, ObjectFacts, Watch, WatchSettings

_JUDGED = frozenset({Reason.HEALTHY, Reason.UNHEALTHY, Reason.UNSURE, Reason.CONFLICT})
_SLOW_LOOK_NS = 1_000_000_000  # light and disk change slowly, and cost more to ask about


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the overseer asks for what the loop doesn't tell it.

    Attributes:
        light: mean grey of the background over full scale, None while it is not known.
        free_mb: room on the record's disk.
        clock_bound_us: bound of the dispenser's clock at a host time.
    """

    light: Callable[[], float | None]
    free_mb: Callable[[], float]
    clock_bound_us: Callable[[int], int]


class Overseer:
    """`sorter.oversight.Oversight` that finds faults; the caller takes them and acts.

    Args:
        start_ns: host time at which the flow starts.
    """

    def __init__(
        self,
        watch: WatchSettings,
        faults: FaultSettings,
        channel: ChannelSettings,
        sources: Sources,
        start_ns: int,
    ) -> None:
        self._watch = Watch(watch, start_ns)
        self._faults = faults
        self._channel = channel
        self._sources = sources
        self._slow_look_ns = start_ns
        self._light: float | None = None
        self._found: list[Fault] = []

    def frame(self, row: FrameRow, lost: int, in_view: Sequence[Track]) -> None:
        """See `Oversight.frame`."""
        now_ns = row.done_ns
        if now_ns >= self._slow_look_ns:
            self._slow_look_ns = now_ns + _SLOW_LOOK_NS
            self._light = self._sources.light()
            self._found += self._watch.disk(self._sources.free_mb(), now_ns)
        first_ns = min((track.first_exposed_ns for track in in_view), default=row.exposed_ns)
        facts = FrameFacts(
            now_ns=now_ns,
            lost=lost,
            latency_ms=(now_ns - row.received_ns) / 1e6,
            level=self._light,
            oldest_s=(row.exposed_ns - first_ns) / 1e9,
            clock_bound_us=self._sources.clock_bound_us(now_ns),
        )
        self._found += self._watch.frame(facts)

    def object(self, row: ObjectRow) -> None:
        """See `Oversight.object`."""
        if row.reason == Reason.SPECK.value:
            return
        settled = row.diameter_um >= self._channel.settled_um
        usual_um_s = self._channel.usual_speed_um_s(row.diameter_um)
        facts = ObjectFacts(
            now_ns=row.decided_ns,
            spheroid=row.reason in {reason.value for reason in _JUDGED},
            bubble_like=row.reason == Reason.NOT_A_SPHEROID.value,
            unhealthy=row.reason == Reason.UNHEALTHY.value,
            relative_speed=row.velocity_um_s / usual_um_s if settled else None,
        )
        self._found += self._watch.object(facts)

    def stands(self, now_ns: int) -> None:
        """The flow is held: that nothing comes, and nothing moves, is no fault."""
        self._found.clear()
        self._watch.resumed(now_ns)

    def take(self, now_ns: int) -> list[tuple[Fault, Response]]:
        """Faults that began since the last call, with what to do; call it every few ms."""
        found, self._found = self._found + self._watch.idle(now_ns), []
        return [(fault, self._faults.response_to(fault.kind)) for fault in found]
