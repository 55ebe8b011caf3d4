"""Clog recovery: hold, a reverse pulse, resume; a bounded number of times, then the operator.

    ask for a pause ──> held ──> pulse ──> held again ──> settle ──> ask to resume

Whoever pauses or resumes meanwhile ends it: a person's word comes first (a pulse that the pump was
told of is let end). So does anything that takes too long: the run then stays paused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Pump, PumpState
from sorter.life import RunState

BY = "recovery"


class RecoverySettings(BaseModel):
    """What `recover` does about a clog, for a pump that can push backwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pulse_ul: float = Field(
        20.0, ge=1, le=1_000, description="volume of the pulse backwards, at the set rate, µL"
    )
    tries: int = Field(2, ge=1, description="pulses within again_min; one more clog holds the run")
    again_min: float = Field(10.0, gt=0, description="a pulse so long ago counts no more, minutes")
    settle_s: float = Field(1.0, ge=0, description="from the end of the pulse to the resumption, s")
    patience_s: float = Field(
        20.0, gt=0, description="the pump must hold, and pulse, within this time each, s"
    )


class _Phase(Enum):
    """Where a recovery is."""

    IDLE = "idle"
    ASKED = "asked"
    HOLDING = "holding"
    BEGINNING = "beginning"
    PULSING = "pulsing"
    SETTLING = "settling"


class Recovery:
    """Of one run. Stepped; no clock.

    Args:
        ask: takes (state, by, why), as `sorter.controller.Controller.ask`.
        tell: takes what a person wants to know, with the host time.
    """

    def __init__(
        self,
        settings: RecoverySettings,
        pump: Pump | None,
        ask: Callable[[RunState, str, str], None],
        tell: Callable[[int, str], None],
    ) -> None:
        self._settings = settings
        self._pump = pump if pump is not None and pump.abilities().reverse else None
        self._ask = ask
        self._tell = tell
        self._phase = _Phase.IDLE
        self._since_ns = 0
        self._pulses_ns: deque[int] = deque()

    @property
    def busy(self) -> bool:
        """Whether one is going on."""
        return self._phase is not _Phase.IDLE

    def begin(self, why: str, now_ns: int) -> bool:
        """Begin one; False: the pump can't, or it was tried too often: the run is to be held."""
        again_ns = self._settings.again_min * 60e9
        while self._pulses_ns and self._pulses_ns[0] < now_ns - again_ns:
            self._pulses_ns.popleft()
        if self._pump is None or len(self._pulses_ns) >= self._settings.tries:
            return False
        self._pulses_ns.append(now_ns)
        self._ask(RunState.PAUSED, BY, f"{why}; a pulse backwards is tried")
        self._go(_Phase.ASKED, now_ns)
        return True

    def cancel(self) -> None:
        """A person has taken over."""
        self._phase = _Phase.IDLE

    def step(self, state: RunState, now_ns: int) -> None:
        """Do what is due. Raises `PumpError` where the pump refuses.

        Args:
            state: the run's.
            now_ns: host time.
        """
        if self._pump is None or not self.busy:
            return
        pumped = self._pump.status().state
        if self._phase is _Phase.ASKED and state is RunState.PAUSED:
            self._go(_Phase.HOLDING, now_ns)
        elif self._phase is not _Phase.ASKED and state is not RunState.PAUSED:
            self.cancel()  # somebody went on, or ended the run
        elif self._phase is _Phase.SETTLING:
            if now_ns - self._since_ns >= self._settings.settle_s * 1e9:
                self.cancel()
                self._ask(RunState.PRIMING, BY, "the pulse backwards is over")
        elif now_ns - self._since_ns > self._settings.patience_s * 1e9:
            self._tell(now_ns, f"given up: the pump is {pumped}; the run stays held")
            self.cancel()
        elif self._phase is _Phase.HOLDING:
            if pumped is PumpState.HELD:
                self._pump.reverse(self._settings.pulse_ul, now_ns)
                self._go(_Phase.BEGINNING, now_ns)
        elif self._phase is _Phase.BEGINNING:
            if pumped is PumpState.REVERSING:
                self._go(_Phase.PULSING, now_ns)
        elif self._phase is _Phase.PULSING and pumped is PumpState.HELD:
            self._go(_Phase.SETTLING, now_ns)

    def _go(self, phase: _Phase, now_ns: int) -> None:
        self._phase, self._since_ns = phase, now_ns
