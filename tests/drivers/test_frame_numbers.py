from __future__ import annotations

import pytest

from drivers.frame_numbers import FrameNumbers

PERIOD_NS = 5_000_000

# (armed anew before it, image number, elapsed in periods, received in periods) -> number
CASES = {
    "no gap": (False, [(0, 0, 0.0), (1, 1, 1.1), (2, 2, 2.0)], [0, 1, 2]),
    "the core lost some": (False, [(0, 0, 0.0), (4, 4, 4.2)], [0, 4]),
    "elapsed time is not asked": (False, [(0, 0, 0.0), (1, 7, 7.1)], [0, 1]),
    "the camera lost some": (True, [(0, 0, 0.0), (1, 7, 7.1), (2, 8, 8.0)], [0, 7, 8]),
    "a late frame is no gap": (True, [(0, 0, 0.0), (1, 1, 9.0), (2, 2, 9.1)], [0, 1, 2]),
}


@pytest.mark.parametrize(("own_clock", "frames", "numbers"), CASES.values(), ids=CASES)
def test_gaps(own_clock: bool, frames: list[tuple[int, int, float]], numbers: list[int]) -> None:
    counter = FrameNumbers(1e9 / PERIOD_NS, gaps_by_elapsed=own_clock)
    found = [
        counter.next(image, elapsed * PERIOD_NS, round(received * PERIOD_NS))
        for image, elapsed, received in frames
    ]
    assert found == numbers


@pytest.mark.parametrize("own_clock", [False, True])
@pytest.mark.parametrize("blind", [1, 3, 250])
def test_a_blind_interval_shows_as_at_least_its_frames(own_clock: bool, blind: int) -> None:
    counter = FrameNumbers(1e9 / PERIOD_NS, gaps_by_elapsed=own_clock)
    for i in range(10):
        last = counter.next(i, i * PERIOD_NS, i * PERIOD_NS)
    counter.armed()
    elapsed_ns = (9 + 1 + blind) * PERIOD_NS if own_clock else 0
    number = counter.next(0, elapsed_ns, (9 + 1 + blind) * PERIOD_NS)
    assert number - last - 1 >= blind
    assert counter.next(1, elapsed_ns + PERIOD_NS, (11 + blind) * PERIOD_NS) == number + 1
