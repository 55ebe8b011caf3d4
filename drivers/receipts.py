"""Receipts for the device's reports, and the room in its queue that they make; no clock, no I/O.

The device holds a command from its acknowledgement until the host's receipt (``D``) for its report.
On a link that loses nothing the host knows at any time the most that the device can hold: what is
not settled, and what is and was not receipted. A link keeps its order: a command that is written
after a receipt finds the place that the receipt has freed. A receipt that is lost leaves its place
taken until the device reports again and is told again; the device may refuse a command meanwhile.
"""

from __future__ import annotations

from drivers import protocol as wire


class Receipts:
    """Ids whose reports have arrived and that the device was not told of.

    Args:
        session: nonce of the session.
        wait_ns: so long the first of them waits for company: a line carries several.
    """

    def __init__(self, session: int, wait_ns: int) -> None:
        self._session = session
        self._wait_ns = wait_ns
        self._ids: list[int] = []
        self._due_ns = 0

    def note(self, command_id: int, now_ns: int) -> None:
        """The report of an id has arrived, perhaps again; 0 is no id."""
        if not command_id or command_id in self._ids:
            return
        if not self._ids:
            self._due_ns = now_ns + self._wait_ns
        self._ids.append(command_id)

    def lines(self, now_ns: int) -> list[bytes]:
        """The lines that are due: those that are full, and all when the first has waited."""
        least = 1 if now_ns >= self._due_ns else wire.MAX_DONE_IDS
        return self._take(least)

    def make_room(self, queue: int, unsettled: int) -> list[bytes]:
        """The lines without which a device of this queue may have no place for one more."""
        return self._take(1) if unsettled + len(self._ids) >= queue else []

    def _take(self, least: int) -> list[bytes]:
        lines = []
        while len(self._ids) >= least:
            some, self._ids = self._ids[: wire.MAX_DONE_IDS], self._ids[wire.MAX_DONE_IDS :]
            lines.append(wire.encode(wire.Done(self._session, tuple(some))))
        return lines
