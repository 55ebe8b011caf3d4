"""Levels that are said until they are answered."""

from __future__ import annotations

from drivers.levels import Kind, Levels


def test_levels_are_said_in_the_order_of_their_weight_until_they_are_answered() -> None:
    levels = Levels(10, most_tries=2)
    for kind in (Kind.LINES, Kind.REST, Kind.PUMP, Kind.STOP):
        levels.ask(kind, levels.next_number(), kind.name.encode(), 0)
    assert levels.due(9) == []
    assert levels.due(10) == [b"STOP", b"PUMP", b"REST", b"LINES"]
    assert levels.answered(3) is Kind.PUMP
    assert levels.answered(3) is None
    levels.ask(Kind.REST, levels.next_number(), b"later", 10)
    assert levels.answered(2) is None
    assert levels.due(20) == [b"later"]
    assert levels.due(30) == [b"STOP", b"LINES"]
    assert levels.overdue() is None
    assert levels.due(50) == [b"STOP", b"later"]
    assert levels.overdue() is Kind.STOP
    assert levels.due(70) == [b"STOP", b"later", b"LINES"]
    levels.drop(Kind.STOP)
    assert len(levels) == 2


def test_numbers_go_round_without_nought() -> None:
    levels = Levels(10, 2)
    numbers = [levels.next_number() for _ in range(0x10001)]
    assert numbers[0] == 1
    assert numbers[0xFFFE:] == [0xFFFF, 1, 2]
    assert 0 not in numbers
