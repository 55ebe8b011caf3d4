"""The simulated valve box: what it understands, what may go wrong, and behind real ports."""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from drivers.clock import MonotonicClock
from drivers.ports import Command, Executed
from drivers.serial_link import SerialLink, SerialLinkSettings
from drivers.text_valve import TextValve, TextValveSettings
from hardware_sim.dispenser import SimTextValveSettings, serve, start_simulated_dispenser
from hardware_sim.gate_log import read_gate_log
from hardware_sim.text_valve import VirtualTextValve
from sorter.errors import LinkError, SettingsError
from tests.drivers.text_bench import strings
from tests.drivers.virtual_time import MS, SteppedClock

CLOCK = MonotonicClock()
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
PORTS = [pytest.param(False, marks=posix_only, id="pseudo-terminal"), pytest.param(True, id="tcp")]
# A busy machine may hold a test up; that is not what is tested here.
PATIENT = strings(timing_error_ms=500, late_ms=500, silent_ms=1_000, connect_ms=20_000)


def _box(kept: TextValveSettings | None = None, **faults: Any) -> tuple[VirtualTextValve, Any]:
    clock = SteppedClock()
    settings = SimTextValveSettings(
        strings=kept or strings(), **{"baud": 0, "loop_ms": 0.0, "valve_jitter_ms": 0.0, **faults}
    )
    return VirtualTextValve(settings, clock), clock


def _told(box: VirtualTextValve, clock: SteppedClock, *said: bytes) -> list[str]:
    """Where the gate stands after each of these, 10 ms apart."""
    at: list[str] = []
    for data in said:
        box.link.write(data)
        clock.wait_until(clock.ns + 10 * MS)
        box.advance(clock.ns)
        at.append(box.gate_edges[-1][1] if box.gate_edges else "waste")
    return at


def test_it_does_what_it_is_told_when_it_is_told() -> None:
    box, clock = _box()
    start_ns = clock.ns
    at = _told(box, clock, b"O1\n", b"O1\n", b"C1\n", b"C1\n", b"O2\n", b"what?\n", b"C2\n")
    assert at == ["collect", "collect", "waste", "waste", "recheck", "recheck", "waste"]
    when = [((t - start_ns) // MS, (effective - t) // MS) for t, _, effective in box.gate_edges]
    assert when == [(0, 25), (20, 15), (40, 25), (60, 15)]


def test_the_outlet_that_was_opened_last_counts() -> None:
    box, clock = _box()
    at = _told(box, clock, b"O1\nO2\n", b"C2\n", b"C1\n")
    assert at == ["recheck", "collect", "waste"]


ANSWERS = {
    "closed": ({}, b"?1\n", b"0\r\n"),
    "open": ({}, b"O1\n?1\n", b"1\r\n"),
    "echo": ({"echo": True}, b"O1\n?1\n", b"O1\r\n?1\r\n1\r\n"),
    "silent": ({"silent": True}, b"?1\n", b""),
    "loses": ({"lose": 1.0}, b"?1\n", b""),
    "another terminator": ({"kept": strings(terminator=";")}, b"O1;?1;", b"1\r\n"),
    "no terminator": ({"kept": strings(terminator="")}, b"xO1?1", b"1\r\n"),
}


@pytest.mark.parametrize(("settings", "said", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_it_answers(settings: dict[str, Any], said: bytes, answer: bytes) -> None:
    box, clock = _box(**settings)
    _told(box, clock, said)
    assert box.link.read() == answer


def test_a_string_may_come_in_pieces() -> None:
    for kept in (strings(), strings(terminator="")):
        box, clock = _box(kept)
        assert _told(box, clock, b"O", b"1" + kept.terminator.encode()) == ["waste", "collect"]


def test_the_wire_and_its_program_take_time() -> None:
    box, clock = _box(baud=9_600, loop_ms=1.0, slow_ms=20.0)
    start_ns = clock.ns
    box.link.write(b"O1\n")
    clock.wait_until(clock.ns + 100 * MS)
    box.advance(clock.ns)
    took_ms = (box.gate_edges[0][0] - start_ns) / MS
    assert 23.1 <= took_ms <= 24.2


def test_it_hears_nothing_while_it_starts_and_when_it_is_dead() -> None:
    box, clock = _box(boot_ms=15.0, dead_after_s=0.045)
    at = _told(box, clock, b"O1\n", b"O1\n", b"O1\n", b"C1\n", b"?1\n", b"C1\n", b"?1\n")
    assert at == ["waste", "waste", "collect", "waste", "waste", "waste", "waste"]
    assert box.link.read() == b"0\r\n"


def test_it_ignores_closes_only_once_it_was_opened() -> None:
    box, clock = _box(ignored_closes=2)
    at = _told(box, clock, b"C1\n", b"O1\n", b"C1\n", b"C1\n", b"C1\n")
    assert at == ["waste", "collect", "collect", "collect", "waste"]
    assert box.box.ignored == 2


def test_what_is_garbled_is_not_understood() -> None:
    box, clock = _box(garble=1.0)
    assert _told(box, clock, b"O1\n", b"?1\n") == ["waste", "waste"]
    assert box.link.read() == b""


# -- behind a port ------------------------------------------------------------------------


def _run_for_long(valve: TextValve) -> None:
    end_ns = CLOCK.now_ns() + 10_000 * MS
    while CLOCK.now_ns() < end_ns:
        valve.step(CLOCK.now_ns())
        CLOCK.wait_until(CLOCK.now_ns() + MS)


def _sort_one(valve: TextValve) -> None:
    valve.connect()
    valve.arm()
    open_us = valve.to_device_us(CLOCK.now_ns() + 50 * MS)
    valve.send(Command(1, "collect", open_us, open_us + 40_000), CLOCK.now_ns())
    end_ns = CLOCK.now_ns() + 10_000 * MS
    while CLOCK.now_ns() < end_ns:
        if any(isinstance(one, Executed) for one in valve.step(CLOCK.now_ns())):
            return
        CLOCK.wait_until(CLOCK.now_ns() + MS)


@pytest.mark.parametrize("tcp", PORTS)
def test_it_is_served_like_the_other_dispenser(tcp: bool, tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    settings = SimTextValveSettings(strings=PATIENT, tcp=tcp, gate_log=log)
    with start_simulated_dispenser(settings) as device:
        link = SerialLink(SerialLinkSettings(port=device.url, baud=9_600))
        with closing(TextValve(link, CLOCK, PATIENT)) as valve:
            _sort_one(valve)
    assert [edge.outlet for edge in read_gate_log(log)] == ["waste", "collect", "waste"]


@posix_only
def test_a_box_that_is_unplugged_is_a_link_error_now_and_at_the_end() -> None:
    with start_simulated_dispenser(SimTextValveSettings(strings=PATIENT)) as device:
        link = SerialLink(SerialLinkSettings(port=device.url))
        valve = TextValve(link, CLOCK, PATIENT)
        valve.connect()
    with pytest.raises(LinkError):
        _run_for_long(valve)
    with pytest.raises(LinkError, match="at the end"):
        valve.close()


def test_a_log_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    wrong = SimTextValveSettings(strings=strings(), gate_log=tmp_path / "none" / "gate.jsonl")
    with pytest.raises(SettingsError, match="gate log can't be written"):
        start_simulated_dispenser(wrong)


def test_it_is_served_in_the_foreground_and_closed_when_it_is_switched_off(tmp_path: Path) -> None:
    stop, ready, urls = threading.Event(), threading.Event(), list[str]()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    log = tmp_path / "gate.jsonl"
    settings = SimTextValveSettings(strings=strings(), tcp=True, gate_log=log)
    thread = threading.Thread(target=serve, args=(settings, on_ready, stop.is_set), daemon=True)
    thread.start()
    assert ready.wait(10)
    link = SerialLink(SerialLinkSettings(port=urls[0]))
    link.write(b"O1\n")
    end_ns = CLOCK.now_ns() + 10_000 * MS
    while len(read_gate_log(log)) < 2 and CLOCK.now_ns() < end_ns:
        CLOCK.wait_until(CLOCK.now_ns() + MS)
    stop.set()
    thread.join(10)
    link.close()
    assert not thread.is_alive()
    assert [edge.outlet for edge in read_gate_log(log)] == ["waste", "collect", "waste"]
