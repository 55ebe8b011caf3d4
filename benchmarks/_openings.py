"""Openings, one after another at a steady pace, through a dispenser's driver."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.dispenser import SerialDispenser
from drivers.ports import Acknowledged, Clock, Command, Executed, Refused

MS = 1_000_000
_LOOK_NS = 200_000
_PATIENCE_NS = 10_000 * MS


@dataclass(slots=True)
class Fed:
    """What became of the openings.

    Attributes:
        commands: what was sent, by id.
        acknowledged, reported: host time of each news, ns, by id.
        refused: reasons, by id.
    """

    commands: dict[int, Command] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)
    reported: dict[int, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def take(self, dispenser: SerialDispenser, now_ns: int) -> None:
        """Step the driver and note its news."""
        for event in dispenser.step(now_ns):
            if isinstance(event, Acknowledged):
                self.acknowledged[event.id] = event.at_ns
            elif isinstance(event, Executed):
                self.reported[event.id] = event.at_ns
            elif isinstance(event, Refused):
                self.refused[event.id] = event.reason

    @property
    def settled(self) -> int:
        """How many are reported or refused."""
        return len(self.reported) + len(self.refused)


def feed(
    dispenser: SerialDispenser,
    clock: Clock,
    n: int,
    *,
    every_ns: int,
    length_us: int,
    ahead_ns: int,
) -> Fed:
    """Send ``n`` openings of ``collect``, one every ``every_ns``, each to open so long ahead.

    Args:
        dispenser: connected and armed.
        clock: its clock; waited on every 0.2 ms, as the loop does between frames.
        n: how many.
        every_ns: time from one to the next.
        length_us: how long each is open; shorter than ``every_ns``, so that the gate closes.
        ahead_ns: from the sending to the opening.
    """
    fed = Fed()
    next_ns = clock.now_ns()
    end_ns = next_ns + n * every_ns + ahead_ns + _PATIENCE_NS
    while fed.settled < n and (now_ns := clock.now_ns()) < end_ns:
        fed.take(dispenser, now_ns)
        while len(fed.commands) < n and now_ns >= next_ns:
            open_us = dispenser.to_device_us(next_ns + ahead_ns)
            command = Command(len(fed.commands) + 1, "collect", open_us, open_us + length_us)
            dispenser.send(command, now_ns)
            fed.commands[command.id] = command
            next_ns += every_ns
        clock.wait_until(now_ns + _LOOK_NS)
    return fed
