"""Passages of bodies that sink, against their motion integrated step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.flow import height_at_view_um
from sorter.motion import Motion, fit_motion
from sorter.sinking import ChannelSettings, passage_s, sinks_as_um, time_to_s
from tests.sorter.falling import AHEAD_UM, FLOW, VIEW_UM, travel


@given(
    diameter_um=st.floats(30, 70),
    height=st.floats(0.0, 1.0),
    slip=st.floats(0.72, 0.88),
    seen_share=st.floats(0.84, 0.92),
)
def test_a_sinking_body_passes_within_its_interval(
    diameter_um: float, height: float, slip: float, seen_share: float
) -> None:
    """At any height, followed through the view without noise: the junction comes as foretold."""
    lowest = diameter_um / 2
    highest = height_at_view_um(diameter_um, FLOW.channel_height_um - lowest, FLOW)
    times, places = travel(diameter_um, lowest + height * (highest - lowest), slip)
    frames = slice(0, int(np.searchsorted(places, VIEW_UM)), 10)
    t, x = np.array(times[frames]), np.array(places[frames])
    recent = t >= t[-1] - 0.4
    motion = fit_motion(t[recent], x[recent], noise_um=1.0, roll_s=0.1)
    early_s, late_s = passage_s(
        motion,
        VIEW_UM + AHEAD_UM - motion.x_um,
        seen_share * diameter_um,
        ChannelSettings(),
        min_speed_um_s=1_800.0,
        max_speed_um_s=45_000.0,
    )
    assert early_s <= times[-1] - motion.at_s <= late_s


@pytest.mark.parametrize("aspect", [1.0, 2.5, 6.0, 12.0, 40.0])
def test_a_rod_sinks_by_its_width(aspect: float) -> None:
    """Those of a few widths are clumps, and sink as a grain of their area."""
    width_um = 15.0
    area_um2 = aspect * width_um**2
    circularity = math.pi * area_um2 / ((aspect + 1.0) * width_um) ** 2
    diameter_um = 2.0 * math.sqrt(area_um2 / math.pi)
    found_um = sinks_as_um(diameter_um, circularity)
    if aspect < 4.0:
        assert found_um == diameter_um
    else:
        assert found_um == pytest.approx(width_um, rel=0.2)


@pytest.mark.parametrize(
    ("diameter_um", "error_um_s"), [(120.0, 0.0), (220.0, 500.0), (400.0, 100.0)]
)
def test_a_settled_body_keeps_its_speed(diameter_um: float, error_um_s: float) -> None:
    motion = Motion(0.0, 0.0, 16_000.0, error_um_s)
    limits = {"min_speed_um_s": 1_800.0, "max_speed_um_s": 45_000.0}
    passage = passage_s(motion, 8_000.0, diameter_um, ChannelSettings(), **limits)
    assert passage == pytest.approx((8_000 / (16_000 + error_um_s), 8_000 / (16_000 - error_um_s)))


@pytest.mark.parametrize("distance_um", [10.0, 1_500.0, 3_000.0, 12_000.0])
@pytest.mark.parametrize("acceleration", [-6_000.0, -200.0, 0.0, 5_000.0])
def test_time_to_a_distance(distance_um: float, acceleration: float) -> None:
    """Against the distance that is come in that time, by small steps."""
    time_s = time_to_s(distance_um, 8_000.0, acceleration, 3_000.0)
    steps = np.linspace(0.0, time_s, 20_001)
    speed = np.maximum(8_000.0 + acceleration * steps, 3_000.0)
    assert float(np.trapezoid(speed, steps)) == pytest.approx(distance_um, rel=1e-3)


def test_unknown_acceleration_leaves_what_the_channel_allows() -> None:
    channel = ChannelSettings()
    limits = {"min_speed_um_s": 1_800.0, "max_speed_um_s": 45_000.0}
    unknown = Motion(0.0, 0.0, 20_000.0, 50.0)
    known = Motion(0.0, 0.0, 20_000.0, 50.0, -1_000.0, 300.0)
    wide = passage_s(unknown, 10_000.0, 40.0, channel, **limits)
    narrow = passage_s(known, 10_000.0, 40.0, channel, **limits)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    most = channel.most_acceleration_um_s2(20_000.0, 40.0)
    assert wide[1] > time_to_s(10_000.0, 20_000.0, -most, 3_000.0) - 1e-9
    assert not math.isinf(wide[1])
