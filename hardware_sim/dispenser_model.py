"""What a simulated dispenser is made of: its settings, clock, valve, wire, and faults."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

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
    passage_log: Path | None = Field(
        None, description="File in which a scene says what darkens the optical gates, JSON lines"
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
