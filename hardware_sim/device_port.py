"""The device's end of a port: a pseudo-terminal, or TCP where there is none."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any, Protocol


class DevicePort(Protocol):
    """The device's end of a port."""

    url: str

    def waits_on(self) -> list[Any]:
        """What ``select`` can wait on."""
        ...

    def read(self) -> bytes:
        """What the host has sent; never blocks."""
        ...

    def write(self, data: bytes) -> None:
        """Send; drop what nobody takes, as a serial line does."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class _PseudoTerminal:
    """A pseudo-terminal; the host opens its other end like any serial port."""

    def __init__(self) -> None:
        import pty
        import tty

        self._master, self._slave = pty.openpty()
        # Held open, so that the device survives a host that comes and goes.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.url = os.ttyname(self._slave)

    def waits_on(self) -> list[Any]:
        return [self._master]

    def read(self) -> bytes:
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


class _Tcp:
    """One TCP client at a time on the loopback; others are turned away."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self._client: socket.socket | None = None
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def waits_on(self) -> list[Any]:
        return [self._server] if self._client is None else [self._server, self._client]

    def read(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            newcomer, _ = self._server.accept()
            if self._client is not None:
                newcomer.close()
            else:
                newcomer.setblocking(False)
                newcomer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._client = newcomer
        if self._client is None:
            return b""
        try:
            data = self._client.recv(4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._client.close()
            self._client = None
        return data

    def write(self, data: bytes) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.send(data)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._server.close()


def open_device_port(*, tcp: bool) -> DevicePort:
    """A pseudo-terminal; TCP on the loopback where ``tcp`` asks for it, or on Windows."""
    return _Tcp() if tcp or sys.platform == "win32" else _PseudoTerminal()
