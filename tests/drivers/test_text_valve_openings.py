"""What a valve box with text commands is told, and when: cases, anything at all, a real port."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock import MonotonicClock
from drivers.ports import Command, DispenserEvent, Executed
from drivers.serial_link import SerialLink, SerialLinkSettings
from drivers.text_valve import TextValve
from drivers.valve_openings import QUEUE
from hardware_sim.dispenser import SimTextValveSettings, start_simulated_dispenser
from hardware_sim.gate_log import read_gate_log
from sorter.errors import DispenserError
from tests.drivers.text_bench import BLIND, COLLECT, RECHECK, TextBench, strings
from tests.drivers.virtual_time import MS

# Three characters at 9,600 baud, the box's loop, a step of the host.
REACH_MS = 3.2 + 1.0 + 1.0


# -- openings -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What is asked (id, after ms, length ms, outlet), what else happens, what comes of it."""

    name: str
    asked: tuple[tuple[int, float, float, str], ...]
    fates: tuple[tuple[int, str], ...]
    moves: tuple[tuple[float, str], ...]
    then: Callable[[TextBench], None] = lambda bench: bench.run(500)
    faults: tuple[tuple[str, Any], ...] = ()


def _after(ms: float, act: Callable[[TextBench], None]) -> Callable[[TextBench], None]:
    def then(bench: TextBench) -> None:
        bench.run(ms)
        act(bench)
        bench.run(500)

    return then


def _cancel(one: int) -> Callable[[TextBench], None]:
    return lambda bench: bench.valve.cancel(one, bench.clock.ns)


ONE = ((1, 100.0, 50.0, "collect"),)
UNION = ((1, 100.0, 50.0, "collect"), (2, 140.0, 60.0, "collect"))
CASES = [
    Case("one", ONE, ((1, "ack"), (1, "done")), ((100, "collect"), (150, "waste"))),
    Case(
        "overlapping ones of one outlet stand for their union",
        UNION,
        ((1, "ack"), (2, "ack"), (1, "done"), (2, "done")),
        ((100, "collect"), (200, "waste")),
    ),
    Case(
        "one inside another",
        ((1, 100.0, 100.0, "collect"), (2, 120.0, 20.0, "collect")),
        ((1, "ack"), (2, "ack"), (2, "done"), (1, "done")),
        ((100, "collect"), (200, "waste")),
    ),
    Case(
        "those that touch are one",
        ((1, 100.0, 50.0, "collect"), (2, 150.0, 50.0, "collect")),
        ((1, "ack"), (2, "ack"), (1, "done"), (2, "done")),
        ((100, "collect"), (200, "waste")),
    ),
    Case(
        "two outlets that touch",
        ((1, 100.0, 50.0, "collect"), (2, 150.0, 50.0, "recheck")),
        ((1, "ack"), (2, "ack"), (1, "done"), (2, "done")),
        ((100, "collect"), (150, "waste"), (150, "recheck"), (200, "waste")),
    ),
    Case(
        "two outlets that overlap",
        ((1, 100.0, 50.0, "collect"), (2, 149.9, 50.0, "recheck")),
        ((1, "ack"), (2, "CONFLICT"), (1, "done")),
        ((100, "collect"), (150, "waste")),
    ),
    Case("already due", ((1, 0.0, 50.0, "collect"),), ((1, "LATE"),), ()),
    Case("too far ahead", ((1, 60_001.0, 50.0, "collect"),), ((1, "FAR"),), ()),
    Case("cancelled", ONE, ((1, "ack"), (1, "CANCELLED")), (), _after(50, _cancel(1))),
    Case(
        "cancelled while open",
        ONE,
        ((1, "ack"), (1, "done")),
        ((100, "collect"), (121, "waste")),
        _after(120, _cancel(1)),
    ),
    Case(
        "cancelled, but another one stands",
        UNION,
        ((1, "ack"), (2, "ack"), (1, "done"), (2, "done")),
        ((100, "collect"), (200, "waste")),
        _after(145, _cancel(1)),
    ),
    Case(
        "cancelled when all is over",
        ONE,
        ((1, "ack"), (1, "done")),
        ((100, "collect"), (150, "waste")),
        _after(300, _cancel(1)),
    ),
    Case(
        "rest",
        ((1, 100.0, 50.0, "collect"), (2, 300.0, 50.0, "recheck")),
        ((1, "ack"), (2, "ack"), (2, "RESTED"), (1, "done")),
        ((100, "collect"), (121, "waste")),
        _after(120, lambda bench: bench.valve.rest(bench.clock.ns)),
    ),
    Case(
        "stop",
        ((1, 100.0, 50.0, "collect"), (2, 300.0, 50.0, "recheck")),
        ((1, "ack"), (2, "ack"), (2, "ESTOP"), (1, "done")),
        ((100, "collect"), (121, "waste")),
        _after(120, lambda bench: bench.valve.stop(bench.clock.ns)),
    ),
    Case(
        "the host is held up a little",
        ONE,
        ((1, "ack"), (1, "done")),
        ((107, "collect"), (150, "waste")),
        _after(90, lambda bench: bench.stall(17)),
    ),
    Case(
        "the host is held up for too long",
        ONE,
        ((1, "ack"), (1, "LATE")),
        (),
        _after(90, lambda bench: bench.stall(19)),
    ),
    Case(
        "the host is held up until all is over",
        ((1, 100.0, 5.0, "collect"),),
        ((1, "ack"), (1, "LATE")),
        (),
        _after(98, lambda bench: bench.stall(8)),
    ),
    Case(
        "held up while open: the outlet stood open for the next one too",
        UNION,
        ((1, "ack"), (2, "ack"), (1, "done"), (2, "done")),
        ((100, "collect"), (200, "waste")),
        _after(130, lambda bench: bench.stall(60)),
    ),
    Case(
        "held up over the end of one and the beginning of the next",
        ((1, 100.0, 50.0, "collect"), (2, 180.0, 50.0, "collect")),
        ((1, "ack"), (2, "ack"), (2, "LATE"), (1, "done")),
        ((100, "collect"), (200, "waste")),
        _after(130, lambda bench: bench.stall(70)),
    ),
    Case(
        "closes that do nothing are said again",
        ONE,
        ((1, "ack"), (1, "done")),
        ((100, "collect"), (250, "waste")),
        faults=(("ignored_closes", 2),),
    ),
    Case(
        "one that can't be asked is told three times",
        ONE,
        ((1, "ack"), (1, "done")),
        ((100, "collect"), (250, "waste")),
        faults=(("blind", True), ("ignored_closes", 2)),
    ),
    Case(
        "and then now and then, for ever",
        ONE,
        ((1, "ack"), (1, "done")),
        ((100, "collect"), (450, "waste")),
        faults=(("blind", True), ("ignored_closes", 3)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_openings(case: Case) -> None:
    faults = dict(case.faults)
    blind = faults.pop("blind", False)
    bench = TextBench(strings(BLIND) if blind else None, **faults).armed()
    for one, after_ms, length_ms, outlet in case.asked:
        bench.send(one, after_ms, length_ms, outlet)
    case.then(bench)
    assert tuple(bench.fates()) == case.fates
    assert [outlet for _, outlet in bench.moves()] == [outlet for _, outlet in case.moves]
    for (moved_ms, _), (planned_ms, _) in zip(bench.moves(), case.moves, strict=True):
        # The close and the open of a change of outlets share the wire.
        assert planned_ms <= moved_ms <= planned_ms + 2 * REACH_MS
    assert bench.valve.unsettled == 0


def test_what_is_reported_is_when_it_was_told() -> None:
    bench = TextBench().armed()
    asked = bench.send(1, 100.25, 50)
    bench.run(300)
    _, done = bench.events
    assert isinstance(done, Executed)
    assert asked.open_us <= done.opened_us <= asked.open_us + 1_000
    assert asked.close_us <= done.closed_us <= asked.close_us + 1_000


def test_a_close_that_comes_late_is_counted() -> None:
    bench = TextBench().armed()
    bench.send(1, 50, 50)
    bench.run(60)
    bench.stall(100)
    assert (bench.valve.counters.opened, bench.valve.counters.closed_late) == (1, 1)
    assert 59_000 <= bench.valve.counters.worst_late_us <= 60_000


WRONG = {
    "an outlet that it lacks": (Command(1, "best", 10**12, 10**12 + 1), "no outlet 'best'"),
    "the rest outlet": (Command(1, "waste", 10**12, 10**12 + 1), "no outlet 'waste'"),
    "no length": (Command(1, "collect", 10**12, 10**12), "out of range"),
    "too long": (Command(1, "collect", 10**12, 10**12 + 5_000_001), "out of range"),
    "no id": (Command(0, "collect", 10**12, 10**12 + 1), "Count ids upwards"),
    "an id beyond 32 bits": (Command(1 << 32, "collect", 10**12, 10**12 + 1), "Count ids upwards"),
}


@pytest.mark.parametrize(("command", "says"), WRONG.values(), ids=WRONG)
def test_commands_that_no_box_can_take(command: Command, says: str) -> None:
    bench = TextBench().armed()
    with pytest.raises(DispenserError, match=says):
        bench.valve.send(command, bench.clock.ns)


def test_an_id_never_acts_twice() -> None:
    bench = TextBench().armed()
    bench.send(7, 50, 20)
    for used in (7, 3):
        with pytest.raises(DispenserError, match="used before"):
            bench.send(used, 200, 20)
    bench.run(400)
    assert bench.fates() == [(7, "ack"), (7, "done")]


def test_the_queue_is_bounded() -> None:
    bench = TextBench().armed()
    for one in range(1, QUEUE + 2):
        bench.send(one, 100 + one, 50)
    bench.run(1)
    assert bench.fates()[-1] == (QUEUE + 1, "FULL")
    assert bench.valve.unsettled == QUEUE


# -- anything at all ----------------------------------------------------------------------


acts = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 120), st.integers(1, 120), st.booleans()),
    st.tuples(st.just("run"), st.integers(1, 150), st.just(0), st.just(False)),
    st.tuples(st.just("stall"), st.integers(1, 90), st.just(0), st.just(False)),
    st.tuples(st.just("cancel"), st.integers(1, 12), st.just(0), st.just(False)),
    st.tuples(st.just("rest"), st.just(0), st.just(0), st.just(False)),
    st.tuples(st.just("stop"), st.just(0), st.just(0), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(acts, max_size=25), st.booleans())
def test_whatever_is_asked_it_opens_in_time_or_not_at_all_and_closes_when_it_is_told(
    script: list[tuple[str, int, int, bool]], asks: bool
) -> None:
    kept = strings(COLLECT if asks else BLIND, RECHECK, silent_ms=100, check_ms=30)
    bench = TextBench(kept).armed()
    sent: list[Command] = []
    quiet: list[tuple[float, float]] = []
    stopped_ms: float | None = None
    for verb, a, b, flag in script:
        now_ms = (bench.clock.ns - bench.start_ns) / MS
        if verb == "send":
            sent.append(bench.send(len(sent) + 1, a, b, "recheck" if flag else "collect"))
        elif verb == "run":
            bench.run(a)
        elif verb == "stall":
            bench.stall(a)
        elif verb == "cancel":
            bench.valve.cancel(a, bench.clock.ns)
        elif verb == "rest":
            bench.valve.rest(bench.clock.ns)
        elif flag and stopped_ms is not None:
            quiet.append((stopped_ms, now_ms))
            stopped_ms = None
            bench.valve.arm()
        else:
            bench.valve.stop(bench.clock.ns)
            stopped_ms = now_ms if stopped_ms is None else stopped_ms
    bench.run(400)
    if stopped_ms is not None:
        quiet.append((stopped_ms, float("inf")))
    _check_fates(bench, sent)
    _check_gate(bench, sent, quiet)


def _check_fates(bench: TextBench, sent: list[Command]) -> None:
    fates = bench.fates()
    for command in sent:
        words = [word for one, word in fates if one == command.id]
        assert len(words) == (2 if words[0] == "ack" else 1)
        assert (words[0] == "ack") == (len(words) == 2)
    assert bench.valve.unsettled == 0


def _check_gate(bench: TextBench, sent: list[Command], quiet: list[tuple[float, float]]) -> None:
    done = {one.id: one for one in bench.events if isinstance(one, Executed)}
    moves = bench.moves()
    # What waits on the wire before an open string, that string, and the one that closes.
    reach_ms = bench.kept.late_ms + 2 * REACH_MS
    for at_ms, outlet in moves:
        if outlet == "waste":
            continue
        # Opened in time for somebody whom the driver says it opened for.
        lags = [
            at_ms - _ms(bench, command.open_us)
            for command in sent
            if command.outlet == outlet and command.id in done
        ]
        assert any(0 <= lag <= reach_ms for lag in lags)
        # Its string may be on the wire when the stop comes, and no later.
        assert not [1 for start, end in quiet if start + reach_ms < at_ms < end]
    # Never open for longer than the driver says, but for the wire.
    for (from_ms, outlet), (to_ms, _) in pairwise(moves):
        if outlet != "waste":
            told = [
                _ms(bench, done[command.id].closed_us)
                for command in sent
                if command.outlet == outlet and command.id in done
            ]
            assert any(from_ms - reach_ms < one <= to_ms for one in told)
            assert any(to_ms - reach_ms <= one for one in told)
    assert not moves or moves[-1][1] == "waste"


def _ms(bench: TextBench, host_us: int) -> float:
    return (host_us * 1_000 - bench.start_ns) / MS


# -- a real port --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_over_a_pseudo_terminal(tmp_path: Path) -> None:
    # A busy machine may hold the test up for seconds; that is not what is tested here.
    kept = strings(timing_error_ms=500, late_ms=500, silent_ms=1_000, connect_ms=20_000)
    log, clock = tmp_path / "gate.jsonl", MonotonicClock()
    device = SimTextValveSettings(strings=kept, gate_log=log)
    with start_simulated_dispenser(device) as box:
        link = SerialLink(SerialLinkSettings(port=box.url, baud=9_600))
        with closing(TextValve(link, clock, kept)) as valve:
            assert valve.connect()["outlets"] == ("waste", "collect", "recheck")
            valve.arm()
            open_us = valve.to_device_us(clock.now_ns() + 100 * MS)
            valve.send(Command(1, "collect", open_us, open_us + 40_000), clock.now_ns())
            events: list[DispenserEvent] = []
            end_ns = clock.now_ns() + 10_000 * MS
            while len(events) < 2 and clock.now_ns() < end_ns:
                events += valve.step(clock.now_ns())
                clock.wait_until(clock.now_ns() + MS)
    done = events[-1]
    assert isinstance(done, Executed)
    start, opened, closed = read_gate_log(log)
    assert [start.outlet, opened.outlet, closed.outlet] == ["waste", "collect", "waste"]
    assert open_us <= done.opened_us <= opened.t_ns // 1_000
    assert done.opened_us < done.closed_us
    assert opened.effective_ns <= closed.effective_ns
