"""Does the dispenser answer, has it the outlets, and how well is its clock known?

The handshake holds the pump and takes the gate to rest. Its emergency stop is not cleared, and
nothing is opened.
"""

from __future__ import annotations

from collections.abc import Iterator

from drivers.ports import Clock, Dispenser, PumpState
from drivers.serial_link import SerialLink
from sorter.build import build_dispenser, build_pump
from sorter.doctor.finding import Finding, attempt, failed, passed, warning
from sorter.errors import SettingsError
from sorter.guarantees import describe
from sorter.outlets import check_outlets
from sorter.settings import RigSettings

LISTEN_NS = 2_000_000_000
_POLL_NS = 1_000_000


def check_dispenser(rig: RigSettings, clock: Clock) -> Iterator[Finding]:
    """Handshake and outlets, guarantees, clock, pump; raises `LinkError`, `DispenserError`."""
    dispenser = build_dispenser(rig, SerialLink(rig.port), clock)
    try:
        said = dispenser.connect()
        yield _outlets(rig, said)
        yield _guarantees(dispenser)
        if dispenser.guarantees().device_clock:
            yield attempt("clock", lambda: _clock(rig, dispenser, clock))
        yield attempt("pump", lambda: _pump(rig, dispenser, clock))
    finally:
        dispenser.close()


def _outlets(rig: RigSettings, said: dict[str, object]) -> Finding:
    try:
        names = check_outlets(rig.outlets, said)
    except SettingsError as error:
        return failed("dispenser", error.what, error.do)
    estop = said.get("estop")
    stop = f"; its emergency stop is latched ({estop})" if estop else ""
    return passed("dispenser", f"answers; outlets {', '.join(names)}{stop}")


def _guarantees(dispenser: Dispenser) -> Finding:
    lacking = describe(dispenser.guarantees())
    if lacking:
        return warning("guarantees", " ".join(lacking), "Read docs/text_valve.md")
    return passed("guarantees", "device clock, watchdog, emergency stop, reports, pump hold")


def _clock(rig: RigSettings, dispenser: Dispenser, clock: Clock) -> Finding:
    until_ns = clock.now_ns() + LISTEN_NS
    while clock.now_ns() < until_ns:
        dispenser.step(clock.now_ns())
        clock.wait_until(clock.now_ns() + _POLL_NS)
    bound_us = dispenser.clock_bound_us(clock.now_ns())
    told = f"known to ±{bound_us} µs after {LISTEN_NS / 1e9:g} s"
    if bound_us > rig.watch.clock_bound_us:
        return failed(
            "clock",
            f"{told}, wider than watch.clock_bound_us = {rig.watch.clock_bound_us}",
            "Check the link for delays: a hub, a busy port, a loaded machine",
        )
    return passed("clock", told)


def _pump(rig: RigSettings, dispenser: Dispenser, clock: Clock) -> Finding:
    pump = build_pump(rig, dispenser, clock)
    if pump is None:
        return warning("pump", "nothing holds the flow", "Stay beside the rig; see docs/pumps.md")
    try:
        pump.hold(clock.now_ns())
        until_ns = clock.now_ns() + LISTEN_NS
        while pump.status().state is not PumpState.HELD and clock.now_ns() < until_ns:
            dispenser.step(clock.now_ns())
            pump.step(clock.now_ns())
            clock.wait_until(clock.now_ns() + _POLL_NS)
        state = pump.status().state
    finally:
        pump.close()
    if state is not PumpState.HELD:
        return failed("pump", f"its state is {state}, not held", "Check the pump and its wiring")
    return passed("pump", "held, and says so")
