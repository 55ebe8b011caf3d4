"""Arrivals found ahead of time are those that would be found in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sorter.foresight import Foresight
from sorter.track import Arrival, Track, TrackSettings
from sorter.tracker import Tracker
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

PERIOD_NS = 5_000_000
JUNCTION_UM = 12_000.0
WIDTH_UM = WIDTH_PX * PITCH_UM


def show(tracker: Tracker, number: int, x_um: float, diameter_um: float) -> list[Track]:
    """One frame with a body where it is, if it is in view; those that ended with it."""
    t_ns = number * PERIOD_NS
    inside = x_um < WIDTH_UM + diameter_um / 2
    _, ended = tracker.update(
        [detection(x_um, 500.0, diameter_um)] if inside else [],
        frame=number,
        exposed_ns=t_ns,
        exposed_error_ns=0,
        liquid_ns=float(t_ns),
    )
    return ended


class Flow:
    """One body that a tracker follows."""

    def __init__(self, diameter_um: float, speed_um_s: float, noise_um: float, seed: int) -> None:
        self.tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
        self._diameter_um, self._speed_um_s, self._noise_um = diameter_um, speed_um_s, noise_um
        self._rng = np.random.default_rng(seed)

    def frame(self, number: int) -> list[Track]:
        """Those that ended with it."""
        x_um = self._speed_um_s * number * PERIOD_NS * 1e-9 + self._rng.normal(0, self._noise_um)
        return show(self.tracker, number, x_um, self._diameter_um)

    def arrival(self, *, foreseen: bool) -> Arrival | None:
        """When it has left; `foreseen`: there was time after each frame."""
        for number in range(400):
            for track in self.frame(number):
                return self.tracker.arrival(track, JUNCTION_UM, ended=True)
            if foreseen:
                self.tracker.foresee(JUNCTION_UM)
        raise AssertionError("it never left")


@given(
    diameter_um=st.floats(40.0, 400.0),
    speed_um_s=st.floats(6_000.0, 40_000.0),
    noise_um=st.floats(0.0, 5.0),
    seed=st.integers(0, 1000),
)
def test_an_arrival_found_ahead_is_the_same(
    diameter_um: float, speed_um_s: float, noise_um: float, seed: int
) -> None:
    in_time = Flow(diameter_um, speed_um_s, noise_um, seed).arrival(foreseen=False)
    ahead = Flow(diameter_um, speed_um_s, noise_um, seed).arrival(foreseen=True)
    assert in_time is not None
    assert ahead == in_time


def test_it_is_found_before_the_body_is_decided() -> None:
    flow = Flow(200.0, 20_000.0, 1.0, 3)
    number, ended = 0, list[Track]()
    foresight = Foresight(WIDTH_PX, 90.0)
    while not ended:
        foresight.look(flow.tracker.tracks, flow.tracker.tracks)
        due = foresight.due()
        ended = flow.frame(number)
        number += 1
    assert due is ended[0]


LEAVERS = {
    "its next step reaches the edge": (1700.0, 1780.0, 200.0, True),
    "two steps away": (1500.0, 1700.0 - 45.0, 200.0, False),
    "a small one, most likely a speck": (1900.0, 1980.0, 30.0, False),
}


@pytest.mark.parametrize("case", LEAVERS)
def test_who_is_about_to_leave(case: str) -> None:
    before_um, last_um, diameter_um, leaves = LEAVERS[case]
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number, x_um in enumerate((before_um - 100.0, before_um, last_um)):
        show(tracker, number, x_um, diameter_um)
    foresight = Foresight(WIDTH_PX, 90.0)
    foresight.look(tracker.tracks, tracker.tracks)
    assert (foresight.due() is not None) == leaves
    assert foresight.due() is None, "each once"


def test_what_was_found_holds_until_another_view_or_beat() -> None:
    flow = Flow(200.0, 20_000.0, 1.0, 3)
    for number in range(10):
        flow.frame(number)
    (track,) = flow.tracker.tracks
    foresight = Foresight(WIDTH_PX, 90.0)
    assert not foresight.knows(track, None, True)
    arrival = foresight.keep(track, None, True, Arrival(1.0, 2.0))
    assert foresight.knows(track, None, True)
    assert foresight.arrival(track) is arrival
    assert not foresight.knows(track, None, False)
    flow.frame(10)
    assert not foresight.knows(track, None, True)
    foresight.look([], [])
    assert not foresight.knows(track, None, True)


def test_nothing_is_learnt_while_somebody_is_about_to_leave() -> None:
    """What would be learnt moves the arrival that was found, and it would have to be found anew."""
    flow = Flow(200.0, 20_000.0, 1.0, 3)
    before = [track for number in range(90) for track in flow.frame(number)]
    assert len(before) == 1
    tracker = flow.tracker
    number, x_um, learnt = 90, 100.0, list[bool]()
    while not show(tracker, number, x_um, 200.0):
        if x_um >= WIDTH_UM - 200.0:  # with its next step it touches the edge
            learnt.append(tracker.learn())
        tracker.foresee(JUNCTION_UM)
        number, x_um = number + 1, x_um + 100.0
    assert learnt == [False] * len(learnt) != []
    show(tracker, number, x_um, 200.0)
    assert tracker.learn()


def test_who_is_only_glimpsed_on_its_last_way_is_looked_at_as_well() -> None:
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    foresight, due = Foresight(WIDTH_PX, 90.0), list[int]()
    for number in range(100):
        x_um, t_ns = 150.0 + 100.0 * number, number * PERIOD_NS
        if x_um > WIDTH_UM - 110.0:
            break
        seen = detection(x_um, 500.0, glimpsed=number > 8)
        tracker.update(
            [seen], frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
        foresight.look(tracker.tracks, tracker.tracks)
        if foresight.due() is not None:
            due.append(number)
        assert foresight.is_expecting is (number in due)
    assert due == [number - 2, number - 1]
