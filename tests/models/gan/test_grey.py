"""The networks' scale of grey: invertible, fine near the background."""

from __future__ import annotations

import pytest
import torch

from models.gan.grey import GreyScale

LEVELS = torch.arange(256)
SCALES = [GreyScale(), GreyScale(knee=0.5), GreyScale(knee=100), GreyScale(background=200, knee=4)]


@pytest.mark.parametrize("grey", SCALES, ids=str)
def test_every_level_comes_back(grey: GreyScale) -> None:
    assert torch.equal(grey.to_grey(grey.to_network(LEVELS)), LEVELS.to(torch.uint8))


@pytest.mark.parametrize("grey", SCALES, ids=str)
@pytest.mark.parametrize("within", [-0.49, 0.49])
def test_rounding_undoes_what_is_added_within_a_level(grey: GreyScale, within: float) -> None:
    images = grey.to_network(LEVELS + within)
    assert float(images.abs().max()) <= 1.0
    assert torch.equal(grey.to_grey(images), LEVELS.to(torch.uint8))


@pytest.mark.parametrize("grey", SCALES, ids=str)
def test_the_background_is_zero_and_near_it_the_scale_is_finer(grey: GreyScale) -> None:
    images = grey.to_network(LEVELS)
    assert float(images[grey.background]) == 0.0
    steps = images.diff()
    assert bool((steps > 0).all())
    # Ever coarser on both sides.
    assert bool((steps[: grey.background].diff() > 0).all())
    assert bool((steps[grey.background :].diff() < 0).all())


def test_whatever_a_new_network_draws_is_a_grey_level() -> None:
    wild = torch.tensor([-1e6, -30.0, -2.0, 2.0, 30.0, 1e6])
    assert GreyScale().to_grey(wild).tolist() == [0, 0, 0, 255, 255, 255]
