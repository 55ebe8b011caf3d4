"""Virtual host time, and a dispenser with its device in it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.ports import (
    Acknowledged,
    Command,
    DispenserEvent,
    Executed,
    Link,
    Refused,
)
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_link import VirtualDispenser

MS = 1_000_000
SECOND = 1_000_000_000
START_NS = 7_000_000_000_000


class SteppedClock:
    """`drivers.ports.Clock` that moves only when somebody waits."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        return self.ns

    def wait_until(self, deadline_ns: int) -> None:
        self.ns = max(self.ns, deadline_ns)


class Bench:
    """A driver, the device that it talks to, and time that passes a millisecond at a time."""

    def __init__(
        self,
        device: SimDispenserSettings | None = None,
        settings: DispenserSettings | None = None,
        *,
        first_session: int = 0x5EED0001,
    ) -> None:
        self.clock = SteppedClock()
        self.settings = settings or DispenserSettings()
        self.device = VirtualDispenser(device or SimDispenserSettings(), self.clock)
        self.dispenser = self.driver(self.device.link, first_session)
        self.events: list[DispenserEvent] = []

    def driver(self, link: Link, first_session: int) -> SerialDispenser:
        """Another driver on this bench."""
        sessions = count(first_session)
        return SerialDispenser(link, self.clock, self.settings, draw_session=lambda: next(sessions))

    def command(
        self, one: int, after_ms: float, length_ms: float, outlet: str = "collect"
    ) -> Command:
        """A command that opens so long after now."""
        open_us = self.dispenser.to_device_us(self.clock.ns + round(after_ms * MS))
        return Command(one, outlet, open_us, open_us + round(length_ms * 1_000))

    def send(self, one: int, after_ms: float, length_ms: float, outlet: str = "collect") -> Command:
        """Send such a command now."""
        command = self.command(one, after_ms, length_ms, outlet)
        self.dispenser.send(command, self.clock.ns)
        return command

    def run(self, ms: float) -> list[DispenserEvent]:
        """Step the driver for so long; what came of it."""
        came: list[DispenserEvent] = []
        end_ns = self.clock.ns + round(ms * MS)
        while self.clock.ns < end_ns:
            self.clock.wait_until(min(end_ns, self.clock.ns + MS))
            came += self.dispenser.step(self.clock.ns)
        self.events += came
        return came

    def fates(self) -> list[tuple[int, str]]:
        """What became of commands so far, as (id, ack, done or the reason of the refusal)."""
        return [
            (one.id, _word(one))
            for one in self.events
            if isinstance(one, Acknowledged | Executed | Refused)
        ]

    def moves(self) -> list[tuple[int, str]]:
        """What the gate did: (device time, outlet)."""
        return [(self.device.device_us(edge[0]), edge[1]) for edge in self.device.gate_edges]


def _word(event: Acknowledged | Executed | Refused) -> str:
    if isinstance(event, Acknowledged):
        return "ack"
    return "done" if isinstance(event, Executed) else event.reason


def connected(device: SimDispenserSettings | None = None) -> Bench:
    """A bench after the handshake."""
    bench = Bench(device)
    bench.dispenser.connect()
    return bench


def armed(device: SimDispenserSettings | None = None) -> Bench:
    """One whose emergency stop is clear."""
    bench = connected(device)
    bench.dispenser.arm()
    return bench


def flowing(device: SimDispenserSettings | None = None) -> Bench:
    """One whose pump runs."""
    bench = armed(device)
    bench.dispenser.flow(bench.clock.ns)
    bench.run(20 if device is None else 1_000)
    assert not bench.device.held
    return bench


class Filtered:
    """A link on which some of the device's lines are lost."""

    def __init__(self, link: Link, is_lost: Callable[[bytes], bool]) -> None:
        self._link = link
        self.is_lost = is_lost

    def write(self, data: bytes) -> None:
        self._link.write(data)

    def read(self) -> bytes:
        # The simulated wire hands over whole lines.
        lines = self._link.read().splitlines(keepends=True)
        return b"".join(line for line in lines if not self.is_lost(line))

    def close(self) -> None:
        self._link.close()


def filtered(is_lost: Callable[[bytes], bool]) -> tuple[Bench, Filtered]:
    """An armed bench, and its link."""
    bench = Bench()
    link = Filtered(bench.device.link, is_lost)
    bench.dispenser = bench.driver(link, 0x5EED0001)
    bench.dispenser.connect()
    bench.dispenser.arm()
    return bench, link
