"""A board whose loop can be held up while its alarm rings, as board.py's does."""

from __future__ import annotations

from drivers.firmware.alarm import Alarm
from tests.drivers.dialogues import OUTLETS, SteppedBoard


class AlarmBoard(SteppedBoard):
    """As board.py does it: the pins belong to whoever moves last, loop or alarm."""

    def __init__(self, start_us: int = 0x00100000, ticks_bits: int = 32, queue: int = 8) -> None:
        self.alarm = Alarm(self._switch, self._diff)  # type: ignore[assignment]
        self.rings_us: int | None = None
        self.struck = False
        self.at = 0
        super().__init__(start_us, ticks_bits, queue)

    def _diff(self, one: int, other: int) -> int:
        half = self.ticks_period_us // 2
        return (one - other + half) % self.ticks_period_us - half

    def _switch(self, outlet: int) -> None:
        outlet = 0 if self.struck else outlet
        if outlet != self.at:
            self.at = outlet
            self._note(f"gate {OUTLETS[outlet]}")

    def set_gate(self, outlet: int) -> None:
        if not self.alarm.ahead():  # type: ignore[attr-defined]
            self._switch(outlet)

    def start_alarm(self) -> None:
        if self.rings_us is None:
            self.rings_us = self.passed_us

    def drop_plan(self) -> None:
        self.alarm.drop()  # type: ignore[attr-defined]

    def estop_pin(self) -> bool:
        was, self.struck = self.struck, False
        return was or self.pressed

    def press(self) -> None:
        """The pin's interrupt: pins off at once, whatever the loop does."""
        self.pressed = self.struck = True
        self._switch(0)
        self.alarm.cut()  # type: ignore[attr-defined]

    def stall(self, us: int) -> None:
        """The loop is held up; the alarm rings."""
        end_us = self.passed_us + us
        while self.rings_us is not None and self.rings_us <= end_us:
            self._ring()
        self.passed_us = end_us

    def _ring(self) -> None:
        assert self.rings_us is not None
        self.passed_us = max(self.passed_us, self.rings_us)
        left_us = self.alarm.fire(self.ticks_us())  # type: ignore[attr-defined]
        self.rings_us = self.passed_us + left_us if left_us >= 0 else None

    def run_to(self, passed_us: int) -> None:
        """Ring and step whenever one of both is due, up to this time."""
        while True:
            due_us = self.core.due_in_us()
            step_us = self.passed_us + due_us if due_us >= 0 else passed_us + 1
            if self.rings_us is not None and self.rings_us <= min(step_us, passed_us):
                self._ring()
            elif step_us <= passed_us:
                self.turn()
                self.passed_us = step_us
                self.core.step()
            else:
                break
        self.passed_us = passed_us

    def turn(self) -> None:
        """The loop is about to come by."""
