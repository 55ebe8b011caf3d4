"""What each kind of fault does. A new kind is a function here and a row of `KINDS`.

By place, a function takes and gives

* ``to_device``, ``to_host``, ``ack``, ``report``, ``receipt``: a fault and a line -> pieces, each
  with how many ns later than it would have it comes out, and whether what follows has to wait;
* ``frame``: a fault, the frame source and a frame -> the frames that reach the queue;
* ``inference``, ``record``: a fault and the host -> nothing; it may raise, or hold the host up;
* ``pump``: a fault -> how much later the pump obeys, ns;
* ``device``, ``port``, ``host``: a fault and the rig -> whether anything changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from hardware_sim.faults import (
    ALWAYS,
    MS,
    ON_THE_WIRE,
    OPENING,
    WHILE_LOOKING,
    WHILE_SORTING,
    Fault,
    Kind,
    log_between,
)
from hardware_sim.light_camera import FrameSource, RawFrame
from sorter.errors import RecordError

Pieces = Sequence[tuple[bytes, int, bool]]
"""(bytes, ns later than otherwise, whether what follows waits)."""


class Host(Protocol):
    """The computer that the controller runs on."""

    def hold(self, ns: int) -> None:
        """It does nothing for so long."""
        ...


class Rig(Protocol):
    """What faults that act at once can do to a rig."""

    def reset_device(self, moment: float, boot_ns: int) -> bool:
        """The board starts anew: 'now', or at a moment of its command path."""
        ...

    def press_stop(self, for_ns: int) -> bool:
        """Somebody presses the emergency stop, and lets it go after a while."""
        ...

    def step_clock(self, by_us: int) -> bool:
        """The device's counter jumps."""
        ...

    def drift_clock(self, by_ppm: float) -> bool:
        """The device's clock runs faster or slower from now on."""
        ...

    def lose_port(self, for_ns: int) -> bool:
        """The host loses the port; it comes back later."""
        ...

    def kill_controller(self, reads: int) -> bool:
        """kill -9, after so many looks at the clock."""
        ...

    def hold_up(self, for_ns: int) -> bool:
        """The operating system runs something else."""
        ...


class NetworkFailed(RuntimeError):
    """What an inference runtime raises when it fails."""


# -- lines ------------------------------------------------------------------------------------


def lost(fault: Fault, line: bytes) -> Pieces:
    """The line, or one byte of it."""
    if fault.u[0] < 0.5:
        return ()
    at = int(fault.u[1] * len(line))
    return ((line[:at] + line[at + 1 :], 0, True),)


def flipped(fault: Fault, line: bytes) -> Pieces:
    """One bit to three, each in a byte of its own."""
    made = bytearray(line)
    for n in range(1 + int(3 * fault.u[2])):
        at = int(len(line) * ((fault.u[0] + 0.37 * n) % 1.0))
        made[at] ^= 1 << int(8 * ((fault.u[1] + 0.29 * n) % 1.0))
    return ((bytes(made), 0, True),)


def doubled(fault: Fault, line: bytes) -> Pieces:
    """One byte at once; or the whole line again, up to seconds later."""
    if fault.u[0] < 0.4:
        at = int(fault.u[1] * len(line))
        return ((line[: at + 1] + line[at:], 0, True),)
    again_ns = int(log_between(0.1 * MS, 3_000 * MS, fault.u[2]))
    return ((line, 0, True), (line, again_ns, False))


def delayed(fault: Fault, line: bytes) -> Pieces:
    """The wire stands still, before the line or in the middle of it."""
    for_ns = fault.lasts_ns(1.0, 600.0)
    if fault.u[1] < 0.5:
        return ((line, for_ns, True),)
    at = int(fault.u[2] * len(line))
    return ((line[:at], 0, True), (line[at:], for_ns, True))


def reordered(fault: Fault, line: bytes) -> Pieces:
    """Later lines overtake this one; or two bytes of it change places."""
    if fault.u[0] < 0.3 and len(line) > 2:
        at = int(fault.u[1] * (len(line) - 1))
        swapped = line[:at] + line[at + 1 : at + 2] + line[at : at + 1] + line[at + 2 :]
        return ((swapped, 0, True),)
    return ((line, int(log_between(5 * MS, 3_000 * MS, fault.u[2])), False),)


def swallowed(fault: Fault, line: bytes) -> Pieces:
    """The whole line is gone."""
    return ()


# -- frames -----------------------------------------------------------------------------------


def camera_stalls(fault: Fault, source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
    """Nothing comes for 5 ms to half a second, once in a while for longer than the driver waits."""
    for_ns = fault.lasts_ns(5.0, 500.0)
    if fault.u[1] < 0.004 and not fault.mild:
        for_ns = 3_500 * MS
    source.held_until_ns = raw.received_ns + for_ns
    return (replace(raw, received_ns=source.held_until_ns),)


def frames_lost(fault: Fault, source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
    """In the camera, where nobody counts them, or in the core's queue."""
    if fault.u[0] < 0.5:
        source.uncount()
    return ()


def frame_repeated(fault: Fault, source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
    """The queue hands the same frame out twice, with its number and time or with a new one."""
    later = replace(
        raw, received_ns=raw.received_ns + int(log_between(0.05 * MS, 4 * MS, fault.u[0]))
    )
    if fault.u[1] < 0.5:
        source.count_again()
        later = replace(later, image_number=raw.image_number + 1)
    return (raw, later)


def times_out_of_order(fault: Fault, source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
    """Two frames come in the wrong order, or with each other's times."""
    if fault.u[0] < 0.5:
        return (source.exchange_times(raw),)
    source.put_behind_next(raw)
    return ()


# -- network, recorder ------------------------------------------------------------------------


def slow_inference(fault: Fault, host: Host) -> None:
    """The network takes 2 to 200 ms."""
    host.hold(fault.lasts_ns(2.0, 200.0))


def failing_inference(fault: Fault, host: Host) -> None:
    """The network raises, perhaps after a while."""
    if fault.u[0] < 0.5:
        host.hold(int(log_between(1 * MS, 100 * MS, fault.u[1])))
    raise NetworkFailed("the inference runtime failed")


def slow_disk(fault: Fault, host: Host) -> None:
    """Handing a row over takes 0.5 to 100 ms."""
    host.hold(fault.lasts_ns(0.5, 100.0))


def full_disk(fault: Fault, host: Host) -> None:
    """The recorder reports that nothing more can be written."""
    raise RecordError("the disk is full", do="Free some space, then start a new run")


def recorder_killed(fault: Fault, host: Host) -> None:
    """The recorder's process is gone."""
    raise RecordError("the recorder died", do="Start a new run")


# -- pump -------------------------------------------------------------------------------------


def pump_disobeys(fault: Fault) -> int:
    """When it is to be held it runs on for 20 ms to 5 s, ns."""
    return int(log_between(20 * MS, 5_000 * MS, fault.u[0]))


# -- device, port, host -----------------------------------------------------------------------


def device_reset(fault: Fault, rig: Rig) -> bool:
    """The board starts anew, at any moment of its command path; it boots for 5 to 800 ms."""
    return rig.reset_device(fault.u[0], int(log_between(5 * MS, 800 * MS, fault.u[1])))


def stop_pressed(fault: Fault, rig: Rig) -> bool:
    """The emergency stop's button, for 0.1 ms (its contact bounces) to 300 ms."""
    return rig.press_stop(int(log_between(0.1 * MS, 300 * MS, fault.u[0])))


def clock_step(fault: Fault, rig: Rig) -> bool:
    """The device's counter jumps, either way.

    By up to 0.5 ms, which nobody need notice because openings have margins of 2 ms; or by a second
    to twenty minutes. A jump in between that comes within the fifth of a second before an opening
    can't be noticed in time by anybody, and no such counter is known: see docs/safety.
    """
    size_us = 10 + 490 * fault.u[1]
    if fault.u[0] < 0.7:
        size_us = log_between(1e6, 1.2e9, fault.u[1])
    return rig.step_clock(int(size_us if fault.u[2] < 0.5 else -size_us))


def clock_drift(fault: Fault, rig: Rig) -> bool:
    """The device's clock runs up to 150 ppm faster or slower than until now."""
    return rig.drift_clock((fault.u[0] - 0.5) * 300.0)


def port_gone(fault: Fault, rig: Rig) -> bool:
    """The port vanishes and comes back after 10 ms to 3 s."""
    return rig.lose_port(int(log_between(10 * MS, 3_000 * MS, fault.u[0])))


def controller_killed(fault: Fault, rig: Rig) -> bool:
    """kill -9, between any two looks at the clock of a step."""
    return rig.kill_controller(int(12 * fault.u[0]))


def host_held_up(fault: Fault, rig: Rig) -> bool:
    """The operating system runs something else for 1 to 400 ms."""
    return rig.hold_up(fault.lasts_ns(1.0, 400.0))


def _both_ways() -> list[Kind]:
    kinds = []
    for act in (lost, flipped, doubled, delayed, reordered):
        for way, place in (("to_device", "to_device"), ("to_host", "to_host")):
            kinds.append(
                Kind(f"{act.__name__}_{way}", place, 1.0, False, ON_THE_WIRE, act)  # type: ignore[arg-type]
            )
    return kinds


_ROWS = [
    *_both_ways(),
    Kind("ack_lost", "ack", 0.8, False, OPENING, swallowed),
    Kind("report_lost", "report", 0.8, False, OPENING, swallowed),
    Kind("receipt_lost", "receipt", 0.8, False, OPENING, swallowed),
    Kind("camera_stall", "frame", 0.8, False, WHILE_LOOKING, camera_stalls),
    Kind("frame_lost", "frame", 1.0, False, WHILE_LOOKING, frames_lost),
    Kind("frame_repeated", "frame", 1.0, False, WHILE_LOOKING, frame_repeated),
    Kind("times_out_of_order", "frame", 1.0, False, WHILE_LOOKING, times_out_of_order),
    Kind("pump_disobeys", "pump", 2.5, False, ("paused", "ending"), pump_disobeys),
    Kind("slow_inference", "inference", 1.0, False, WHILE_SORTING, slow_inference),
    Kind("slow_disk", "record", 1.0, False, WHILE_LOOKING, slow_disk),
    Kind("host_held_up", "host", 1.0, False, ON_THE_WIRE, host_held_up),
    Kind("clock_drift", "device", 1.0, True, ALWAYS, clock_drift),
    Kind("clock_step", "device", 1.0, True, ALWAYS, clock_step),
    Kind("device_reset", "device", 1.0, True, ALWAYS, device_reset),
    Kind("stop_pressed", "device", 1.0, True, ALWAYS, stop_pressed),
    Kind("port_gone", "port", 1.0, True, ALWAYS, port_gone),
    Kind("failing_inference", "inference", 1.4, True, WHILE_SORTING, failing_inference),
    Kind("full_disk", "record", 1.0, True, WHILE_LOOKING, full_disk),
    Kind("recorder_killed", "record", 1.0, True, WHILE_LOOKING, recorder_killed),
    Kind("controller_killed", "host", 1.0, True, ON_THE_WIRE, controller_killed),
]

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
"""Every kind of fault, by name."""
