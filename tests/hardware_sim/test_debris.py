"""Debris is as large as its spec says."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest

from hardware_sim.spheroids import BodySpec, make_body
from hardware_sim.travellers import random_turn

PITCH_UM = 0.5


@pytest.mark.parametrize("diameter_um", [15.0, 20.0, 30.0, 45.0, 80.0])
def test_its_silhouette_has_the_area_of_its_diameter(diameter_um: float) -> None:
    """Over random attitudes, half the light gone: each body within a seventh, all within 5 %."""
    rng = np.random.default_rng(1)
    found = []
    for seed in range(25):
        body = make_body(BodySpec("debris", diameter_um, None, "debris", 0.0, seed))
        areas = []
        for _ in range(6):
            patch = body.transmission(
                random_turn(rng), pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(0.0, 0.0)
            )
            areas.append(np.count_nonzero(patch.transmission < 0.7) * PITCH_UM**2)
        found.append(2 * sqrt(float(np.mean(areas)) / pi))
    assert np.mean(found) == pytest.approx(diameter_um, rel=0.05)
    assert min(found) > 0.85 * diameter_um
    assert max(found) < 1.15 * diameter_um
