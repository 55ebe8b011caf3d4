"""Gaps of frames: how many were lost, who may have passed unseen, whose views are too few."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.ports import Frame
from sorter.gaps import Gap, Gaps
from sorter.track import TrackSettings, either
from sorter.tracker import Tracker
from sorter.view import ViewGeometry
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, arrival, detection

MS, PERIOD_MS = 1_000_000, 10
VIEW = ViewGeometry(2_000.0, 12_000.0, 2_000.0, 40_000.0, PERIOD_MS * MS)  # 50 ms at most speed


def frame(number: int, at_ms: float | None = None) -> Frame:
    exposed_ns = int((number * PERIOD_MS if at_ms is None else at_ms) * MS)
    return Frame(np.empty((0, 0), np.uint8), number, exposed_ns, 0, exposed_ns)


def last_gap(frames: list[Frame]) -> Gap | None:
    """The gap before the last one."""
    gaps = Gaps(VIEW)
    found = [gaps.before(one, float(one.exposed_ns)) for one in frames]
    return found[-1]


# numbers of the frames that came -> frames lost before the last one, whether a body may be unseen
CASES: dict[str, tuple[list[int], int, bool]] = {
    "one lost": ([0, 1, 3], 1, False),
    "long enough for the fastest": ([0, 1, 5], 3, True),
    "one frame between two gaps shows nobody twice": ([0, 1, 3, 5], 1, True),
    "two frames between them do": ([0, 1, 3, 4, 6], 1, False),
}


@pytest.mark.parametrize(("numbers", "missing", "unseen"), CASES.values(), ids=CASES)
def test_who_may_pass_unseen(numbers: list[int], missing: int, unseen: bool) -> None:
    gap = last_gap([frame(n) for n in numbers])
    assert gap is not None
    assert gap.missing == missing
    assert (gap.unseen is not None) is unseen
    assert ("goes to rest" in gap.words(numbers[-1])) is unseen


def test_without_a_gap_there_is_none() -> None:
    assert last_gap([frame(0), frame(1)]) is None
    assert last_gap([frame(7)]) is None


def test_times_that_contradict_the_numbers_are_not_believed() -> None:
    gap = last_gap([frame(0), frame(1), frame(9, at_ms=12.0)])
    assert gap is not None
    assert gap.unseen is not None


def test_frames_that_nobody_looks_at_are_missed_by_nobody() -> None:
    gaps = Gaps(VIEW)
    gaps.before(frame(0), 0.0)
    for number in range(1, 50):
        gaps.passed_over(frame(number))
    assert gaps.before(frame(50), 0.0) is None


@pytest.mark.parametrize(
    ("at_ms", "ahead"), [(20.0, False), (24.0, False), (26.0, True), (90.0, True)]
)
def test_a_time_that_its_number_does_not_allow_is_ahead(at_ms: float, ahead: bool) -> None:
    gaps = Gaps(VIEW)
    for one in (frame(0), frame(1), frame(2, at_ms=at_ms)):
        gaps.before(one, 0.0)
    assert gaps.is_ahead is ahead


def test_either_holds_both() -> None:
    one, other = arrival(100, 10), arrival(130, 5)
    both = either(one, other)
    assert both.liquid_ns - both.error_ns == 90 * MS
    assert both.liquid_ns + both.error_ns == 135 * MS


SPEED_UM_S, PASSING_UM_S = 12_000.0, 17_000.0


def pass_by(lost: frozenset[int]) -> tuple[Tracker, float]:
    """A body that overtakes a slower one close beside it, seen three times only, and when it
    really arrives at 12 mm, liquid ns."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for n in range(26):
        t_s = n * 5e-3
        seen = [detection(100 + SPEED_UM_S * t_s, 400.0)]
        if n in (20, 21, 25):
            seen.append(detection(-225 + PASSING_UM_S * t_s, 620.0))
        if n in lost:
            continue
        t_ns = int(t_s * 1e9)
        tracker.update(seen, frame=n, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns))
    return tracker, (12_000 + 225) / PASSING_UM_S * 1e9


def test_where_frames_were_lost_a_short_track_does_not_move_like_its_neighbour() -> None:
    lost = frozenset(range(22, 25))
    tracker, arrives_ns = pass_by(lost)
    (track,) = [t for t in tracker.tracks if t.n < 6]
    assert tracker.lost_views(track)
    found = tracker.arrival(track, 12_000.0)
    assert found is not None
    assert abs(found.liquid_ns - arrives_ns) < found.error_ns


def moving_alone(until: int, *, ahead_ns: dict[int, int] | None = None) -> Tracker:
    """One body, seen in every frame; some frames' times are ahead."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for n in range(until):
        t_ns = n * 5_000_000 + (ahead_ns or {}).get(n, 0)
        seen = [detection(150 + SPEED_UM_S * n * 5e-3, 400.0)]
        tracker.update(seen, frame=n, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns))
    return tracker


def test_where_times_went_back_nobody_knows_when_what_was_in_view_arrives() -> None:
    tracker = moving_alone(10)
    (track,) = tracker.tracks
    assert tracker.arrival(track, 12_000.0) is not None
    tracker.doubt(9)
    assert tracker.arrival(track, 12_000.0) is None


def test_a_doubt_is_none_about_what_came_long_before() -> None:
    tracker = moving_alone(10)
    tracker.doubt(60)
    (track,) = tracker.tracks
    assert tracker.arrival(track, 12_000.0) is not None


def test_lost_frames_are_found_by_their_numbers_where_a_time_was_wrong() -> None:
    """The frame before the gap says that it was exposed half a second later than it was."""
    tracker = moving_alone(10, ahead_ns={9: 500_000_000})
    track = tracker.tracks[0]
    assert not tracker.lost_views(track)
    tracker.update([], frame=20, exposed_ns=600_000_000, exposed_error_ns=0, liquid_ns=6e8)
    assert tracker.lost_views(track)
