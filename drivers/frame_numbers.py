"""One running number for a camera's frames, whatever makes some of them go missing."""

from __future__ import annotations

import math


class FrameNumbers:
    """Numbers a camera's frames over re-arming, lost frames and clocks that start afresh.

    Args:
        frame_rate_hz: the camera's.
        gaps_by_elapsed: elapsed times come from the camera's own clock, which runs on while it
            is not armed, so that missing periods are missing frames.
    """

    def __init__(self, frame_rate_hz: float, gaps_by_elapsed: bool) -> None:
        self._period_ns = 1e9 / frame_rate_hz
        self._gaps_by_elapsed = gaps_by_elapsed
        self._number = -1
        self._image_number = -1
        self._elapsed_ns = 0
        self._received_ns = 0
        self._fresh = True

    def armed(self) -> None:
        """The core will count from zero again."""
        self._fresh = True

    def next(self, image_number: int, elapsed_ns: int, received_ns: int) -> int:
        """Number of the next frame, from 0.

        Args:
            image_number: the core's count since the camera was armed.
            elapsed_ns: the camera's own time of the frame.
            received_ns: host time at which it had arrived.
        """
        first_ever = self._number < 0
        self._number += 1 if first_ever else self._step(image_number, elapsed_ns, received_ns)
        self._image_number = image_number
        self._elapsed_ns, self._received_ns = elapsed_ns, received_ns
        self._fresh = False
        return self._number

    def _step(self, image_number: int, elapsed_ns: int, received_ns: int) -> int:
        elapsed = (elapsed_ns - self._elapsed_ns) / self._period_ns
        if not self._fresh:
            counted = max(1, image_number - self._image_number)
            return max(counted, round(elapsed)) if self._gaps_by_elapsed else counted
        if self._gaps_by_elapsed and elapsed_ns > self._elapsed_ns:
            return max(2, round(elapsed))
        # The camera's clock has a new zero: the host's time bounds the blind interval.
        return max(2, math.ceil((received_ns - self._received_ns) / self._period_ns) + 1)
