"""Levels that the host sets on the device, each said again until the device has answered.

A level is a state, not an event: hold, flow, stop, rest, the two halves of a reset, the lines. To
say it twice changes nothing; a newer one of the same kind takes the older one's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

_MOST = 0xFFFF


class Kind(IntEnum):
    """Kinds of levels, in the order in which they are said: what holds before what rests."""

    STOP = 0
    PUMP = 1
    REST = 2
    RESET = 3
    LINES = 4
    LED = 5


# A line that is full must not be kept full by what can wait.
_LONGEST_WAIT_FACTOR = {Kind.LINES: 8, Kind.LED: 8}
_LONGEST_WAIT_FACTOR_ELSE = 2


@dataclass(slots=True)
class _Level:
    """One that the device has not answered."""

    number: int
    line: bytes
    due_ns: int
    wait_ns: int
    tries: int = 0


class Levels:
    """The levels that wait for an answer; no clock and no I/O inside.

    Args:
        resend_ns: first wait for an answer; doubled at each resend, up to twice as long, or 8
            times for what does not stop anything.
        most_tries: how often it is written again before `overdue` names it.
    """

    def __init__(self, resend_ns: int, most_tries: int) -> None:
        self._resend_ns = resend_ns
        self._most_tries = most_tries
        self._waiting: dict[Kind, _Level] = {}
        self._number = 0

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def next_number(self) -> int:
        """A number for the next line: 16 bits, counting up, never 0."""
        self._number = self._number % _MOST + 1
        return self._number

    def ask(self, kind: Kind, number: int, line: bytes, now_ns: int) -> None:
        """``line`` is about to be written, and is what this kind waits for from now on."""
        self._waiting[kind] = _Level(number, line, now_ns + self._resend_ns, self._resend_ns)

    def drop(self, kind: Kind) -> None:
        """Say no more of this kind."""
        self._waiting.pop(kind, None)

    def answered(self, number: int) -> Kind | None:
        """The device has answered this number: which kind it was, None for one that is past."""
        for kind, level in self._waiting.items():
            if level.number == number:
                del self._waiting[kind]
                return kind
        return None

    def due(self, now_ns: int) -> list[bytes]:
        """Lines to write again now."""
        lines: list[bytes] = []
        for kind in sorted(self._waiting):
            level = self._waiting[kind]
            if now_ns >= level.due_ns:
                factor = _LONGEST_WAIT_FACTOR.get(kind, _LONGEST_WAIT_FACTOR_ELSE)
                level.wait_ns = min(2 * level.wait_ns, factor * self._resend_ns)
                level.due_ns = now_ns + level.wait_ns
                level.tries += 1
                lines.append(level.line)
        return lines

    def overdue(self) -> Kind | None:
        """A kind that was said too often without an answer, if any."""
        for kind in sorted(self._waiting):
            if self._waiting[kind].tries > self._most_tries:
                return kind
        return None
