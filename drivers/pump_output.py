"""The dispenser's own pump-hold output: any pump that a contact can hold."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Protocol

from drivers.ports import Clock, PumpAbilities, PumpState, PumpStatus
from sorter.errors import HardwareError, PumpError


class HoldsFlow(Protocol):
    """What has a pump-hold output: the dispenser's driver."""

    def hold(self, now_ns: int) -> None:
        """Hold the pump now; said again until the device says so."""
        ...

    def flow(self, now_ns: int) -> None:
        """Let it run."""
        ...


def _not_told() -> bool | None:
    return None


class DevicePump:
    """`drivers.ports.Pump` on the dispenser's pump-hold output.

    What it guarantees: the device's watchdog and its emergency stop hold this output without the
    host. What it can't: the output is a contact; whether the pump behind it obeys, no one says.

    Args:
        output: the dispenser's driver; it stays the caller's, and is not closed here. It is what
            says a hold again until the device has it, and what raises when the device is silent.
        clock: host time.
        held: what the device last said of its output: True held, False released, None not known.
            Without it no hold is ever confirmed, and the state is never better than unknown.
    """

    def __init__(
        self, output: HoldsFlow, clock: Clock, held: Callable[[], bool | None] = _not_told
    ) -> None:
        self._output = output
        self._clock = clock
        self._held = held
        self._wanted = PumpState.HELD
        self._at_ns = 0
        self._closed = False

    def abilities(self) -> PumpAbilities:
        """None: a contact has no rate, volume or direction."""
        return PumpAbilities(rate=False, volume=False, reverse=False)

    def start(self, now_ns: int) -> None:
        """Release the output."""
        self._check_open()
        self._wanted = PumpState.RUNNING
        self._output.flow(now_ns)

    def stop(self, now_ns: int) -> None:
        """Hold the output; the pump's own program is not ended."""
        self._wanted = PumpState.STOPPED
        self._output.hold(now_ns)

    def hold(self, now_ns: int) -> None:
        """Hold the output now."""
        self._wanted = PumpState.HELD
        self._output.hold(now_ns)

    def resume(self, now_ns: int) -> None:
        """Release the output."""
        self.start(now_ns)

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """Not possible: raises `PumpError`."""
        raise self._lacks("can't push backwards")

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Not possible: raises `PumpError`."""
        raise self._lacks("has no rate")

    def status(self) -> PumpStatus:
        """Held, stopped or running where the device's last word is what was last asked for;
        otherwise unknown: its word may be older than the order.
        """
        held, flows = self._held(), self._wanted is PumpState.RUNNING
        agreed = held is not None and held is not flows
        state = self._wanted if agreed else PumpState.UNKNOWN
        return PumpStatus(state, math.nan, math.nan, self._at_ns)

    def step(self, now_ns: int) -> None:
        """Note when the device's word was to be had; the dispenser's own step does the rest."""
        if self._held() is not None:
            self._at_ns = now_ns

    def close(self) -> None:
        """Hold the output, and use it no more; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        # Where the device can't be told any more, its own watchdog holds the pump.
        with contextlib.suppress(HardwareError):
            self.hold(self._clock.now_ns())

    def _check_open(self) -> None:
        if self._closed:
            raise PumpError("the pump is closed", do="Make a new one, and start that")

    def _lacks(self, what: str) -> PumpError:
        return PumpError(
            f"the dispenser's pump-hold output {what}",
            do="Set it at the pump, or use a pump that the program can talk to",
        )
