"""Bytes to and from a device over pyserial, with capture for later replay."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import serial
from pydantic import BaseModel, ConfigDict, Field
from serial.tools import list_ports

from drivers.ports import Clock
from sorter.errors import InputError, LinkError

_READ_AT_MOST = 4096
_BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY)


class SerialLinkSettings(BaseModel):
    """The port of one device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str = Field(
        min_length=1,
        description="Port name (COM3, /dev/ttyACM0) or a URL that pyserial knows (socket://…)",
    )
    baud: int = Field(115_200, gt=0, description="Bits per second; USB ports ignore it")
    write_timeout_ms: int = Field(
        200, gt=0, le=5_000, description="Longest wait for the port to take a command, ms"
    )


class SerialLink:
    """`drivers.ports.Link` over ``serial.serial_for_url``, opened for this process alone.

    Args:
        settings: which port.
        capture: text file to which every byte goes with its time, see `read_capture`.
        clock: host time of the captured bytes; needed with ``capture``.

    Raises:
        LinkError: the port is absent, busy, not permitted, or no URL that pyserial knows.
    """

    def __init__(
        self,
        settings: SerialLinkSettings,
        *,
        capture: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        if capture is not None and clock is None:
            raise ValueError("a capture needs a clock")
        self._name = settings.port
        self._capture = capture
        self._clock = clock
        self._port: Any = _open(settings)

    def write(self, data: bytes) -> None:
        """Send all of ``data``; raises `LinkError` when the port is gone or stays blocked."""
        if self._port is None:
            raise LinkError("the port is closed", on=self._name, do="Connect again")
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkError(
                "the port takes no more bytes",
                on=self._name,
                do="Check that the device is switched on, and that its firmware runs",
            ) from error
        except (serial.SerialException, OSError) as error:
            raise self._gone() from error
        self._note(">", data)

    def read(self) -> bytes:
        """Whatever has arrived, possibly nothing; never blocks. Raises `LinkError`."""
        if self._port is None:
            raise LinkError("the port is closed", on=self._name, do="Connect again")
        try:
            data: bytes = self._port.read(_READ_AT_MOST)
        except (serial.SerialException, OSError) as error:
            raise self._gone() from error
        if data:
            self._note("<", data)
        return data

    def close(self) -> None:
        """Release the port; safe to call twice."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _gone(self) -> LinkError:
        return LinkError(
            "the port has gone",
            on=self._name,
            do="Check the cable and the device's power, then connect again",
        )

    def _note(self, way: str, data: bytes) -> None:
        if self._capture is not None and self._clock is not None:
            self._capture.write(f"{self._clock.now_ns()} {way} {data.hex()}\n")


@dataclass(frozen=True, slots=True)
class CapturedBytes:
    """One line of a capture: host time, ``>`` to or ``<`` from the device, the bytes."""

    at_ns: int
    way: Literal[">", "<"]
    data: bytes


def read_capture(lines: Iterable[str]) -> Iterator[CapturedBytes]:
    """The lines of a capture; raises `InputError` at one that is none."""
    for number, line in enumerate(lines, start=1):
        try:
            at_ns, way, data = line.split()
            if way not in (">", "<"):
                raise ValueError(way)
            yield CapturedBytes(int(at_ns), ">" if way == ">" else "<", bytes.fromhex(data))
        except ValueError as error:
            raise InputError(
                "not a line of a capture", on=f"line {number}", do="Record it again"
            ) from error


class ReplayLink:
    """`drivers.ports.Link` that plays what a device said in a capture, when it said it.

    Args:
        capture: what was recorded, oldest first.
        clock: host time; must run on the time line of the capture.

    What is written is kept in ``written``, and not compared: a test may want to.
    """

    def __init__(self, capture: Iterable[CapturedBytes], clock: Clock) -> None:
        self._waiting = [one for one in capture if one.way == "<"][::-1]
        self._clock = clock
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep ``data``."""
        self.written.append(data)

    def read(self) -> bytes:
        """What the device had said by now."""
        now_ns = self._clock.now_ns()
        data = b""
        while self._waiting and self._waiting[-1].at_ns <= now_ns:
            data += self._waiting.pop().data
        return data

    def close(self) -> None:
        """Nothing is held."""


def _open(settings: SerialLinkSettings) -> Any:
    try:
        port = serial.serial_for_url(
            settings.port,
            baudrate=settings.baud,
            timeout=0,
            write_timeout=settings.write_timeout_ms / 1e3,
            exclusive=True,
        )
    except ValueError as error:
        raise LinkError(
            f"not a port that can be opened: {error}",
            on=settings.port,
            do=f"Use a port's name or a URL of pyserial. {_available()}",
        ) from error
    except (serial.SerialException, OSError) as error:
        raise _why_not(settings.port, error) from error
    # pyserial leaves TCP's wait for a fuller packet on: 40 ms, longer than an answer may take.
    stream = getattr(port, "_socket", None)
    if isinstance(stream, socket.socket):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return port


def _why_not(port: str, error: OSError) -> LinkError:
    """Tell absent, busy and not permitted apart; systems and pyserial say it in many ways."""
    text = str(error)
    if error.errno in _BUSY or "exclusively lock" in text or "Access is denied" in text:
        return LinkError("the port is busy", on=port, do="Close the other program that has it open")
    if error.errno == errno.EACCES or "Permission" in text:
        return LinkError(
            "no permission to open the port",
            on=port,
            do="Add yourself to the group that owns it (dialout on most Linux systems)",
        )
    return LinkError(
        "the port is absent",
        on=port,
        do=f"Plug the device in, or name another port. {_available()}",
    )


def _available() -> str:
    names = sorted(one.device for one in list_ports.comports())
    return f"Ports here: {', '.join(names)}" if names else "No serial port was found here"
