"""Dialogues with the firmware: what goes in when, what comes out and what the gate does when.

One event a line, times in µs since the device was switched on::

    1000 > PING 5EED0001 0001          the host's line, its CRC and line feed added
    1000 < PONG 0001 0001 …            the device's line, its CRC checked
    1000 raw PING 5EED0001 0001*0000   the host's line as it stands, line feed added
    2000 gate collect                  the gate moves

``{+n}`` stands for the device's clock n µs after it was switched on, as 8 hex digits; ``hello``
for the handshake with a watchdog of 1 s, ``{ready}`` for the answer to a second one, as far as it
does not change. A dialogue is right when its lines, and no others, come
out in this order up to the time of its last line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.firmware.core import Core, Hal
from drivers.protocol import frame, unframe

MASK_32 = 0xFFFFFFFF
HELLO = (
    "0 > HELLO 5EED0001 1 3E8",
    "0 < READY 5EED0001 1 test 4 4C4B40 3938700 3E8 {+0} waste,collect,recheck BOOT",
)
READY_2 = "READY 5EED0002 1 test 4 4C4B40 3938700 3E8"
OUTLETS = ("waste", "collect", "recheck")


class SteppedBoard(Hal):
    """A board whose counter is set from outside, and which notes what the firmware does."""

    def __init__(self, start_us: int = 0x00100000, ticks_bits: int = 32, queue: int = 4) -> None:
        self.start_us = start_us
        self.passed_us = 0
        self.ticks_period_us = 1 << ticks_bits
        self.events: list[str] = []
        self.core = Core(self, OUTLETS, "test", queue)
        self.events.clear()

    def ticks_us(self) -> int:
        return (self.start_us + self.passed_us) & (self.ticks_period_us - 1)

    def set_gate(self, outlet: int) -> None:
        self.events.append(f"{self.passed_us} gate {OUTLETS[outlet]}")

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        self.events.append(f"{self.passed_us} < {unframe(data[:-1])}")

    def run_to(self, passed_us: int) -> None:
        """Step the firmware whenever it has something to do, up to this time."""
        while (due_us := self.core.due_in_us()) >= 0 and self.passed_us + due_us <= passed_us:
            self.passed_us += due_us
            self.core.step()
        self.passed_us = passed_us

    def say(self, payload: str) -> list[str]:
        """Send a line now; the lines that come back at once, without their times."""
        before = len(self.events)
        self.core.feed(frame(payload))
        return [one.split(" ", 2)[2] for one in self.events[before:] if " < " in one]

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
        board = SteppedBoard(self.start_us)
        whole = self.text.replace("hello", "\n".join(HELLO)).replace("{ready}", READY_2)
        filled = re.sub(r"\{\+(\d+)\}", lambda found: board.time(int(found[1])), whole)
        return [line.lstrip() for line in filled.strip().splitlines()]


def play(dialogue: Dialogue) -> tuple[list[str], list[str]]:
    """What was expected to come out, and what came out."""
    board = SteppedBoard(dialogue.start_us)
    expected = []
    for line in dialogue.lines():
        time_us, kind, rest = [*line.split(" ", 2), ""][:3]
        board.run_to(int(time_us))
        if kind == ">":
            board.core.feed(frame(rest))
        elif kind == "raw":
            board.core.feed(rest.encode() + b"\n")
        else:
            expected.append(line)
    return expected, board.events


def documented(text: str) -> list[Dialogue]:
    """The dialogues in PROTOCOL.md: blocks that start with ``# name``, their CRCs written out."""
    found = []
    for block in re.findall(r"```text\n# (.*?)```", text, re.DOTALL):
        name, _, body = block.partition("\n")
        found.append(Dialogue(name, "\n".join(_checked(line) for line in body.splitlines())))
    return found


def _checked(line: str) -> str:
    """A documented line as one of a `Dialogue`: the device's with its CRC checked."""
    time_us, kind, rest = line.split(maxsplit=2)
    if kind == "<":
        return f"{time_us} < {unframe(rest.encode())}"
    return f"{time_us} raw {rest}" if kind == ">" else f"{time_us} {kind} {rest}"
