"""Edges that do not wait for the loop: a board whose loop is held up and whose alarm is not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.firmware.alarm import FROZEN_US, Alarm
from drivers.protocol import frame
from tests.drivers.alarm_board import AlarmBoard
from tests.drivers.dialogues import OUTLETS, SteppedBoard


def edges_of(board: SteppedBoard) -> list[tuple[int, str]]:
    """What the gate did: time, outlet."""
    moves = [one.split() for one in board.events if " gate " in one]
    return [(int(time), outlet) for time, _, outlet in moves]


def test_what_is_due_is_moved_once_and_told_in_order() -> None:
    moved: list[int] = []
    alarm = Alarm(moved.append, lambda one, other: one - other)
    assert alarm.fire(0) == -1
    alarm.add(100, 1)
    alarm.add(150, 0)
    assert (alarm.fire(40), moved) == (60, [])
    assert (alarm.fire(103), moved) == (47, [1])
    assert alarm.ahead()
    assert (alarm.take(), alarm.take()) == (103, -1)
    assert not alarm.ahead()
    assert alarm.left()
    assert (alarm.fire(150), moved) == (-1, [1, 0])
    assert alarm.take() == 150
    assert not alarm.left()


def test_of_what_is_due_at_once_only_the_last_is_switched() -> None:
    moved: list[int] = []
    alarm = Alarm(moved.append, lambda one, other: one - other)
    alarm.add(100, 1)
    alarm.add(150, 0)
    assert (alarm.fire(160), moved) == (-1, [0])
    assert (alarm.take(), alarm.take(), alarm.take()) == (160, 160, -1)


def test_an_opening_wholly_in_the_past_never_opens() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} 0003E8")
    board.events.clear()
    board.core.step()
    board.rings_us = 12_000
    board.stall(20_000)
    board.core.step()
    assert edges_of(board) == []
    assert [one.split("< ")[1] for one in board.events if " < " in one] == ["N 0001 1 MISSED"]


def test_an_open_gate_closes_in_time_though_a_line_came_and_the_loop_is_held_up() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} {150_000:06X}")
    board.events.clear()
    board.run_to(50_000)
    board.core.feed(frame("PING 5EED0001 0003"))
    board.core.step()
    board.stall(200_000)
    board.core.step()
    assert edges_of(board) == [(10_000, "collect"), (160_000, "waste")]


def test_while_the_loop_looks_the_alarm_waits() -> None:
    moved: list[int] = []
    alarm = Alarm(moved.append, lambda one, other: one - other)
    alarm.add(100, 1)
    alarm.frozen = True
    assert (alarm.fire(100), moved) == (FROZEN_US, [])
    alarm.frozen = False
    assert (alarm.fire(120), moved) == (-1, [1])


def test_an_alarm_that_rings_late_does_not_undo_what_the_loop_did() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} 002710")
    board.events.clear()
    board.core.step()
    # Nothing rings: the loop comes by after the opening's begin.
    board.passed_us = 12_000
    board.core.step()
    board.rings_us = 12_100
    board.stall(20_000)
    board.core.step()
    assert edges_of(board) == [(12_000, "collect"), (20_000, "waste")]


@pytest.mark.parametrize("end", ["drop", "cut"])
def test_a_plan_that_was_taken_back_moves_nothing(end: str) -> None:
    moved: list[int] = []
    alarm = Alarm(moved.append, lambda one, other: one - other)
    alarm.add(100, 1)
    alarm.add(200, 0)
    alarm.fire(100)
    getattr(alarm, end)()
    assert (alarm.fire(300), moved) == (-1, [1])
    # What was moved before a stop can still be told.
    assert alarm.take() == (100 if end == "cut" else -1)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(OUTLETS[1:]), st.integers(0, 60_000), st.integers(20_000, 90_000)
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.integers(1, 15_000), min_size=1, max_size=20),
)
def test_the_gate_moves_in_time_though_the_loop_is_late(
    start_us: int, asked: list[tuple[str, int, int]], stalls: list[int]
) -> None:
    """Edges are exact to the microsecond, and so are the reports, whenever the loop comes by."""
    board = AlarmBoard(start_us)
    board.arm(watchdog="2710")
    wanted: list[tuple[int, str]] = []
    at_us = 30_000
    for one, (outlet, gap_us, length_us) in enumerate(asked, 1):
        at_us += gap_us + 20_000
        line = f"O 5EED0001 {one:X} {outlet} {board.time(at_us)} {length_us:06X}"
        assert board.say(line) == [f"A 0001 {one:X}"]
        wanted += [(at_us, outlet), (at_us + length_us, "waste")]
        at_us += length_us
    board.events.clear()
    place = 0
    while board.passed_us < at_us + 50_000:
        board.core.step()
        board.stall(stalls[place % len(stalls)])
        place += 1
    board.core.step()
    assert edges_of(board) == wanted
    reports = [one.split()[4:] for one in board.events if " < E " in one]
    ends = [(f"{int(number, 16)}", opened, length) for number, opened, length in reports]
    first = list(dict.fromkeys(ends))
    assert [(opened, int(length, 16)) for _, opened, length in first] == [
        (board.time(one[0]), two[0] - one[0]) for one, two in list(pairwise(wanted))[::2]
    ]


def test_a_stop_in_a_stall_wins_and_is_told_as_it_was() -> None:
    board = AlarmBoard()
    board.arm(flow=True)
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} 00C350")
    board.say(f"O 5EED0001 2 recheck {board.time(60_000)} 00C350")
    board.events.clear()
    board.core.step()
    board.stall(12_000)
    board.press()
    board.stall(100_000)
    board.core.step()
    assert edges_of(board) == [(10_000, "collect"), (12_000, "waste")]
    lines = [one.split(" ", 2)[2] for one in board.events if " < " in one]
    assert lines[0].startswith(f"E 0001 1 {board.time(10_000)} ")
    assert lines[1:3] == ["N 0001 2 ESTOP", "S 0001 0000 - PIN 1"]


def test_nothing_is_left_to_the_alarm_from_the_watchdog_on() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(990_000)} 002328")
    board.say(f"O 5EED0001 2 collect {board.time(1_000_000)} 00C350")
    board.run_to(985_000)
    board.events.clear()
    board.core.step()
    board.stall(100_000)
    assert edges_of(board) == [(990_000, "collect"), (999_000, "waste")]
    board.core.step()
    assert edges_of(board) == [(990_000, "collect"), (999_000, "waste")]


def test_a_line_takes_the_plan_back() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} 00C350")
    board.events.clear()
    board.core.step()
    board.core.feed(frame("CANCEL 5EED0001 1"))
    board.stall(50_000)
    board.core.step()
    assert edges_of(board) == []
    assert board.events[0].endswith("< N 0001 1 CANCELLED")


def test_an_opening_that_the_alarm_made_is_ended_by_a_line() -> None:
    board = AlarmBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(10_000)} 00C350")
    board.events.clear()
    board.core.step()
    board.stall(15_000)
    board.core.feed(frame("REST 5EED0001 0003"))
    assert edges_of(board) == [(10_000, "collect"), (15_000, "waste")]
    assert f"15000 < E 0001 1 {board.time(10_000)} {5_000:06X}" in board.events
