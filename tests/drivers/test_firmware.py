"""The firmware's commands, sessions and lines, on a board whose counter is set from outside."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.firmware
from drivers.conformance import CASES
from drivers.conformance.dialogue import HELLO, Dialogue, documented, play
from drivers.firmware.openings import since
from drivers.firmware.wire import crc16, number, sooner
from drivers.protocol import Open, decode_from_host, encode, frame
from tests.drivers.dialogues import OUTLETS, SteppedBoard

PROTOCOL = Path(drivers.firmware.__file__).parents[1] / "PROTOCOL.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conformance(case: Dialogue) -> None:
    expected, came = play(case, SteppedBoard(case.start_us))
    assert came == expected


class BehindALink(SteppedBoard):
    """The same device, of which only the bytes are seen: how a real one is played with."""

    sees: tuple[str, ...] = ("<",)


@pytest.mark.parametrize(
    "case", [one for one in CASES if not one.needs()], ids=lambda one: one.name
)
def test_conformance_by_bytes_alone(case: Dialogue) -> None:
    expected, came = play(case, BehindALink(case.start_us))
    assert came == expected
    assert all(" < " in line for line in expected)


def test_the_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("one", "other", "first"), [(-1, -1, -1), (-1, 3, 3), (3, -1, 3), (4, 3, 3)]
)
def test_the_sooner_wait(one: int, other: int, first: int) -> None:
    assert sooner(one, other) == first


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_time_differences_wrap(time_us: int, difference_us: int) -> None:
    assert since((time_us + difference_us) % 2**32, time_us) == difference_us


def test_crc_is_the_published_one() -> None:
    assert crc16(b"123456789") == 0x29B1


@settings(deadline=None)
@given(st.text("0123456789ABCDEFabcdef _-", max_size=10), st.sampled_from([0, 4, 6, 8]))
def test_numbers_are_canonical(text: str, width: int) -> None:
    form = f"[0-9A-F]{{{width}}}" if width else "0|[1-9A-F][0-9A-F]{0,7}"
    expected = int(text, 16) if re.fullmatch(form, text) else -1
    assert number(text.encode(), width) == expected


@pytest.mark.parametrize("ticks_bits", [20, 30, 32])
def test_the_counter_may_wrap_at_any_power_of_two(ticks_bits: int) -> None:
    board = SteppedBoard((1 << ticks_bits) - 50_000, ticks_bits)
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(100_000)} 004E20")
    board.run_to(120_000)
    assert board.events[1:] == [
        "100000 gate collect",
        "120000 gate waste",
        f"120000 < E 0001 1 {board.time(100_000)} 004E20",
    ]


def test_a_stalled_board_never_opens_after_the_end() -> None:
    board = SteppedBoard()
    board.arm()
    board.say(f"O 5EED0001 1 collect {board.time(1_000)} 0003E8")
    board.events.clear()
    board.passed_us = 2_000
    board.core.step()
    assert board.events == ["2000 < N 0001 1 MISSED"]


def test_a_counter_that_jumps_back_while_it_is_open_makes_no_line_of_its_own() -> None:
    board = SteppedBoard()
    board.arm()
    board.say(f"O 5EED0001 7 collect {board.time(1_000)} 00C350")
    board.run_to(2_000)
    assert board.events[-1] == "1000 gate collect"
    board.start_us -= 500_000
    (report,) = [line for line in board.say("REST 5EED0001 0003") if line.startswith("E ")]
    assert report.endswith(" 000000")


def test_a_gate_that_is_open_when_the_counter_jumps_back_closes_and_nothing_opens_after() -> None:
    board = SteppedBoard()
    board.arm()
    board.say(f"O 5EED0001 7 collect {board.time(1_000)} 00C350")
    board.say(f"O 5EED0001 8 collect {board.time(80_000)} 00C350")
    board.run_to(2_000)
    board.events.clear()
    board.start_us -= 50_000_000
    board.run_to(2_000)
    assert board.events == [
        "2000 gate waste",
        f"2000 < E 0001 7 {board.time(50_001_000)} 000000",
        "2000 < N 0001 8 MISSED",
    ]


def test_an_order_that_comes_late_moves_no_pump_though_the_counter_jumped_back() -> None:
    board = SteppedBoard()
    board.arm()
    board.say("HOLD 5EED0001 0018")
    board.start_us -= 100
    board.events.clear()
    board.say("FLOW 5EED0001 0016")
    assert not [line for line in board.events if "pump flows" in line]


def test_what_no_line_feed_ends_is_bounded() -> None:
    board = SteppedBoard()
    board.core.feed(b"x" * 10_000 + b"\n")
    assert board.events == ["0 < N 0000 0 CRC"]
    assert board.say("PING 5EED0001 0001") == ["N 0001 0 SESSION"]


def test_an_id_that_was_forgotten_is_refused_for_ever() -> None:
    board = SteppedBoard(queue=2)
    board.arm()
    late = board.time(0)
    for one in range(1, 7):
        assert board.say(f"O 5EED0001 {one:X} collect {late} 004E20") == [f"N 0001 {one:X} LATE"]
    soon = board.time(1_000)
    assert board.say(f"O 5EED0001 2 collect {soon} 004E20") == ["N 0001 2 OLD"]
    assert board.say("CANCEL 5EED0001 1") == ["N 0001 1 OLD"]
    # 3 is still remembered, with what was asked under it.
    assert board.say(f"O 5EED0001 3 collect {soon} 004E20") == ["N 0001 3 DUPLICATE"]
    assert board.say(f"O 5EED0001 7 collect {soon} 004E20") == ["A 0001 7"]


def test_a_nonce_that_was_used_opens_no_session() -> None:
    board = SteppedBoard()
    for nonce in range(1, 6):
        assert board.say(f"HELLO {nonce:08X} 2 3E8")[0].startswith("READY")
    for nonce in range(1, 5):
        assert board.say(f"HELLO {nonce:08X} 2 3E8") == [f"N {nonce:04X} 0 SESSION"]


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(
            st.integers(1, 12),
            st.sampled_from(OUTLETS[1:]),
            st.integers(-20_000, 400_000),
            st.integers(0, 150_000),
            st.integers(0, 60_000),
        ),
        max_size=30,
    ),
)
def test_the_gate_is_the_union_of_what_was_accepted(
    start_us: int, asked: list[tuple[int, str, int, int, int]]
) -> None:
    """Against a set of intervals kept here: no id acts twice, none late, none against another."""
    board = SteppedBoard(start_us, queue=8)
    board.arm(watchdog="2710")
    accepted: dict[int, tuple[str, int, int]] = {}
    asked_before: dict[int, tuple[str, int, int]] = {}
    for one, outlet, ahead_us, length_us, pause_us in asked:
        now_us = board.passed_us
        what = (outlet, now_us + ahead_us, length_us)
        what = asked_before.get(one, what) if pause_us % 2 else what
        line = f"O 5EED0001 {one:X} {what[0]} {board.time(what[1])} {what[2]:06X}"
        if board.say(line) == [f"A 0001 {one:X}"] and one not in accepted:
            assert what[1] > now_us
            accepted[one] = (what[0], what[1], what[1] + what[2])
        asked_before.setdefault(one, what)
        board.run_to(now_us + pause_us)
    board.run_to(board.passed_us + 600_000)
    moves = [one.split() for one in board.events if " gate " in one]
    edges = [(0, "waste"), *((int(time), outlet) for time, _, outlet in moves)]
    ends = sorted({end for _, start, stop in accepted.values() for end in (start, stop)})
    for time_us in [one + nudge for one in ends for nudge in (-1, 0, 1)]:
        covering = {outlet for outlet, start, stop in accepted.values() if start <= time_us < stop}
        assert len(covering) <= 1
        stands = [outlet for edge_us, outlet in edges if edge_us <= time_us][-1]
        assert stands == (covering.pop() if covering else "waste")
    assert all(one[1] != two[1] for one, two in pairwise(edges))
    reported = {int(one.split()[4], 16) for one in board.events if " < E " in one}
    assert reported == set(accepted)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_flipped_bits_never_act(data: st.DataObject) -> None:
    board = SteppedBoard()
    board.arm()
    line = bytearray(encode(Open(0x5EED0001, 1, "collect", board.start_us + 1_000, 20_000)))
    bits = data.draw(st.sets(st.integers(0, 8 * len(line) - 1), min_size=1, max_size=3))
    for bit in bits:
        line[bit // 8] ^= 1 << (bit % 8)
    board.core.feed(bytes(line) + b"\n")
    board.run_to(100_000)
    assert not [one for one in board.events if "gate" in one or " A " in one]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_survived(noise: bytes) -> None:
    board = SteppedBoard()
    board.core.feed(noise + b"\n")
    assert board.say("HELLO 5EED0001 2 3E8")[-1] == HELLO[1][4:].replace("{+0}", board.time(0))


# Words of each kind, such as may stand there and such as may not.
ID = ["1", "FFFFFFFF", "0", "01", "100000000", "1g", "a"]
NUMBER = ["0001", "FFFF", "001", "00001", "abcd"]
TIME = ["00110000", "0110000", "000110000", "0011000a"]
LENGTH = ["004E20", "4E20", "0004E20"]
LINES = {
    "O": [ID, ["collect", "sewer", "A-B"], TIME, LENGTH],
    "D": [ID, ID, ID],
    "CANCEL": [ID],
    "REST": [NUMBER],
    "PING": [NUMBER],
    "STATUS": [],
    "HOLD": [NUMBER],
    "FLOW": [NUMBER],
    "STOP": [NUMBER],
    "RESET": [NUMBER, ["0", "1", "2", "F", "01", "a"]],
    "LINES": [NUMBER, ["00", "07", "FF", "1", "001"]],
    "LED": [NUMBER, TIME, LENGTH],
    "SEEN": [ID],
    "JUMP": [NUMBER],
}


@st.composite
def _payloads(draw: st.DrawFn) -> str:
    """A line of the page, with up to two words changed, and perhaps one lost or doubled."""
    verb = draw(st.sampled_from(sorted(LINES)))
    words = [kind[0] for kind in LINES[verb]]
    for place in draw(st.lists(st.integers(0, 3), max_size=2)):
        if place < len(words):
            words[place] = draw(st.sampled_from(LINES[verb][place]))
    words = [verb, "5EED0001", *words]
    fault = draw(st.sampled_from(["", "", "", "lost", "doubled", "empty"]))
    place = draw(st.integers(2, len(words)))
    if fault == "lost":
        # Not verb or nonce: a word that comes to stand for a nonce is one of another session.
        del words[place : place + 1]
    elif fault == "doubled":
        words.insert(place, words[place - 1])
    elif fault == "empty":
        words.insert(place, "")
    return " ".join(words)


@settings(deadline=None, max_examples=600)
@given(_payloads())
def test_both_parsers_agree_on_what_is_a_line(payload: str) -> None:
    """The host's parser and the firmware's were written apart, from one document."""
    board = SteppedBoard()
    board.arm()
    answers = board.say(payload)
    try:
        decode_from_host(frame(payload)[:-1])
        good = True
    except ValueError:
        good = False
    assert good == (not any(one.endswith(("FORMAT", "CRC")) for one in answers))


def test_the_documents_dialogues_are_true() -> None:
    found = documented(PROTOCOL.read_text(encoding="utf-8"))
    assert len(found) >= 5
    for dialogue in found:
        expected, came = play(dialogue, SteppedBoard(dialogue.start_us))
        assert came == expected, dialogue.name
