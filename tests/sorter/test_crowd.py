"""The mean number of bodies in view, against the closed form of a first-order lag."""

from __future__ import annotations

import math

import pytest

from sorter.crowd import Crowd

PERIOD_NS = 5_000_000


# Bodies in view, for how long in s, whether the mean over 2 s reaches 1.
CASES = {
    "nobody": (0, 60.0, False),
    "one, for ever": (1, 60.0, False),  # comes close to it and never reaches it
    "two, for less than it takes": (2, 2.0 * math.log(2) - 0.05, False),
    "two, for as long as it takes": (2, 2.0 * math.log(2) + 0.05, True),
    "a burst of six": (6, 0.3, False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every", [1, 3])
def test_it_is_crowded_when_the_mean_says_so(case: str, every: int) -> None:
    bodies, for_s, dense = CASES[case]
    crowd = Crowd(from_bodies=1.0, over_s=2.0)
    crowd.see(0, 0)
    for frame in range(1, round(for_s * 200 / every) + 1):
        crowd.see(bodies, frame * every * PERIOD_NS)
    assert crowd.is_dense == dense


def test_a_crowd_disperses() -> None:
    crowd = Crowd(from_bodies=1.0, over_s=2.0)
    crowd.see(0, 0)
    crowd.see(3, 10**11)
    assert crowd.is_dense
    crowd.see(0, 10**11 + 3 * 10**9)
    assert not crowd.is_dense
