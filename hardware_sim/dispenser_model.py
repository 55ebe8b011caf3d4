"""What stands around the firmware of a simulated dispenser: clock, valve, wire, inputs.

Both the dispenser behind a port (real time) and the one in virtual time are made of these.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from drivers.firmware.core import Core, Hal

_US = 1_000
_PPB = 1_000_000_000


class SimDispenserSettings(BaseModel):
    """A simulated dispenser: its valve, its clock, its wire, and what may go wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outlets: tuple[str, ...] = Field(
        ("waste", "collect"), min_length=2, max_length=8, description="Outlets, rest first"
    )
    queue: int = Field(64, ge=1, le=1024, description="Commands that the firmware holds at once")
    seed: int = Field(0, ge=0, description="Seed of jitter and faults")
    valve_on_ms: float = Field(25.0, ge=0, description="From pin to liquid, leaving rest, ms")
    valve_off_ms: float = Field(15.0, ge=0, description="From pin to liquid, back to rest, ms")
    valve_jitter_ms: float = Field(
        3.0, ge=0, description="Half width of the even spread of both, ms"
    )
    clock_offset_us: int = Field(
        123_456_789, ge=0, lt=1 << 32, description="Device clock at the start, µs"
    )
    ticks_bits: int = Field(
        30, ge=20, le=32, description="The board's counter wraps at 2 to the power of this, µs"
    )
    clock_drift_ppm: float = Field(
        30.0, ge=-1_000, le=1_000, description="How much faster the device's clock runs, ppm"
    )
    baud: int = Field(
        115_200, ge=0, description="The wire takes 10 bits per byte at this rate; 0 for no delay"
    )
    link_delay_ms: float = Field(
        0.0, ge=0, description="Each line is late by at least this, each way, ms"
    )
    link_jitter_ms: float = Field(
        0.0, ge=0, description="And by up to so much more, evenly spread, anew for each line, ms"
    )
    tcp: bool = Field(False, description="Serve TCP on the loopback instead of a pseudo-terminal")
    gate_log: Path | None = Field(
        None, description="File for what gate, pump and emergency stop did, JSON lines"
    )
    optical_gates: bool = Field(True, description="An optical gate watches each outlet")
    exposure_pulses: bool = Field(True, description="The camera's exposure output is wired")
    estop_pressed: bool = Field(False, description="The emergency stop is pressed at the start")
    estop_after_s: float | None = Field(
        None, ge=0, description="Fault: the emergency stop is pressed so long after the start, s"
    )
    silent: bool = Field(False, description="Fault: the device never answers")
    silent_after_s: float | None = Field(
        None, ge=0, description="Fault: the device stops answering so long after the start, s"
    )
    lose_acks: float = Field(0.0, ge=0, le=1, description="Fault: share of acknowledgements lost")
    lose_reports: float = Field(0.0, ge=0, le=1, description="Fault: share of reports lost")
    lose_commands: float = Field(
        0.0, ge=0, le=1, description="Fault: share of lines to the device that are lost"
    )


class DeviceClock:
    """The board's microsecond counter over host time, in whole numbers.

    Args:
        start_ns: host time at which the counter shows ``offset_us``.
        offset_us: what it shows then.
        drift_ppm: how much faster than the host's clock it runs.
    """

    def __init__(self, start_ns: int, offset_us: int, drift_ppm: float) -> None:
        self._start_ns = start_ns
        self._offset_us = offset_us
        self._rate = _PPB + round(drift_ppm * 1_000)

    def us_at(self, host_ns: int) -> int:
        """The counter, unwrapped, at a host time."""
        return self._offset_us + (host_ns - self._start_ns) * self._rate // (_PPB * _US)

    def ns_when(self, device_us: int) -> int:
        """First host time at which the counter shows ``device_us``."""
        passed = (device_us - self._offset_us) * _PPB * _US
        return self._start_ns - (-passed // self._rate)


class Valve:
    """When the liquid follows the pin: a lag for each way, with jitter, never out of order."""

    def __init__(self, settings: SimDispenserSettings) -> None:
        self._settings = settings
        self._random = random.Random(f"valve {settings.seed}")
        self._last_ns = 0

    def effective_ns(self, switched_ns: int, outlet: int) -> int:
        """Host time at which a switch of the pin at ``switched_ns`` moves the liquid."""
        kept = self._settings
        lag_ms = kept.valve_on_ms if outlet else kept.valve_off_ms
        jitter_ms = self._random.uniform(-kept.valve_jitter_ms, kept.valve_jitter_ms)
        moved_ns = switched_ns + max(0, round((lag_ms + jitter_ms) * 1e6))
        self._last_ns = max(self._last_ns, moved_ns)
        return self._last_ns


class Wire:
    """One direction of a serial line: bytes come out no sooner than the baud rate allows.

    Chunks are cut after each line feed; a chunk comes out when its last byte would have, later by
    ``delay_ms`` and up to ``jitter_ms``, and never before an earlier one.
    """

    def __init__(self, baud: int, jitter_ms: float, seed: str, delay_ms: float = 0.0) -> None:
        self._byte_ns = 10 * 1e9 / baud if baud else 0.0
        self._delay_ns = delay_ms * 1e6
        self._jitter_ns = jitter_ms * 1e6
        self._random = random.Random(seed)
        self._free_ns = 0
        self._last_ns = 0
        self._waiting: deque[tuple[int, bytes]] = deque()

    def put(self, data: bytes, now_ns: int) -> None:
        """Bytes go in at one end."""
        for chunk in data.splitlines(keepends=True):
            late_ns = self._delay_ns
            if self._jitter_ns:
                late_ns += self._random.uniform(0, self._jitter_ns)
            self._free_ns = max(self._free_ns, now_ns) + round(len(chunk) * self._byte_ns)
            self._last_ns = max(self._last_ns, self._free_ns + round(late_ns))
            self._waiting.append((self._last_ns, chunk))

    def due_ns(self) -> int | None:
        """Host time at which the next bytes come out, or None."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, now_ns: int) -> bytes:
        """One chunk that is out by now, or nothing."""
        if self._waiting and self._waiting[0][0] <= now_ns:
            return self._waiting.popleft()[1]
        return b""


class Faults:
    """Which lines are lost, by the settings' switches."""

    def __init__(self, settings: SimDispenserSettings, start_ns: int) -> None:
        self._settings = settings
        self._random = random.Random(f"faults {settings.seed}")
        after_s = 0.0 if settings.silent else settings.silent_after_s
        self._silent_ns = None if after_s is None else start_ns + round(after_s * 1e9)

    def answer_is_lost(self, line: bytes, now_ns: int) -> bool:
        """Whether a line of the device never leaves it."""
        if self._silent_ns is not None and now_ns >= self._silent_ns:
            return True
        share = 0.0
        if line.startswith(b"A "):
            share = self._settings.lose_acks
        elif line.startswith(b"E "):
            share = self._settings.lose_reports
        return share > 0 and self._random.random() < share

    def command_is_lost(self) -> bool:
        """Whether a line of the host never reaches the device."""
        share = self._settings.lose_commands
        return share > 0 and self._random.random() < share


class Witness(Protocol):
    """Who sees what the outputs do; host times."""

    def switched(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        """The valve's pin was switched; the liquid follows at ``effective_ns``."""

    def pumped(self, switched_ns: int, held: bool) -> None:
        """The pump's pin was switched."""

    def latched(self, at_ns: int, cause: str) -> None:
        """The emergency stop was latched, or with no cause cleared."""


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
        self.core = Core(self, settings.outlets, "simulated-dispenser", settings.queue)

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
