"""Of whom the scheduler is told: of all that matter now, and of one that soon will."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.telling import InView, Telling, to_tell

NOW, SOON, LATER = 100.0, 200.0, 300.0
CASES = {
    "nothing is due": ([InView(1, 9, 50.0)], {1: 3}, None, None, [], None, {}),
    "nothing is due yet": ([InView(1, 9, 50.0)], {}, None, SOON, [], 1, {}),
    "all that may be there": (
        [InView(1, 9, 50.0), InView(2, 0, 60.0), InView(3, 5, LATER)],
        {}, NOW, SOON, [1, 2], None, {1: 9, 2: 0},
    ),
    "and one that soon will": (
        [InView(1, 9, 50.0), InView(2, 5, 150.0), InView(3, 7, 150.0)],
        {}, NOW, SOON, [1], 3, {1: 9},
    ),
    "not of one of whom too little is known": (
        [InView(1, 9, 50.0), InView(2, 3, 150.0)], {}, NOW, SOON, [1], None, {1: 9},
    ),
    "again of whom most is new": (
        [InView(1, 9, 50.0), InView(2, 9, 50.0)], {1: 4, 2: 3}, NOW, SOON, [], 2, {1: 4, 2: 3},
    ),
    "first of whom nothing is known": (
        [InView(1, 30, 50.0), InView(2, 5, 150.0)], {1: 4}, NOW, SOON, [], 2, {1: 4},
    ),
    "not again of whom nothing is new": (
        [InView(1, 9, 50.0)], {1: 6}, NOW, SOON, [], None, {1: 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_who_is_told_of(case: str) -> None:
    in_view, told, until_ns, soon_ns, now, later, known = CASES[case]
    assert to_tell(in_view, told, until_ns, soon_ns) == Telling(now, later, known)


BODIES = st.lists(
    st.builds(InView, st.integers(0, 9), st.integers(0, 40), st.floats(0, 400)),
    unique_by=lambda body: body.id,
    max_size=9,
)


@given(BODIES, st.dictionaries(st.integers(0, 9), st.integers(0, 40)))
def test_all_that_matter_now_are_known_and_whoever_waits_is_another(
    in_view: list[InView], told: dict[int, int]
) -> None:
    now, later, known = to_tell(in_view, told, NOW, SOON)
    matter = {body.id for body in in_view if body.first_ns <= NOW}
    assert matter <= set(known)
    assert set(now) == matter - set(told)
    assert later not in now
    assert all(known[body.id] == body.views for body in in_view if body.id in now)
