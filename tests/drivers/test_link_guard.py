"""A dispenser that goes and comes back, and what the guard lets through."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.link_guard import TRY_EVERY_NS, LinkGuard, Loss
from drivers.ports import Acknowledged, Command, Executed, LinkBack, LinkLost
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_link import VirtualDispenser
from sorter.errors import DispenserError, HardwareError, LinkError

START_NS = 1_000_000_000
BOTH: tuple[Loss, ...] = ("link_lost", "device_reset")


class Line:
    """The host's end of a port that may be gone."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.closed = 0

    def _check(self) -> None:
        if self._bench.gone or self.closed:
            raise LinkError("the port has gone")

    def write(self, data: bytes) -> None:
        self._check()
        if self._bench.deaf:
            raise LinkError("nothing can be written")
        self._bench.device.link.write(data)

    def read(self) -> bytes:
        self._check()
        return self._bench.device.link.read()

    def close(self) -> None:
        self.closed += 1


class Bench:
    def __init__(self, holds: Collection[Loss] = BOTH) -> None:
        self.clock = VirtualClock(START_NS)
        self.gone = False
        self.deaf = False
        self.device = VirtualDispenser(SimDispenserSettings(), self.clock)
        self.kind = SerialDispenser
        self.lines: list[Line] = []
        self.guard = LinkGuard(self.make(), self.make, holds)
        self.guard.connect()
        self.guard.arm()

    def make(self) -> SerialDispenser:
        if self.gone:
            raise LinkError("the port is absent")
        self.lines.append(Line(self))
        return self.kind(self.lines[-1], self.clock, DispenserSettings(connect_ms=400))

    def run(self, seconds: float) -> list[Any]:
        """Steps of a millisecond; what was told."""
        told: list[Any] = []
        for _ in range(round(seconds * 1_000)):
            self.clock.wait_until(self.clock.now_ns() + 1_000_000)
            told += self.guard.step(self.clock.now_ns())
        return told

    def lose(self) -> list[Any]:
        self.gone = True
        return self.run(0.01)


def test_a_loss_is_told_once_and_what_is_said_then_is_dropped() -> None:
    bench = Bench()
    bound_us = bench.guard.clock_bound_us(bench.clock.now_ns())
    (lost,) = bench.lose()
    assert isinstance(lost, LinkLost)
    assert (lost.loss, "gone" in lost.what) == ("link_lost", True)
    now_ns = bench.clock.now_ns()
    bench.guard.hold(now_ns)
    bench.guard.rest(now_ns)
    bench.guard.flow(now_ns)
    bench.guard.stop(now_ns)
    bench.guard.cancel(1, now_ns)
    bench.guard.lines(ready=True, hold=False, fault=False, now_ns=now_ns)
    bench.guard.send(Command(1, "collect", 10**9, 2 * 10**9), now_ns)
    assert bench.guard.clock_bound_us(now_ns) in range(bound_us, bound_us + 100)
    assert bench.run(3.0) == []
    with pytest.raises(LinkError, match="does not answer yet"):
        bench.guard.arm()


def test_what_came_before_the_loss_is_told_before_it() -> None:
    """The report arrives, and what is to be said next can't be."""
    bench = Bench()
    opens_us = bench.guard.to_device_us(bench.clock.now_ns()) + 50_000
    bench.guard.send(Command(1, "collect", opens_us, opens_us + 50_000), bench.clock.now_ns())
    assert [type(one) for one in bench.run(0.09)] == [Acknowledged]
    bench.clock.wait_until(bench.clock.now_ns() + 300_000_000)  # a question is due
    bench.deaf = True
    assert [type(one) for one in bench.run(0.5)] == [Executed, LinkLost]


def test_it_comes_back_by_a_fresh_handshake_and_acts_only_when_armed() -> None:
    bench = Bench()
    bench.lose()
    bench.run(2.0)
    bench.device.advance(bench.clock.now_ns())
    assert bench.device.estop == "WATCHDOG"
    bench.gone = False
    told = bench.run(1.5)
    assert [type(one) for one in told] == [LinkBack]
    assert (bench.device.estop, bench.device.held) == ("WATCHDOG", True)
    assert bench.run(2.0) == []
    bench.guard.arm()
    assert bench.device.estop == ""
    assert bench.device.held
    bench.guard.flow(bench.clock.now_ns())
    bench.run(0.1)
    assert not bench.device.held


def test_tries_are_a_second_apart() -> None:
    bench = Bench()
    bench.lose()
    bench.gone = False
    began_ns = bench.clock.now_ns()
    while not any(isinstance(one, LinkBack) for one in bench.run(0.001)):
        assert bench.clock.now_ns() < began_ns + 5 * TRY_EVERY_NS
    # One to release the port, one to open it again.
    assert bench.clock.now_ns() - began_ns == pytest.approx(2 * TRY_EVERY_NS, rel=0.2)
    assert bench.lines[0].closed


@pytest.mark.parametrize("holds", [(), ("device_reset",)], ids=["nothing", "another loss"])
def test_what_is_not_held_is_raised(holds: Collection[Loss]) -> None:
    bench = Bench(holds)
    bench.gone = True
    with pytest.raises(LinkError, match="gone"):
        bench.run(0.01)


def test_a_first_connection_that_fails_is_raised() -> None:
    bench = Bench()
    bench.gone = True
    with pytest.raises(HardwareError):
        LinkGuard(SerialDispenser(Line(bench), bench.clock), bench.make, BOTH).connect()


class OfAnotherName(SerialDispenser):
    """It has the same outlets."""

    def connect(self) -> dict[str, Any]:
        return {**super().connect(), "name": "another"}


def test_another_dispenser_is_refused() -> None:
    bench = Bench()
    bench.lose()
    bench.device = VirtualDispenser(SimDispenserSettings(outlets=("waste", "other")), bench.clock)
    bench.gone = False
    with pytest.raises(DispenserError, match="another dispenser"):
        bench.run(3.0)


def test_another_dispenser_with_the_same_outlets_is_refused() -> None:
    bench = Bench()
    bench.lose()
    bench.kind = OfAnotherName
    bench.gone = False
    with pytest.raises(DispenserError, match="another dispenser"):
        bench.run(3.0)


def test_closing_while_it_is_lost() -> None:
    bench = Bench()
    bench.lose()
    bench.guard.close()
    bench.guard.close()
    assert bench.lines[0].closed
