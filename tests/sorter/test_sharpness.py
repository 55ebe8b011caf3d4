"""The width of an outline, against edges whose blur is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf

from sorter.sharpness import edge_width_um

PITCH_UM = 2.0


def disc(
    sigma_um: float, radius_um: float = 60.0, background: float = 200.0, depth: float = 120.0
) -> NDArray[np.uint8]:
    """A disc whose edge is a step blurred by a Gaussian."""
    axis = (np.arange(96) - 47.5) * PITCH_UM
    r = np.hypot(*np.meshgrid(axis, axis))
    inside = 0.5 * (1 - erf((r - radius_um) / (sigma_um * math.sqrt(2))))
    return np.asarray(np.round(background - depth * inside), np.uint8)


@pytest.mark.parametrize("sigma_um", [4.0, 6.0, 10.0, 15.0])
def test_the_width_is_that_of_the_blur(sigma_um: float) -> None:
    width = edge_width_um(disc(sigma_um), PITCH_UM)
    assert width == pytest.approx(sigma_um * math.sqrt(2 * math.pi), rel=0.08)


@pytest.mark.parametrize("depth", [30.0, 60.0, 150.0])
@pytest.mark.parametrize("radius_um", [40.0, 75.0])
def test_contrast_and_size_do_not_matter(depth: float, radius_um: float) -> None:
    width = edge_width_um(disc(8.0, radius_um, depth=depth), PITCH_UM)
    assert width == pytest.approx(8.0 * math.sqrt(2 * math.pi), rel=0.12)


def test_noise_matters_little() -> None:
    rng = np.random.default_rng(1)
    noisy = disc(8.0) + rng.normal(0, 2, (96, 96))
    width = edge_width_um(np.asarray(noisy.clip(0, 255), np.uint8), PITCH_UM)
    assert width == pytest.approx(8.0 * math.sqrt(2 * math.pi), rel=0.25)


@pytest.mark.parametrize("grey", [0, 200], ids=["black", "bright"])
def test_nothing_there(grey: int) -> None:
    assert edge_width_um(np.full((64, 64), grey, np.uint8), PITCH_UM) is None
