"""The firmware on a board whose counter is set from outside, to hold dialogues with."""

from __future__ import annotations

from drivers.conformance.dialogue import MASK_32, OUT
from drivers.firmware.core import Core
from drivers.firmware.hal import Hal
from drivers.protocol import MAX_LINE, decode_from_device, frame, unframe

OUTLETS = ("waste", "collect", "recheck")


class SteppedBoard(Hal):
    """A board whose counter is set from outside, and which notes what the firmware does."""

    sees: tuple[str, ...] = OUT

    def __init__(self, start_us: int = 0x00100000, ticks_bits: int = 32, queue: int = 4) -> None:
        self.start_us = start_us
        self.passed_us = 0
        self.ticks_period_us = 1 << ticks_bits
        self.events: list[str] = []
        self.pressed = False
        self.down = False
        self.core = Core(self, OUTLETS, "test", queue)
        self.boot = self.events
        self.events = []

    def ticks_us(self) -> int:
        return (self.start_us + self.passed_us) & (self.ticks_period_us - 1)

    def set_gate(self, outlet: int) -> None:
        self._note(f"gate {OUTLETS[outlet]}")

    def set_pump(self, held: bool) -> None:
        self._note("pump held" if held else "pump flows")

    def set_led(self, on: bool) -> None:
        self._note("led on" if on else "led off")

    def set_lines(self, ready: bool, hold: bool, fault: bool) -> None:
        named = {"ready": ready, "hold": hold, "fault": fault}
        self._note(f"lines {','.join(name for name, on in named.items() if on) or 'none'}")

    def estop_pin(self) -> bool:
        return self.pressed

    def pedal(self) -> bool:
        return self.down

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        assert len(data) <= MAX_LINE
        # The host's parser was written apart from this firmware, from one document.
        decode_from_device(data[:-1])
        self._note(f"< {unframe(data[:-1])}")

    def _note(self, what: str) -> None:
        self.events.append(f"{self.passed_us} {what}")

    def run_to(self, passed_us: int) -> None:
        """Step the firmware whenever it has something to do, up to this time."""
        idle = 0
        while (due_us := self.core.due_in_us()) >= 0 and self.passed_us + due_us <= passed_us:
            idle = 0 if due_us else idle + 1
            assert idle < 100, "something is due for ever"
            self.passed_us += due_us
            self.core.step()
        self.passed_us = passed_us

    def send(self, data: bytes) -> None:
        self.core.feed(data)

    def pins(self, kind: str, what: str) -> None:
        if kind == "pin":
            self.pressed = what == "pressed"
        elif kind == "pedal":
            self.down = what == "down"
        elif kind == "pulse":
            self.core.pulse(self.core.device_us(self.ticks_us()))
        else:
            outlet, length_us = what.split()
            now_us = self.core.device_us(self.ticks_us())
            self.core.dark(OUTLETS.index(outlet), now_us - int(length_us), int(length_us))
        self.core.step()

    def say(self, payload: str) -> list[str]:
        """Send a line now; the lines that come back at once, without their times."""
        before = len(self.events)
        self.core.feed(frame(payload))
        return [one.split(" ", 2)[2] for one in self.events[before:] if " < " in one]

    def arm(self, *, watchdog: str = "3E8", flow: bool = False) -> None:
        """Open session 5EED0001 and clear the stop; what the device did then is forgotten."""
        self.say(f"HELLO 5EED0001 2 {watchdog}")
        self.say("RESET 5EED0001 0001 0")
        assert self.say("RESET 5EED0001 0002 1") == ["S 0001 0002 OK - 1"]
        if flow:
            assert self.say("FLOW 5EED0001 0003") == ["S 0001 0003 OK - 0"]
        self.events.clear()

    def time(self, passed_us: int) -> str:
        """The device's clock so long after it was switched on, as on the wire."""
        return f"{(self.start_us + passed_us) & MASK_32:08X}"
