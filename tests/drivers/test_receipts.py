"""Receipts, and a host that never asks more of the device than it can hold."""

from __future__ import annotations

import pytest

from drivers.dispenser import DispenserSettings
from drivers.ports import Refused
from drivers.protocol import decode_from_host
from drivers.receipts import Receipts
from hardware_sim.dispenser_model import SimDispenserSettings
from tests.drivers.virtual_time import MS, Bench, armed

WAIT = 50 * MS


def ids_of(lines: list[bytes]) -> list[list[int]]:
    return [list(getattr(decode_from_host(line[:-1]), "ids")) for line in lines]  # noqa: B009


def test_they_wait_for_company_but_not_for_long() -> None:
    receipts = Receipts(7, WAIT)
    for one in (1, 2, 0, 2):
        receipts.note(one, 0)
    assert receipts.lines(WAIT - 1) == []
    assert ids_of(receipts.lines(WAIT)) == [[1, 2]]
    assert receipts.lines(2 * WAIT) == []


@pytest.mark.parametrize(("n", "at_once"), [(7, []), (8, [8]), (20, [8, 8])])
def test_full_lines_go_at_once_however_many(n: int, at_once: list[int]) -> None:
    receipts = Receipts(7, WAIT)
    for one in range(1, n + 1):
        receipts.note(one, 0)
    assert [len(ids) for ids in ids_of(receipts.lines(1))] == at_once
    left = ids_of(receipts.lines(WAIT))
    assert sum(map(len, left)) + sum(at_once) == n


@pytest.mark.parametrize(
    ("queue", "unsettled", "waiting", "sent"),
    [(4, 2, 1, 0), (4, 2, 2, 2), (4, 4, 0, 0), (4, 0, 9, 9)],
)
def test_room_is_made_when_there_is_none(
    queue: int, unsettled: int, waiting: int, sent: int
) -> None:
    receipts = Receipts(7, WAIT)
    for one in range(1, waiting + 1):
        receipts.note(one, 0)
    assert sum(map(len, ids_of(receipts.make_room(queue, unsettled)))) == sent


def sent_in_a_burst(queue: int, n: int) -> Bench:
    """A host that was held up and then sends all at once."""
    bench = armed(SimDispenserSettings(queue=queue))
    for one in range(1, n + 1):
        bench.send(one, 150 + 10 * one, 5)
    bench.run(2_000)
    return bench


def test_what_the_device_has_no_place_for_is_refused_here() -> None:
    bench = sent_in_a_burst(8, 12)
    fates = dict(bench.fates())
    assert [fates[one] for one in range(1, 9)] == ["done"] * 8
    assert [fates[one] for one in range(9, 13)] == ["FULL"] * 4
    assert bench.dispenser.counters.not_sent == 4
    bench.dispenser.ask_state(bench.clock.ns)
    bench.run(50)
    state = bench.dispenser.last_state
    assert state is not None
    # The device was never asked.
    assert (state.accepted, state.refused) == (8, 0)


def test_reports_that_came_in_a_pause_of_the_hosts_keep_no_place() -> None:
    """All eight places wait for a receipt; the next burst goes through whole."""
    bench = armed(SimDispenserSettings(queue=8))
    for one in range(1, 9):
        bench.send(one, 50 + 10 * one, 5)
    # The host sleeps until all is over, then hears of it and sends at once.
    bench.clock.wait_until(bench.clock.ns + 300 * MS)
    bench.events += bench.dispenser.step(bench.clock.ns)
    for one in range(9, 17):
        bench.send(one, 50 + 10 * one, 5)
    bench.run(1_000)
    fates = dict(bench.fates())
    assert [fates[one] for one in range(1, 17)] == ["done"] * 16
    assert not [one for one in bench.events if isinstance(one, Refused)]


def test_what_cannot_come_in_time_is_refused_here_and_takes_no_wire() -> None:
    """After a pause of its own the host sends those that can still come, and no others."""
    bench = armed(SimDispenserSettings(queue=64))
    start = bench.clock.ns
    late = [bench.command(one, -100 + one, 5) for one in range(1, 21)]
    timely = [bench.command(one, 100 + 10 * one, 5) for one in range(21, 31)]
    for command in [*late, *timely]:
        bench.dispenser.send(command, start)
    bench.run(2_000)
    fates = dict(bench.fates())
    assert [fates[one] for one in range(1, 31)] == ["LATE"] * 20 + ["done"] * 10
    assert bench.dispenser.counters.not_sent == 20


def test_what_waits_on_the_wire_is_counted() -> None:
    settings = DispenserSettings(least_us_per_byte=86.8)
    bench = Bench(SimDispenserSettings(), settings)
    bench.dispenser.connect()
    bench.dispenser.arm()
    # Each line takes 4 ms: the seventh can't be there in 26.
    for one in range(1, 11):
        bench.send(one, 26, 5)
    bench.run(2_000)
    fates = dict(bench.fates())
    assert fates[1] == "done"
    assert fates[10] == "LATE"
    here = bench.dispenser.counters.not_sent
    assert 2 <= here <= 5
    bench.dispenser.ask_state(bench.clock.ns)
    bench.run(50)
    assert bench.dispenser.last_state is not None
    # What was written came in time, all but what the clock's bound leaves open.
    assert bench.dispenser.last_state.refused <= 1
