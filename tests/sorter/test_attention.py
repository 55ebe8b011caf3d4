"""What is known of a late frame's finds, and that nobody is asked for it in time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.attention import Box, Divided, Full, Place

PITCH_UM = 2.0
ONE = Place(200.0, 100.0, 80, 60)
BESIDE = Place(290.0, 110.0, 60, 60)
NEW = Place(260.0, 80.0, 16, 16, 30.0)


@dataclass
class Late:
    """Late from so many bodies on."""

    from_ns: int
    late: bool = True

    def is_late(self, need_ns: int) -> bool:
        return self.late and need_ns >= self.from_ns

    def is_crowded(self) -> bool:
        return self.late


def attention(*places: Place) -> Divided:
    return Divided(Late(0), lambda: places, PITCH_UM)


KNOWN = {
    "as expected": ((160, 70, 80, 60), True),
    "in whole cells": ((156, 68, 88, 64), True),
    "moved a little": ((170, 66, 80, 60), True),
    "larger by what may hide another": ((160, 70, 95, 60), False),
    "higher by that": ((160, 70, 80, 75), False),
    "much smaller": ((190, 90, 20, 20), False),
    "of its size but elsewhere": ((260, 70, 80, 60), False),
    "two of them in one": ((160, 70, 160, 70), True),
    "one of the two, too large": ((160, 70, 120, 60), False),
    "with somebody new": ((160, 70, 80, 60), False),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_find_is_known_where_it_is_as_large_as_what_was_expected_there(case: str) -> None:
    box, known = KNOWN[case]
    places = {"two": (ONE, BESIDE), "new": (ONE, NEW)}
    of = next((those for word, those in places.items() if word in case), (ONE,))
    assert attention(*of).knows(box) is known


@pytest.mark.parametrize(
    ("box", "seeks"),
    [
        ((160, 70, 80, 60), True),
        ((262, 70, 80, 60), True),
        ((292, 70, 80, 60), False),
        ((160, 90, 80, 60), False),
    ],
)
def test_who_is_not_known_well_may_be_anywhere_within_reach(box: Box, seeks: bool) -> None:
    assert attention(ONE, NEW).seeks(box) is seeks
    assert not attention(ONE).seeks(box)


BOXES = st.tuples(*[st.integers(0, 1200)] * 2, *[st.integers(1, 400)] * 2)


@given(BOXES)
def test_nothing_is_known_where_nobody_is_expected(box: Box) -> None:
    assert not attention().knows(box)
    assert not Full().knows(box)
    assert not Full().is_short(1_000)


def test_it_is_short_by_how_many_were_found_and_stays_so() -> None:
    lateness = Late(500_000)
    divided = Divided(lateness, lambda: (ONE,), PITCH_UM)
    assert not divided.is_short(4)
    assert divided.is_short(5)
    lateness.late = False
    assert divided.is_short(1)


def test_places_are_asked_for_once_and_only_when_they_are_needed() -> None:
    asked: list[None] = []

    def expected() -> list[Place]:
        asked.append(None)
        return [ONE]

    divided = Divided(Late(0), expected, PITCH_UM)
    assert divided.is_short(1)
    assert asked == []
    assert divided.knows((160, 70, 80, 60))
    assert not divided.knows((600, 70, 80, 60))
    assert asked == [None]
