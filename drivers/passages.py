"""Passages at the optical gates: each told once, acknowledged as far as none is missing."""

from __future__ import annotations

from drivers import protocol as wire


class Passages:
    """Which passages of a session have come; no clock and no I/O inside.

    The device says each again until a `Seen` covers it, and drops the oldest when it has
    `protocol.KEPT_PASSAGES` of them: whatever lies so far behind the newest will never come.

    Attributes:
        lost: passages that the device dropped before they came through.
    """

    def __init__(self, session: int, wait_ns: int) -> None:
        self._session = session
        self._wait_ns = wait_ns
        self._through = 0
        self._newest = 0
        self._beyond: set[int] = set()
        self._due_ns: int | None = None
        self.lost = 0

    def take(self, seq: int, now_ns: int) -> bool:
        """A passage with this number has come; whether it is the first time."""
        if self._due_ns is None:
            self._due_ns = now_ns + self._wait_ns
        if seq <= self._through or seq in self._beyond:
            return False
        self._beyond.add(seq)
        self._newest = max(self._newest, seq)
        self._close_gaps()
        return True

    def line(self, now_ns: int) -> bytes:
        """The line that acknowledges what has come, when it is time; else nothing."""
        if self._due_ns is None or now_ns < self._due_ns:
            return b""
        self._due_ns = None
        return wire.encode(wire.Seen(self._session, self._through)) if self._through else b""

    def _close_gaps(self) -> None:
        dropped = self._newest - wire.KEPT_PASSAGES
        if dropped > self._through:
            beyond = {seq for seq in self._beyond if seq > dropped}
            self.lost += dropped - self._through - (len(self._beyond) - len(beyond))
            self._through, self._beyond = dropped, beyond
        while self._through + 1 in self._beyond:
            self._through += 1
            self._beyond.remove(self._through)
