"""Lines, light, foot switch, pulses, passages: the driver against the firmware, in virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import protocol as wire
from drivers.passages import Passages
from drivers.ports import Passed, Pedal
from hardware_sim.dispenser_model import SimDispenserSettings
from tests.drivers.virtual_time import MS, Bench, connected, filtered, flowing


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("fault", [False, True])
def test_lines_to_other_machines(stopped: bool, ready: bool, fault: bool) -> None:
    bench = flowing()
    assert bench.device.lines == (False, False, False)
    if stopped:
        bench.device.press_estop()
    bench.dispenser.lines(ready=ready, hold=False, fault=fault, now_ns=bench.clock.ns)
    bench.run(20)
    assert bench.device.lines == (ready and not stopped, stopped, fault or stopped)


def test_light_comes_when_it_should() -> None:
    bench = connected()
    at_us = bench.dispenser.to_device_us(bench.clock.ns + 100 * MS)
    bench.dispenser.light(at_us, 50_000, bench.clock.ns)
    bench.run(98)
    assert bench.dispenser.light_verdict == "OK"
    assert not bench.device.lit
    bench.run(4)
    assert bench.device.lit
    bench.run(50)
    assert not bench.device.lit


def test_light_that_comes_too_late_is_said() -> None:
    bench = connected()
    bench.dispenser.light(bench.dispenser.to_device_us(bench.clock.ns) - 5, 50_000, bench.clock.ns)
    assert bench.dispenser.light_verdict == ""
    bench.run(100)
    assert bench.dispenser.light_verdict == "RANGE"
    assert not bench.device.lit


def test_the_foot_switch_is_told() -> None:
    bench = connected()
    bench.device.press_pedal()
    bench.run(100)
    bench.device.press_pedal(False)
    bench.run(100)
    assert [one.down for one in bench.events if isinstance(one, Pedal)] == [True, False]


def test_exposures_are_counted_and_stamped() -> None:
    bench = connected()
    bench.run(250)
    assert bench.dispenser.exposures is not None
    assert bench.dispenser.exposures.count == 0
    for _ in range(200):
        bench.device.exposed(bench.clock.ns)
        last_us = bench.device.device_us(bench.clock.ns)
        bench.run(5)
    bench.run(300)
    assert bench.dispenser.exposures.count == 200
    assert bench.dispenser.exposures.last_us == last_us


def test_without_wires_there_are_no_pulses_and_no_passages() -> None:
    bench = connected(SimDispenserSettings(exposure_pulses=False, optical_gates=False))
    bench.device.exposed(bench.clock.ns)
    bench.device.passed("collect", bench.clock.ns, MS)
    assert bench.run(500) == []
    assert bench.dispenser.exposures is not None
    assert bench.dispenser.exposures.count == 0


def passages(bench: Bench) -> list[Passed]:
    return [one for one in bench.events if isinstance(one, Passed)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_each_passage_is_told_once(share: float) -> None:
    dice = random.Random(share)
    bench, _ = filtered(lambda line: line.startswith(b"G ") and dice.random() < share)
    begun: list[tuple[str, int]] = []
    for one in range(60):
        outlet = ("waste", "collect")[one % 2]
        began_ns = bench.clock.ns + 3 * MS
        bench.device.passed(outlet, began_ns, 2 * MS)
        begun.append((outlet, bench.device.device_us(began_ns)))
        bench.run(dice.randrange(5, 150))
    bench.run(5_000)
    came = sorted(passages(bench), key=lambda one: one.seq)
    assert [one.seq for one in came] == list(range(1, 61))
    assert [(one.outlet, one.begun_us) for one in came] == begun
    assert all(abs(one.length_us - 2_000) <= 1 for one in came)
    assert bench.dispenser.counters.passages_lost == 0


def test_passages_that_the_device_dropped_are_counted() -> None:
    bench, link = filtered(lambda line: line.startswith(b"G "))
    for _ in range(40):
        bench.device.passed("collect", bench.clock.ns, MS)
        bench.run(10)
    assert passages(bench) == []
    link.is_lost = lambda line: False
    bench.run(2_000)
    assert sorted(one.seq for one in passages(bench)) == list(range(9, 41))
    assert bench.dispenser.counters.passages_lost == 8
    # And it goes on from there.
    bench.device.passed("collect", bench.clock.ns, MS)
    bench.run(100)
    assert passages(bench)[-1].seq == 41


@settings(deadline=None)
@given(st.permutations(range(1, 25)), st.lists(st.integers(1, 24), max_size=20))
def test_any_order_of_passages_ends_in_all_of_them(order: list[int], again: list[int]) -> None:
    book = Passages(1, 50)
    assert [seq for seq in order + again if book.take(seq, 0)] == order
    assert book.line(49) == b""
    assert book.line(50) == wire.encode(wire.Seen(1, 24))
    assert book.line(100) == b""
    assert book.lost == 0


def test_only_what_is_whole_is_acknowledged() -> None:
    book = Passages(1, 0)
    book.take(2, 0)
    assert book.line(0) == b""
    book.take(1, 0)
    assert book.line(0) == wire.encode(wire.Seen(1, 2))
    # Said again, because the device says it again: the first was lost.
    book.take(1, 0)
    assert book.line(0) == wire.encode(wire.Seen(1, 2))
    book.take(2**32 - 1, 0)
    assert book.lost == 2**32 - 1 - wire.KEPT_PASSAGES - 2
