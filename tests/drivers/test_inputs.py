"""Pulses, passages and the LED of the firmware, beyond what the dialogues show."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.firmware.inputs import PASSAGES, Inputs
from drivers.protocol import Passage, decode_from_device, frame
from tests.drivers.dialogues import SteppedBoard


def _passages(board: SteppedBoard) -> list[Passage]:
    """All that were told of, in order."""
    lines = [one.split(" < ")[1] for one in board.events if " < G " in one]
    said = [decode_from_device(frame(line)[:-1]) for line in lines]
    return [one for one in said if isinstance(one, Passage)]


def test_the_oldest_passage_is_dropped_and_its_number_left_out() -> None:
    board = SteppedBoard()
    board.say("HELLO 5EED0001 2 3E8")
    board.passed_us = 1_100_000
    board.core.step()
    for one in range(PASSAGES + 3):
        board.core.dark(1, one, 100 + one)
    board.say("PING 5EED0001 0001")
    board.core.step()
    came = _passages(board)
    assert [one.seq for one in came] == list(range(4, PASSAGES + 4))
    assert [one.begun_us for one in came] == list(range(3, PASSAGES + 3))
    assert [one.length_us for one in came] == list(range(103, PASSAGES + 103))


def test_old_passages_come_a_few_at_a_time() -> None:
    board = SteppedBoard()
    board.say("HELLO 5EED0001 2 3E8")
    for _ in range(10):
        board.core.dark(0, 0, 100)
    board.run_to(900_000)
    times = [int(one.split()[0]) for one in board.events if " < G " in one]
    assert times[:18] == [0] * 10 + [250_000] * 4 + [300_000] * 4
    assert times[18:20] == [350_000] * 2


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("dark"), st.integers(1, 40)),
            st.tuples(st.just("seen"), st.integers(1, 60)),
            st.tuples(st.just("wait"), st.integers(0, 400)),
        ),
        max_size=40,
    )
)
def test_every_passage_is_told_until_it_is_seen_or_dropped(steps: list[tuple[str, int]]) -> None:
    """Against the set of what is kept: all of it is told again within what the page allows."""
    board = SteppedBoard(0xFFFFFFFF - 500_000)
    board.say("HELLO 5EED0001 2 2710")
    last = 0
    kept: set[int] = set()
    for what, count in steps:
        if what == "dark":
            for _ in range(count):
                last += 1
                kept = {one for one in kept | {last} if one > last - PASSAGES}
                board.core.dark(1, 0, 100)
            board.core.step()
        elif what == "seen":
            board.say(f"SEEN 5EED0001 {count:X}")
            kept = {one for one in kept if one > count or count > last}
        else:
            board.run_to(board.passed_us + count * 1_000)
    told = {one.seq for one in _passages(board)}
    assert kept <= told
    if len(kept) <= 20:
        board.events.clear()
        board.run_to(board.passed_us + 600_000)
        assert {one.seq for one in _passages(board)} == kept
    board.say(f"SEEN 5EED0001 {last or 1:X}")
    board.events.clear()
    board.run_to(board.passed_us + 600_000)
    assert not _passages(board)


def test_the_count_of_pulses_wraps() -> None:
    inputs = Inputs()
    inputs.pulses = 0xFFFFFFFF
    inputs.pulse(2**32 + 7)
    assert (inputs.pulses, inputs.last_us) == (0, 7)


@settings(deadline=None)
@given(st.integers(0, 2**30 - 1), st.integers(0, 2**29 - 1), st.sampled_from([20, 30, 32]))
def test_a_reading_of_the_counter_becomes_device_time(start: int, ago: int, bits: int) -> None:
    ago %= 1 << (bits - 1)
    board = SteppedBoard(start % (1 << bits), bits)
    board.passed_us = ago
    board.core.step()
    reading = (board.ticks_us() - ago) % (1 << bits)
    now = int(board.say("STATUS 00000000")[0].split()[2], 16)
    assert (now - board.core.device_us(reading)) % 2**32 == ago


def test_a_board_that_was_held_up_lights_what_is_left_or_nothing() -> None:
    for late_us, lights in ((1_500, ["led on"]), (2_000, []), (9_000, [])):
        board = SteppedBoard()
        board.arm()
        board.say(f"LED 5EED0001 0003 {board.time(1_000)} 0003E8")
        board.events.clear()
        board.passed_us = late_us
        board.core.step()
        assert [one.split(" ", 1)[1] for one in board.events] == lights
        board.run_to(20_000)
        assert board.events[-1:] == (["2000 led off"] if lights else [])
