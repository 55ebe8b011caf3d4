"""What the host's lines allow, read off the bytes at the device: withdrawn, late and stale ones."""

from __future__ import annotations

import pytest

from drivers import protocol as wire
from hardware_sim.campaign_device import Arrived, Booted
from hardware_sim.campaign_plan import rig_of_seed
from hardware_sim.told import told_by

NONCE, MS = 0xABCD0123, 1_000
HELLO = wire.Hello(NONCE, wire.VERSION, 1_000)
OPENING = wire.Open(NONCE, 7, "collect", 100 * MS, 50 * MS)

Lines = list[tuple[int, bytes]]


def said(*messages: tuple[int, wire.ToDevice]) -> Lines:
    """(ms, message) as bytes."""
    return [(at_ms, wire.encode(message)) for at_ms, message in messages]


def flipped(line: bytes) -> bytes:
    """One bit of it wrong."""
    return line[:20] + bytes([line[20] ^ 1]) + line[21:]


CASES: dict[str, tuple[Lines, list[tuple[int, int]]]] = {
    "as asked": (said((0, HELLO), (10, OPENING)), [(100, 150)]),
    "late": (said((0, HELLO), (101, OPENING)), []),
    "before any session": (said((10, OPENING)), []),
    "of an older session": (
        said((0, HELLO), (5, wire.Hello(NONCE + 1, wire.VERSION, 1_000)), (10, OPENING)),
        [],
    ),
    "its session ended": (
        said((0, HELLO), (10, OPENING), (120, wire.Hello(NONCE + 1, wire.VERSION, 1_000))),
        [(100, 120)],
    ),
    "withdrawn before": (said((0, HELLO), (10, OPENING), (20, wire.Cancel(NONCE, 7))), []),
    "withdrawn before it came": (said((0, HELLO), (9, wire.Cancel(NONCE, 7)), (10, OPENING)), []),
    "cut short": (said((0, HELLO), (10, OPENING), (130, wire.Rest(NONCE, 1))), [(100, 130)]),
    "silence": (
        said((0, wire.Hello(NONCE, wire.VERSION, 110)), (10, OPENING)),
        [(100, 120)],
    ),
    "damaged": ([*said((0, HELLO)), (10, flipped(wire.encode(OPENING)))], []),
    "rest is no opening": (
        said((0, HELLO), (10, wire.Open(NONCE, 7, "waste", 100 * MS, 50 * MS))),
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_openings(name: str) -> None:
    lines, allowed = CASES[name]
    met: list[Arrived | Booted] = [Booted(0)]
    met += [Arrived(at_ms * 1_000_000, at_ms * MS, line) for at_ms, line in lines]
    told = told_by(met, rig_of_seed(1))
    assert [(one.from_us // MS, one.to_us // MS) for one in told.openings] == allowed


def test_bytes_come_in_pieces() -> None:
    line = b"".join(line for _, line in said((0, HELLO), (0, OPENING)))
    met: list[Arrived | Booted] = [Booted(0)]
    met += [Arrived(i, i, line[i : i + 1]) for i in range(len(line))]
    told = told_by(met, rig_of_seed(1))
    assert told.asked == [(NONCE, 7, ("collect", 100 * MS, 50 * MS))]
    assert [one.boot for one in told.openings] == [1]
