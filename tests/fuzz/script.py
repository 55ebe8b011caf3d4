"""What a fuzzer's bytes mean: a script of lines, so that inputs can be read and written by hand.

    =FFFCF2C0            the device's clock at the start; first line only
    #                    the target's start, up to a cleared emergency stop; then first line only
    ~PING 5EED0001 0001  a line with its CRC and line feed added
    -PING 5E             bytes without a line feed
    @00S                 what follows, between STX and ETX
    +250000              time passes, µs, and whoever is due is stepped
    *250000              time passes and nobody is stepped (a board's alarm rings)
    !send 1 collect …    something is done to the target; see there
    anything else        bytes, and a line feed

A coverage-guided fuzzer solves no checksum, hence ``~``; the bytes without it keep the checksum
honest. Whatever does not read as one of these is bytes, so that every input is a script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from drivers.protocol import crc16

MOST_STEPS = 300
LONGEST_US = 12_000_000
MOST_TIME_US = 60_000_000

_START = re.compile(rb"=([0-9A-F]{8})")
_TIME = re.compile(rb"([+*])([0-9]{1,8})")
_ACTION = re.compile(rb"!([a-z_0-9 ]{1,60})")


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes that arrive at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Passes:
    """Time that passes, µs; ``held_up`` when nobody is stepped meanwhile."""

    us: int
    held_up: bool


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is done to the target, its words."""

    words: tuple[str, ...]


Step = Bytes | Passes | Action


def start_us(data: bytes, default: int) -> int:
    """What the device's clock shows at the start of a script."""
    found = _START.fullmatch(data.split(b"\n", 1)[0])
    return int(found[1], 16) if found else default


def steps(data: bytes, start: bytes = b"") -> Iterator[Step]:
    """The steps of a script, ``start`` for its ``#``.

    At most `MOST_STEPS` of its own, and at most `MOST_TIME_US` in all.
    """
    lines = data.split(b"\n")[: MOST_STEPS + 1]
    if _START.fullmatch(lines[0]):
        lines = lines[1:]
    if lines[:1] == [b"#"]:
        lines[:1] = start.split(b"\n")
    passed_us = 0
    for line in lines:
        if found := _TIME.fullmatch(line):
            us = min(int(found[2]), LONGEST_US, MOST_TIME_US - passed_us)
            passed_us += us
            yield Passes(us, found[1] == b"*")
        elif found := _ACTION.fullmatch(line):
            yield Action(tuple(found[1].decode("ascii").split()))
        elif line.startswith(b"~"):
            yield Bytes(b"%b*%04X\n" % (line[1:], crc16(line[1:])))
        elif line.startswith(b"@"):
            yield Bytes(b"\x02" + line[1:] + b"\x03")
        elif line.startswith(b"-"):
            yield Bytes(line[1:])
        else:
            yield Bytes(line + b"\n")


def write(some: list[Step]) -> bytes:
    """A script of these steps; the inverse of `steps` for what conformance dialogues hold."""
    return b"\n".join(_written(step) for step in some)


def _written(step: Step) -> bytes:
    if isinstance(step, Passes):
        return b"%b%d" % (b"*" if step.held_up else b"+", step.us)
    if isinstance(step, Action):
        return b"!" + " ".join(step.words).encode("ascii")
    if step.data[:1] == b"\x02" and step.data.endswith(b"\x03"):
        return b"@" + step.data[1:-1]
    line = step.data.removesuffix(b"\n")
    payload = line[:-5]
    if line[-5:] == b"*%04X" % crc16(payload):
        return b"~" + payload
    return line if step.data.endswith(b"\n") else b"-" + line
