"""The flow as the loop drives it, with a pump or without one that it can hold."""

from __future__ import annotations

from drivers.ports import Pump, PumpState


class Flow:
    """A pump, if there is one, and what was last asked of it.

    Without a pump the flow counts as running: nobody here can hold it.
    """

    def __init__(self, pump: Pump | None) -> None:
        self._pump = pump
        self._wanted = False

    @property
    def runs(self) -> bool:
        """Whether it is known to run."""
        return self._pump is None or self._pump.status().state is PumpState.RUNNING

    @property
    def fails(self) -> bool:
        """Whether it is not known to run, though that was asked for."""
        return self._wanted and not self.runs

    @property
    def volume_ul(self) -> float | None:
        """What has flowed so far; None where the pump can't tell."""
        if self._pump is None or not self._pump.abilities().volume:
            return None
        return self._pump.status().volume_ul

    def start(self, now_ns: int) -> None:
        """Let it run; raises `PumpError`."""
        self._wanted = True
        if self._pump is not None:
            self._pump.start(now_ns)

    def resume(self, now_ns: int) -> None:
        """Let it go on."""
        self._wanted = True
        if self._pump is not None:
            self._pump.resume(now_ns)

    def hold(self, now_ns: int) -> None:
        """Hold it now."""
        self._wanted = False
        if self._pump is not None:
            self._pump.hold(now_ns)

    def step(self, now_ns: int) -> None:
        """See `Pump.step`."""
        if self._pump is not None:
            self._pump.step(now_ns)
