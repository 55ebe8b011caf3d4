"""Dialogues with a device: what goes in when, what comes out, and what the device then does.

One event a line, times in µs since the device was switched on. What goes in::

    1000 > PING 5EED0001 0001          the host's line, its CRC and line feed added
    1000 raw PING 5EED0001 0001*0000   the host's line as it stands, line feed added
    1000 pin pressed                   the emergency stop's pin; or released
    1000 pedal down                    the foot switch; or up
    1000 pulse                         the camera exposes
    1000 dark collect 500              an object has left the outlet's optical gate after 500 µs

What comes out, in this order::

    1000 < PONG 0001 0001 …            the device's line, its CRC checked
    2000 gate collect                  the gate moves
    2000 pump held                     the pump is held; or flows
    2000 led on                        the LED; or off
    2000 lines ready,fault             the lines to other machines that are on, or none

``{+n}`` stands for the device's clock n µs after it was switched on, as 8 hex digits; ``hello``
for the handshake with a watchdog of 1 s, ``armed`` for that and the emergency stop cleared,
``flowing`` for that and the pump let run, ``{ready}`` for the answer to a second handshake, as far
as it does not change. A dialogue is right when its lines, and no others, come out in this order
up to the time of its last line; ``lines`` are looked at only where a dialogue has some.

The dialogues are data: `play` needs of a device only what `Device` says. One that is reached by
bytes alone is given the dialogues that `Dialogue.needs` no pin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from drivers.firmware.core import Core
from drivers.firmware.hal import Hal
from drivers.protocol import MAX_LINE, decode_from_device, frame, unframe

MASK_32 = 0xFFFFFFFF
HELLO = (
    "0 > HELLO 5EED0001 2 3E8",
    "0 < READY 5EED0001 2 test 4 4C4B40 3938700 3E8 {+0} waste,collect,recheck BOOT POWER 1",
)
ARMED = (
    *HELLO,
    "0 > RESET 5EED0001 0001 0",
    "0 < S 0001 0001 OK POWER 1",
    "0 > RESET 5EED0001 0002 1",
    "0 < S 0001 0002 OK - 1",
)
FLOWING = (*ARMED, "0 > FLOW 5EED0001 0003", "0 pump flows", "0 < S 0001 0003 OK - 0")
READY_2 = "READY 5EED0002 2 test 4 4C4B40 3938700 3E8"
OUTLETS = ("waste", "collect", "recheck")
INTO_PINS = ("pin", "pedal", "pulse", "dark")
OUT = ("<", "gate", "pump", "led", "lines")


class Device(Protocol):
    """A device that dialogues can be held with.

    Attributes:
        sees: which of `OUT` its events tell of; at least "<".
        events: what came out, as lines of a dialogue.
    """

    sees: tuple[str, ...]
    events: list[str]

    def run_to(self, passed_us: int) -> None:
        """Let time pass, up to this time since it was switched on."""
        ...

    def send(self, data: bytes) -> None:
        """Bytes of the host."""
        ...

    def pins(self, kind: str, what: str) -> None:
        """One of `INTO_PINS` happens; only to a device whose pins can be reached."""
        ...


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


@dataclass(frozen=True)
class Dialogue:
    """A named dialogue; ``start_us`` is what the device's counter shows at first."""

    name: str
    text: str
    start_us: int = 0x00100000

    def lines(self) -> list[str]:
        """Its events, times of the clock filled in."""
        whole = self.text
        for word, lines in (("hello", HELLO), ("armed", ARMED), ("flowing", FLOWING)):
            whole = re.sub(rf"^ *{word}$", "\n".join(lines), whole, flags=re.MULTILINE)
        whole = whole.replace("{ready}", READY_2)
        filled = re.sub(r"\{([+-]\d+)\}", self._clock, whole)
        return [line.strip() for line in filled.strip().splitlines()]

    def needs(self) -> set[str]:
        """Which pins it needs to reach."""
        return {line.split(" ")[1] for line in self.lines()} & set(INTO_PINS)

    def _clock(self, found: re.Match[str]) -> str:
        return f"{(self.start_us + int(found[1])) & MASK_32:08X}"


def play(dialogue: Dialogue, device: Device) -> tuple[list[str], list[str]]:
    """What was expected to come out of a device just switched on, and what came out."""
    expected = []
    for line in dialogue.lines():
        time_us, kind, rest = [*line.split(" ", 2), ""][:3]
        device.run_to(int(time_us))
        if kind == ">":
            device.send(frame(rest))
        elif kind == "raw":
            device.send(rest.encode() + b"\n")
        elif kind in INTO_PINS:
            device.pins(kind, rest)
        else:
            assert kind in OUT, line
            expected.append(line)
    looked_at = set(device.sees)
    if not any(_kind(line) == "lines" for line in expected):
        looked_at.discard("lines")
    return (
        [line for line in expected if _kind(line) in looked_at],
        [line for line in device.events if _kind(line) in looked_at],
    )


def _kind(line: str) -> str:
    return line.split(" ")[1]


def documented(text: str) -> list[Dialogue]:
    """The dialogues in PROTOCOL.md: blocks that start with ``# name``, their CRCs written out."""
    found = []
    for block in re.findall(r"```text\n# (.*?)```", text, re.DOTALL):
        name, _, body = block.partition("\n")
        found.append(Dialogue(name, "\n".join(_checked(line) for line in body.splitlines())))
    return found


def _checked(line: str) -> str:
    """A documented line as one of a `Dialogue`: the device's with its CRC checked."""
    time_us, kind, rest = [*line.split(maxsplit=2), ""][:3]
    if kind == "<":
        return f"{time_us} < {unframe(rest.encode())}"
    return f"{time_us} raw {rest}" if kind == ">" else f"{time_us} {kind} {rest}"
