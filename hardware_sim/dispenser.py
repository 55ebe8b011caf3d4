"""A dispenser behind a port, in real time: a pseudo-terminal, or TCP where there is none.

The firmware by `SimDispenserSettings`, or a box with text commands by `SimTextValveSettings`.

    with start_simulated_dispenser(SimDispenserSettings()) as dispenser:
        link = SerialLink(SerialLinkSettings(port=dispenser.url))

What the gate did goes to the gate log at the moment of switching, one JSON object a line:
``{"start": true, "t_ns": …, "outlet": "waste"}`` first, then ``{"t_ns": …, "outlet": …,
"effective_ns": …}``: host ``perf_counter_ns`` of the pin, and of the liquid following it.

Its timing is that of a process of a desktop system; it says nothing about a real board.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO, Any, Protocol

from hardware_sim.dispenser_model import SimDispenserSettings, SimulatedBoard
from hardware_sim.gate_log import GateEdge, format_line
from hardware_sim.own_core import keep_to_last_core
from hardware_sim.text_valve import SimTextValveSettings, TextBox
from sorter.errors import LinkError, SettingsError
from sorter.processes import ignore_interrupts, interrupts_held

__all__ = [
    "SimDispenserSettings",
    "SimTextValveSettings",
    "SimulatedDispenser",
    "serve",
    "start_simulated_dispenser",
]

_Settings = SimDispenserSettings | SimTextValveSettings
_Device = SimulatedBoard | TextBox

_LONGEST_WAIT_S = 0.1
_START_S = 30.0


class _Port(Protocol):
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


class _RealBoard(SimulatedBoard):
    """A board that lives in host time."""

    def host_ns(self) -> int:
        return time.perf_counter_ns()


class _GateLog:
    """The gate log; a line is out before the call returns."""

    def __init__(self, file: IO[str] | None, rest: str) -> None:
        self._file = file
        now_ns = time.perf_counter_ns()
        self._put(format_line(GateEdge(now_ns, rest, now_ns), start=True))

    def switched(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        self._put(format_line(GateEdge(switched_ns, outlet, effective_ns)))

    def _put(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line)


def serve(
    settings: _Settings,
    on_ready: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run the device in the foreground until ``stopped`` says so or Ctrl-C is raised.

    Args:
        settings: the device.
        on_ready: called once with the port's address, a URL for ``serial_for_url``.
        stopped: asked ten times a second.

    Raises:
        SettingsError: the gate log can't be written.
    """
    _serve(settings, on_ready, stopped, [])


def _serve(
    settings: _Settings,
    on_ready: Callable[[str], None],
    stopped: Callable[[], bool],
    wakes: list[Any],
) -> None:
    port: _Port = _Tcp() if settings.tcp or sys.platform == "win32" else _PseudoTerminal()
    with contextlib.closing(port), _open_log(settings) as file:
        log = _GateLog(file, settings.outlets[0])
        board = _device(settings, log)
        on_ready(port.url)
        try:
            while not stopped():
                _wait(board, port, wakes)
                _turn(board, port)
        finally:
            # Without power the gate falls back.
            board.set_gate(0)


def _device(settings: _Settings, log: _GateLog) -> _Device:
    now_ns = time.perf_counter_ns()
    if isinstance(settings, SimTextValveSettings):
        return TextBox(settings, now_ns, time.perf_counter_ns, log.switched)
    return _RealBoard(settings, now_ns, log.switched)


def _turn(board: _Device, port: _Port) -> None:
    board.run(time.perf_counter_ns())
    if data := port.read():
        board.take(data, time.perf_counter_ns())
    while chunk := board.out.take(time.perf_counter_ns()):
        port.write(chunk)


def _wait(board: _Device, port: _Port, wakes: list[Any]) -> None:
    """Until the next edge, arrival or byte, but never so long that a stop goes unnoticed."""
    timeout_s = _LONGEST_WAIT_S
    for due_ns in (board.due_ns(), board.out.due_ns()):
        if due_ns is not None:
            timeout_s = min(timeout_s, max(0.0, (due_ns - time.perf_counter_ns()) / 1e9))
    select.select([*port.waits_on(), *wakes], [], [], timeout_s)


@contextlib.contextmanager
def _open_log(settings: _Settings) -> Iterator[IO[str] | None]:
    if settings.gate_log is None:
        yield None
    else:
        try:
            file = settings.gate_log.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise SettingsError(
                f"the gate log can't be written: {error.strerror}",
                on=settings.gate_log,
                do="Name a file in a folder that exists and may be written",
            ) from error
        with file:
            yield file


class SimulatedDispenser:
    """A device that runs in a process of its own.

    Attributes:
        url: its port, an address for ``serial_for_url``.
        pid: its process.
    """

    def __init__(self, url: str, process: Any, stopper: Connection) -> None:
        self.url = url
        self.pid: int = process.pid
        self._process = process
        self._stopper = stopper

    def stop(self) -> None:
        """Switch it off; safe to call twice."""
        self._stopper.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> SimulatedDispenser:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def start_simulated_dispenser(settings: _Settings) -> SimulatedDispenser:
    """Start a device in a process of its own; it ends with `SimulatedDispenser.stop`, and by
    itself when this process dies, however it dies.

    Raises:
        SettingsError: the gate log can't be written. LinkError: it did not start.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_child, args=(settings, theirs), name="simulated-dispenser", daemon=True
    )
    with interrupts_held():
        process.start()
    theirs.close()
    try:
        said = ours.recv() if ours.poll(_START_S) else f"no word from it in {_START_S:.0f} s"
    except (EOFError, OSError):
        said = "it ended at once"
    if isinstance(said, _Ready):
        return SimulatedDispenser(said.url, process, ours)
    SimulatedDispenser("", process, ours).stop()
    if isinstance(said, _WrongSettings):
        raise SettingsError(said.what, on=said.on, do=said.do)
    raise LinkError(f"the simulated dispenser did not start: {said}", do="Look for its last words")


@dataclass(frozen=True)
class _Ready:
    url: str


@dataclass(frozen=True)
class _WrongSettings:
    what: str
    on: str | None
    do: str


def _child(settings: _Settings, stopper: Connection) -> None:
    # Ctrl-C goes to the whole terminal: the controller drains first, then stops this device.
    ignore_interrupts()
    keep_to_last_core()
    # The other end is closed by the parent's stop, or by the system when the parent dies.
    wakes = [] if sys.platform == "win32" else [stopper]
    try:
        _serve(settings, lambda url: stopper.send(_Ready(url)), stopper.poll, wakes)
    except SettingsError as error:
        stopper.send(_WrongSettings(error.what, error.on, error.do))
    except OSError as error:
        # The parent is gone, or the port could not be made.
        with contextlib.suppress(OSError):
            stopper.send(str(error))
