"""When a frame is late, and that what is done by it is asked once and written down."""

from __future__ import annotations

import pytest

from sorter.lateness import FrameLateness, InTime

RECEIVED_NS = 1_000_000_000
US = 1_000


CASES = {
    "just received": (0, 0, 0, False),
    "in time": (1_500 * US, 0, 0, False),
    "received too long ago": (1_700 * US, 0, 0, True),
    "no time for that": (1_000 * US, 700 * US, 0, True),
    "time for that": (1_000 * US, 500 * US, 0, False),
    "another one waits": (0, 0, 1, True),
    "all of it": (9_000 * US, 700 * US, 3, True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_frame_is_late_by_its_age_by_what_is_to_be_done_and_by_those_that_wait(case: str) -> None:
    age_ns, need_ns, waiting, late = CASES[case]
    noted: list[bool] = []
    of_frame = FrameLateness(
        RECEIVED_NS, lambda: RECEIVED_NS + age_ns, lambda: waiting, noted.append
    )
    assert of_frame.is_late(need_ns) is late
    assert noted == []


@pytest.mark.parametrize(
    ("age_ns", "waiting", "crowded"),
    [(1_200 * US, 0, False), (1_400 * US, 0, True), (0, 1, True)],
)
def test_whether_it_is_crowded_is_noted(age_ns: int, waiting: int, crowded: bool) -> None:
    noted: list[bool] = []
    of_frame = FrameLateness(
        RECEIVED_NS, lambda: RECEIVED_NS + age_ns, lambda: waiting, noted.append
    )
    assert of_frame.is_crowded() is crowded
    assert noted == [crowded]


def test_what_was_noted_stays_though_time_passes() -> None:
    times, noted = iter([RECEIVED_NS, RECEIVED_NS + 5_000 * US]), list[bool]()
    of_frame = FrameLateness(RECEIVED_NS, lambda: next(times), lambda: 0, noted.append)
    assert not of_frame.is_crowded()
    assert of_frame.is_late(0)
    assert not of_frame.is_crowded()
    assert noted == [False]


def test_in_time_is_never_late() -> None:
    assert not InTime().is_late(10**9)
    assert not InTime().is_crowded()
