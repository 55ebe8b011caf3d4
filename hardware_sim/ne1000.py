"""A simulated New Era NE-1000: behind a port in real time, or on a link in virtual time.

with start_simulated_ne1000(SimNE1000Settings()) as pump:
    link = SerialLink(SerialLinkSettings(port=pump.url, baud=19_200))
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from drivers.ports import Clock
from hardware_sim.device_port import open_device_port
from hardware_sim.ne1000_model import NE1000Model, SimNE1000Settings

__all__ = [
    "SimNE1000Settings",
    "SimulatedNE1000",
    "VirtualNE1000",
    "serve_ne1000",
    "start_simulated_ne1000",
]

_LONGEST_WAIT_S = 0.1
_START_S = 30.0


class _VirtualLink:
    """`drivers.ports.Link` to a model; a read first lets the pump catch up."""

    def __init__(self, model: NE1000Model, clock: Clock) -> None:
        self._model = model
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Put ``data`` on the wire now."""
        now_ns = self._clock.now_ns()
        self._model.run(now_ns)
        self._model.write(data, now_ns)

    def read(self) -> bytes:
        """What has come back by now."""
        return self._model.read(self._clock.now_ns())

    def close(self) -> None:
        """Nothing is held."""


class VirtualNE1000:
    """The pump in virtual time, stepped exactly when it has something to do.

    Args:
        settings: the pump; ``tcp`` is not used.
        clock: virtual host time; the pump is switched on at its now.

    Attributes:
        link: the host's end of the wire.
        model: the pump itself, with its faults.
        flow_edges: every change of the flow: (host ns, µL/s), oldest first; it starts at rest.
    """

    def __init__(self, settings: SimNE1000Settings, clock: Clock) -> None:
        self.flow_edges: list[tuple[int, float]] = []
        self.model = NE1000Model(settings, clock.now_ns(), self._flowed)
        self.link = _VirtualLink(self.model, clock)

    def advance(self, now_ns: int) -> None:
        """Let the pump do all that is due up to host time ``now_ns``."""
        self.model.run(now_ns)

    def due_ns(self) -> int | None:
        """Host time at which the pump next does something, its answers included, or None."""
        return self.model.due_ns()

    def _flowed(self, at_ns: int, ul_s: float) -> None:
        self.flow_edges.append((at_ns, ul_s))


def serve_ne1000(
    settings: SimNE1000Settings,
    on_ready: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    *,
    wakes: Any = None,
    flowed: Callable[[int, float], None] = lambda _at_ns, _ul_s: None,
) -> None:
    """Run the pump in the foreground until ``stopped`` says so or Ctrl-C is raised.

    Args:
        settings: the pump.
        on_ready: called once with the port's address, a URL for ``serial_for_url``.
        stopped: asked ten times a second, and when ``wakes`` can be read.
        wakes: what ``select`` can wait on, or None.
        flowed: called with (host ns, µL/s) at each change of the flow.
    """
    with contextlib.closing(open_device_port(tcp=settings.tcp)) as port:
        model = NE1000Model(settings, time.perf_counter_ns(), flowed)
        on_ready(port.url)
        while not stopped():
            timeout_s = _LONGEST_WAIT_S
            if (due_ns := model.due_ns()) is not None:
                left_s = (due_ns - time.perf_counter_ns()) / 1e9
                timeout_s = min(timeout_s, max(0.0, left_s))
            also = [] if wakes is None else [wakes]
            select.select([*port.waits_on(), *also], [], [], timeout_s)
            model.run(time.perf_counter_ns())
            if data := port.read():
                model.write(data, time.perf_counter_ns())
            if answers := model.read(time.perf_counter_ns()):
                port.write(answers)


class SimulatedNE1000:
    """A pump that runs in a thread of its own.

    Attributes:
        url: its port, an address for ``serial_for_url``.
        flow_edges: every change of the flow: (``perf_counter_ns``, µL/s), oldest first.
    """

    def __init__(self, settings: SimNE1000Settings) -> None:
        self.url = ""
        self.flow_edges: list[tuple[int, float]] = []
        self._ready = threading.Event()
        self._stopper, self._stopped = socket.socketpair()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(settings,), name="simulated-ne1000", daemon=True
        )

    def start(self) -> None:
        """Switch it on."""
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError("the simulated syringe pump did not start")

    def stop(self) -> None:
        """Switch it off; safe to call twice."""
        self._stopping.set()
        self._stopper.close()
        self._thread.join()
        self._stopped.close()

    def __enter__(self) -> SimulatedNE1000:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _serve(self, settings: SimNE1000Settings) -> None:
        serve_ne1000(
            settings,
            self._on_ready,
            self._stopping.is_set,
            wakes=self._stopped,
            flowed=lambda at_ns, ul_s: self.flow_edges.append((at_ns, ul_s)),
        )

    def _on_ready(self, url: str) -> None:
        self.url = url
        self._ready.set()


def start_simulated_ne1000(settings: SimNE1000Settings) -> SimulatedNE1000:
    """Start a pump in a thread of its own; it ends with `SimulatedNE1000.stop`."""
    pump = SimulatedNE1000(settings)
    pump.start()
    return pump
