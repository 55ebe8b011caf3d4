"""Passages found by going through all descents, against bodies followed step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_sim.flow import height_at_view_um
from sorter.descent import SAMPLES, diameters_seen_um, passage_of_descents_s
from sorter.falling import Floats
from sorter.motion import fit_motion
from sorter.sinking import ChannelSettings, passage_s
from tests.sorter.falling import AHEAD_UM, FLOW, VIEW_UM, travel

TO_UM = VIEW_UM + AHEAD_UM


def seen(
    diameter_um: float, height: float, slip: float, *, heavier: float = 1.0
) -> tuple[Floats, Floats, float]:
    """Times and places of the views, and when the junction is passed.

    ``height`` goes from the lowest place that the body can have to the highest, 0 to 1.
    """
    lowest = diameter_um / 2
    highest = height_at_view_um(diameter_um, FLOW.channel_height_um - lowest, FLOW)
    start = lowest + height * (highest - lowest)
    times, places = travel(diameter_um, start, slip, heavier=heavier)
    views = slice(0, int(np.searchsorted(places, VIEW_UM)), 10)
    return np.array(times[views]), np.array(places[views]), times[-1]


def passage(
    t_s: Floats,
    x_um: Floats,
    diameters_um: tuple[float, float],
    looks_um: float | None = None,
    valve_um: Floats | None = None,
) -> tuple[float, float]:
    """Where nothing is said of how it looks, that tells nothing."""
    found = passage_of_descents_s(
        t_s,
        x_um,
        TO_UM,
        diameters_um=diameters_um,
        looks_um=looks_um or 0.0,
        channel=ChannelSettings() if looks_um else ChannelSettings(blur=0.0),
        noise_um=2.0,
        pump_um=0.0,
        valve_um=np.zeros_like(t_s) if valve_um is None else valve_um,
    )
    assert found is not None
    return found


# The interval is one of three sigma: a search that begins elsewhere each time would find the rest.
@settings(derandomize=True)
@given(
    diameter_um=st.floats(26, 70),
    height=st.floats(0.0, 1.0),
    slip=st.floats(0.70, 0.90),
    heavier=st.floats(0.80, 1.20),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_junction_is_passed_within_the_interval(
    diameter_um: float, height: float, slip: float, heavier: float, seed: int
) -> None:
    """At any height, slip and density, with noise of the views."""
    t, x, passes_s = seen(diameter_um, height, slip, heavier=heavier)
    noise_um = np.random.default_rng(seed).normal(0.0, 0.7, x.size)
    early_s, late_s = passage(t, x + noise_um, (0.88 * diameter_um, 1.15 * diameter_um))
    # The grid is coarse: some ms more, or half a hundredth of the way.
    slack_s = 0.005 + 0.005 * (passes_s - t[-1])
    assert early_s - slack_s <= passes_s <= late_s + slack_s


def test_it_is_narrower_than_what_the_last_motion_allows() -> None:
    """Over all heights together."""
    limits = {"min_speed_um_s": 1_800.0, "max_speed_um_s": 45_000.0}
    by_motion, by_descents = 0.0, 0.0
    for height in np.linspace(0.0, 1.0, 21):
        t, x, _ = seen(35.0, float(height), 0.8)
        motion = fit_motion(t, x, noise_um=1.0, roll_s=0.1)
        first, last = passage_s(motion, TO_UM - motion.x_um, 35.0, ChannelSettings(), **limits)
        early_s, late_s = passage(t, x, (31.0, 40.0))
        by_motion += last - first
        by_descents += late_s - early_s
    assert by_descents < 0.8 * by_motion


@pytest.mark.parametrize("height", [0.2, 0.9])
def test_how_sharp_it_is_tells_whether_it_is_above_the_middle_or_below(height: float) -> None:
    """The same speed at two heights: sinking, one speeds up and the other slows down."""
    channel, views = ChannelSettings(), slice(0, 12)
    t, x, passes_s = seen(30.0, height, 0.8)
    lowest_um = 15.0
    highest_um = height_at_view_um(30.0, channel.height_um - lowest_um, FLOW)
    z_um = lowest_um + height * (highest_um - lowest_um)
    looks_um = math.hypot(30.0, 2.355 * channel.blur * (z_um - channel.focus_um))
    blindly = passage(t[views], x[views], (26.0, 35.0))
    early_s, late_s = passage(t[views], x[views], (26.0, 35.0), looks_um)
    assert early_s <= passes_s <= late_s
    assert late_s - early_s < 0.8 * (blindly[1] - blindly[0])


def test_a_body_on_the_floor_keeps_its_speed() -> None:
    """Nothing that still sinks could have kept one speed for so long."""
    t, x, passes_s = seen(40.0, 0.0, 0.8)
    early_s, late_s = passage(t, x, (35.0, 46.0))
    assert early_s < passes_s < late_s
    assert late_s - early_s < 0.1 * (passes_s - t[-1])


@pytest.mark.parametrize("diameter_um", [45.0, 70.0])
def test_a_bubble_at_the_ceiling_keeps_its_speed(diameter_um: float) -> None:
    """Out of focus it looks twice as large as it is, and nothing so large could go so slowly."""
    speed = 0.8 * 42_000.0 * 4 * (diameter_um / 1600) * (1 - diameter_um / 1600)
    t = np.arange(0.0, VIEW_UM / speed, 0.005)
    passes_s = TO_UM / speed
    early_s, late_s = passage(t, speed * t, (1.1 * diameter_um, 2.2 * diameter_um))
    assert early_s <= passes_s <= late_s
    assert late_s - early_s < 0.1 * passes_s


@pytest.mark.parametrize("sigmas", [-1.5, -0.7, 0.7, 1.5])
def test_a_valve_that_moved_earlier_or_later_than_it_was_thought_to_is_allowed_for(
    sigmas: float,
) -> None:
    """The jump's rest bends the path as sinking does: without that, the descent is another one."""
    t_s, x_um, passes_s = seen(37.0, 0.12, 0.82)
    speed_um_s = (x_um[-1] - x_um[0]) / (t_s[-1] - t_s[0])
    since_s = t_s - t_s[0]
    one_um, other_um = (
        np.where(since_s >= at_s, 2e-3 * np.exp(-(since_s - at_s) / 0.1), 0.0) * speed_um_s
        for at_s in (-0.04, 0.02)
    )
    valve_um = np.hypot(one_um, other_um)
    moved_um = x_um + sigmas * (one_um + other_um)
    early_s, late_s = passage(t_s, moved_um, (31.0, 46.0), valve_um=valve_um)
    assert early_s <= passes_s <= late_s


def test_what_no_descent_shows_has_no_interval() -> None:
    """Faster than the liquid."""
    t = np.linspace(0.0, 0.05, 2 * SAMPLES)
    none = passage_of_descents_s(
        t,
        70_000.0 * t,
        TO_UM,
        diameters_um=(30.0, 40.0),
        looks_um=35.0,
        channel=ChannelSettings(),
        noise_um=2.0,
        pump_um=0.0,
        valve_um=np.zeros_like(t),
    )
    assert none is None


def test_diameters_by_the_light_that_is_missing() -> None:
    low, high = diameters_seen_um(60.0, 560.0)  # out of focus it looks 60 µm wide
    assert low < 31.5 < high
    assert high < 40.0


@pytest.mark.parametrize("deficit_um2", [math.nan, 0.0, -20.0])
def test_diameters_by_the_outline_where_light_does_not_tell(deficit_um2: float) -> None:
    assert diameters_seen_um(60.0, deficit_um2) == (33.0, 66.0)
