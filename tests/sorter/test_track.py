"""Tracks against bodies whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from sorter.detection import Detection
from sorter.track import Track, TrackSettings
from sorter.tracker import Tracker
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

PERIOD_NS = 5_000_000


def follow(
    bodies: list[tuple[float, float, float, float]],
    *,
    hidden: frozenset[int] = frozenset(),
    frames: int = 200,
    noise_um: float = 0.0,
) -> tuple[Tracker, list[Track]]:
    """Bodies as (start µm, speed µm/s, y µm, diameter µm); returns the tracks that ended."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    rng = np.random.default_rng(1)
    ended: list[Track] = []
    for number in range(frames):
        t_ns = number * PERIOD_NS
        seen = []
        for start, speed, y, diameter in bodies:
            x = start + speed * t_ns * 1e-9 + rng.normal(0, noise_um)
            if -diameter / 2 < x < WIDTH_PX * PITCH_UM + diameter / 2 and number not in hidden:
                seen.append(detection(x, y, diameter))
        _, gone = tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
        ended += gone
    return tracker, ended


CASES = {
    "one": [(-200.0, 20_000.0, 500.0, 200.0)],
    "slow and small": [(-100.0, 6_000.0, 500.0, 60.0)],
    "fast": [(-400.0, 38_000.0, 500.0, 350.0)],
    "two apart": [(-200.0, 20_000.0, 300.0, 200.0), (-900.0, 21_000.0, 700.0, 220.0)],
    "close followers": [(-200.0, 15_000.0, 500.0, 150.0), (-420.0, 15_500.0, 520.0, 160.0)],
    "overtaking": [(-200.0, 10_000.0, 250.0, 120.0), (-600.0, 25_000.0, 700.0, 300.0)],
}


@pytest.mark.parametrize("case", CASES)
def test_each_body_is_one_track_with_its_own_speed(case: str) -> None:
    bodies = CASES[case]
    _, ended = follow(bodies, frames=400)
    assert len(ended) == len(bodies)
    speeds = sorted(track.speed_um_s for track in ended)
    assert speeds == pytest.approx(sorted(b[1] for b in bodies), rel=1e-3)


def test_arrival_is_where_the_line_meets_the_junction() -> None:
    _, (track,) = follow([(-200.0, 20_000.0, 500.0, 200.0)])
    arrival = track.arrival(12_000.0)
    assert arrival is not None
    assert arrival.liquid_ns == pytest.approx(12_200 / 20_000 * 1e9, abs=1e6)


def test_arrival_error_covers_the_truth_when_positions_scatter() -> None:
    for_speed = [(-200.0, 18_000.0, 500.0, 200.0)]
    _, (track,) = follow(for_speed, noise_um=5.0)
    arrival = track.arrival(12_000.0)
    assert arrival is not None
    assert abs(arrival.liquid_ns - 12_200 / 18_000 * 1e9) < arrival.error_ns


def test_a_few_missing_frames_do_not_break_a_track() -> None:
    _, ended = follow([(-200.0, 15_000.0, 500.0, 200.0)], hidden=frozenset({40, 41, 42, 60}))
    assert len(ended) == 1


def test_a_body_cut_off_at_the_right_edge_is_not_counted_again() -> None:
    tracker, ended = follow([(-200.0, 5_000.0, 500.0, 300.0)], frames=600)
    assert len(ended) == 1
    assert tracker.tracks == []


def test_two_known_bodies_under_one_double_coast() -> None:
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    ended: list[Track] = []
    for number in range(120):
        t_ns = number * PERIOD_NS
        first, second = 200 + 15_000 * t_ns * 1e-9, 600 + 9_000 * t_ns * 1e-9
        if abs(first - second) < 150:
            seen = [detection((first + second) / 2, 510, 330, double=True)]
        else:
            seen = [detection(first, 450, 180), detection(second, 570, 180)]
        _, gone = tracker.update(
            [d for d in seen if d.x_px * PITCH_UM < WIDTH_PX * PITCH_UM],
            frame=number,
            exposed_ns=t_ns,
            exposed_error_ns=0,
            liquid_ns=float(t_ns),
        )
        ended += gone
    tracks = ended + [t for t in tracker.tracks if not t.ended]
    assert len(tracks) == 2


def met_as_one(first: range, number: int) -> Detection:
    """A body of 15 mm/s, in these frames one with another."""
    x_um = 200 + 15_000 * number * PERIOD_NS * 1e-9
    return detection(x_um, 500, 260, double=True) if number in first else detection(x_um, 500, 200)


ENTANGLED = {
    "alone": (range(0), 0, False),
    "a flicker": (range(5, 7), 0, False),
    "one with another for half of the way": (range(3, 14), 0, True),
    "out of another's outline": (range(0), 12, True),
}


@pytest.mark.parametrize("case", ENTANGLED)
def test_who_was_together_with_another_may_arrive_at_another_time(case: str) -> None:
    together, first_seen, is_entangled = ENTANGLED[case]
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(first_seen, 26):
        t_ns = number * PERIOD_NS
        tracker.update(
            [met_as_one(together, number)],
            frame=number,
            exposed_ns=t_ns,
            exposed_error_ns=0,
            liquid_ns=float(t_ns),
        )
    (track,) = tracker.tracks
    by_itself, arrival = track.arrival(12_000.0), tracker.arrival(track, 12_000.0)
    assert by_itself is not None
    assert arrival is not None
    wider_ns = arrival.error_ns - by_itself.error_ns
    way_ns = by_itself.liquid_ns - track.last_liquid_ns
    assert wider_ns == pytest.approx(0.15 * way_ns if is_entangled else 0.0)


def test_a_small_body_that_shows_late_is_not_entangled() -> None:
    """It may have been too faint until then."""
    _, ended = follow([(-200.0, 15_000.0, 500.0, 40.0)], hidden=frozenset(range(20)))
    assert len(ended) == 1
    assert not ended[0].is_entangled()


def test_drain_ends_what_is_in_view() -> None:
    tracker, ended = follow([(300.0, 10_000.0, 500.0, 200.0)], frames=10)
    assert ended == []
    assert len(tracker.drain()) == 1


def test_drain_forgets_the_beat_and_whom_it_was_to_be_learnt_from() -> None:
    """The flow is held: when it goes on, the pump's beat begins anew."""
    tracker, ended = follow([(-200.0, 20_000.0, 500.0, 200.0), (-900.0, 20_000.0, 500.0, 200.0)])
    assert len(ended) == 2
    assert tracker.learn()
    known = tracker.pulsation
    tracker.drain()
    assert not tracker.learn()
    assert tracker.pulsation is not known


def test_a_small_body_that_still_sinks_arrives_within_its_window() -> None:
    """15.4 mm/s in view, and faster by 6.2 mm/s each second: sinking from the ceiling."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    rng = np.random.default_rng(2)
    ended: list[Track] = []
    for number in range(60):
        t_s = number * PERIOD_NS * 1e-9
        x_um = 40.0 + 15_400.0 * t_s + 6_200.0 * t_s**2 / 2 + rng.normal(0, 1.0)
        if x_um > WIDTH_PX * PITCH_UM + 20:
            break
        t_ns = number * PERIOD_NS
        _, gone = tracker.update(
            [detection(x_um, 500.0, 45.0)],
            frame=number,
            exposed_ns=t_ns,
            exposed_error_ns=0,
            liquid_ns=float(t_ns),
        )
        ended += gone
    arrival = ended[0].arrival(12_000.0)
    assert arrival is not None
    arrives_s = (np.sqrt(15_400.0**2 + 2 * 6_200.0 * 11_960.0) - 15_400.0) / 6_200.0
    assert abs(arrival.liquid_ns - arrives_s * 1e9) < arrival.error_ns
