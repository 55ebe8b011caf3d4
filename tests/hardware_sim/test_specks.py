from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_sim.bodies import Patch
from hardware_sim.specks import Speck, speck_or_body
from hardware_sim.spheroids import BodySpec, make_body
from hardware_sim.travellers import random_turn

PITCH_UM = 1.73


def debris(diameter_um: float) -> BodySpec:
    return BodySpec("debris", diameter_um, None, "debris", 0.0, 5)


def on_canvas(patch: Patch) -> NDArray[np.float32]:
    canvas = np.ones((200, 200), np.float32)
    height, width = patch.transmission.shape
    canvas[patch.y0_px : patch.y0_px + height, patch.x0_px : patch.x0_px + width] = (
        patch.transmission
    )
    return canvas


@pytest.mark.parametrize("defocus_um", [0.0, 200.0])
def test_a_speck_looks_like_the_body_it_was_drawn_from(defocus_um: float) -> None:
    body = make_body(debris(20.0))
    turn = random_turn(np.random.default_rng(1))
    look = {"pitch_um": PITCH_UM, "defocus_um": defocus_um, "centre_px": (100.0, 90.0)}
    drawn = on_canvas(body.transmission(turn, **look))  # type: ignore[arg-type]
    shown = on_canvas(Speck(body).transmission(turn, **look))  # type: ignore[arg-type]
    assert np.abs(drawn - shown).max() <= 0.0031


def test_it_is_drawn_eight_times_at_most_and_moves_by_pixels() -> None:
    speck = Speck(make_body(debris(20.0)))
    rng = np.random.default_rng(2)
    looks = {
        id(
            speck.transmission(
                random_turn(rng), pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(50.4, 60.0)
            ).transmission
        )
        for _ in range(100)
    }
    assert len(looks) == 8
    turn = np.eye(3)
    a = speck.transmission(turn, pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(50.4, 60.0))
    b = speck.transmission(turn, pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(57.6, 59.0))
    assert (b.x0_px - a.x0_px, b.y0_px - a.y0_px) == (8, -1)


@pytest.mark.parametrize(("diameter_um", "is_speck"), [(29.0, True), (30.0, False)])
def test_only_small_debris_is_a_speck(diameter_um: float, is_speck: bool) -> None:
    body = make_body(debris(diameter_um))
    assert isinstance(speck_or_body(body), Speck) == is_speck
    small = BodySpec("bubble", 29.0, None, "bubble", 0.0, 1)
    assert not isinstance(speck_or_body(make_body(small)), Speck)
