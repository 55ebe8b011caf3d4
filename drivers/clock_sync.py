"""Offset and drift between the host's clock and the device's, with a bound that is never wrong.

A round trip says two certain things. When the ping left the host, the device's clock had not yet
reached the time at which it received it; when the answer was in the host's hands, the device's
clock had passed the time at which it sent it. So each round trip gives an interval that holds the
device's time at a known host time (Cristian 1989); intervals of successive round trips, carried
forward by the drift that is possible, are intersected (Marzullo 1984). A round trip with
little delay gives a narrow interval and is thereby preferred; a slow one changes nothing.

The drift is bounded the same way, from intervals that lie seconds apart, and is taken to wander
by no more than ``max_wander_ppm_per_s``. No assumption is made about how the delay is shared
between the two directions beyond a least delay, where one is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PPM = 1e-6
_ANCHORS = 24
_ANCHOR_EVERY_NS = 4_000_000_000
_TICK_NS = 1_000


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One ping and its answer.

    Attributes:
        sent_ns: host time before the ping's first byte was written.
        received_us: device time (unwrapped) at which the ping was received.
        answered_us: device time (unwrapped) at which the answer was sent.
        read_ns: host time after the answer's last byte was read.
        least_there_ns, least_back_ns: delays that each way has at least; 0 is always true.
    """

    sent_ns: int
    received_us: int
    answered_us: int
    read_ns: int
    least_there_ns: int = 0
    least_back_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Interval:
    """The device's clock, in ns, lies in [low_ns, high_ns] at host time ``at_ns``."""

    at_ns: int
    low_ns: int
    high_ns: int


class ClockSync:
    """Keeps the estimate; no clock and no I/O inside.

    Args:
        max_drift_ppm: the device's clock runs faster or slower than the host's by at most this.
        max_wander_ppm_per_s: the drift changes by at most this in a second.
    """

    def __init__(self, max_drift_ppm: float = 200.0, max_wander_ppm_per_s: float = 0.05) -> None:
        self._limit = max_drift_ppm * PPM
        self._wander = max_wander_ppm_per_s * PPM
        self._now: _Interval | None = None
        self._drift = (-self._limit, self._limit)
        self._anchors: deque[_Interval] = deque(maxlen=_ANCHORS)
        self.samples = 0

    @property
    def known(self) -> bool:
        """Whether there has been a round trip."""
        return self._now is not None

    @property
    def drift_ppm(self) -> float:
        """Best estimate: positive when the device's clock runs faster."""
        return (self._drift[0] + self._drift[1]) / 2 / PPM

    @property
    def drift_bound_ppm(self) -> float:
        """Half width of the interval that holds the drift."""
        return (self._drift[1] - self._drift[0]) / 2 / PPM

    def add(self, trip: RoundTrip) -> bool:
        """Take a round trip in.

        Returns:
            False when it contradicts what was known: one of the clocks jumped or drifts more
            than it may. The estimate then starts again from this round trip alone.
        """
        self.samples += 1
        alone = self._interval_of(trip)
        before = self._now
        if before is None:
            self._start(alone)
            return True
        self._let_drift_wander(alone.at_ns - before.at_ns)
        low, high = self._at(before, alone.at_ns)
        now = _Interval(alone.at_ns, max(low, alone.low_ns), min(high, alone.high_ns))
        if now.low_ns > now.high_ns or not self._narrow_drift(now):
            self._drift = (-self._limit, self._limit)
            self._start(alone)
            return False
        self._now = now
        if now.at_ns - self._anchors[-1].at_ns >= _ANCHOR_EVERY_NS:
            self._anchors.append(now)
        return True

    def device_us(self, host_ns: int) -> int:
        """Device time (unwrapped, µs) at a host time: the middle of what is possible."""
        low, high = self._at(self._known(), host_ns)
        return (low + high) // 2_000

    def host_ns(self, device_us: int) -> int:
        """Host time at which the device's clock shows ``device_us``, by the same estimate."""
        now = self._known()
        rate = 1 + (self._drift[0] + self._drift[1]) / 2
        middle_ns = (now.low_ns + now.high_ns) // 2
        return now.at_ns + round((device_us * 1_000 - middle_ns) / rate)

    def bound_us(self, host_ns: int) -> int:
        """Half width of the interval around `device_us` that holds the true device time, µs."""
        low, high = self._at(self._known(), host_ns)
        # Rounded up, and one more for the rounding of `device_us`.
        return -((low - high) // 2_000) + 1

    def _known(self) -> _Interval:
        if self._now is None:
            raise ValueError("no round trip yet: connect first")
        return self._now

    def _start(self, interval: _Interval) -> None:
        self._now = interval
        self._anchors.clear()
        self._anchors.append(interval)

    def _interval_of(self, trip: RoundTrip) -> _Interval:
        # A counter that shows n has passed n µs, but not yet n + 1.
        fast, slow = 1 + self._limit, 1 - self._limit
        on_the_way_ns = trip.read_ns - trip.sent_ns - trip.least_there_ns
        high = trip.received_us * 1_000 + _TICK_NS + int(on_the_way_ns * fast) + 1
        low = trip.answered_us * 1_000 + int(trip.least_back_ns * slow) - 1
        return _Interval(trip.read_ns, low, high)

    def _at(self, interval: _Interval, host_ns: int) -> tuple[int, int]:
        """The interval carried to another host time, forwards or backwards."""
        passed = host_ns - interval.at_ns
        slow, fast = self._drift if passed >= 0 else self._drift[::-1]
        wandered = int(self._wander * passed * passed * 0.5e-9) + 1
        low = interval.low_ns + passed + int(passed * slow) - wandered
        high = interval.high_ns + passed + int(passed * fast) + wandered
        return low, high

    def _let_drift_wander(self, passed_ns: int) -> None:
        more = self._wander * passed_ns * 1e-9
        self._drift = (
            max(-self._limit, self._drift[0] - more),
            min(self._limit, self._drift[1] + more),
        )

    def _narrow_drift(self, now: _Interval) -> bool:
        """Bound the drift by what the clock did since each anchor; False when nothing is left."""
        slow, fast = self._drift
        for anchor in self._anchors:
            passed = now.at_ns - anchor.at_ns
            if passed < _ANCHOR_EVERY_NS // 4:
                continue
            # The mean drift since then; today's may have wandered away from it.
            wandered = self._wander * passed * 1e-9
            fast = min(fast, (now.high_ns - anchor.low_ns) / passed - 1 + wandered)
            slow = max(slow, (now.low_ns - anchor.high_ns) / passed - 1 - wandered)
        if slow > fast:
            return False
        self._drift = (slow, fast)
        return True
