"""What the answers of a box prove: closed for sure only when they are about this closing."""

from __future__ import annotations

import pytest

from drivers.text_valve_settings import TextOutlet
from drivers.valve_closing import ValveClosing
from sorter.errors import DispenserError
from tests.drivers.text_bench import BLIND, COLLECT, RECHECK, strings
from tests.drivers.virtual_time import MS


def _closing(*outlets: TextOutlet) -> ValveClosing:
    return ValveClosing(strings(*(outlets or (COLLECT,))))


def test_an_answer_proves_it() -> None:
    closing = _closing()
    assert closing.close(["collect"], 0) == b"C1\n?1\n"
    assert not closing.sure
    closing.take(b"0\r\n", 5 * MS)
    assert closing.sure
    assert closing.answer_ns == 5 * MS


def test_it_is_said_and_asked_again_until_then() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    said = [closing.due(at_ms * MS, None, calm=False) for at_ms in (49, 50, 60, 100)]
    assert said == [b"", b"C1\n?1\n", b"", b"C1\n?1\n"]
    assert closing.repeats == 2


def test_the_answer_to_a_question_from_before_an_opening_proves_nothing() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    assert closing.open("collect", 0) == b"O1\n"
    # Its close is lost; the answer from before comes late.
    assert closing.close(["collect"], 40 * MS) == b"C1\n?1\n"
    closing.take(b"0\n", 45 * MS)
    assert not closing.sure
    closing.take(b"1\n", 50 * MS)
    assert not closing.sure
    closing.due(90 * MS, None, calm=True)
    closing.take(b"0\n", 95 * MS)
    assert closing.sure


def test_a_lost_answer_makes_the_proof_come_later_never_sooner() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    closing.open("collect", 0)
    closing.close(["collect"], 40 * MS)
    closing.take(b"0\n", 45 * MS)  # in truth the second one's: the first got lost
    assert not closing.sure
    closing.due(90 * MS, None, calm=True)
    closing.take(b"0\n", 95 * MS)  # taken for the second one's
    assert closing.sure


def test_answers_are_about_the_outlet_that_was_asked_about() -> None:
    closing = _closing(COLLECT, RECHECK)
    closing.close(["collect"], 0)
    closing.close(["recheck"], 0)
    closing.take(b"0\n", 5 * MS)
    assert not closing.sure
    closing.take(b"1\n", 6 * MS)
    assert not closing.sure
    closing.due(50 * MS, None, calm=True)
    closing.take(b"0\n", 55 * MS)
    assert closing.sure


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (b"0\n", True),
        (b"\r\n 0 \r\n", True),
        (b"ok\n?1\nC1\n0\n", True),
        (b"0", False),
        (b"00\n", False),
        (b"\xff\n", False),
        (b"x" * 1_000 + b"0\n", False),
        (b"", False),
    ],
)
def test_an_answer_is_a_whole_line(data: bytes, counts: bool) -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    closing.take(data, MS)
    assert closing.sure is counts


def test_a_line_may_come_in_pieces() -> None:
    closing = ValveClosing(strings(COLLECT.model_copy(update={"closed": "shut"})))
    closing.close(["collect"], 0)
    for piece in (b"s", b"hu", b"t", b"\n"):
        assert not closing.sure
        closing.take(piece, MS)
    assert closing.sure


def test_an_answer_to_nothing_is_only_counted() -> None:
    closing = _closing()
    closing.take(b"0\n", 0)
    assert closing.unasked == 1
    assert not closing.sure


def test_once_sure_it_is_asked_now_and_then_but_not_while_something_is_to_open() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    closing.take(b"0\n", 0)
    assert closing.due(199 * MS, None, calm=True) == b""
    assert closing.due(200 * MS, None, calm=False) == b""
    assert closing.due(200 * MS, None, calm=True) == b"?1\n"
    closing.take(b"1\n", 205 * MS)
    assert (closing.strays, closing.sure) == (1, False)
    assert closing.due(205 * MS, None, calm=False) == b"C1\n?1\n"


def test_without_a_query_three_times_is_enough_and_then_now_and_then() -> None:
    closing = _closing(BLIND)
    assert not closing.asks
    assert closing.close(["collect"], 0) == b"C1\n"
    said = [closing.due(at_ms * MS, None, calm=True) for at_ms in (50, 100, 150, 299, 300, 500)]
    assert said == [b"C1\n", b"C1\n", b"", b"", b"C1\n", b"C1\n"]
    assert closing.sure
    closing.check()


def test_questions_come_after_all_that_closes() -> None:
    closing = _closing(COLLECT, RECHECK)
    assert closing.close(["recheck", "collect"], 0) == b"C2\nC1\n?2\n?1\n"


def test_while_one_is_open_the_others_are_told_but_not_asked() -> None:
    closing = _closing(COLLECT, RECHECK)
    closing.close(["collect"], 0, ask=False)
    closing.open("recheck", 0)
    assert closing.due(50 * MS, "recheck", calm=False) == b"C1\n"


def test_the_one_that_is_open_is_asked_about_now_and_then() -> None:
    closing = _closing()
    closing.open("collect", 0)
    assert closing.due(199 * MS, "collect", calm=True) == b""
    assert closing.due(200 * MS, "collect", calm=False) == b""
    assert closing.due(201 * MS, "collect", calm=True) == b"?1\n"
    closing.take(b"1\n", 205 * MS)
    assert closing.missed == 0
    assert closing.due(401 * MS, "collect", calm=True) == b"?1\n"
    closing.take(b"0\n", 405 * MS)
    assert closing.missed == 1
    assert not closing.sure


def test_that_it_was_open_while_it_was_to_be_open_proves_nothing_later() -> None:
    closing = _closing()
    closing.open("collect", 0)
    closing.due(200 * MS, "collect", calm=True)
    closing.close(["collect"], 205 * MS)
    closing.take(b"1\n", 206 * MS)
    assert not closing.sure
    closing.take(b"0\n", 210 * MS)
    assert closing.sure


def test_silence_is_several_questions_without_an_answer() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    assert closing.silent_ns(5_000 * MS) == 0
    closing.due(50 * MS, None, calm=True)
    closing.due(100 * MS, None, calm=True)
    assert closing.silent_ns(900 * MS) == 900 * MS
    closing.take(b"1\n", 900 * MS)
    assert closing.silent_ns(901 * MS) == 0


def test_a_box_that_says_that_it_is_open_is_a_fault_in_the_end() -> None:
    closing = _closing()
    closing.close(["collect"], 0)
    for at_ms in range(1, 1_000):
        if closing.due(at_ms * MS, None, calm=True):
            closing.take(b"1\n", at_ms * MS)
        closing.check()
    closing.due(1_000 * MS, None, calm=True)
    with pytest.raises(DispenserError, match="told to close 21 times in 1050 ms"):
        closing.check()
