"""The pump's beat, found in bodies whose motion is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sorter.beat import Beat
from sorter.pulsation import PulsationEstimator, PulsationSettings
from sorter.sighting import Moment
from sorter.track import Track, TrackSettings
from tests.sorter.loop_parts import detection

Array = NDArray[np.float64]
UNKNOWN = 0.035
START_NS = 7_000_000_000_000  # host time need not begin anywhere near zero
VIEW_UM, PERIOD_S = 2_200.0, 0.005


def beat_of(amplitude: float, hz: float, phase: float) -> Callable[[Array], Array]:
    """P(t) in s of a speed `1 + amplitude sin(2π hz t + phase)`."""
    omega = math.tau * hz
    return lambda t_s: -amplitude / omega * np.cos(omega * t_s + phase)


def bodies(
    shift: Callable[[Array], Array], until_s: float, *, start_s: float = 0.0, seed: int = 1
) -> Iterator[tuple[Array, Array, Array]]:
    """Tracks as (t in s, liquid time in s without the beat, x in µm): they roll and jitter.

    Now and then the valve moves the liquid, 3 ms from when it was meant to.
    """
    rng = np.random.default_rng(seed)
    while (start_s := start_s + rng.exponential(0.5)) < until_s:
        speed = rng.uniform(5_000, 30_000)
        t = np.arange(start_s, start_s + VIEW_UM / speed, PERIOD_S)
        jump_s = start_s + rng.uniform(-0.2, 0.3)
        meant, real = (
            0.1 * -np.expm1(-np.maximum(t - jump_s - late, 0) / 0.1)
            for late in (0.0, rng.uniform(-0.003, 0.003))
        )
        roll = 2.0 * np.sin(math.tau * rng.uniform(8, 13) * t + rng.uniform(0, math.tau))
        noise = roll + rng.normal(0, 0.5, t.size)
        yield t, t + meant, speed * (t - start_s + shift(t) - shift(t[:1]) + real) + noise


def feed(estimator: PulsationEstimator, t: Array, liquid: Array, x: Array) -> None:
    times_ns = START_NS + np.round(t * 1e9).astype(np.int64)
    estimator.add(times_ns, START_NS + liquid * 1e9, x)


def speed_error(beat: Beat, shift: Callable[[Array], Array], at_s: float) -> float:
    """Largest error of the relative speed in the second after `at_s`."""
    t = np.linspace(at_s, at_s + 1.0, 400)
    error_s = beat.shift_ns(START_NS + t * 1e9) * 1e-9 - shift(t)
    return float(np.abs(np.gradient(error_s, t)).max())


def new(settings: PulsationSettings | None = None) -> PulsationEstimator:
    return PulsationEstimator(settings or PulsationSettings(), unknown=UNKNOWN)


BEATS = {
    "as simulated": (0.03, 1.3, 0.0),
    "slow": (0.04, 0.6, 2.0),
    "fast": (0.03, 3.2, 4.0),
    "weak": (0.018, 2.1, 1.0),
    "strong": (0.08, 0.9, 5.0),
}


@pytest.mark.parametrize("name", BEATS)
def test_a_beat_is_found_with_an_honest_tolerance(name: str) -> None:
    amplitude, hz, phase = BEATS[name]
    shift, estimator = beat_of(amplitude, hz, phase), new()
    for t, liquid, x in bodies(shift, 90.0):
        feed(estimator, t, liquid, x)
        beat = estimator.beat_at(START_NS + t[-1] * 1e9)
        if beat is not None:
            allowed = beat.tolerance_at(START_NS + t[-1] * 1e9)
            assert speed_error(beat, shift, t[-1]) < allowed < UNKNOWN
    assert beat is not None
    assert beat.hz == pytest.approx(hz, abs=0.005)
    assert beat.amplitude == pytest.approx(amplitude, rel=0.2)
    assert beat.tolerance_at(START_NS + 90e9) < 0.03


@pytest.mark.parametrize("seed", range(4))
def test_no_beat_no_correction(seed: int) -> None:
    estimator = new()
    for t, liquid, x in bodies(np.zeros_like, 120.0, seed=seed):
        feed(estimator, t, liquid, x)
        assert estimator.beat_at(START_NS + t[-1] * 1e9) is None
    assert estimator.candidate is not None  # it did look


def test_a_pump_that_changes_is_followed() -> None:
    first, then, estimator = beat_of(0.03, 1.3, 0.0), beat_of(0.03, 0.9, 1.0), new()
    wrong_s: list[float] = []
    for start_s, shift in ((0.0, first), (60.0, then)):
        for t_s, liquid, x in bodies(shift, start_s + 60.0, start_s=start_s, seed=3):
            feed(estimator, t_s, liquid, x)
            beat = estimator.beat_at(START_NS + t_s[-1] * 1e9)
            if beat and speed_error(beat, shift, t_s[-1]) > beat.tolerance_at(beat.at_ns):
                wrong_s.append(t_s[-1])
    assert beat is not None
    assert beat.hz == pytest.approx(0.9, abs=0.01)
    assert wrong_s
    assert min(wrong_s) > 60.0
    assert max(wrong_s) < 70.0


def test_the_same_tracks_give_the_same_estimate() -> None:
    pair = [new(), new()]
    for estimator in pair:
        for t, liquid, x in bodies(beat_of(0.03, 1.3, 0.0), 40.0):
            feed(estimator, t, liquid, x)
    first, second = (e.candidate for e in pair)
    assert first is not None
    assert second is not None
    assert (first.cos_s, first.sin_s, first.omega) == (second.cos_s, second.sin_s, second.omega)


def test_what_is_known_fades_when_no_body_comes() -> None:
    estimator = new()
    for t, liquid, x in bodies(beat_of(0.03, 1.3, 0.0), 60.0):
        feed(estimator, t, liquid, x)
    beat = estimator.beat_at(START_NS + 60e9)
    assert beat is not None
    later = [beat.tolerance_at(START_NS + s * 1e9) for s in (61, 70, 100, 1_000)]
    assert later == sorted(later)
    assert estimator.beat_at(START_NS + 1_000e9) is None


STANDING: Array = np.linspace(0.0, 0.1, 20)
USELESS: dict[str, tuple[Array, Array]] = {
    "too few views": (STANDING[:5], 20_000 * STANDING[:5]),
    "standing still": (STANDING, np.full(20, 500.0)),
    "going back": (STANDING, -20_000 * STANDING),
    "frames of one time": (np.zeros(20), 20_000 * STANDING),
}


@pytest.mark.parametrize("name", USELESS)
def test_tracks_that_tell_nothing_change_nothing(name: str) -> None:
    estimator = new(PulsationSettings(min_tracks=8))
    for _ in range(20):
        feed(estimator, USELESS[name][0], USELESS[name][0], USELESS[name][1])
    assert estimator.candidate is None


def test_straight_lines_without_noise_do_not_upset_it() -> None:
    estimator = new()
    for i in range(40):
        feed(estimator, STANDING + i, STANDING + i, 20_000 * STANDING)
        assert estimator.beat_at(START_NS + i * 1e9) is None


def test_switched_off_it_learns_nothing() -> None:
    estimator = new(PulsationSettings(enabled=False))
    for t, liquid, x in bodies(beat_of(0.03, 1.3, 0.0), 40.0):
        feed(estimator, t, liquid, x)
    assert estimator.candidate is None


def known_beat(amplitude: float, hz: float, displaced_ns: float = 0.0) -> Beat:
    """The beat of `beat_of(amplitude, hz, 0)`, known exactly."""
    omega = math.tau * hz
    return Beat(
        -amplitude / omega, 0.0, omega, START_NS, np.zeros((3, 3)), 99.0, displaced_ns, 0.008
    )


@given(
    amplitude=st.floats(0.0, 0.1),
    hz=st.floats(0.3, 4.0),
    at_s=st.floats(0.0, 100.0),
)
def test_without_undoes_the_shift(amplitude: float, hz: float, at_s: float) -> None:
    beat = known_beat(amplitude, hz)
    liquid_ns = START_NS + at_s * 1e9
    back_ns, half_ns = beat.without(liquid_ns + float(beat.shift_ns(liquid_ns)), 1e6)
    assert back_ns == pytest.approx(liquid_ns, abs=1e4)
    assert 1e6 <= half_ns <= 1.12e6


@given(
    amplitude=st.floats(0.0, 0.1),
    hz=st.floats(0.3, 4.0),
    phase_s=st.floats(0.0, 3.0),
    displaced_s=st.floats(0.0, 0.12),
    part=st.floats(0.0, 1.0),
)
def test_the_open_gate_is_covered(
    amplitude: float, hz: float, phase_s: float, displaced_s: float, part: float
) -> None:
    """Liquid time may be ahead of host time by any part of what was seen."""
    beat = known_beat(amplitude, hz, displaced_s * 1e9)
    liquid_ns = START_NS + phase_s * 1e9
    shifted_ns = liquid_ns + float(beat.shift_ns(liquid_ns - part * displaced_s * 1e9))
    found_ns, half_ns = beat.without(shifted_ns, 0.0)
    assert abs(found_ns - liquid_ns) <= half_ns + 2e4


@pytest.mark.parametrize("phase_s", np.linspace(0.0, 0.7, 8))
def test_a_track_that_knows_the_beat_foretells_the_arrival(phase_s: float) -> None:
    shift, speed, junction_um = beat_of(0.03, 1.3, 0.0), 14_000.0, 12_200.0
    t = phase_s + np.arange(0.01, 0.15, PERIOD_S)
    x = speed * (t - phase_s + shift(t) - shift(np.array([phase_s])))
    first_ns = START_NS + round(t[0] * 1e9)
    seen = detection(x[0])
    track = Track(
        1, first_ns, first_ns, TrackSettings(), seen, x[0], 500.0, first_ns, first_ns, 0
    )  # fmt: skip
    for t_s, x_um in zip(t, x, strict=True):
        at_ns = START_NS + round(t_s * 1e9)
        track.add(seen, x_um, 500.0, Moment(0, at_ns, 0, at_ns, 0.0))
    fine = np.linspace(phase_s, phase_s + 1.0, 100_000)
    there = np.searchsorted(fine + shift(fine), phase_s + shift(np.array([phase_s]))
                            + junction_um / speed)  # fmt: skip
    arrival = track.arrival(junction_um, known_beat(0.03, 1.3))
    blind = track.arrival(junction_um)
    assert arrival is not None
    assert blind is not None
    assert arrival.liquid_ns == pytest.approx(START_NS + fine[int(there[0])] * 1e9, abs=3e5)
    assert arrival.error_ns < 0.5 * blind.error_ns


@settings(max_examples=8, deadline=None)
@given(hz=st.floats(0.3, 4.0), flight_s=st.floats(0.2, 1.0), seed=st.integers(0, 1_000))
def test_the_stated_error_is_that_of_the_extrapolated_line(
    hz: float, flight_s: float, seed: int
) -> None:
    """Against many beats drawn from the covariance, each fitted and extrapolated."""
    rng = np.random.default_rng(seed)
    root = rng.normal(0, 1, (3, 3)) * np.array([1e-4, 1e-4, 1e-4])[:, None]
    beat = Beat(0.003, 0.001, math.tau * hz, START_NS, root @ root.T, 99.0, 0.0, 0.0)
    seen_s = np.linspace(0.0, 0.15, 31)
    seen_ns = START_NS + np.round(seen_s * 1e9).astype(np.int64)
    at_s = 0.15 + flight_s
    wrong_s = []
    for a, b, w in rng.normal(0, 1, (400, 3)) @ root.T + [beat.cos_s, beat.sin_s, beat.omega]:
        other = Beat(a, b, w, START_NS, beat.covariance, 99.0, 0.0, 0.0)
        off_s = (other.shift_ns(seen_ns) - beat.shift_ns(seen_ns)) * 1e-9
        line = np.polyfit(seen_s, off_s, 1)
        at_ns = START_NS + at_s * 1e9
        off_there_s = float(other.shift_ns(at_ns) - beat.shift_ns(at_ns)) * 1e-9
        wrong_s.append(off_there_s - np.polyval(line, at_s))
    stated_s = beat.error_ns(seen_ns, START_NS + at_s * 1e9) * 1e-9
    assert 3 * float(np.std(wrong_s)) == pytest.approx(stated_s, rel=0.2)


def test_frequencies_are_in_order() -> None:
    with pytest.raises(ValueError, match="min_hz"):
        PulsationSettings(min_hz=3.0, max_hz=2.0)


def in_bursts(
    shift: Callable[[Array], Array], at_s: Sequence[float]
) -> list[tuple[Array, Array, Array]]:
    """Tracks of some ten bodies that come within 0.4 s of each of these times."""
    tracks = [one for seed in range(12) for one in bodies(shift, max(at_s) + 1.0, seed=seed)]
    kept = [one for one in tracks if any(0.0 < one[0][0] - start < 0.4 for start in at_s)]
    return sorted(kept, key=lambda one: float(one[0][-1]))


@pytest.mark.parametrize(("lead", "believed"), [(0.0, True), (12.0, False)])
def test_two_bursts_leave_open_how_often_it_beat_between_them(lead: float, believed: bool) -> None:
    shift, estimator = beat_of(0.03, 1.3, 0.0), new(PulsationSettings(min_lead=lead))
    for t, liquid, x in in_bursts(shift, (1.0, 5.0)):
        feed(estimator, t, liquid, x)
    assert estimator.candidate is not None
    assert (estimator.beat_at(START_NS + t[-1] * 1e9) is not None) == believed


def test_further_bursts_tell() -> None:
    shift, estimator = beat_of(0.03, 1.3, 0.0), new()
    for t, liquid, x in in_bursts(shift, (1.0, 5.0, 7.5, 8.7)):
        feed(estimator, t, liquid, x)
    beat = estimator.beat_at(START_NS + t[-1] * 1e9)
    assert beat is not None
    assert beat.hz == pytest.approx(1.3, abs=0.05)
