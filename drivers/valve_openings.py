"""The openings of a valve that the host itself times: which string is due, and what became of it.

No clock and no I/O inside; host µs go in. Openings of one outlet may overlap, the valve stands for
their union; one that meets an opening of another outlet is in conflict. An opening that its time
was missed for never opens the valve; one whose outlet has stood open since before is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers.ports import Command

QUEUE = 64
MAX_OPENING_US = 5_000_000
MAX_AHEAD_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """An opening that is served: its outlet stands open for it since host time ``opened_us``."""

    command: Command
    opened_us: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done, in this order, and what ended by it.

    Attributes:
        closes: outlet whose close string is due.
        opens: outlet whose open string is due, after that.
        late: ids that will never open, because their time was missed.
        ended: openings that end now.
        withdrawn: ids that were queued and will never open.
    """

    closes: str | None = None
    opens: str | None = None
    late: Sequence[int] = ()
    ended: Sequence[Opened] = ()
    withdrawn: Sequence[int] = ()


class ValveOpenings:
    """Queued openings, and the one outlet that stands open.

    Args:
        late_us: an opening whose string would leave later than this is refused, µs.

    Attributes:
        standing: outlet that was told to open last and not told to close since, if any.
    """

    def __init__(self, late_us: int) -> None:
        self._late_us = late_us
        self._queued: list[Command] = []
        self._served: list[Opened] = []
        self.standing: str | None = None

    def __len__(self) -> int:
        return len(self._queued) + len(self._served)

    def __contains__(self, command_id: int) -> bool:
        return any(one.id == command_id for one in self._alive())

    def next_edge_us(self) -> int | None:
        """When the next opening begins or ends, host µs."""
        edges = [one.open_us for one in self._queued[:1]]
        return min([*edges, *(one.command.close_us for one in self._served)], default=None)

    def refusal(self, command: Command, now_us: int) -> str:
        """Why the command can't be queued, a reason of PROTOCOL.md; empty when it can."""
        if command.open_us <= now_us:
            return "LATE"
        if command.open_us - now_us > MAX_AHEAD_US:
            return "FAR"
        if len(self) >= QUEUE:
            return "FULL"
        for other in self._alive():
            meets = command.open_us < other.close_us and other.open_us < command.close_us
            if meets and other.outlet != command.outlet:
                return "CONFLICT"
        return ""

    def add(self, command: Command) -> None:
        """Queue a command that `refusal` has nothing against."""
        self._queued.append(command)
        self._queued.sort(key=lambda one: one.open_us)

    def turn(self, now_us: int, wire_us: int) -> Turn:
        """What is due at host time ``now_us``, when the wire is free at host time ``wire_us``."""
        late: list[int] = []
        started: list[Command] = []
        while self._queued and self._queued[0].open_us <= now_us:
            command = self._queued.pop(0)
            if self._goes_on(command):
                self._served.append(Opened(command, now_us))
            elif command.close_us <= now_us or wire_us - command.open_us > self._late_us:
                late.append(command.id)
            else:
                started.append(command)
        ended = [one for one in self._served if one.command.close_us <= now_us]
        closes = self._end(ended)
        opens = None
        if started:
            # All of one outlet: they overlap now, and those of different outlets never do.
            opens = self.standing = started[0].outlet
            self._served += [Opened(command, now_us) for command in started]
        return Turn(closes, opens, late, ended)

    def cancel(self, command_id: int) -> Turn:
        """End one opening, or take it off the queue; nothing for one that has ended."""
        return self._drop({command_id})

    def clear(self) -> Turn:
        """End what is open and empty the queue."""
        return self._drop({one.id for one in self._alive()})

    def end_standing(self) -> Turn:
        """End what is open; what is queued stays."""
        return self._drop({one.command.id for one in self._served})

    def _drop(self, ids: set[int]) -> Turn:
        withdrawn = [one.id for one in self._queued if one.id in ids]
        self._queued = [one for one in self._queued if one.id not in ids]
        ended = [one for one in self._served if one.command.id in ids]
        return Turn(self._end(ended), None, (), ended, withdrawn)

    def _end(self, ended: Sequence[Opened]) -> str | None:
        """Take ``ended`` off; the outlet that stands open for nobody any more."""
        gone = {one.command.id for one in ended}
        self._served = [one for one in self._served if one.command.id not in gone]
        if self._served or self.standing is None:
            return None
        closes, self.standing = self.standing, None
        return closes

    def _goes_on(self, command: Command) -> bool:
        """Whether its outlet has stood open without a gap up to its beginning."""
        return command.outlet == self.standing and any(
            command.open_us <= one.command.close_us for one in self._served
        )

    def _alive(self) -> Iterable[Command]:
        yield from self._queued
        yield from (one.command for one in self._served)
