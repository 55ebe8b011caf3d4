"""The clock estimate against clocks whose truth is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.clock_sync import ClockSync, RoundTrip

MS = 1_000_000
SECOND = 1_000_000_000


class Device:
    """A device clock with an offset and a drift that may wander; times in ns of the host."""

    def __init__(self, offset_us: int, drift_ppm: float, wander_ppm_per_s: float = 0.0) -> None:
        self._offset_us = offset_us
        self._drift = drift_ppm * 1e-6
        self._wander = wander_ppm_per_s * 1e-6

    def exact_us(self, host_ns: int) -> float:
        seconds = host_ns / 1e9
        gained_s = self._drift * seconds + self._wander * seconds * seconds / 2
        return self._offset_us + (seconds + gained_s) * 1e6

    def us(self, host_ns: int) -> int:
        return int(self.exact_us(host_ns) // 1)

    def trip(self, sent_ns: int, there_ns: int, work_ns: int, back_ns: int) -> RoundTrip:
        received_ns = sent_ns + there_ns
        answered_ns = received_ns + work_ns
        return RoundTrip(sent_ns, self.us(received_ns), self.us(answered_ns), answered_ns + back_ns)


def holds(sync: ClockSync, device: Device, host_ns: int) -> bool:
    error_us = abs(sync.device_us(host_ns) - device.exact_us(host_ns))
    return error_us <= sync.bound_us(host_ns)


DELAY_NS = st.integers(0, 5 * MS)


@settings(deadline=None, max_examples=120)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(-100, 100),
    st.sampled_from([-0.05, -0.01, 0.0, 0.02, 0.05]),
    st.lists(
        st.tuples(st.integers(10, 2_000), DELAY_NS, DELAY_NS, DELAY_NS), min_size=1, max_size=80
    ),
)
def test_the_true_time_is_inside_the_bound(
    offset_us: int, drift_ppm: float, wander: float, trips: list[tuple[int, int, int, int]]
) -> None:
    device = Device(offset_us, drift_ppm, wander)
    sync = ClockSync()
    now_ns = SECOND
    for pause_ms, there_ns, work_ns, back_ns in trips:
        now_ns += pause_ms * MS
        trip = device.trip(now_ns, there_ns, work_ns, back_ns)
        assert sync.add(trip)
        now_ns = trip.read_ns
        assert holds(sync, device, now_ns)
        assert holds(sync, device, now_ns + SECOND // 2)
        assert holds(sync, device, now_ns - SECOND // 10)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_the_bound_is_narrow_after_ten_seconds(seed: int, drift_ppm: float, offset_us: int) -> None:
    """Each direction delayed by its own 0.5 to 2.5 ms, anew for each line."""
    dice = random.Random(seed)
    device = Device(offset_us, drift_ppm)
    sync = ClockSync()
    now_ns = SECOND
    for _ in range(50):
        there_ns, back_ns = (round(dice.uniform(0.5, 2.5) * MS) for _ in range(2))
        assert sync.add(device.trip(now_ns, there_ns, 20_000, back_ns))
        now_ns += 200 * MS
    assert holds(sync, device, now_ns)
    assert sync.bound_us(now_ns) <= 1_500


def test_the_drift_is_learned() -> None:
    device = Device(1_000_000, 80.0)
    sync = ClockSync(max_wander_ppm_per_s=0.0)
    for second in range(1, 101):
        sync.add(device.trip(second * SECOND, 300_000, 10_000, 300_000))
    assert sync.drift_ppm == pytest.approx(80.0, abs=sync.drift_bound_ppm)
    assert sync.drift_bound_ppm < 10
    # So the bound grows more slowly than by the drift that was thought possible at first.
    now_ns = 100 * SECOND
    assert sync.bound_us(now_ns + 10 * SECOND) - sync.bound_us(now_ns) < 100


def test_the_bound_widens_with_age_both_ways() -> None:
    device = Device(0, 0.0)
    sync = ClockSync(max_drift_ppm=200.0, max_wander_ppm_per_s=0.0)
    trip = device.trip(SECOND, 400_000, 0, 600_000)
    sync.add(trip)
    fresh_us = sync.bound_us(trip.read_ns)
    assert fresh_us == pytest.approx(500, abs=4)
    for age_s in (-10, 10):
        assert sync.bound_us(trip.read_ns + age_s * SECOND) - fresh_us == pytest.approx(
            2_000, abs=2
        )


def test_a_least_delay_that_is_known_narrows_the_bound() -> None:
    device = Device(5_000, 0.0)
    trip = device.trip(SECOND, 2 * MS, 0, 3 * MS)
    wide, narrow = ClockSync(), ClockSync()
    wide.add(trip)
    known = RoundTrip(
        trip.sent_ns, trip.received_us, trip.answered_us, trip.read_ns, 1_900_000, 2_900_000
    )
    narrow.add(known)
    assert wide.bound_us(trip.read_ns) == pytest.approx(2_500, abs=4)
    assert narrow.bound_us(trip.read_ns) == pytest.approx(100, abs=4)
    assert holds(narrow, device, trip.read_ns)


def test_a_slow_round_trip_changes_nothing() -> None:
    device = Device(0, 0.0)
    sync = ClockSync(max_drift_ppm=1.0)
    sync.add(device.trip(SECOND, 200_000, 0, 200_000))
    before_us = sync.bound_us(2 * SECOND)
    sync.add(device.trip(2 * SECOND - 50 * MS, 25 * MS, 0, 25 * MS))
    assert sync.bound_us(2 * SECOND) <= before_us + 1


@pytest.mark.parametrize("jump_us", [-20_000, 20_000])
def test_a_clock_that_jumps_is_noticed(jump_us: int) -> None:
    sync = ClockSync()
    assert sync.add(Device(0, 0.0).trip(SECOND, MS, 0, MS))
    jumped = Device(jump_us, 0.0)
    assert not sync.add(jumped.trip(2 * SECOND, MS, 0, MS))
    # From there on it starts again.
    assert sync.add(jumped.trip(3 * SECOND, MS, 0, MS))
    assert holds(sync, jumped, 3 * SECOND)


def test_a_clock_that_drifts_too_much_is_noticed() -> None:
    device = Device(0, 900.0)
    sync = ClockSync(max_drift_ppm=100.0)
    kept = [sync.add(device.trip(second * SECOND, 200_000, 0, 200_000)) for second in range(1, 20)]
    assert not all(kept)


@settings(deadline=None)
@given(st.floats(-100, 100), st.integers(-20 * SECOND, 20 * SECOND))
def test_both_ways_agree(drift_ppm: float, away_ns: int) -> None:
    device = Device(123_456, drift_ppm)
    sync = ClockSync()
    for second in range(1, 12):
        sync.add(device.trip(second * SECOND, 500_000, 0, 700_000))
    host_ns = 11 * SECOND + away_ns
    assert abs(sync.host_ns(sync.device_us(host_ns)) - host_ns) <= 2_000


def test_an_estimate_needs_a_round_trip() -> None:
    with pytest.raises(ValueError, match="connect first"):
        ClockSync().device_us(0)
