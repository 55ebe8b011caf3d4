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
from dataclasses import dataclass, replace
from typing import Protocol

from drivers.protocol import frame, unframe

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
START_US = 0x00100000
_MOVES = re.compile(r"(O|FLOW) ")
_CLEAR = re.compile(r"S [0-9A-F]{4} [0-9A-F]{4} [A-Z-]+ - [01]")
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


@dataclass(frozen=True)
class Dialogue:
    """A named dialogue.

    Attributes:
        name: what it is about.
        text: its events, as above.
        start_us: what the device's counter shows at first.
        exact: its times lie so close that only a device that is stepped can be held to it.
    """

    name: str
    text: str
    start_us: int = START_US
    exact: bool = False

    def lines(self) -> list[str]:
        """Its events, times of the clock filled in."""
        whole = self.text
        for word, lines in (("hello", HELLO), ("armed", ARMED), ("flowing", FLOWING)):
            whole = re.sub(rf"^ *{word}$", "\n".join(lines), whole, flags=re.MULTILINE)
        whole = whole.replace("{ready}", READY_2)
        filled = re.sub(r"\{([+-]\d+)\}", self._clock, whole)
        return [line.strip() for line in filled.strip().splitlines()]

    def at(self, start_us: int) -> Dialogue:
        """The same on a device whose clock shows this at the start."""
        return replace(self, start_us=start_us)

    def needs(self) -> set[str]:
        """Which pins it needs to reach."""
        return {line.split(" ")[1] for line in self.lines()} & set(INTO_PINS)

    def asks_to_move(self) -> bool:
        """Whether it asks for an opening or for flow, rightly or not, or clears the stop."""
        for line in self.lines():
            _, kind, rest = [*line.split(" ", 2), ""][:3]
            if kind in (">", "raw") and _MOVES.match(rest):
                return True
            if kind == "<" and _CLEAR.fullmatch(rest):
                return True
        return False

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
