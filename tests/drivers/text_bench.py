"""A text valve's driver, the box that it talks to, and virtual time."""

from __future__ import annotations

from typing import Any

from drivers.ports import Acknowledged, Command, DispenserEvent, Executed, Refused
from drivers.text_valve import TextOutlet, TextValve, TextValveSettings
from hardware_sim.text_valve import SimTextValveSettings, VirtualTextValve
from tests.drivers.virtual_time import MS, SteppedClock

COLLECT = TextOutlet(name="collect", open="O1", close="C1", query="?1", closed="0", opened="1")
RECHECK = TextOutlet(name="recheck", open="O2", close="C2", query="?2", closed="0", opened="1")
BLIND = TextOutlet(name="collect", open="O1", close="C1")


def strings(*outlets: TextOutlet, **changes: Any) -> TextValveSettings:
    """Settings of a box that starts at once."""
    return TextValveSettings(outlets=outlets or (COLLECT, RECHECK), **{"settle_ms": 0, **changes})


class TextBench:
    """Time passes a millisecond at a time, but where a test holds the host up.

    Args:
        kept: the driver's settings. box: what the box understands; the same without it.
        **faults: of `SimTextValveSettings`.
    """

    def __init__(
        self,
        kept: TextValveSettings | None = None,
        *,
        box: TextValveSettings | None = None,
        **faults: Any,
    ) -> None:
        self.kept = kept or strings()
        self.clock = SteppedClock()
        self.start_ns = self.clock.ns
        self.device = VirtualTextValve(
            SimTextValveSettings(strings=box or self.kept, **faults), self.clock
        )
        self.valve = TextValve(self.device.link, self.clock, self.kept)
        self.events: list[DispenserEvent] = []

    def armed(self) -> TextBench:
        """Connected, and ready to open."""
        self.valve.connect()
        self.valve.arm()
        self.start_ns = self.clock.ns
        return self

    def send(self, one: int, after_ms: float, length_ms: float, outlet: str = "collect") -> Command:
        """Send a command that opens so long after now."""
        open_us = self.valve.to_device_us(self.clock.ns) + round(after_ms * 1_000)
        command = Command(one, outlet, open_us, open_us + round(length_ms * 1_000))
        self.valve.send(command, self.clock.ns)
        return command

    def stall(self, ms: float) -> None:
        """The host does nothing for so long; then one step."""
        self.clock.wait_until(self.clock.ns + round(ms * MS))
        self.events += self.valve.step(self.clock.ns)

    def run(self, ms: float) -> None:
        """Step the driver for so long."""
        end_ns = self.clock.ns + round(ms * MS)
        while self.clock.ns < end_ns:
            self.stall(min(1.0, (end_ns - self.clock.ns) / MS))

    def fates(self) -> list[tuple[int, str]]:
        """All events so far, as (id, ack, done or the reason of the refusal)."""
        return [(_id(one), _word(one)) for one in self.events]

    def moves(self) -> list[tuple[float, str]]:
        """What the gate did since it was armed: (ms since then, outlet)."""
        return [((edge[0] - self.start_ns) / MS, edge[1]) for edge in self.device.gate_edges]


def _id(event: DispenserEvent) -> int:
    assert isinstance(event, Acknowledged | Executed | Refused)
    return event.id


def _word(event: DispenserEvent) -> str:
    if isinstance(event, Acknowledged):
        return "ack"
    if isinstance(event, Executed):
        return "done"
    assert isinstance(event, Refused)
    return event.reason
