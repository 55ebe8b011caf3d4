"""Tracks of bodies that late frames only glimpse."""

from __future__ import annotations

import pytest

from sorter.track import TrackSettings
from sorter.tracker import Tracker
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection
from tests.sorter.test_track import CASES, PERIOD_NS, follow

GLIMPSED = {
    "every second": range(0, 400, 2),
    "the first ones": range(8),
    "a stretch": range(12, 26),
    "all but some": [n for n in range(400) if n % 5],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("glimpsed", GLIMPSED)
def test_glimpses_keep_a_track_together_and_tell_nothing_else(case: str, glimpsed: str) -> None:
    bodies, numbers = CASES[case], GLIMPSED[glimpsed]
    _, ended = follow(bodies, frames=400, glimpsed=numbers)
    assert len(ended) == len(bodies)
    _, outlined = follow(bodies, frames=400)
    for one, other in zip(
        sorted(ended, key=lambda t: t.speed_um_s),
        sorted(outlined, key=lambda t: t.speed_um_s),
        strict=True,
    ):
        # One that looks larger comes in later, and leaves earlier.
        assert other.n - 2 <= one.n + one.glimpses <= other.n
        assert one.speed_um_s == pytest.approx(other.speed_um_s, rel=1e-3)


def test_two_known_bodies_in_one_glimpse_coast() -> None:
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(30):
        t_ns = number * PERIOD_NS
        x_um = 100.0 + 20_000.0 * t_ns * 1e-9
        seen = [detection(x_um, 400.0, 150.0), detection(x_um, 560.0, 150.0)]
        if 10 <= number < 14:
            seen = [detection(x_um, 480.0, 330.0, glimpsed=True)]
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
        if number == 13:
            assert [track.together for track in tracker.tracks] == [4, 4]
            assert [track.glimpses for track in tracker.tracks] == [0, 0]
    assert {track.id for track in tracker.tracks} == {1, 2}
