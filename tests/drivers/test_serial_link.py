"""The serial link on real ports: pseudo-terminals and the loopback."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from drivers.clock import MonotonicClock
from drivers.serial_link import ReplayLink, SerialLink, SerialLinkSettings, read_capture
from sorter.errors import InputError, LinkError
from tests.drivers.virtual_time import SteppedClock

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
CLOCK = MonotonicClock()
SECOND = 1_000_000_000


@contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """The device's end of a pseudo-terminal, and the name of the host's."""
    import pty
    import tty

    device, host = pty.openpty()
    tty.setraw(host)
    try:
        yield device, os.ttyname(host)
    finally:
        os.close(host)
        os.close(device)


def read_until(link: SerialLink, length: int) -> bytes:
    """So many bytes, within five seconds."""
    data, end_ns = b"", CLOCK.now_ns() + 5 * SECOND
    while len(data) < length and CLOCK.now_ns() < end_ns:
        data += link.read()
        CLOCK.wait_until(CLOCK.now_ns() + 1_000_000)
    return data


def settings(port: str) -> SerialLinkSettings:
    return SerialLinkSettings(port=port)


@posix_only
def test_bytes_go_both_ways_and_reading_never_blocks() -> None:
    with terminal() as (device, name), closing(SerialLink(settings(name))) as link:
        assert link.read() == b""
        link.write(b"hello\n")
        assert os.read(device, 100) == b"hello\n"
        os.write(device, b"\x00\xff\r\n")
        assert read_until(link, 4) == b"\x00\xff\r\n"


def test_bytes_go_both_ways_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with closing(SerialLink(settings(url))) as link:
            client, _ = server.accept()
            with client:
                link.write(b"hello\n")
                assert client.recv(100) == b"hello\n"
                client.sendall(b"ok\n")
                assert read_until(link, 3) == b"ok\n"


@posix_only
def test_a_port_that_is_open_is_busy() -> None:
    with terminal() as (_, name), closing(SerialLink(settings(name))):
        with pytest.raises(LinkError, match="busy") as caught:
            SerialLink(settings(name))
        assert name in str(caught.value)


@posix_only
def test_a_port_can_be_opened_again_once_it_is_closed() -> None:
    with terminal() as (_, name):
        for _ in range(2):
            link = SerialLink(settings(name))
            link.close()
            link.close()


ABSENT = {
    "no such file": "/dev/tty-that-is-not-there",
    "nobody listens": "socket://127.0.0.1:1",
    "no such scheme": "carrier-pigeon://loft",
    "a socket without a port": "socket://127.0.0.1",
}


@pytest.mark.parametrize("port", ABSENT.values(), ids=ABSENT)
def test_a_port_that_is_absent_is_said_so_with_advice(port: str) -> None:
    with pytest.raises(LinkError, match=r"absent|can be opened") as caught:
        SerialLink(settings(port))
    assert port in caught.value.message
    assert "port" in caught.value.do
    assert caught.value.exit_code == 3


@posix_only
def test_a_port_that_goes_is_a_link_error() -> None:
    import pty

    device, host = pty.openpty()
    with closing(SerialLink(settings(os.ttyname(host)))) as link:
        os.close(host)
        os.close(device)
        with pytest.raises(LinkError, match="gone"):
            link.read()
        with pytest.raises(LinkError):
            link.write(b"x")


def test_a_tcp_peer_that_goes_is_a_link_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with closing(SerialLink(settings(url))) as link:
            server.accept()[0].close()
            with pytest.raises(LinkError, match="gone"):
                read_until(link, 1)


@posix_only
def test_a_port_that_takes_nothing_is_a_link_error() -> None:
    with terminal() as (_, name):
        quick = SerialLinkSettings(port=name, write_timeout_ms=50)
        with closing(SerialLink(quick)) as link, pytest.raises(LinkError, match="no more bytes"):
            link.write(b"x" * 100_000)


@posix_only
def test_a_closed_link_says_so() -> None:
    with terminal() as (_, name):
        link = SerialLink(settings(name))
        link.close()
        with pytest.raises(LinkError, match="closed"):
            link.read()
        with pytest.raises(LinkError, match="closed"):
            link.write(b"x")


@posix_only
def test_what_was_captured_is_replayed_when_it_came() -> None:
    clock, tape = SteppedClock(), io.StringIO()
    with (
        terminal() as (device, name),
        closing(SerialLink(settings(name), capture=tape, clock=clock)) as link,
    ):
        link.write(b"one\n")
        clock.ns += 1_000
        os.write(device, b"two\n")
        assert read_until(link, 4) == b"two\n"
        clock.ns += 1_000
        os.write(device, b"\x00\n")
        assert read_until(link, 2) == b"\x00\n"
    captured = list(read_capture(tape.getvalue().splitlines()))
    assert [one.way for one in captured[:1]] == [">"]
    assert b"".join(one.data for one in captured if one.way == "<") == b"two\n\x00\n"
    again = SteppedClock()
    replay = ReplayLink(captured, again)
    replay.write(b"one\n")
    assert replay.written == [b"one\n"]
    assert replay.read() == b""
    again.ns += 1_000
    assert replay.read() == b"two\n"
    again.ns += 1_000
    assert replay.read() == b"\x00\n"
    replay.close()


@pytest.mark.parametrize("line", ["", "1 <", "1 = 00", "x < 00", "1 < 0g"])
def test_a_broken_capture_is_an_input_error(line: str) -> None:
    with pytest.raises(InputError, match="line 1"):
        list(read_capture([line]))


def test_a_capture_needs_a_clock() -> None:
    with pytest.raises(ValueError, match="clock"):
        SerialLink(settings("loop://"), capture=io.StringIO())
