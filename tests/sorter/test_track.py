"""Tracks against bodies whose motion is known."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from sorter.entangled import came_late
from sorter.sighting import Sighting
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
    glimpsed: Collection[int] = (),
) -> tuple[Tracker, list[Track]]:
    """Bodies as (start µm, speed µm/s, y µm, diameter µm); returns the tracks that ended. What is
    `glimpsed` in a frame is off by 5 µm, and looks a fifth larger."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    rng = np.random.default_rng(1)
    ended: list[Track] = []
    for number in range(frames):
        t_ns = number * PERIOD_NS
        seen = []
        for start, speed, y, diameter in bodies:
            x = start + speed * t_ns * 1e-9 + rng.normal(0, noise_um)
            if -diameter / 2 < x < WIDTH_PX * PITCH_UM + diameter / 2 and number not in hidden:
                if number in glimpsed:
                    seen.append(detection(x + 5.0, y - 5.0, 1.2 * diameter, glimpsed=True))
                else:
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


def test_a_body_is_not_taken_for_what_was_seen_once_long_before() -> None:
    """A fragment shows once; a body comes along where it might be by then."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(24):
        t_ns = number * PERIOD_NS
        seen = [detection(300.0, 460.0, 60.0)] if number == 0 else []
        if number >= 6:
            seen = [detection(600.0 + 12_000 * (number - 6) * PERIOD_NS * 1e-9, 450.0, 180.0)]
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
    (track,) = (t for t in tracker.tracks if not t.ended)
    assert track.n == 18
    assert track.speed_um_s == pytest.approx(12_000, rel=1e-6)


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


def follow_two(met: range, first_seen: int, frames: int = 26) -> Tracker:
    """A body of 15 mm/s and one beside it, shown as one double in the frames ``met``."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(frames):
        t_ns = number * PERIOD_NS
        x_um = 200 + 15_000 * t_ns * 1e-9
        seen = [detection(x_um, 620, 180)]
        if number >= first_seen:
            seen.insert(0, detection(x_um, 380, 180))
        if number in met:
            seen = [detection(x_um, 500, 420, double=True)]
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
    return tracker


# Frames as one, first frame of the one, share of the whole tolerance.
ENTANGLED = {
    "two that are always two": (range(0), 0, 0.0),
    "one for a moment": (range(8, 10), 0, 2 * 2 / 26),
    "one for a third of the way": (range(8, 16), 0, 2 * 8 / 26),
    "one for most of it": (range(4, 22), 0, 1.0),
    "out of nowhere": (range(0), 16, 1.0),
    "out of nowhere, and followed for long enough": (range(0), 10, 0.0),
}


@pytest.mark.parametrize("case", ENTANGLED)
def test_who_was_one_with_another_may_arrive_at_another_time(case: str) -> None:
    met, first_seen, entangled = ENTANGLED[case]
    tracker = follow_two(met, first_seen)
    track = next(t for t in tracker.tracks if t.last_y_um < 500)
    tracker.tracks = [track]  # what is beside a known body may have come off it
    by_itself, arrival = track.arrival(12_000.0), tracker.arrival(track, 12_000.0)
    assert by_itself is not None
    assert arrival is not None
    wider_ns = arrival.error_ns - by_itself.error_ns
    way_ns = by_itself.liquid_ns - track.last_liquid_ns
    assert wider_ns == pytest.approx(0.15 * entangled * way_ns)


def test_what_shows_late_beside_a_known_body_came_off_it() -> None:
    tracker = follow_two(range(0), 21)
    late = next(t for t in tracker.tracks if t.last_y_um < 500)
    arrival = tracker.arrival(late, 12_000.0)
    assert came_late(late)
    assert arrival is not None
    # It has been in the other's outline, of 180 µm like its own, for as long as both were in view.
    apart = 180.0 / late.x_um[0]
    assert arrival.error_ns > apart * (arrival.liquid_ns - late.last_liquid_ns)
    assert arrival.error_ns < (apart + 0.1) * (arrival.liquid_ns - late.last_liquid_ns)


# Speed of what shows in the last frames beside a body of 15 mm/s, diameter, whether its arrival is
# that of a body that travels with the other, and whether its own is allowed for.
BESIDE = {
    "a fragment": (15_000.0, 40.0, True, True),
    "a grain that flies past": (23_000.0, 40.0, True, True),
    "a large one that came out of its outline": (16_500.0, 150.0, True, True),
}


@pytest.mark.parametrize("case", BESIDE)
def test_what_shows_shortly_beside_a_body_has_the_arrivals_of_both(case: str) -> None:
    speed_um_s, diameter_um, theirs, its_own = BESIDE[case]
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    frames, shown = 18, 5
    for number in range(frames):
        t_ns = number * PERIOD_NS
        at_um = 200 + 15_000 * t_ns * 1e-9
        seen = [detection(at_um, 500, 200)]
        since_s = (number - frames + shown) * PERIOD_NS * 1e-9
        if since_s >= 0:
            start_um = 200 + 15_000 * (frames - shown) * PERIOD_NS * 1e-9
            seen.append(detection(start_um + speed_um_s * since_s, 620, diameter_um))
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
    short = next(t for t in tracker.tracks if t.last_y_um > 550)
    arrival = tracker.arrival(short, 12_000.0)
    assert arrival is not None
    for allowed, arrives_with_um_s in ((theirs, 15_000.0), (its_own, speed_um_s)):
        expected_ns = short.last_liquid_ns + (12_000 - short.last_x_um) / arrives_with_um_s * 1e9
        inside = abs(arrival.liquid_ns - expected_ns) <= arrival.error_ns
        assert inside == allowed


@pytest.mark.parametrize(("large_um", "veiled"), [(300.0, 8), (150.0, 0)])
def test_frames_in_which_a_larger_one_lies_before_it_are_counted(
    large_um: float, veiled: int
) -> None:
    """A grain that is missing for some frames, beside a body that reaches over it or does not."""
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(20):
        t_ns = number * PERIOD_NS
        x_um = 200 + 15_000 * t_ns * 1e-9
        seen = [detection(x_um, 500, large_um)]
        if not 5 <= number < 13:
            seen.append(detection(x_um, 600, 50))
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
    (grain,) = (t for t in tracker.tracks if t.last_y_um == 600)
    assert grain.n == 12
    assert grain.veiled == veiled


CROWDS = {
    "one now and then": (1, 5_200, 0.0),
    "two at a time": (2, 2_600, 0.25),
}


@pytest.mark.parametrize("case", CROWDS)
def test_in_a_crowd_what_is_not_collected_may_hide_another(case: str) -> None:
    """Where the view holds several, one may lie behind others all the way."""
    at_a_time, apart_um, off = CROWDS[case]
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    for number in range(714):
        t_ns = number * PERIOD_NS
        x_um = (15_000 * t_ns * 1e-9) % apart_um
        seen = [
            detection(x_um, y_um, 180)
            for y_um in (250, 750)[:at_a_time]
            if 90 < x_um < WIDTH_PX * PITCH_UM - 90
        ]
        tracker.update(
            seen, frame=number, exposed_ns=t_ns, exposed_error_ns=0, liquid_ns=float(t_ns)
        )
    track = next(t for t in tracker.tracks if t.n > 12)
    alone = tracker.arrival(track, 12_000.0)
    hiding = tracker.arrival(track, 12_000.0, may_hide=True)
    assert alone is not None
    assert hiding is not None
    way_ns = alone.liquid_ns - track.last_liquid_ns
    assert hiding.error_ns - alone.error_ns == pytest.approx(off * way_ns)


def test_a_small_body_that_shows_late_is_not_entangled() -> None:
    """It may have been too faint until then."""
    _, ended = follow([(-200.0, 15_000.0, 500.0, 40.0)], hidden=frozenset(range(20)))
    assert len(ended) == 1
    assert not came_late(ended[0])


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


# Places at which one body was seen, frame -> µm, and whether it was seen all the way.
THROUGH: dict[str, tuple[dict[int, float], bool]] = {
    "in each of four frames": ({0: 300, 1: 850, 2: 1400, 3: 1950}, True),
    "one frame between them is missing": ({0: 300, 1: 850, 3: 1950}, False),
    "it could have been seen before": ({0: 850, 1: 1400, 2: 1950}, False),
    "it could have been seen after": ({0: 300, 1: 850, 2: 1400}, False),
    "once": ({0: 300}, False),
}


@pytest.mark.parametrize(("places_um", "throughout"), THROUGH.values(), ids=THROUGH)
def test_seen_in_every_frame_from_entry_to_leaving(
    places_um: dict[int, float], throughout: bool
) -> None:
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    first = detection(300.0, diameter_um=40.0)
    track = Track(1, 0.0, 0, TrackSettings(), first, 300.0, 500.0, 0.0, 0, 0)
    track.sightings += [Sighting(n, x / PITCH_UM, 300.0) for n, x in places_um.items()]
    assert tracker.seen_throughout(track) == throughout


@pytest.mark.parametrize(
    ("lengths", "sooner_um"),
    [((200.0,), 0.0), ((200.0, 200.0), 100.0), ((160.0, 160.0, 160.0), 160.0)],
    ids=["one", "a pair", "a row of three"],
)
def test_the_members_of_a_clump_arrive_within_its_window(
    lengths: tuple[float, ...], sooner_um: float
) -> None:
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    long_um, speed, ended = sum(lengths), 20_000.0, list[Track]()
    for number in range(60):
        x_um = -400.0 + speed * number * PERIOD_NS * 1e-9
        clump = detection(x_um, 500.0, long_um, double=len(lengths) > 1)
        at_ns = number * PERIOD_NS
        ended += tracker.update(
            [clump] if x_um + long_um / 2 > 0 and x_um < WIDTH_PX * PITCH_UM else [],
            frame=number, exposed_ns=at_ns, exposed_error_ns=0, liquid_ns=float(at_ns),
        )[1]  # fmt: skip
    (track,) = ended
    whole, single = tracker.arrival(track, 12_000.0), track.arrival(12_000.0)
    assert whole is not None
    assert single is not None
    outermost_ns = sooner_um / speed * 1e9
    assert whole.error_ns >= single.error_ns + outermost_ns
    assert (whole.error_ns > single.error_ns) == (len(lengths) > 1)
