"""A dispenser behind a port, in real time: a pseudo-terminal, or TCP where there is none.

The firmware by `SimDispenserSettings`, or a box with text commands by `SimTextValveSettings`.

    with start_simulated_dispenser(SimDispenserSettings()) as dispenser:
        link = SerialLink(SerialLinkSettings(port=dispenser.url))

What gate, pump and emergency stop did, and which commands were taken, goes to the gate log at that
moment, one JSON object a line (`hardware_sim.gate_log`); its times are host ``perf_counter_ns`` of
the pin, and of the liquid following it. Inputs are fed by `SimulatedDispenser`: a scene that sees a
body enter an outlet says `SimulatedDispenser.passed`, a camera that exposes
`SimulatedDispenser.exposed`.

Its timing is that of a process of a desktop system; it says nothing about a real board.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO, Any

from hardware_sim.device_port import DevicePort, open_device_port
from hardware_sim.dispenser_board import SimulatedBoard
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import Accepted, Edge, GateEdge, PumpEdge, StopEdge, format_line
from hardware_sim.optical_gates import PassageTail
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
_PASSAGES_WAIT_S = 0.02  # there is nothing to wait on when a scene writes its log
_START_S = 30.0


class _RealBoard(SimulatedBoard):
    """A board that lives in host time."""

    def host_ns(self) -> int:
        return time.perf_counter_ns()


class _Log:
    """The gate log; a line is out before the call returns. A board's `Witness`."""

    def __init__(self, file: IO[str] | None, rest: str, start_ns: int, *, has_pump: bool) -> None:
        self._file = file
        self._put(GateEdge(start_ns, rest, start_ns), start=True)
        if has_pump:
            self._put(PumpEdge(start_ns, True), start=True)

    def switched(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        self._put(GateEdge(switched_ns, outlet, effective_ns))

    def pumped(self, switched_ns: int, held: bool) -> None:
        self._put(PumpEdge(switched_ns, held))

    def latched(self, at_ns: int, cause: str) -> None:
        self._put(StopEdge(at_ns, cause))

    def accepted(self, at_ns: int, command_id: int) -> None:
        self._put(Accepted(at_ns, command_id))

    def _put(self, edge: Edge, *, start: bool = False) -> None:
        if self._file is not None:
            self._file.write(format_line(edge, start=start))


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
    _serve(settings, on_ready, lambda _: stopped(), [])


def _serve(
    settings: _Settings,
    on_ready: Callable[[str], None],
    attend: Callable[[_Device], bool],
    wakes: list[Any],
) -> None:
    """Run the device; ``attend`` feeds the board's inputs each turn, and says when it is over."""
    port = open_device_port(tcp=settings.tcp)
    with contextlib.closing(port), _open_log(settings) as file, _passages(settings) as darks:
        board = _device(settings, file)
        on_ready(port.url)
        try:
            while not attend(board):
                _wait(board, port, wakes, _LONGEST_WAIT_S if darks is None else _PASSAGES_WAIT_S)
                if darks is not None and isinstance(board, SimulatedBoard):
                    for dark in darks.read():
                        board.passed(*dark)
                _turn(board, port)
        finally:
            board.power_off()


def _device(settings: _Settings, file: IO[str] | None) -> _Device:
    # The log begins when the board's clock does.
    start_ns = time.perf_counter_ns()
    has_pump = isinstance(settings, SimDispenserSettings)
    log = _Log(file, settings.outlets[0], start_ns, has_pump=has_pump)
    if isinstance(settings, SimTextValveSettings):
        return TextBox(settings, start_ns, time.perf_counter_ns, log.switched)
    return _RealBoard(settings, start_ns, log)


def _turn(board: _Device, port: DevicePort) -> None:
    board.run(time.perf_counter_ns())
    if data := port.read():
        board.take(data, time.perf_counter_ns())
    while chunk := board.out.take(time.perf_counter_ns()):
        port.write(chunk)


def _wait(board: _Device, port: DevicePort, wakes: list[Any], longest_s: float) -> None:
    """Until the next edge, arrival or byte, but never so long that a stop goes unnoticed."""
    timeout_s = longest_s
    for due_ns in (board.due_ns(), board.out.due_ns()):
        if due_ns is not None:
            timeout_s = min(timeout_s, max(0.0, (due_ns - time.perf_counter_ns()) / 1e9))
    select.select([*port.waits_on(), *wakes], [], [], timeout_s)


@contextlib.contextmanager
def _passages(settings: _Settings) -> Iterator[PassageTail | None]:
    """What a scene says of the optical gates; None where no scene does."""
    if not isinstance(settings, SimDispenserSettings) or settings.passage_log is None:
        yield None
        return
    with contextlib.closing(PassageTail(settings.passage_log)) as tail:
        yield tail


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

    def __init__(self, url: str, process: Any, orders: Connection) -> None:
        self.url = url
        self.pid: int = process.pid
        self._process = process
        self._orders = orders

    def press_estop(self, pressed: bool = True) -> None:
        """Press its emergency stop now, or let it go."""
        self._orders.send(_Pressed(pressed))

    def press_pedal(self, down: bool = True) -> None:
        """Press its foot switch now, or let it go."""
        self._orders.send(_Stepped(down))

    def passed(self, outlet: str, began_ns: int, length_ns: int) -> None:
        """A body darkens an outlet's optical gate for so long, from a host time on."""
        self._orders.send(_PassedBy(outlet, began_ns, length_ns))

    def exposed(self, at_ns: int) -> None:
        """The camera exposes at a host time."""
        self._orders.send(_Exposed(at_ns))

    def stop(self) -> None:
        """Switch it off; safe to call twice."""
        self._orders.close()
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


@dataclass(frozen=True)
class _Pressed:
    pressed: bool

    def do(self, board: SimulatedBoard) -> None:
        board.press_estop(self.pressed, board.host_ns())


@dataclass(frozen=True)
class _Stepped:
    down: bool

    def do(self, board: SimulatedBoard) -> None:
        board.press_pedal(self.down, board.host_ns())


@dataclass(frozen=True)
class _PassedBy:
    outlet: str
    began_ns: int
    length_ns: int

    def do(self, board: SimulatedBoard) -> None:
        board.passed(self.outlet, self.began_ns, self.length_ns)


@dataclass(frozen=True)
class _Exposed:
    at_ns: int

    def do(self, board: SimulatedBoard) -> None:
        board.exposed(self.at_ns)


def _attend(orders: Connection, board: _Device) -> bool:
    """Do what the parent has ordered; whether it has gone. A text valve has no such inputs."""
    try:
        while orders.poll():
            order = orders.recv()
            if isinstance(board, SimulatedBoard):
                order.do(board)
    except (EOFError, OSError):
        return True
    return False


def _child(settings: _Settings, parent: Connection) -> None:
    # Ctrl-C goes to the whole terminal: the controller drains first, then stops this device.
    ignore_interrupts()
    keep_to_last_core()
    # The other end is closed by the parent's stop, or by the system when the parent dies.
    wakes = [] if sys.platform == "win32" else [parent]
    try:
        _serve(
            settings,
            lambda url: parent.send(_Ready(url)),
            lambda board: _attend(parent, board),
            wakes,
        )
    except SettingsError as error:
        parent.send(_WrongSettings(error.what, error.on, error.do))
    except OSError as error:
        # The parent is gone, or the port could not be made.
        with contextlib.suppress(OSError):
            parent.send(str(error))
