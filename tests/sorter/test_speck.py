"""Specks: limits that follow the speed, and light that is measured where nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from sorter.speck import SpeckSettings, deficit_um2, is_speck, stands_alone
from tests.sorter.loop_parts import PITCH_UM, detection

SETTINGS = SpeckSettings(limits=((0.0, 32.0, 400.0), (10_000.0, 29.0, 360.0)))


@pytest.mark.parametrize(
    ("looks_um", "light_um2", "speed_um_s", "expected"),
    [
        (31.9, 900.0, 0.0, True),
        (31.9, 900.0, 9_999.0, True),
        (31.9, 900.0, 10_000.0, False),
        (28.9, 900.0, 50_000.0, True),
        (60.0, 390.0, 5_000.0, True),
        (60.0, 390.0, 12_000.0, False),
        (60.0, np.inf, 12_000.0, False),
    ],
)
def test_limits_follow_the_speed(
    looks_um: float, light_um2: float, speed_um_s: float, expected: bool
) -> None:
    assert is_speck(looks_um, light_um2, speed_um_s, SETTINGS) is expected


def test_in_a_flow_that_speeds_up_it_may_be_as_high_as_any_that_is_faster() -> None:
    for speed_um_s in (0.0, 20_000.0):
        assert not is_speck(29.5, 390.0, speed_um_s, SETTINGS, steady=False)
        assert is_speck(28.9, 390.0, speed_um_s, SETTINGS, steady=False)
        assert is_speck(29.5, 350.0, speed_um_s, SETTINGS, steady=False)


@pytest.mark.parametrize(
    "limits",
    [(), ((1.0, 30.0, 400.0),), ((0.0, 30.0, 400.0), (0.0, 29.0, 360.0))],
    ids=["none", "not from 0", "twice the same"],
)
def test_rows_must_begin_at_0_and_grow(limits: tuple[tuple[float, float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        SpeckSettings(limits=limits)


def test_a_dark_disc_takes_out_its_area_wherever_the_light_is() -> None:
    found = detection(500.0, 300.0, 40.0)
    y, x = np.mgrid[0:512, 0:1280]
    inside = np.hypot(x - found.x_px, y - found.y_px) * PITCH_UM <= 20.0
    for level in (90, 180):
        pixels = np.where(inside, 0, level).astype(np.uint8)
        area_um2 = np.count_nonzero(inside) * PITCH_UM**2
        assert deficit_um2(pixels, found, pitch_um=PITCH_UM) == pytest.approx(area_um2, rel=1e-6)


def test_light_is_not_measured_beside_another_body() -> None:
    grain = detection(500.0, 300.0, 30.0)
    far, near = detection(900.0, 300.0, 200.0), detection(650.0, 300.0, 200.0)
    assert stands_alone(grain, [far, grain])
    assert not stands_alone(grain, [grain, near])
