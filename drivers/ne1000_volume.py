"""The volume that an NE-1000 has infused, from counters that wrap, are cleared, or misread."""

from __future__ import annotations

from drivers.ne1000_wire import Dispensed

_SLACK = 1.5


class InfusedVolume:
    """Adds up readings of the pump's counter.

    The wire has no checksum: a reading that the rate can't explain counts only when the next one
    goes on from it. A counter that fell was cleared or has wrapped; what it showed last is kept,
    so that the sum is a lower bound.

    Args:
        slack_ns: how far apart in time question and answer may be.

    Attributes:
        total_ul: infused so far, µL.
    """

    def __init__(self, slack_ns: int) -> None:
        self._slack_ns = slack_ns
        self._last: tuple[float, int] | None = None
        self._odd: tuple[float, int] | None = None
        self.total_ul = 0.0

    def cleared(self, at_ns: int) -> None:
        """The pump's counter was set to zero."""
        self._last, self._odd = (0.0, at_ns), None

    def take(self, reading: Dispensed, rate_ul_s: float, at_ns: int) -> bool:
        """Count a reading; whether it was believed.

        Args:
            reading: what the pump says.
            rate_ul_s: the highest rate since the last reading, µL/s.
            at_ns: host time of the answer.
        """
        now = (reading.infused_ul, at_ns)
        if self._last is None:
            # What was infused before this program came is no part of the sum.
            self._last = now
            return True
        if self._goes_on(self._last, now, rate_ul_s, reading.step_ul):
            self.total_ul += max(0.0, now[0] - self._last[0])
        elif self._odd and self._goes_on(self._odd, now, rate_ul_s, reading.step_ul):
            grown_ul = now[0] - self._last[0]
            self.total_ul += grown_ul if grown_ul > 0 else now[0]
        else:
            self._odd = now
            return False
        self._last, self._odd = now, None
        return True

    def _goes_on(
        self, before: tuple[float, int], now: tuple[float, int], rate_ul_s: float, step_ul: float
    ) -> bool:
        most_ul = _SLACK * rate_ul_s * (now[1] - before[1] + self._slack_ns) / 1e9
        return -step_ul <= now[0] - before[0] <= most_ul + 2 * step_ul
