"""Host time: the monotonic clock of the machine."""

from __future__ import annotations

import time

# The longest single sleep: a waiting thread comes back this often, so that Ctrl-C is noticed on
# Windows too, where a long sleep is not interrupted.
_SLICE_NS = 50_000_000


class MonotonicClock:
    """`drivers.ports.Clock` on ``time.perf_counter_ns``."""

    def now_ns(self) -> int:
        """Nanoseconds of ``time.perf_counter_ns``; the zero is arbitrary."""
        return time.perf_counter_ns()

    def wait_until(self, deadline_ns: int) -> None:
        """Sleep until ``deadline_ns`` (host, ns); returns at once if it has passed."""
        while (left_ns := deadline_ns - time.perf_counter_ns()) > 0:
            time.sleep(min(left_ns, _SLICE_NS) / 1e9)
