"""Question and answer, one at a time: retries, interruptions, late and foreign answers."""

from __future__ import annotations

import re

import pytest

from drivers.ne1000_talk import PAUSE, Say, Script, Talk
from drivers.ne1000_wire import Answer, Prompt

ANSWER_NS, TRIES = 100, 3
VALUE = re.compile(r"[0-9.]+")


class Line:
    """What was written, and what is to be read."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.coming = b""

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def read(self) -> bytes:
        data, self.coming = self.coming, b""
        return data

    def close(self) -> None:
        pass


class Bench:
    """A talk, its line, and what its scripts were sent."""

    def __init__(self) -> None:
        self.line = Line()
        self.got: list[Answer | None] = []
        self.alarms: list[str] = []
        self.talk = Talk(self.line, 7, ANSWER_NS, TRIES, self._alarmed)

    def script(self, *says: Say) -> Script:
        for say in says:
            self.got.append((yield say))

    def answer(self, now_ns: int, *bodies: str) -> None:
        self.line.coming = b"".join(b"\x02%b\x03" % one.encode("ascii") for one in bodies)
        self.talk.step(now_ns)

    def _alarmed(self, answer: Answer, now_ns: int) -> None:
        self.alarms.append(answer.alarm)
        self.talk.interrupt(self.script(Say("STP", once=True)), now_ns)


def test_one_question_at_a_time() -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("DIA", VALUE), Say("RUN")), 0)
    assert bench.line.written == [b"07DIA\r"]
    bench.answer(10, "07S26.59")
    assert bench.line.written == [b"07DIA\r", b"07RUN\r"]
    assert not bench.talk.idle
    bench.answer(20, "07I")
    assert bench.talk.idle
    assert bench.got == [Answer(7, Prompt.STOPPED, data="26.59"), Answer(7, Prompt.INFUSING)]
    assert (bench.talk.heard_ns, bench.talk.dirty) == (20, False)


def test_a_lost_question_is_asked_so_often_and_then_given_up() -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("DIA", VALUE)), 0)
    for now_ns in range(0, 1_000, 10):
        bench.talk.step(now_ns)
    assert bench.line.written == [b"07DIA\r"] * TRIES
    assert bench.got == [None]
    assert bench.talk.dirty


@pytest.mark.parametrize(
    ("once", "times", "error"), [(False, TRIES, "NA"), (True, 1, "NA")], ids=["often", "once"]
)
def test_an_error_is_asked_again_unless_it_is_an_answer(once: bool, times: int, error: str) -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("RUN", once=once)), 0)
    for now_ns in range(10, 100, 10):
        bench.answer(now_ns, f"07S?{error}")
    assert bench.line.written == [b"07RUN\r"] * times
    assert bench.got == [Answer(7, Prompt.STOPPED, error=error)]


WRONG = ["08S26.59", "07SINF", "07S", "07Q", "07S26.59\x0207S"]


@pytest.mark.parametrize("body", WRONG)
def test_what_does_not_answer_the_question_is_no_answer(body: str) -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("DIA", VALUE)), 0)
    bench.answer(10, body)
    assert bench.got == []
    bench.talk.step(ANSWER_NS)
    assert bench.line.written == [b"07DIA\r"] * 2
    bench.answer(ANSWER_NS + 10, "07S26.59")
    assert len(bench.got) == 1


def test_an_interruption_is_said_at_once_and_does_not_take_the_answer_before_its_own() -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("DIS", VALUE)), 0)
    bench.talk.interrupt(bench.script(Say("STP", once=True)), 5)
    assert bench.line.written == [b"07DIS\r", b"07STP\r"]
    # The answer to DIS; it would do for STP too.
    bench.answer(10, "07P")
    assert bench.got == []
    bench.answer(20, "07S")
    assert bench.got == [Answer(7, Prompt.STOPPED)]


def test_an_interruption_is_said_again_once_when_the_pump_still_runs() -> None:
    bench = Bench()
    bench.talk.begin(bench.script(Say("DIS", VALUE)), 0)
    bench.talk.interrupt(bench.script(Say("STP", once=True)), 5)
    bench.answer(10, "07I1.000")
    assert bench.line.written == [b"07DIS\r", b"07STP\r", b"07STP\r"]
    # The first of the two was not heard, or was: neither answer before the last counts.
    bench.answer(20, "07I")
    assert len(bench.line.written) == 3
    bench.answer(30, "07P")
    assert bench.got == [Answer(7, Prompt.PAUSED)]


def test_what_comes_in_a_pause_is_dropped_and_the_line_is_clean_after_it() -> None:
    bench = Bench()
    bench.talk.begin(bench.script(PAUSE, Say("RUN")), 0)
    bench.answer(10, "07S")
    assert bench.talk.dirty
    bench.talk.step(ANSWER_NS)
    assert (bench.got, bench.talk.dirty) == ([None], False)
    assert bench.line.written == [b"07RUN\r"]


def test_what_comes_unasked_is_noticed() -> None:
    bench = Bench()
    bench.answer(10, "07S")
    assert bench.talk.dirty
    assert bench.talk.idle


@pytest.mark.parametrize("asked", [True, False])
def test_an_alarm_is_passed_on_whenever_it_comes(asked: bool) -> None:
    bench = Bench()
    if asked:
        bench.talk.begin(bench.script(Say("RUN")), 0)
    bench.answer(10, "07A?S")
    assert bench.alarms == ["S"]
    assert bench.line.written[-1] == b"07STP\r"
    bench.answer(20, "07S?NA")
    assert bench.got == [Answer(7, Prompt.STOPPED, error="NA")]


def test_what_a_script_raises_comes_out_of_the_step() -> None:
    def script() -> Script:
        yield Say("RUN")
        raise KeyError

    bench = Bench()
    bench.talk.begin(script(), 0)
    with pytest.raises(KeyError):
        bench.answer(10, "07I")
    assert bench.talk.idle
