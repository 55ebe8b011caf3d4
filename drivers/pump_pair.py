"""A pump that the program talks to, beside the dispenser's pump-hold output: both must let it flow.

The output is what holds the flow when the host dies; the pump is what has a rate, a volume and a
direction. Whatever holds, holds both, the output first; whatever fails on one is still said to the
other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from drivers.ports import Pump, PumpAbilities, PumpState, PumpStatus
from sorter.errors import HardwareError


class PumpPair:
    """`drivers.ports.Pump` of two.

    Args:
        output: the dispenser's pump-hold output.
        pump: the pump itself; state, rate and volume are its own.
    """

    def __init__(self, output: Pump, pump: Pump) -> None:
        self._output = output
        self._pump = pump
        # A pulse backwards has been asked for; whether it has begun.
        self._pulse: bool | None = None

    def abilities(self) -> PumpAbilities:
        """The pump's."""
        return self._pump.abilities()

    def start(self, now_ns: int) -> None:
        """Release the output, start the pump."""
        self._pulse = None
        self._output.start(now_ns)
        self._pump.start(now_ns)

    def stop(self, now_ns: int) -> None:
        """Hold the output, end the infusion."""
        self._both(lambda one: one.stop(now_ns))

    def hold(self, now_ns: int) -> None:
        """Hold both now."""
        self._both(lambda one: one.hold(now_ns))

    def resume(self, now_ns: int) -> None:
        """Release the output, let the pump go on."""
        self._pulse = None
        self._output.resume(now_ns)
        self._pump.resume(now_ns)

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """A pulse backwards; the output is released for as long as it lasts."""
        self._pump.reverse(volume_ul, now_ns)
        self._pulse = False
        self._output.start(now_ns)

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """The pump's rate."""
        self._pump.set_rate_ul_s(rate_ul_s, now_ns)

    def status(self) -> PumpStatus:
        """The pump's own; unknown when it runs and the output is not known to let it."""
        said = self._pump.status()
        if said.state is PumpState.RUNNING is not self._output.status().state:
            return replace(said, state=PumpState.UNKNOWN)
        return said

    def step(self, now_ns: int) -> None:
        """Step both; hold the output again after a pulse. Raises `PumpError`, `LinkError`."""
        self._output.step(now_ns)
        try:
            self._pump.step(now_ns)
        except HardwareError:
            self._pulse = None
            self._output.hold(now_ns)
            raise
        if self._pulse is None:
            return
        state = self._pump.status().state
        if state in (PumpState.REVERSING, PumpState.UNKNOWN):
            self._pulse = True
        elif self._pulse:
            self._pulse = None
            self._output.hold(now_ns)

    def close(self) -> None:
        """Close both, the output first."""
        self._both(lambda one: one.close())

    def _both(self, say: Callable[[Pump], None]) -> None:
        """Say it to both, whatever the first one raises."""
        self._pulse = None
        with contextlib.ExitStack() as stack:
            stack.callback(say, self._pump)
            say(self._output)
