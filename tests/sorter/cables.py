"""A cable between host and device that a test pulls out and puts back, in virtual time."""

from __future__ import annotations

import numpy as np

from drivers.ports import Clock
from hardware_sim.virtual_link import VirtualDispenser
from sorter.errors import LinkError

START_NS = 1_000_000_000


class Cable:
    """Between host and device: pulled out and put back as a test wants, at host times.

    Args:
        out: from when to when it is out, s after the start.
        deaf: from when to when the device hears nothing and says nothing, though the port is there.
    """

    def __init__(
        self,
        out: tuple[float, float] = (np.inf, np.inf),
        deaf: tuple[float, float] = (np.inf, np.inf),
    ) -> None:
        self._out_ns = [START_NS + one * 1e9 for one in out]
        self._deaf_ns = [START_NS + one * 1e9 for one in deaf]
        self.opened = 0

    def is_out(self, now_ns: int) -> bool:
        return self._out_ns[0] <= now_ns < self._out_ns[1]

    def is_deaf(self, now_ns: int) -> bool:
        return self._deaf_ns[0] <= now_ns < self._deaf_ns[1]

    def plugged_into(self, device: VirtualDispenser, clock: Clock) -> Plug:
        self.opened += 1
        return Plug(self, device, clock)


class Plug:
    """A link that is dead for good once its cable was out."""

    def __init__(self, cable: Cable, device: VirtualDispenser, clock: Clock) -> None:
        self._cable = cable
        self._link = device.link
        self._clock = clock
        self._dead = False
        self._check()

    def _check(self) -> None:
        self._dead = self._dead or self._cable.is_out(self._clock.now_ns())
        if self._dead:
            raise LinkError("the port has gone")

    def write(self, data: bytes) -> None:
        self._check()
        if not self._cable.is_deaf(self._clock.now_ns()):
            self._link.write(data)

    def read(self) -> bytes:
        self._check()
        said = self._link.read()
        return b"" if self._cable.is_deaf(self._clock.now_ns()) else said

    def close(self) -> None:
        self._dead = True
