"""The simulated NE-1000 in virtual time, and behind real ports."""

from __future__ import annotations

import sys
import threading

import pytest

from drivers.clock import MonotonicClock
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.ne1000 import (
    SimNE1000Settings,
    VirtualNE1000,
    serve_ne1000,
    start_simulated_ne1000,
)

MS = 1_000_000
SECOND = 1_000_000_000


class Stepped:
    def __init__(self) -> None:
        self.ns = 7 * SECOND

    def now_ns(self) -> int:
        return self.ns

    def wait_until(self, deadline_ns: int) -> None:
        self.ns = max(self.ns, deadline_ns)


def test_in_virtual_time_it_says_when_it_has_something_to_do() -> None:
    clock = Stepped()
    pump = VirtualNE1000(SimNE1000Settings(wakes=False), clock)
    assert pump.due_ns() is None
    pump.link.write(b"00\r")
    answers = b""
    while (due_ns := pump.due_ns()) is not None:
        clock.wait_until(due_ns)
        pump.advance(clock.ns)
        answers += pump.link.read()
    assert answers == b"\x0200A?R\x03"
    assert clock.ns < 7 * SECOND + 15 * MS
    assert pump.flow_edges == []
    pump.link.close()


CLOCK = MonotonicClock()
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
PORTS = [pytest.param(False, marks=posix_only, id="pseudo-terminal"), pytest.param(True, id="tcp")]


def asked(url: str, text: bytes) -> bytes:
    """The answer over a real port, within ten seconds."""
    link = SerialLink(SerialLinkSettings(port=url, baud=19_200))
    try:
        link.write(text)
        answer, end_ns = b"", CLOCK.now_ns() + 10 * SECOND
        while not answer.endswith(b"\x03") and CLOCK.now_ns() < end_ns:
            CLOCK.wait_until(CLOCK.now_ns() + MS)
            answer += link.read()
        return answer
    finally:
        link.close()


@pytest.mark.parametrize("tcp", PORTS)
def test_behind_a_port_it_answers_one_host_after_another(tcp: bool) -> None:
    with start_simulated_ne1000(SimNE1000Settings(tcp=tcp, wakes=False)) as pump:
        assert asked(pump.url, b"00\r") == b"\x0200A?R\x03"
        assert asked(pump.url, b"00\r") == b"\x0200S\x03"
        assert asked(pump.url, b"00RUN\r") == b"\x0200W\x03"
        assert pump.flow_edges[0][1] < 0
        pump.stop()


def test_served_in_the_foreground_it_runs_until_it_is_stopped() -> None:
    stop, ready, urls = threading.Event(), threading.Event(), list[str]()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    settings = SimNE1000Settings(tcp=True, wakes=False)
    thread = threading.Thread(
        target=serve_ne1000, args=(settings, on_ready, stop.is_set), daemon=True
    )
    thread.start()
    assert ready.wait(10)
    assert asked(urls[0], b"00\r") == b"\x0200A?R\x03"
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
