"""The table held over a port: with the firmware in virtual time, with devices that are wrong."""

from __future__ import annotations

from itertools import count

import pytest

from drivers.conformance import CASES
from drivers.conformance.live import LiveResult, check_device
from drivers.firmware import core, openings, safety
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_link import VirtualDispenser
from sorter.errors import DispenserError, LinkError
from tests.drivers.dialogues import OUTLETS
from tests.drivers.virtual_time import SteppedClock

HERE = SimDispenserSettings(outlets=OUTLETS, queue=4)


def checked(device: VirtualDispenser, clock: SteppedClock, *, move_gate: bool) -> list[LiveResult]:
    nonces = count(0x7A5A0001)
    return list(
        check_device(device.link, clock, move_gate=move_gate, draw_nonce=lambda: next(nonces))
    )


def held(settings: SimDispenserSettings, *, move_gate: bool) -> dict[str, LiveResult]:
    clock = SteppedClock()
    device = VirtualDispenser(settings, clock)
    found = checked(device, clock, move_gate=move_gate)
    assert [one.case for one in found] == [case.name for case in CASES]
    if not move_gate:
        assert [outlet for _, outlet, _ in device.gate_edges] in ([], ["waste"])
        assert all(is_held for _, is_held in device.pump_edges)
    assert device.held
    return {one.case: one for one in found}


def test_the_firmware_passes_all_that_can_be_held() -> None:
    found = held(HERE, move_gate=True)
    assert not [one for one in found.values() if one.verdict == "failed"]
    assert sum(one.verdict == "passed" for one in found.values()) >= 40
    reasons = {one.expected for one in found.values() if one.verdict == "skipped"}
    assert reasons == {"needs its pins", "needs its clock, to the microsecond"}


def test_without_leave_nothing_moves() -> None:
    found = held(HERE, move_gate=False)
    assert not [one for one in found.values() if one.verdict == "failed"]
    assert sum(one.verdict == "passed" for one in found.values()) >= 6


@pytest.mark.parametrize(
    "settings",
    [
        SimDispenserSettings(outlets=("rest", "keep"), queue=64),
        SimDispenserSettings(outlets=OUTLETS, clock_offset_us=0xFFFF0000, ticks_bits=32),
        SimDispenserSettings(outlets=OUTLETS, baud=0, clock_drift_ppm=-300),
        SimDispenserSettings(outlets=OUTLETS, link_jitter_ms=8.0),
    ],
    ids=["two outlets of other names", "clock that wraps", "fast link", "slow link"],
)
def test_devices_that_are_right_in_other_ways(settings: SimDispenserSettings) -> None:
    found = held(settings, move_gate=True)
    assert not [one for one in found.values() if one.verdict == "failed"]


def test_a_device_that_has_run_before() -> None:
    clock = SteppedClock()
    device = VirtualDispenser(HERE, clock)
    checked(device, clock, move_gate=True)
    assert not [one for one in checked(device, clock, move_gate=True) if one.verdict == "failed"]


_OPEN = openings.Openings.open


def _closes_late(self: openings.Openings, one: int, *what: int) -> str:
    """30 ms late."""
    reason = _OPEN(self, one, *what)
    for slot in self.live:
        if slot.id == one and slot.state == openings.QUEUED:
            slot.close_us = (slot.open_us + slot.length_us + 30_000) & openings.MASK
    return reason


BROKEN: dict[str, tuple[object, str, object, str]] = {
    "late commands act": (
        openings.Openings, "_reason_against", lambda *_: "",
        "late by a tenth of a second: refused as often as asked",
    ),
    "closes late": (
        openings.Openings, "open", _closes_late,
        "opens and closes at the scheduled times, and reports",
    ),
    "no watchdog": (
        core.Core, "_trip", lambda self, now: self._heard(now),
        "watchdog with the pump held and nothing queued latches too",
    ),
    "orders overtake": (
        safety.Newest, "has_passed", lambda *_: False,
        "flow and resets that were overtaken on the way do nothing; hold and stop always act",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_device_that_is_wrong_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, instead, case = BROKEN[name]
    monkeypatch.setattr(where, what, instead)
    found = held(HERE, move_gate=True)
    assert found[case].verdict == "failed"
    assert found[case].expected
    assert found[case].expected != found[case].heard


def test_a_device_that_does_not_answer() -> None:
    clock = SteppedClock()
    device = VirtualDispenser(SimDispenserSettings(silent=True), clock)
    with pytest.raises(LinkError, match="no answer"):
        checked(device, clock, move_gate=False)


def test_a_button_that_is_pressed_is_told() -> None:
    clock = SteppedClock()
    device = VirtualDispenser(HERE.model_copy(update={"estop_pressed": True}), clock)
    with pytest.raises(DispenserError, match="pressed"):
        checked(device, clock, move_gate=True)


class Echo:
    """A port that gives back what it gets."""

    def __init__(self) -> None:
        self._data = b""

    def write(self, data: bytes) -> None:
        self._data += data

    def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        pass


def test_what_is_no_dispenser_is_told_from_silence() -> None:
    with pytest.raises(DispenserError, match="does not speak"):
        list(check_device(Echo(), SteppedClock(), move_gate=False, draw_nonce=count(7).__next__))
