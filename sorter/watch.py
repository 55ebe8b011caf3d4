"""Looks for faults in what the loop sees: pure, stepped, one small check for each fault.

A check tells of its fault once, when it begins; it can tell again when the fault has gone.
Times are host ns; nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from statistics import median

from pydantic import BaseModel, ConfigDict, Field

from sorter.faults import Fault, FaultKind

_LATENCIES, _SLOW_SHARE = 200, 0.05
_WARM_UP = 200  # frames; those that waited while the run was made ready are late
_BASELINE = 30  # objects
_RECENT = 20


class WatchSettings(BaseModel):
    """From where on something is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stall_ms: float = Field(500.0, gt=0, description="no frame for so long: camera_stalled, ms")
    first_frame_s: float = Field(
        10.0, gt=0, description="no first frame for so long after the start: camera_stalled, s"
    )
    lost_share: float = Field(
        0.02, gt=0, le=1, description="share of frames lost, of the last lost_window: frames_lost"
    )
    lost_window: int = Field(1_000, ge=10, description="frames over which that share is taken")
    light_low: float = Field(
        0.25, ge=0, lt=1, description="mean grey over full scale below which: light_out_of_range"
    )
    light_high: float = Field(
        0.97, gt=0, le=1, description="the same above which, as the camera saturates"
    )
    budget_ms: float = Field(
        20.0, gt=0, description="frames in 20 that take longer than this: model_slow, ms"
    )
    disk_free_mb: float = Field(
        500.0, ge=0, description="less room on the record's disk: disk_filling, MB"
    )
    clock_bound_us: int = Field(
        5_000, gt=0, description="clock known no better than this: clock_unsure, µs"
    )
    no_arrivals_s: float = Field(120.0, gt=0, description="no object for so long: no_arrivals, s")
    still_s: float = Field(
        3.0, gt=0, description="an object in view for longer than this: clogged, s"
    )
    speed_ratio: float = Field(
        0.7,
        gt=0,
        lt=1,
        description="objects slower than this share of the run's first ones: speed_falling",
    )
    edge_um: float = Field(
        12.0,
        gt=0,
        description="outlines wider than this, median of the last twenty spheroids: "
        "focus_out_of_range, see sorter/sharpness.py, µm",
    )
    bubbles_per_min: float = Field(
        12.0, gt=0, description="objects that are no spheroids, a minute: bubbles"
    )
    events_per_s: float = Field(
        6.0, gt=0, description="objects a second, over five seconds: event_rate"
    )
    expected_unhealthy: float = Field(
        0.10, gt=0, lt=1, description="share of unhealthy that is usual for these batches"
    )
    batch_window: int = Field(
        100, ge=20, description="spheroids over which the share of unhealthy is taken"
    )


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known once a frame is done.

    Attributes:
        now_ns: host time.
        lost: frames lost just before it.
        latency_ms: how long it took since it was received.
        level: mean grey of the background over full scale; None where it is not known.
        oldest_s: how long the object that has been in view longest has been there.
        clock_bound_us: bound of the dispenser's clock.
    """

    now_ns: int
    lost: int
    latency_ms: float
    level: float | None
    oldest_s: float
    clock_bound_us: int


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is known of a decided object.

    Attributes:
        now_ns: host time.
        spheroid: it was judged healthy, unhealthy or unsure; else debris, a bubble …
        bubble_like: it was large enough, and no spheroid.
        unhealthy: so it was judged.
        relative_speed: its speed over the one usual for its size; None where that isn't known.
    """

    now_ns: int
    spheroid: bool
    bubble_like: bool
    unhealthy: bool
    relative_speed: float | None


class Watch:
    """All checks of one run.

    Args:
        settings: the limits.
        start_ns: host time at which the flow starts.
    """

    def __init__(self, settings: WatchSettings, start_ns: int) -> None:
        self._s = settings
        self._active: set[FaultKind] = set()
        # A camera takes its time to start, and to start again.
        self._stalls_ns = start_ns + round(settings.first_frame_s * 1e9)
        self._last_frame_ns = start_ns
        self._last_object_ns = start_ns
        self._lost: deque[int] = deque(maxlen=settings.lost_window)
        self._latency_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._slow = 0
        self._frames = 0
        self._objects_ns: deque[int] = deque()
        self._bubbles_ns: deque[int] = deque()
        self._judged: deque[bool] = deque(maxlen=settings.batch_window)
        self._baseline: list[float] = []
        self._speeds: deque[float] = deque(maxlen=_RECENT)
        self._edges_um: deque[float] = deque(maxlen=_RECENT)

    def resumed(self, now_ns: int) -> None:
        """The flow runs again: what stood still meanwhile counts from now."""
        self._last_frame_ns = self._last_object_ns = now_ns
        self._stalls_ns = now_ns + round(self._s.first_frame_s * 1e9)
        self._active.clear()

    def frame(self, facts: FrameFacts) -> list[Fault]:
        """Faults that begin with this frame."""
        self._last_frame_ns = facts.now_ns
        self._stalls_ns = facts.now_ns + round(self._s.stall_ms * 1e6)
        return [fault for fault in self._of_frame(facts) if fault is not None]

    def idle(self, now_ns: int) -> list[Fault]:
        """Faults that begin while nothing comes; call it every few ms."""
        waited_ms = (now_ns - self._last_frame_ns) / 1e6
        quiet_s = (now_ns - self._last_object_ns) / 1e9
        found = (
            self._tell(
                FaultKind.CAMERA_STALLED,
                now_ns > self._stalls_ns,
                now_ns,
                f"no frame for {waited_ms:.0f} ms",
            ),
            self._tell(
                FaultKind.NO_ARRIVALS,
                quiet_s > self._s.no_arrivals_s,
                now_ns,
                f"no object for {quiet_s:.0f} s",
            ),
        )
        return [fault for fault in found if fault is not None]

    def object(self, facts: ObjectFacts) -> list[Fault]:
        """Faults that begin with this object."""
        self._last_object_ns = facts.now_ns
        return [fault for fault in self._of_object(facts) if fault is not None]

    def outline(self, edge_um: float, now_ns: int) -> list[Fault]:
        """The fault that outlines are blurred, where it begins with a spheroid's."""
        self._edges_um.append(edge_um)
        if len(self._edges_um) < _RECENT:
            return []
        wide_um = median(self._edges_um)
        blurred = wide_um > self._s.edge_um
        text = f"outlines are {wide_um:.0f} µm wide"
        fault = self._tell(FaultKind.FOCUS_OUT_OF_RANGE, blurred, now_ns, text)
        return [fault] if fault else []

    def disk(self, free_mb: float, now_ns: int) -> list[Fault]:
        """The fault that little room is left, where it begins."""
        filling = free_mb < self._s.disk_free_mb
        text = f"{free_mb:.0f} MB are left for the record"
        fault = self._tell(FaultKind.DISK_FILLING, filling, now_ns, text)
        return [fault] if fault else []

    def _tell(self, kind: FaultKind, now_bad: bool, at_ns: int, what: str) -> Fault | None:
        """The fault, where it begins."""
        if not now_bad:
            self._active.discard(kind)
            return None
        if kind in self._active:
            return None
        self._active.add(kind)
        return Fault(kind, at_ns, what)

    def _of_frame(self, facts: FrameFacts) -> Iterator[Fault | None]:
        s, now_ns = self._s, facts.now_ns
        self._lost.append(facts.lost)
        lost = sum(self._lost) if facts.lost or FaultKind.FRAMES_LOST in self._active else 0
        share = lost / (lost + len(self._lost))
        yield self._tell(
            FaultKind.FRAMES_LOST,
            share > s.lost_share,
            now_ns,
            f"{share:.1%} of the frames are lost",
        )
        if facts.level is not None:
            dark = facts.level < s.light_low
            yield self._tell(
                FaultKind.LIGHT_OUT_OF_RANGE,
                dark or facts.level > s.light_high,
                now_ns,
                f"the background is too {'dark' if dark else 'bright'}: {facts.level:.0%} of white",
            )
        slow = self._slow_share(facts.latency_ms)
        yield self._tell(
            FaultKind.MODEL_SLOW,
            slow > _SLOW_SHARE,
            now_ns,
            f"{slow:.0%} of the frames take longer than {s.budget_ms:g} ms",
        )
        yield self._tell(
            FaultKind.CLOGGED,
            facts.oldest_s > s.still_s,
            now_ns,
            f"an object has been in view for {facts.oldest_s:.1f} s",
        )
        yield self._tell(
            FaultKind.CLOCK_UNSURE,
            facts.clock_bound_us > s.clock_bound_us,
            now_ns,
            f"the dispenser's clock is known to {facts.clock_bound_us} µs only",
        )

    def _slow_share(self, latency_ms: float) -> float:
        """Share of the last frames beyond the budget; 0 until there are enough of them."""
        self._frames += 1
        if self._frames <= _WARM_UP:
            return 0.0
        times = self._latency_ms
        if len(times) == _LATENCIES:
            self._slow -= times[0] > self._s.budget_ms
        times.append(latency_ms)
        self._slow += latency_ms > self._s.budget_ms
        return self._slow / _LATENCIES if len(times) == _LATENCIES else 0.0

    def _of_object(self, facts: ObjectFacts) -> Iterator[Fault | None]:
        s, now_ns = self._s, facts.now_ns
        events = _within(self._objects_ns, now_ns, 5.0)
        yield self._tell(
            FaultKind.EVENT_RATE,
            events > 5 * s.events_per_s,
            now_ns,
            f"{events / 5:.1f} objects a second",
        )
        if facts.bubble_like:
            bubbles = _within(self._bubbles_ns, now_ns, 60.0)
            yield self._tell(
                FaultKind.BUBBLES,
                bubbles > s.bubbles_per_min,
                now_ns,
                f"{bubbles} bubbles and the like within a minute",
            )
        if facts.spheroid:
            yield self._batch(facts)
        if facts.relative_speed is not None:
            yield self._speed(facts.relative_speed, now_ns)

    def _batch(self, facts: ObjectFacts) -> Fault | None:
        """A p chart (W. A. Shewhart 1931): three standard deviations above the usual share."""
        self._judged.append(facts.unhealthy)
        n, p = len(self._judged), self._s.expected_unhealthy
        if n < self._s.batch_window:
            return None
        share = sum(self._judged) / n
        limit = p + 3.0 * sqrt(p * (1.0 - p) / n)
        text = f"{share:.0%} of the last {n} spheroids are unhealthy; the limit is {limit:.0%}"
        return self._tell(FaultKind.BATCH_BAD, share > limit, facts.now_ns, text)

    def _speed(self, relative_speed: float, now_ns: int) -> Fault | None:
        if len(self._baseline) < _BASELINE:
            self._baseline.append(relative_speed)
            return None
        self._speeds.append(relative_speed)
        if len(self._speeds) < _RECENT:
            return None
        ratio = median(self._speeds) / median(self._baseline)
        text = f"objects flow at {ratio:.0%} of their first speed"
        return self._tell(FaultKind.SPEED_FALLING, ratio < self._s.speed_ratio, now_ns, text)


def _within(times_ns: deque[int], now_ns: int, span_s: float) -> int:
    """Put a time in; how many there are within the last so many seconds."""
    times_ns.append(now_ns)
    while now_ns - times_ns[0] > span_s * 1e9:
        times_ns.popleft()
    return len(times_ns)
