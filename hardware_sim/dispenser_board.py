"""The board of a simulated dispenser: outputs that are seen, inputs that the world feeds.

Both the dispenser behind a port (real time) and the one in virtual time run the firmware on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

from drivers.firmware.core import Core, Hal
from hardware_sim.dispenser_model import DeviceClock, Faults, SimDispenserSettings, Valve, Wire


class Witness(Protocol):
    """Who sees what the outputs do; host times."""

    def switched(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        """The valve's pin was switched; the liquid follows at ``effective_ns``."""

    def pumped(self, switched_ns: int, held: bool) -> None:
        """The pump's pin was switched."""

    def latched(self, at_ns: int, cause: str) -> None:
        """The emergency stop was latched, or with no cause cleared."""

    def accepted(self, at_ns: int, command_id: int) -> None:
        """The firmware acknowledged a command, whether or not its answer arrives."""


class Happenings:
    """What is yet to happen at the inputs, in the order of time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def put(self, at_ns: int, happen: Callable[[], None]) -> None:
        """``happen`` is called at host time ``at_ns``, or at the next look after it."""
        heapq.heappush(self._waiting, (at_ns, next(self._order), happen))

    def due_ns(self) -> int | None:
        """Host time of the next one, or None."""
        return self._waiting[0][0] if self._waiting else None

    def let(self, now_ns: int) -> None:
        """Let happen what is due."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            heapq.heappop(self._waiting)[2]()


class SimulatedBoard(Hal):
    """A board with a clock, a valve, inputs and an outgoing wire, for the firmware to run on.

    Args:
        settings: the device.
        start_ns: host time at which it is switched on.
        witness: told of each move of the outputs.

    Attributes:
        core: the firmware.
        out: bytes on their way to the host.
        incoming: bytes on their way from the host.
        held: whether its output holds the pump; without power it does.
        lines: ready, hold and fault, as other machines see them.
        lit: whether the LED is on.
    """

    def __init__(self, settings: SimDispenserSettings, start_ns: int, witness: Witness) -> None:
        self.ticks_period_us = 1 << settings.ticks_bits
        self._ticks_mask = self.ticks_period_us - 1
        offset_us = settings.clock_offset_us & self._ticks_mask
        self.clock = DeviceClock(start_ns, offset_us, settings.clock_drift_ppm)
        late = {"jitter_ms": settings.link_jitter_ms, "delay_ms": settings.link_delay_ms}
        self.out = Wire(settings.baud, seed=f"to host {settings.seed}", **late)
        self.incoming = Wire(settings.baud, seed=f"to device {settings.seed}", **late)
        self._valve = Valve(settings)
        self._faults = Faults(settings, start_ns)
        self._settings = settings
        self._witness = witness
        self._happenings = Happenings()
        self._at = 0
        self._dark = 0
        self._pedal = False
        self._estop = self._estop_was = settings.estop_pressed
        self._latched = "POWER"
        self.held = True
        self.lines = (False, True, True)
        self.lit = False
        if settings.estop_after_s is not None:
            self.press_estop(True, start_ns + round(settings.estop_after_s * 1e9))
        self.core = self.boot()

    def boot(self) -> Core:
        """Fresh firmware on this board."""
        settings = self._settings
        return Core(self, settings.outlets, "simulated-dispenser", settings.queue)

    def host_ns(self) -> int:
        """Host time, as the board runs on it."""
        raise NotImplementedError

    # -- what the firmware does to the board ----------------------------------------------

    def ticks_us(self) -> int:
        """The board's counter now."""
        return self._ticks_at(self.host_ns())

    def set_gate(self, outlet: int) -> None:
        """Switch the valve's pin."""
        if outlet == self._at:
            return
        self._at = outlet
        now_ns = self.host_ns()
        name = self._settings.outlets[outlet]
        self._witness.switched(now_ns, name, self._valve.effective_ns(now_ns, outlet))

    def set_pump(self, held: bool) -> None:
        """Switch the pump's pin."""
        if held != self.held:
            self.held = held
            self._witness.pumped(self.host_ns(), held)

    def set_lines(self, ready: bool, hold: bool, fault: bool) -> None:
        """Switch the lines to other machines."""
        self.lines = (ready, hold, fault)

    def set_led(self, on: bool) -> None:
        """Switch the LED."""
        self.lit = on

    def estop_pin(self) -> bool:
        """Whether the emergency stop is pressed, or was since this was last asked."""
        pressed, self._estop_was = self._estop_was, self._estop
        return pressed

    def pedal(self) -> bool:
        """Whether the foot switch is down."""
        return self._pedal

    def dark(self) -> int:
        """Optical gates that are dark now, bit 0 for outlet 0."""
        return self._dark

    def write(self, data: bytes) -> None:
        """A line for the host."""
        now_ns = self.host_ns()
        if data.startswith(b"A "):
            self._witness.accepted(now_ns, int(data.split(b"*")[0].split()[2], 16))
        if not self._faults.answer_is_lost(data, now_ns):
            self.out.put(data, now_ns)

    # -- what the world does to the board -------------------------------------------------

    def passed(self, outlet: str, began_ns: int, length_ns: int) -> None:
        """A body darkens an outlet's optical gate for so long, from a host time on.

        Raises:
            ValueError: there is no such outlet.
        """
        at = self._settings.outlets.index(outlet)
        if not self._settings.optical_gates:
            return

        def begin() -> None:
            self._dark |= 1 << at

        def end() -> None:
            self._dark &= ~(1 << at)
            began_us = self.core.device_us(self._ticks_at(began_ns))
            length_us = self.clock.us_at(began_ns + length_ns) - self.clock.us_at(began_ns)
            self.core.dark(at, began_us, length_us)

        self._happenings.put(began_ns, begin)
        self._happenings.put(began_ns + length_ns, end)

    def exposed(self, at_ns: int) -> None:
        """The camera exposes at a host time."""
        if self._settings.exposure_pulses:
            self._happenings.put(
                at_ns, lambda: self.core.pulse(self.core.device_us(self._ticks_at(at_ns)))
            )

    def press_estop(self, pressed: bool, at_ns: int) -> None:
        """The emergency stop is pressed or let go at a host time."""

        def press() -> None:
            self._estop = pressed
            self._estop_was |= pressed

        self._happenings.put(at_ns, press)

    def press_pedal(self, down: bool, at_ns: int) -> None:
        """The foot switch is pressed or let go at a host time."""

        def press() -> None:
            self._pedal = down

        self._happenings.put(at_ns, press)

    def take(self, data: bytes, now_ns: int) -> None:
        """Bytes of the host enter the wire."""
        for line in data.splitlines(keepends=True):
            if not self._faults.command_is_lost():
                self.incoming.put(line, now_ns)

    def run(self, now_ns: int) -> None:
        """Let the firmware do what is due, and read what has arrived."""
        # The pins first: a stop that is pressed with an edge finds the gate not yet moved.
        self._happenings.let(now_ns)
        # Edges before bytes: a line that comes with an edge finds the gate already moved.
        self.core.step()
        while chunk := self.incoming.take(now_ns):
            self.core.feed(chunk)
        self._witness_stop()

    def _witness_stop(self) -> None:
        if self.core.estop != self._latched:
            self._latched = self.core.estop
            self._witness.latched(self.host_ns(), self._latched)

    def due_ns(self) -> int | None:
        """Host time at which the firmware next has something to do, or None."""
        known = (self.incoming.due_ns(), self._happenings.due_ns())
        times = [one for one in known if one is not None]
        due_us = self.core.due_in_us()
        if due_us >= 0:
            now_ns = self.host_ns()
            times.append(max(now_ns, self.clock.ns_when(self.clock.us_at(now_ns) + due_us)))
        return min(times, default=None)

    def power_off(self) -> None:
        """Without power the pump is held and the gate falls back."""
        self.set_pump(True)
        self.set_gate(0)

    def _ticks_at(self, host_ns: int) -> int:
        return self.clock.us_at(host_ns) & self._ticks_mask
