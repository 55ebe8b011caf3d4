"""What the host's lines allow, read off the bytes at the device: withdrawn, late and stale ones."""

from __future__ import annotations

import pytest

from drivers import protocol as wire
from hardware_sim.campaign_device import Arrived, Booted, Jumped, Met, Pressed
from hardware_sim.campaign_scene import rig_of_seed
from hardware_sim.told import Told, told_by

NONCE, MS = 0xABCD0123, 1_000
HELLO = wire.Hello(NONCE, wire.VERSION, 1_000)
OPENING = wire.Open(NONCE, 7, "collect", 100 * MS, 50 * MS)
FLOW = wire.Flow(NONCE, 3)

Lines = list[tuple[int, bytes]]


def said(*messages: tuple[int, wire.ToDevice]) -> Lines:
    """(ms, message) as bytes."""
    return [(at_ms, wire.encode(message)) for at_ms, message in messages]


def armed(*messages: tuple[int, wire.ToDevice], hello: wire.Hello = HELLO) -> Lines:
    """Likewise, after a session was opened and the emergency stop cleared."""
    edge = ((1, wire.Reset(NONCE, 1, 0)), (2, wire.Reset(NONCE, 2, 1)))
    return said((0, hello), *edge, *messages)


def flipped(line: bytes) -> bytes:
    """One bit of it wrong."""
    return line[:20] + bytes([line[20] ^ 1]) + line[21:]


OTHER = wire.Hello(NONCE + 1, wire.VERSION, 1_000)
CASES: dict[str, tuple[Lines, list[tuple[int, int]]]] = {
    "as asked": (armed((10, OPENING)), [(100, 150)]),
    "late": (armed((101, OPENING)), []),
    "before any session": (said((10, OPENING)), []),
    "of an older session": (armed((5, OTHER), (10, OPENING)), []),
    "its session ended": (armed((10, OPENING), (120, OTHER)), [(100, 120)]),
    "withdrawn before": (armed((10, OPENING), (20, wire.Cancel(NONCE, 7))), []),
    "withdrawn before it came": (armed((9, wire.Cancel(NONCE, 7)), (10, OPENING)), []),
    "cut short": (armed((10, OPENING), (130, wire.Rest(NONCE, 1))), [(100, 130)]),
    "silence": (armed((10, OPENING), hello=wire.Hello(NONCE, wire.VERSION, 110)), [(100, 120)]),
    "damaged": ([*armed(), (10, flipped(wire.encode(OPENING)))], []),
    "rest is no opening": (
        armed((10, wire.Open(NONCE, 7, "waste", 100 * MS, 50 * MS))),
        [],
    ),
    "stop not cleared": (said((0, HELLO), (10, OPENING)), []),
    "cleared by half an edge": (
        said((0, HELLO), (1, wire.Reset(NONCE, 1, 1)), (10, OPENING)),
        [],
    ),
    "edge the wrong way round": (
        said((0, HELLO), (1, wire.Reset(NONCE, 2, 1)), (2, wire.Reset(NONCE, 3, 0)), (10, OPENING)),
        [],
    ),
    "stopped before": (armed((5, wire.Stop(NONCE, 3)), (10, OPENING)), []),
    "stopped while open": (armed((10, OPENING), (130, wire.Stop(NONCE, 3))), [(100, 130)]),
    "a level that a stop overtook": (
        armed(
            (3, wire.Stop(NONCE, 6)),
            (4, wire.Reset(NONCE, 4, 0)),
            (5, wire.Reset(NONCE, 5, 1)),
            (10, OPENING),
        ),
        [],
    ),
    "cleared once more": (
        armed(
            (3, wire.Stop(NONCE, 3)),
            (4, wire.Reset(NONCE, 4, 0)),
            (5, wire.Reset(NONCE, 5, 1)),
            (10, OPENING),
        ),
        [(100, 150)],
    ),
    "latched by a session while the pump ran": (
        [
            *armed((3, FLOW), (4, OTHER)),
            *said((10, wire.Open(NONCE + 1, 7, "collect", 100 * MS, 50 * MS))),
        ],
        [],
    ),
}

FLOWS: dict[str, tuple[Lines, list[tuple[int, int]]]] = {
    "until it is held": (armed((10, FLOW), (50, wire.Hold(NONCE, 4))), [(10, 50)]),
    "until the stop": (armed((10, FLOW), (50, wire.Stop(NONCE, 4))), [(10, 50)]),
    "until another session": (armed((10, FLOW), (50, OTHER)), [(10, 50)]),
    "until silence": (armed((10, FLOW)), [(10, 1_010)]),
    "not while latched": (said((0, HELLO), (10, FLOW)), []),
    "not of another session": (armed((10, wire.Flow(NONCE + 1, 3))), []),
    "not when overtaken": (armed((9, wire.Hold(NONCE, 4)), (10, FLOW)), []),
    "a question without a session is no sign of life": (
        armed((10, FLOW), (900, wire.Status(0))),
        [(10, 1_010)],
    ),
}


def read(lines: Lines) -> Told:
    """What a device allowed that was switched on at 0."""
    met: list[Met] = [Booted(0)]
    met += [Arrived(at_ms * 1_000_000, at_ms * MS, line) for at_ms, line in lines]
    return told_by(met, rig_of_seed(1))


@pytest.mark.parametrize("name", CASES)
def test_openings(name: str) -> None:
    lines, allowed = CASES[name]
    openings = read(lines).openings
    assert [(one.from_us // MS, one.to_us // MS) for one in openings] == allowed


@pytest.mark.parametrize("name", FLOWS)
def test_flows(name: str) -> None:
    lines, allowed = FLOWS[name]
    told = read(lines)
    assert [(one.from_us // MS, one.to_us // MS) for one in told.flows] == allowed
    assert not [reason for _, reason in told.refused if reason != "SESSION"]


def test_bytes_come_in_pieces() -> None:
    line = b"".join(line for _, line in armed((10, OPENING)))
    met: list[Met] = [Booted(0)]
    met += [Arrived(i, i, line[i : i + 1]) for i in range(len(line))]
    told = told_by(met, rig_of_seed(1))
    assert told.asked == [(NONCE, 7, ("collect", 100 * MS, 50 * MS))]
    assert [one.boot for one in told.openings] == [1]


def at(at_ms: int, line: bytes, ahead_ms: int = 0) -> Arrived:
    """A line, by a counter that is so far ahead of the host's time."""
    return Arrived(at_ms * 1_000_000, (at_ms + ahead_ms) * MS, line)


def jump(at_ms: int, by_ms: int) -> Jumped:
    """Of a counter that went with the host's time."""
    return Jumped(at_ms * 1_000_000, at_ms * MS, (at_ms + by_ms) * MS)


def allowed(met: list[Met]) -> list[tuple[int, int]]:
    """Flows, ms by the device's counter."""
    return [(f.from_us // MS, f.to_us // MS) for f in told_by(met, rig_of_seed(1)).flows]


def flowing_from_10_ms() -> list[Met]:
    return [Booted(0), *(at(at_ms, line) for at_ms, line in armed((10, FLOW)))]


def test_a_counter_that_jumps_ahead_makes_the_watchdog_trip_at_once() -> None:
    assert allowed([*flowing_from_10_ms(), jump(100, 5_000)]) == [(10, 100)]


def test_what_lasts_while_the_counter_jumps_back_lasts_in_both_times() -> None:
    hold = at(60, wire.encode(wire.Hold(NONCE, 4)), -30)
    assert allowed([*flowing_from_10_ms(), jump(50, -30), hold]) == [(10, 50), (20, 30)]


def button(at_ms: int, *, down: bool) -> Pressed:
    return Pressed(at_ms * 1_000_000, at_ms * MS, down)


def edge(from_ms: int, number: int) -> list[Met]:
    """Both levels that clear the stop."""
    lines = ((0, wire.Reset(NONCE, number, 0)), (1, wire.Reset(NONCE, number + 1, 1)))
    return [at(from_ms + ms, wire.encode(message)) for ms, message in lines]


def test_the_button_stops_the_flow_and_no_edge_clears_it_while_it_is_down() -> None:
    flow = [at(40, wire.encode(wire.Flow(NONCE, 9)))]
    met = [*flowing_from_10_ms(), button(20, down=True), *edge(25, 5)]
    assert allowed([*met, *flow]) == [(10, 20)]
    let_go = [*met, button(30, down=False)]
    assert allowed([*let_go, *flow]) == [(10, 20)]
    assert allowed([*let_go, *edge(35, 7), *flow]) == [(10, 20), (40, 1_040)]
