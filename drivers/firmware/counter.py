"""Device time from the board's counter: its wraps, and when it was set back; no hardware."""

from drivers.firmware.hal import Hal
from drivers.firmware.openings import MASK


class Counter:
    """Device time.

    ``raw_us`` is the last reading, ``uptime_s`` the time since the start; ``went_back`` is set when
    the counter has jumped back, and cleared by whoever has answered it.
    """

    def __init__(self, hal: Hal) -> None:
        self._hal = hal
        self.raw_us = hal.ticks_us()
        self._now_us = self.raw_us & MASK
        self.went_back = False
        self.uptime_s = 0
        self._uptime_us = 0

    def tick(self) -> int:
        """Read the counter; device time, in microseconds."""
        raw = self._hal.ticks_us()
        passed = (raw - self.raw_us) & (self._hal.ticks_period_us - 1)
        self.raw_us = raw
        self._now_us = (self._now_us + passed) & MASK
        # More than half a turn: no time has passed that is known.
        jumped_back = passed >= self._hal.ticks_period_us >> 1
        self.went_back |= jumped_back
        self._uptime_us += 0 if jumped_back else passed
        if self._uptime_us >= 1000000:
            self.uptime_s += self._uptime_us // 1000000
            self._uptime_us %= 1000000
        return self._now_us

    def at(self, ticks_us: int) -> int:
        """Device time of a reading of the counter, less than half its period ago."""
        now = self.tick()
        return (now - ((self.raw_us - ticks_us) & (self._hal.ticks_period_us - 1))) & MASK
