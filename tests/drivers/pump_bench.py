"""An NE-1000 driver, the simulated pump that it talks to, and time a millisecond at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.ne1000 import NE1000Pump, NE1000Settings
from drivers.ports import PumpState
from hardware_sim.ne1000 import SimNE1000Settings, VirtualNE1000
from sorter.errors import PumpError
from tests.drivers.virtual_time import MS, SteppedClock

STANDING = (PumpState.HELD, PumpState.STOPPED)


class WatchedLink:
    """The pump's link, with what went over it, and when."""

    def __init__(self, pump: VirtualNE1000, clock: SteppedClock) -> None:
        self._link = pump.link
        self._clock = clock
        self.written: list[tuple[int, str]] = []
        self.cut: Exception | None = None
        # Commands that are changed on their way, once each.
        self.changed: dict[str, str] = {}
        self.closed = 0

    def write(self, data: bytes) -> None:
        if self.cut is not None:
            raise self.cut
        text = data.decode("ascii").rstrip("\r")
        self.written.append((self._clock.ns, text))
        self._link.write(self.changed.pop(text, text).encode("ascii") + b"\r")

    def read(self) -> bytes:
        if self.cut is not None:
            raise self.cut
        return self._link.read()

    def close(self) -> None:
        self.closed += 1


class PumpBench:
    """Driver, link, pump, clock.

    Attributes:
        troubles: what `NE1000Pump.step` raised.
        lies: host times at which the driver said that the pump stands, and it did not.
    """

    def __init__(
        self, device: SimNE1000Settings | None = None, settings: NE1000Settings | None = None
    ) -> None:
        self.clock = SteppedClock()
        self.device = VirtualNE1000(device or SimNE1000Settings(), self.clock)
        self.link = WatchedLink(self.device, self.clock)
        self.settings = settings or NE1000Settings()
        self.pump = NE1000Pump(self.link, self.clock, self.settings)
        self.troubles: list[PumpError] = []
        self.lies: list[int] = []

    @property
    def state(self) -> PumpState:
        return self.pump.status().state

    @property
    def flow_ul_s(self) -> float:
        """The truth."""
        return self.device.model.flow_ul_s(self.clock.ns)

    @property
    def moved_ul(self) -> float:
        """The truth."""
        self.device.advance(self.clock.ns)
        return self.device.model.program.plunger.moved_ul

    def step(self) -> None:
        """One millisecond, and one step."""
        self.clock.wait_until(self.clock.ns + MS)
        try:
            self.pump.step(self.clock.ns)
        except PumpError as error:
            self.troubles.append(error)
        if self.state in STANDING and self.flow_ul_s:
            self.lies.append(self.clock.ns)

    def run(self, ms: float) -> None:
        """Step for so long."""
        end_ns = self.clock.ns + round(ms * MS)
        while self.clock.ns < end_ns:
            self.step()

    def until(self, holds: Callable[[], Any], at_most_ms: float = 20_000) -> float:
        """Step until ``holds``; how long that took, ms."""
        began_ns = self.clock.ns
        while not holds():
            assert self.clock.ns < began_ns + at_most_ms * MS, f"still {self.state}"
            self.step()
        return (self.clock.ns - began_ns) / MS

    def ready(self) -> PumpBench:
        """Held and set up."""
        self.until(lambda: self.link.written and self.link.written[-1][1].endswith("CLDWDR"))
        self.run(100)
        return self

    def running(self) -> PumpBench:
        """Set up, and infusing."""
        self.ready()
        self.pump.start(self.clock.ns)
        self.until(lambda: self.state is PumpState.RUNNING)
        return self

    def said(self, text: str) -> int:
        """How often the command was said, without its address."""
        return sum(one[2:] == text for _, one in self.link.written)
