"""What is wrong with a rig is found from passages, within its stated error, and taken off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sorter.arrival_correction import ArrivalCorrection, CorrectionSettings
from sorter.junction import Expected, Seen
from sorter.track import Arrival

MS = 1e6
COLLECT, WASTE = "collect", "waste"


def passage(
    flight_s: float,
    late_ms: float,
    *,
    error_ms: float = 12.0,
    shift_ms: float = 0.0,
    counts: bool = True,
    shared: bool = False,
    meant: str = WASTE,
    outlet: str | None = None,
) -> Seen:
    """Of an object that was seen so much later than predicted."""
    arrival = Arrival(flight_s * 1e9, error_ms * MS)
    expected = Expected(
        1, meant, arrival, 200.0, 2e4, flight_s, shift_ns=shift_ms * MS, counts=counts
    )
    at_ns = int(flight_s * 1e9 + late_ms * MS)
    return Seen(1, outlet or meant, at_ns, late_ms * MS, expected, shared=shared, sure=True)


def flown(
    n: int,
    *,
    scale: float = 0.0,
    delay_ms: float = 0.0,
    opened_ms: float = 0.0,
    wrong: float = 0.0,
    seed: int = 0,
    noise_ms: float = 4.0,
) -> list[Seen]:
    """Flights of 0.3 to 1 s over a rig of which every time is off; a share is off by anything."""
    rng = np.random.default_rng(seed)
    seen = []
    for flight_s in rng.uniform(0.3, 1.0, n):
        opened = bool(rng.uniform() < 0.6)
        late_ms = 1e3 * scale * flight_s + delay_ms + opened_ms * opened
        late_ms += rng.normal(0.0, noise_ms)
        if rng.uniform() < wrong:
            late_ms += rng.uniform(-60.0, 60.0)
        outlet = COLLECT if opened else WASTE
        seen.append(passage(float(flight_s), float(late_ms), meant=outlet))
    return seen


def learnt(seen: list[Seen], kept: CorrectionSettings | None = None) -> ArrivalCorrection:
    correction = ArrivalCorrection(kept or CorrectionSettings(), WASTE)
    for one in seen:
        correction.learn(one)
    return correction


RIGS = {
    "calibrated": (0.0, 0.0, 0.0),
    "junction 3 % further away": (0.03, 0.0, 0.0),
    "junction 3 % nearer": (-0.03, 0.0, 0.0),
    "everything 5 ms late": (0.0, 5.0, 0.0),
    "valve 5 ms late": (0.0, 0.0, 5.0),
    "all three": (0.03, 5.0, 5.0),
    "against each other": (0.03, -12.0, 4.0),
}


@pytest.mark.parametrize("wrong", [0.0, 0.15], ids=["clean", "with wrong matches"])
@pytest.mark.parametrize("rig", RIGS)
def test_what_is_wrong_is_found_and_removed(rig: str, wrong: float) -> None:
    scale, delay_ms, opened_ms = RIGS[rig]
    seen = flown(200, scale=scale, delay_ms=delay_ms, opened_ms=opened_ms, wrong=wrong)
    correction = learnt(seen)
    found = correction.correction
    assert found.believed
    assert found.scale == pytest.approx(scale, abs=0.008)
    assert found.delay_ns / MS == pytest.approx(delay_ms, abs=5.0)
    assert found.opened_ns / MS == pytest.approx(opened_ms, abs=2.0)
    for flight_s in (0.3, 0.6, 1.0):
        for opened in (False, True):
            late_ns = 1e9 * scale * flight_s + (delay_ms + opened_ms * opened) * MS
            arrival = Arrival(flight_s * 1e9, 12 * MS)
            corrected = correction.corrected(arrival, flight_s, opened=opened)
            left_ns = arrival.liquid_ns + late_ns - corrected.liquid_ns
            assert abs(left_ns) < 2.5 * MS
            assert abs(left_ns) < 3 * found.sd_ns(flight_s, opened=opened)
            assert 12 * MS < corrected.error_ns < 14 * MS


def test_the_stated_error_covers_the_truth() -> None:
    covered = 0
    for seed in range(60):
        found = learnt(flown(120, scale=0.02, delay_ms=3.0, seed=seed)).correction
        true_ns = 0.02 * 0.6e9 + 3 * MS
        covered += abs(found.shift_ns(0.6) - true_ns) < 2 * found.sd_ns(0.6)
    assert covered >= 55


def test_it_is_not_believed_before_there_is_enough() -> None:
    kept = CorrectionSettings(least_passages=40)
    correction = learnt(flown(39, scale=0.03), kept)
    arrival = Arrival(5e8, 12 * MS)
    assert not correction.correction.believed
    assert correction.correction.shift_ns(0.5) == 0.0
    assert correction.corrected(arrival, 0.5) == arrival
    correction.learn(flown(40, scale=0.03)[-1])
    assert correction.correction.believed
    assert correction.corrected(arrival, 0.5).liquid_ns > 5e8 + 10 * MS


def test_it_can_only_be_shown() -> None:
    correction = learnt(flown(100, scale=0.03), CorrectionSettings(apply=False))
    arrival = Arrival(5e8, 12 * MS)
    assert correction.correction.shift_ns(0.5) > 10 * MS
    assert correction.corrected(arrival, 0.5) == arrival


def test_it_never_moves_further_than_set() -> None:
    kept = CorrectionSettings(max_shift_ms=10.0)
    found = learnt(flown(200, scale=0.05), kept).correction
    assert found.shift_ns(0.8) == 10 * MS
    assert found.is_bounded(0.8)
    assert not found.is_bounded(0.05)


def test_it_forgets() -> None:
    kept = CorrectionSettings(passages=100)
    correction = learnt([*flown(300, scale=0.03), *flown(100, scale=-0.01, seed=1)], kept)
    assert correction.correction.n == 100
    assert correction.correction.shift_ns(0.6) == pytest.approx(-6 * MS, abs=2 * MS)


def test_what_it_has_moved_itself_is_not_learnt_away() -> None:
    """Predictions that were corrected arrive in time; what is learnt stays."""
    correction = learnt(flown(100, scale=0.03))
    for one in flown(300, scale=0.0, seed=2):
        flight_s = one.expected.flight_s
        shift_ms = 30.0 * flight_s
        late_ms = one.late_ns / MS
        meant = one.expected.outlet
        correction.learn(passage(flight_s, late_ms, shift_ms=shift_ms, meant=meant))
    assert correction.correction.scale == pytest.approx(0.03, abs=0.008)


@pytest.mark.parametrize(
    "one",
    [
        passage(0.5, 5.0, shared=True),
        passage(0.5, 5.0, counts=False),
        passage(0.5, 5.0, outlet=COLLECT),
        passage(0.0, 5.0),
    ],
    ids=["shared dark", "speck", "astray", "flight not known"],
)
def test_some_passages_tell_nothing(one: Seen) -> None:
    correction = ArrivalCorrection(CorrectionSettings(), WASTE)
    assert not correction.learn(one)
    assert correction.correction.n == 0


def test_flights_that_are_all_alike_leave_scale_and_delay_small() -> None:
    correction = learnt([passage(0.5, 15.0) for _ in range(100)])
    found = correction.correction
    assert found.shift_ns(0.5) == pytest.approx(15 * MS, abs=MS)
    assert 0 < found.scale < 0.03
    assert 0 < found.delay_ns < 15 * MS


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 3.0), st.floats(-500.0, 500.0), st.floats(0.0, 900.0)),
        max_size=80,
    ),
    st.floats(0.0, 5.0),
)
def test_whatever_is_seen_it_stays_bounded(
    seen: list[tuple[float, float, float]], flight_s: float
) -> None:
    correction = learnt([passage(f, late, error_ms=error) for f, late, error in seen])
    arrival = Arrival(1e9, 10 * MS)
    corrected = correction.corrected(arrival, flight_s)
    assert abs(corrected.liquid_ns - 1e9) <= 40 * MS + 1
    assert corrected.error_ns >= arrival.error_ns
