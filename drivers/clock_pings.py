"""Questions for the device's time that are under way, and what their answers say."""

from __future__ import annotations

from drivers import protocol as wire
from drivers.clock_sync import ClockSync, RoundTrip

_KEPT = 16


class ClockPings:
    """Pairs pings with their answers and feeds the clock estimate; no clock and no I/O inside.

    Args:
        session: nonce of the session.
        sync: the estimate.
        least_us_per_byte: time that a byte certainly takes on the wire, µs; 0 when not known.

    Attributes:
        asked, answered: how many of each.
    """

    def __init__(self, session: int, sync: ClockSync, least_us_per_byte: float) -> None:
        self._session = session
        self._sync = sync
        self._least_ns_per_byte = least_us_per_byte * 1e3
        self._number = 0
        self._waiting: dict[int, tuple[int, int]] = {}
        self.asked = 0
        self.answered = 0

    def next_line(self) -> bytes:
        """The next question; say by `sent` when it is about to be written."""
        self._number = (self._number + 1) & 0xFFFF
        return wire.encode(wire.Ping(self._session, self._number))

    def sent(self, line: bytes, now_ns: int) -> None:
        """``line`` of `next_line` was written, not before host time ``now_ns``."""
        self._waiting[self._number] = (now_ns, len(line))
        self.asked += 1
        if len(self._waiting) > _KEPT:
            del self._waiting[next(iter(self._waiting))]

    def take(self, pong: wire.Pong, read_ns: int) -> bool:
        """An answer, read not after host time ``read_ns``.

        Returns:
            False when it contradicts the estimate: one of the two clocks jumped.
        """
        question = self._waiting.pop(pong.number, None)
        if question is None:
            return True
        sent_ns, length = question
        self.answered += 1
        near_us = self._sync.device_us(read_ns) if self._sync.known else pong.received_us
        received_us = wire.unwrap_us(pong.received_us, near_us)
        answered_us = wire.unwrap_us(pong.sent_us, received_us)
        return self._sync.add(
            RoundTrip(
                sent_ns,
                received_us,
                answered_us,
                read_ns,
                int(self._least_ns_per_byte * length),
                int(self._least_ns_per_byte * len(wire.encode(pong))),
            )
        )
