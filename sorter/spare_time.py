"""How much time there is before the next frame can come.

Frames are exposed at an even pace, but reach the host after transfers of any length between two
bounds. One that came early leaves time in which nothing can come.
"""

from __future__ import annotations

from drivers.ports import Frame

_OVERDUE_PERIODS = 3  # then the frames have stopped


class SpareTime:
    """Follows the frames of one camera.

    Args:
        period_ns: from one exposure to the next; 0 where nobody knows: then there is always time.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._shortest_ns: int | None = None
        self._next_ns = 0
        self._overdue_ns = 0

    def took(self, frame: Frame) -> None:
        """A frame has come; its transfer may be the shortest so far."""
        took_ns = frame.received_ns - frame.exposed_ns
        if self._shortest_ns is None or took_ns < self._shortest_ns:
            self._shortest_ns = took_ns
        self._next_ns = frame.exposed_ns + self._period_ns + self._shortest_ns
        self._overdue_ns = frame.received_ns + _OVERDUE_PERIODS * self._period_ns

    def lasts(self, now_ns: int, need_ns: int) -> bool:
        """Whether no frame comes for so long, or none comes at all any more."""
        return now_ns + need_ns <= self._next_ns or now_ns >= self._overdue_ns
