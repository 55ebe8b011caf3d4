"""How late a frame is: whether it can still be dealt with thoroughly.

A frame that is late, or that keeps others waiting, is gone through quickly: bodies that are known
are only glimpsed in it (`sorter.attention`), and most are not judged. So the loop catches up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_FINDING_NS = 1_600_000  # so old, a frame's bodies should have been found
_CROWDED_NS = 300_000  # judging a body more takes so long


class Lateness(Protocol):
    """Of one frame."""

    def is_late(self, need_ns: int) -> bool:
        """Whether there is no time for what takes so long, or more frames wait."""
        ...

    def is_crowded(self) -> bool:
        """Whether it is late, once and for all: what the loop does by it can be replayed."""
        ...


class InTime:
    """Never late."""

    def is_late(self, need_ns: int) -> bool:
        """See `Lateness`."""
        return False

    def is_crowded(self) -> bool:
        """See `Lateness`."""
        return False


class FrameLateness:
    """By the clock, and by the frames that wait.

    Args:
        received_ns: host time at which it was in the host's hands.
        now_ns: tells the host's time.
        waiting: how many others wait.
        note: is told what `is_crowded` says, if it is asked: a replay has no other way to know.
    """

    def __init__(
        self,
        received_ns: int,
        now_ns: Callable[[], int],
        waiting: Callable[[], int],
        note: Callable[[bool], None],
    ) -> None:
        self._until_ns = received_ns + _FINDING_NS
        self._now_ns = now_ns
        self._waiting = waiting
        self._note = note
        self._crowded: bool | None = None

    def is_late(self, need_ns: int) -> bool:
        """See `Lateness`."""
        return self._now_ns() + need_ns > self._until_ns or self._waiting() > 0

    def is_crowded(self) -> bool:
        """See `Lateness`."""
        if self._crowded is None:
            self._crowded = self.is_late(_CROWDED_NS)
            self._note(self._crowded)
        return self._crowded
