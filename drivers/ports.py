"""What the controller needs of the outside world, as protocols.

Exactly these are replaced when a rig is simulated in virtual time: the clock, the camera's frame
queue and the serial link. Host times are integers of ``time.perf_counter_ns`` and end in ``_ns``;
device times are integers of the dispenser's microsecond counter and end in ``_us``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image with its best-known exposure time and that time's error.

    Attributes:
        pixels: (height, width), uint8 or uint16; row 0 is the top, column 0 is upstream.
        number: the camera's running number; a gap means frames that were lost.
        exposed_ns: best-known host time of mid-exposure.
        exposed_error_ns: half width of the interval that holds the true exposure time.
        received_ns: host time at which the frame was in the host's hands.
    """

    pixels: Pixels
    number: int
    exposed_ns: int
    exposed_error_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What a camera says of itself once it is loaded."""

    name: str
    width_px: int
    height_px: int
    bit_depth: int


class Clock(Protocol):
    """Host time. The only source of time in the controller."""

    def now_ns(self) -> int:
        """Nanoseconds of a monotonic clock with an arbitrary zero."""
        ...

    def wait_until(self, deadline_ns: int) -> None:
        """Return at or shortly after ``deadline_ns``; at once if it has passed."""
        ...


class Camera(Protocol):
    """A source of frames, oldest first, none skipped without being noticed."""

    def info(self) -> CameraInfo:
        """Name, frame size and bit depth."""
        ...

    def start(self) -> None:
        """Start acquiring; raises `CameraError`."""
        ...

    def pop(self) -> Frame | None:
        """The oldest frame that waits, or None; never blocks. Raises `CameraError`."""
        ...

    def waiting(self) -> int:
        """How many frames wait to be popped; never blocks."""
        ...

    def stop(self) -> None:
        """Stop acquiring; frames that wait can still be popped."""
        ...

    def close(self) -> None:
        """Release the camera; safe to call twice."""
        ...


class Link(Protocol):
    """Bytes to and from a device."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``; raises `LinkError` when the port is gone or stays blocked."""
        ...

    def read(self) -> bytes:
        """Whatever has arrived, possibly nothing; never blocks. Raises `LinkError`."""
        ...

    def close(self) -> None:
        """Release the port; safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """One opening of one outlet for one object, on the dispenser's clock.

    Attributes:
        id: 32-bit id, unique in a session; the same id never acts twice.
        outlet: name of the outlet to open, never the rest outlet.
        open_us: device time at which the gate is to *start* moving to ``outlet``.
        close_us: device time at which it is to start moving back to rest.
    """

    id: int
    outlet: str
    open_us: int
    close_us: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The device has queued the command."""

    id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The device will never act on the command; ``reason`` is a word of PROTOCOL.md."""

    id: int
    reason: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Executed:
    """The device has opened and closed; times are what it measured, on its own clock."""

    id: int
    opened_us: int
    closed_us: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Passed:
    """An object was seen to enter an outlet.

    Attributes:
        seq: counts from 1 in a session; a gap is a passage that was lost.
        outlet: which outlet it entered.
        begun_us: device time (unwrapped) at which it began to darken the outlet's optical gate.
        length_us: how long it did.
        at_ns: host time at which this was read.
    """

    seq: int
    outlet: str
    begun_us: int
    length_us: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The emergency stop is latched (again); ``cause`` is a word of PROTOCOL.md.

    The gate is at rest and the pump held. Nothing acts until `Dispenser.arm`.
    """

    cause: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Pedal:
    """The foot switch was pressed or let go."""

    down: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The dispenser does not answer, or has forgotten the session.

    One that was reset is at rest. One that is silent goes on with what it was told until its
    watchdog's time is over, and then is held and at rest by itself.

    Attributes:
        loss: ``link_lost`` or ``device_reset``.
        what: in words.
    """

    loss: str
    what: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class LinkBack:
    """It answers again, after a fresh handshake; nothing acts until `Dispenser.arm`."""

    at_ns: int


DispenserEvent = Acknowledged | Refused | Executed | Passed | Stopped | Pedal | LinkLost | LinkBack


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a dispenser can promise.

    Attributes:
        device_clock: openings begin and end by the device's own clock.
        watchdog: it goes to rest by itself when the host is silent.
        estop: its emergency stop latches, and clears only by an edge.
        reports: it reports what it did, and when.
        holds_pump: it holds the pump itself, before the gate goes to rest.
    """

    device_clock: bool
    watchdog: bool
    estop: bool
    reports: bool
    holds_pump: bool


class Dispenser(Protocol):
    """Sends commands, and tells what became of them. Stepped by the loop; no threads."""

    def guarantees(self) -> Guarantees:
        """What it can promise; the same for as long as it lives."""
        ...

    def connect(self) -> dict[str, Any]:
        """Handshake: new session, gate at rest, pump held, first clock estimate. Returns what the
        device says of itself (firmware, outlets, queue length …). Raises `LinkError`,
        `DispenserError`.
        """
        ...

    def arm(self) -> None:
        """Clear the emergency stop by its edge, and wait until the device says that it is clear.

        Waits as `connect` does: not for the loop. Leaves the gate at rest and the pump held.
        Raises `LinkError`; `DispenserError` when the stop stays latched.
        """
        ...

    def to_device_us(self, host_ns: int) -> int:
        """Device time (unwrapped, µs) of a host time, by the current estimate."""
        ...

    def to_host_ns(self, device_us: int) -> int:
        """Host time of an unwrapped device time, by the current estimate."""
        ...

    def clock_bound_us(self, host_ns: int) -> int:
        """Half width of the interval around `to_device_us` that holds the true device time."""
        ...

    def send(self, command: Command, now_ns: int) -> None:
        """Write the command; returns after the last byte is handed to the port.

        One that can't act any more may not be written: `step` then tells that it is refused.
        """
        ...

    def cancel(self, command_id: int, now_ns: int) -> None:
        """Withdraw a queued command, or close an open one now."""
        ...

    def rest(self, now_ns: int) -> None:
        """Gate to rest now, queue emptied."""
        ...

    def hold(self, now_ns: int) -> None:
        """Hold the pump now; said again until the device confirms it."""
        ...

    def flow(self, now_ns: int) -> None:
        """Let the pump run; the device refuses while its emergency stop is latched."""
        ...

    def stop(self, now_ns: int) -> None:
        """Emergency stop: pump held, gate to rest, queue emptied, all latched until `arm`."""
        ...

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """Tell upstream and downstream machines how this one is."""
        ...

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """Read what arrived, resend what is due, keep the clock estimate; never blocks.
        Raises `LinkError` when the device has been silent for too long.
        """
        ...

    def close(self) -> None:
        """Pump held, then gate to rest, then release the link; safe to call twice."""
        ...


class PumpState(StrEnum):
    """What a pump does."""

    STOPPED = "stopped"
    RUNNING = "running"
    HELD = "held"
    REVERSING = "reversing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PumpAbilities:
    """What a pump can do besides running and being held.

    Attributes:
        rate: its rate can be set.
        volume: it tells the volume so far.
        reverse: it can push backwards, to free a clog.
    """

    rate: bool
    volume: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class PumpStatus:
    """What a pump is known to do, as of host time ``at_ns``.

    Attributes:
        rate_ul_s: its set rate, µL/s; NaN where it has none.
        volume_ul: infused so far, µL; NaN where it does not tell.
    """

    state: PumpState
    rate_ul_s: float
    volume_ul: float
    at_ns: int


class Pump(Protocol):
    """What drives the flow. Stepped by the loop; no threads.

    What a pump lacks (see `abilities`) raises `PumpError` when it is asked for.
    """

    def abilities(self) -> PumpAbilities:
        """What it can do."""
        ...

    def start(self, now_ns: int) -> None:
        """Flow at the set rate."""
        ...

    def stop(self, now_ns: int) -> None:
        """End of the infusion."""
        ...

    def hold(self, now_ns: int) -> None:
        """Hold the flow now; `resume` goes on where it was."""
        ...

    def resume(self, now_ns: int) -> None:
        """Let a held flow go on."""
        ...

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """A short pulse backwards, to free a clog; it ends held."""
        ...

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Set the rate, µL/s."""
        ...

    def status(self) -> PumpStatus:
        """What it is known to do; never blocks."""
        ...

    def step(self, now_ns: int) -> None:
        """Read what arrived, say again what is due; never blocks. Raises `PumpError`."""
        ...

    def close(self) -> None:
        """Hold the flow, then release the port; safe to call twice."""
        ...
