"""When a command is said again."""

from __future__ import annotations

from drivers.command_book import CommandBook
from drivers.ports import Command
from hardware_sim.dispenser_model import SimDispenserSettings
from tests.drivers.virtual_time import armed


def test_an_answer_to_a_later_line_says_that_an_earlier_was_lost() -> None:
    book = CommandBook(30, 300, 5)
    for one, at_ns in ((1, 0), (2, 5), (3, 10)):
        book.asked(Command(one, "collect", 100, 200), b"%d" % one, at_ns)
    assert book.due(11) == []
    book.acknowledge(2, 1_000, 12)
    assert book.due(12) == [b"1"]
    # And no other: 3 was written after 2, and answers still come.
    assert book.due(41) == []
    assert book.due(42) == [b"3"]
    # Answered by the first or the second writing, who knows: nothing is concluded for 3.
    book.acknowledge(1, 1_000, 43)
    assert book.due(44) == []


def test_two_hundred_a_second_fit_the_wire() -> None:
    bench = armed(SimDispenserSettings(queue=256))
    for one in range(1, 401):
        bench.send(one, 300, 4)
        bench.run(5)
    bench.run(500)
    assert bench.dispenser.unsettled == 0
    assert sum(word == "done" for _, word in bench.fates()) == 400
    assert bench.dispenser.counters.resent == 0


def test_answers_that_are_slow_do_not_fill_the_wire() -> None:
    bench = armed(SimDispenserSettings(queue=128))
    # 100 commands take the wire half a second: all answers come late, none is lost.
    for one in range(1, 101):
        bench.send(one, 1_000 + 10 * one, 5)
    bench.run(3_000)
    assert sum(word == "done" for _, word in bench.fates()) == 100
    assert bench.dispenser.counters.resent <= 3
