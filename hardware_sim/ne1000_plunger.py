"""The motor of a simulated NE-1000: what it has pushed, and when it comes to its end."""

from __future__ import annotations

from collections.abc import Callable

_NEVER = 1 << 62


class Plunger:
    """Moves at one rate at a time, in whole nanoseconds.

    Args:
        start_ns: host time at which it stands.
        flowed: called with (host ns, µL/s) at each change of the flow; negative withdraws.

    Attributes:
        infused_ul: pushed since the counter was cleared.
        withdrawn_ul: pulled since the counter was cleared.
        moved_ul: pushed less pulled since it was made; never cleared.
    """

    def __init__(self, start_ns: int, flowed: Callable[[int, float], None]) -> None:
        self._flowed = flowed
        self._at_ns = start_ns
        self._rate_ul_s = 0.0
        self._left_ul = 0.0
        self._limited = False
        self.infused_ul = 0.0
        self.withdrawn_ul = 0.0
        self.moved_ul = 0.0

    @property
    def rate_ul_s(self) -> float:
        """How it moves, µL/s; negative withdraws."""
        return self._rate_ul_s

    def move(self, rate_ul_s: float, now_ns: int, *, at_most_ul: float | None = None) -> None:
        """From now on at this rate; for so much only, where a limit is given."""
        self.advance(now_ns)
        self._limited = at_most_ul is not None
        self._left_ul = at_most_ul or 0.0
        self._set(rate_ul_s, now_ns)

    def change(self, rate_ul_s: float, now_ns: int) -> None:
        """At this rate from now on, up to the limit that was set before."""
        self.advance(now_ns)
        self._set(rate_ul_s, now_ns)

    def left_ul(self, now_ns: int) -> float | None:
        """What is left to its limit; None without one."""
        self.advance(now_ns)
        return self._left_ul if self._limited else None

    def ends_ns(self) -> int | None:
        """Host time at which it comes to its limit, or None."""
        if not self._limited or not self._rate_ul_s:
            return None
        return min(_NEVER, self._at_ns + round(self._left_ul / abs(self._rate_ul_s) * 1e9))

    def reaches_ns(self, moved_ul: float) -> int | None:
        """Host time at which ``moved_ul`` will be so much, or None; now when it is more."""
        if moved_ul <= self.moved_ul:
            return self._at_ns
        if self._rate_ul_s <= 0:
            return None
        left_ul = moved_ul - self.moved_ul
        return min(_NEVER, self._at_ns + round(left_ul / self._rate_ul_s * 1e9) + 1)

    def advance(self, now_ns: int) -> None:
        """Count what was moved up to now."""
        moved_ul = self._rate_ul_s * (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        self.moved_ul += moved_ul
        if self._limited:
            self._left_ul = max(0.0, self._left_ul - abs(moved_ul))
        if moved_ul > 0:
            self.infused_ul += moved_ul
        else:
            self.withdrawn_ul -= moved_ul

    def _set(self, rate_ul_s: float, now_ns: int) -> None:
        if rate_ul_s != self._rate_ul_s:
            self._rate_ul_s = rate_ul_s
            self._flowed(now_ns, rate_ul_s)
