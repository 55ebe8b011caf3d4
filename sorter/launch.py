"""Starts the controller in a process of its own, and hears how it ended.

The command line keeps the terminal; the controller does nothing but sort. Ctrl-C goes to the
command line, which asks the controller to drain and stop; if the command line dies, the controller
notices and does the same.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

from sorter.errors import RunFault, SorterError
from sorter.life import RunState
from sorter.processes import (
    give_way,
    ignore_interrupts,
    interrupts_held,
    keep_memory,
    leave_first_core,
    return_to_cores,
    single_threaded,
    wake_on_time,
)
from sorter.record import EndReason, Recorder
from sorter.settings import RigSettings

READY_TIMEOUT_S = 180.0  # the first start after an installation compiles, see `warm_up`
_POLL_S = 0.25
_LAST_WORDS_S = 15.0


@dataclass(frozen=True, slots=True)
class _Stop:
    why: str


@dataclass(frozen=True, slots=True)
class _Wish:
    """The operator wants the run in another state."""

    state: RunState


@dataclass(frozen=True, slots=True)
class _Ready:
    record: Path


@dataclass(frozen=True, slots=True)
class _Ended:
    reason: EndReason


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of the child; its class travels by its exit code alone."""

    message: str
    exit_code: int


class ControllerError(SorterError):
    """What the controller's process ended with; its exit code is that of the error there."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


class ControllerProcess:
    """The controller, running elsewhere.

    Use with ``with``: `start`, `wait_ready`, then `wait` (perhaps `stop` first), `result`. Safe to
    `stop` at any moment; leaving the block stops it and waits, and ends it where it hangs.
    """

    def __init__(self, process: BaseProcess, connection: Connection, cores: set[int]) -> None:
        self._process = process
        self._cores = cores  # where the display may run when the loop is over
        self._connection = connection
        self._ended: _Ended | _Failed | None = None

    @classmethod
    def start(cls, rig: RigSettings, toml: str) -> ControllerProcess:
        """Start the process; returns at once."""
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_main, args=(rig, toml, theirs), name="controller"
        )
        with interrupts_held(), single_threaded():
            process.start()
        theirs.close()
        give_way()  # the display must never take a core from the loop
        return cls(process, ours, leave_first_core())

    @property
    def process_id(self) -> int:
        """Process id of the controller."""
        assert self._process.pid is not None
        return self._process.pid

    def __enter__(self) -> ControllerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.is_alive():
            self.stop("the command line ends")
            self._process.join(_LAST_WORDS_S)
        if self._process.is_alive():  # it hangs, perhaps in a camera's driver
            self._process.kill()
            self._process.join()
        self._connection.close()
        return_to_cores(self._cores)

    def wait_ready(self, asked: Callable[[], bool] = lambda: False) -> Path | None:
        """Wait until camera, dispenser, model and record answer; returns the record's path.

        Args:
            asked: whether somebody wants to stop; looked at a few times a second. Then None is
                returned.

        Raises:
            SorterError: what the controller failed with.
        """
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not self._connection.poll(_POLL_S):
            if asked():
                return None
            if time.monotonic() > deadline_s:
                raise RunFault(
                    "the controller did not get ready in time",
                    do="Check the camera and the port; a camera's driver may hang",
                )
        message = self._receive()
        if isinstance(message, _Ready):
            return message.record
        self._ended = message
        raise _error(message)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end for at most so long; True when the controller has ended."""
        if self._ended is None and self._connection.poll(timeout_s):
            message = self._receive()
            if not isinstance(message, _Ready):  # it got ready after it was asked to stop
                self._ended = message
        return self._ended is not None

    def stop(self, why: str) -> None:
        """Ask the controller to drain, rest and end."""
        self._send(_Stop(why))

    def pause(self) -> None:
        """Ask the controller to hold the flow, with the gate at rest."""
        self._send(_Wish(RunState.PAUSED))

    def resume(self) -> None:
        """Ask the controller to go on after a pause."""
        self._send(_Wish(RunState.PRIMING))

    def _send(self, order: _Stop | _Wish) -> None:
        if self._ended is None:
            try:
                self._connection.send(order)
            except OSError:
                return  # it is ending already; `wait` tells how

    def result(self) -> EndReason:
        """How it ended. Raises the `SorterError` that it ended with."""
        while not self.wait(1.0):
            pass
        self._process.join(_LAST_WORDS_S)
        if isinstance(self._ended, _Ended):
            return self._ended.reason
        raise _error(self._ended)

    def _receive(self) -> _Ready | _Ended | _Failed:
        try:
            message: _Ready | _Ended | _Failed = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return _Failed(
                f"the controller's process died (exit code {self._process.exitcode}). "
                "The gate is at rest by the dispenser's watchdog; the record holds what was sent",
                RunFault.exit_code,
            )
        return message


def _error(message: object) -> SorterError:
    assert isinstance(message, _Failed)
    return ControllerError(message.message, message.exit_code)


class _Orders:
    """What the command line asks for; looked at once a turn of the loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._wishes: deque[RunState] = deque()

    def stop(self) -> str | None:
        """Why to end; the command line's own end is a reason too."""
        try:
            while self._connection.poll(0):
                order: _Stop | _Wish = self._connection.recv()
                if isinstance(order, _Stop):
                    return order.why
                self._wishes.append(order.state)
        except (EOFError, OSError):
            return "the command line is gone"
        return None

    def wish(self) -> RunState | None:
        """The next state that is wanted."""
        return self._wishes.popleft() if self._wishes else None


def _main(rig: RigSettings, toml: str, connection: Connection) -> None:
    """The child: run, and say how it ended."""
    from sorter.runner import run_rig  # the parent doesn't need what this loads

    ignore_interrupts()
    wake_on_time()
    keep_memory()

    orders = _Orders(connection)

    def ready(recorder: Recorder) -> None:
        connection.send(_Ready(recorder.path))

    ended: _Ended | _Failed
    try:
        ended = _Ended(run_rig(rig, toml, orders.stop, ready, orders.wish))
    except SorterError as error:
        ended = _Failed(error.message, error.exit_code)
    except BaseException:
        ended = _Failed(f"unexpected error, please report it:\n{traceback.format_exc()}", 4)
    try:
        connection.send(ended)
    except OSError:
        return  # nobody is left to tell
