"""Adaptive augmentation: nothing at p = 0, differentiable, steered by over-fitting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.gan.ada import AdaPipeline, Strength, adjust, blit, geometry, grey_levels, observe
from models.gan.diffaugment import diffaugment
from models.gan.recipe import Recipe


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(n: int, size: int = 32) -> torch.Tensor:
    """Images without sharp edges, in double precision."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size, dtype=torch.float64)] * 2, indexing="ij")
    centre = torch.rand(n, 2, 1, 1, generator=rng(3)).double() * 0.6 - 0.3
    return torch.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / 0.15)[:, None] - 0.5


def test_nothing_at_zero() -> None:
    images = torch.randn(6, 1, 32, 32, generator=rng())
    assert torch.equal(AdaPipeline(32)(images, 0.0, rng()), images)


def test_the_identity_map_changes_next_to_nothing() -> None:
    images = smooth(4)
    same = torch.eye(2, 3, dtype=torch.float64).repeat(4, 1, 1)
    warped = AdaPipeline(32).double().warp(images, same)
    assert float((warped - images).abs().max()) < 0.01


@pytest.mark.parametrize("size", [32, 48])
def test_a_turn_by_a_quarter_is_one(size: int) -> None:
    images = smooth(2, size)
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).double().repeat(2, 1, 1)
    warped = AdaPipeline(size).double().warp(images, quarter)
    wanted = torch.rot90(images, 1, (2, 3))
    assert float((warped - wanted).abs().max()) < 0.01


def test_a_shift_moves_by_what_it_says() -> None:
    images = smooth(1, 32)
    # The output at x shows the input at x + 4 px: the picture moves 4 px to the left.
    shift = torch.tensor([[[1.0, 0.0, 4 / 16], [0.0, 1.0, 0.0]]]).double()
    warped = AdaPipeline(32).double().warp(images, shift)
    assert torch.allclose(warped[..., 4:20], images[..., 8:24], atol=0.01)


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_gradients_by_steps(p: float) -> None:
    pipeline = AdaPipeline(16).double()
    images = smooth(6, 32)[:, :, ::2, ::2].contiguous()

    def changed(one: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = pipeline(one, p, rng(5))
        return out

    direction = torch.randn(images.shape, generator=rng(6)).double()
    step = images.clone().requires_grad_(True)
    weights = torch.randn(images.shape, generator=rng(7)).double()
    (changed(step) * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert step.grad is not None
    slope = float((step.grad * direction).sum())
    up, down = changed(images + 1e-6 * direction), changed(images - 1e-6 * direction)
    assert slope == pytest.approx(float((((up - down) / 2e-6) * weights).sum()), rel=1e-5)


def test_share_of_changed_images_follows_p() -> None:
    n, p = 4000, 0.3
    # Five transforms; of the two rotations one happens with p in all.
    _, changed = geometry(n, p, rng(1))
    assert float(changed.float().mean()) == pytest.approx(1 - (1 - p) ** 4, abs=0.03)
    images = torch.randn(n, 1, 4, 4, generator=rng(2))
    same = (grey_levels(images, p, rng(3)) == images).all(3).all(2).all(1)
    assert float(same.float().mean()) == pytest.approx((1 - p) ** 2 * (1 - p / 2), abs=0.03)


def test_blitting_only_moves_pixels() -> None:
    images = torch.randn(50, 1, 16, 16, generator=rng(1))
    moved = blit(images, 1.0, rng(2))
    for before, after in zip(images, moved, strict=True):
        assert np.isin(after.numpy(), before.numpy()).all()
    assert not torch.equal(moved, images)


def test_volume_is_kept_by_turning_and_doubled_by_scaling() -> None:
    matrix, _ = geometry(500, 1.0, rng(4))
    size = torch.linalg.det(matrix[:, :, :2]).log() / 2
    # Only isotropic scaling changes the area; its log has the paper's standard deviation.
    assert float(size.std()) == pytest.approx(0.2 * math.log(2), rel=0.15)


RECIPE = Recipe(batch=10, ada_target=0.6, ada_images=1000)


def test_strength_rises_when_the_discriminator_over_fits_and_falls_when_not() -> None:
    strength = Strength(0.5)
    for signs, direction in ((40.0, 1), (0.0, -1), (-40.0, -1)):
        moved = adjust(observe(strength, signs, 40), 40, RECIPE)
        assert moved.p == pytest.approx(0.5 + direction * 0.04)
        assert moved.count == 0
    assert adjust(strength, 40, RECIPE) == strength


def test_strength_stays_within_its_limits() -> None:
    low, high = Strength(0.0), Strength(RECIPE.ada_limit)
    for _ in range(5):
        low = adjust(observe(low, -10, 10), 40, RECIPE)
        high = adjust(observe(high, 10, 10), 40, RECIPE)
    assert (low.p, high.p) == (0.0, RECIPE.ada_limit)


def test_steering_settles_where_the_signs_meet_the_target() -> None:
    """A discriminator whose mean sign falls with p, 0.9 − p: it settles at p = 0.3."""
    strength = Strength()
    for _ in range(100):
        strength = adjust(observe(strength, (0.9 - strength.p) * 40, 40), 40, RECIPE)
    assert strength.p == pytest.approx(0.3, abs=0.05)


def test_diffaugment_is_differentiable_and_cuts_a_hole() -> None:
    images = torch.full((200, 1, 16, 16), 0.7, requires_grad=True)
    out = diffaugment(images, rng(1))
    zeros = (out == 0).float().mean((1, 2, 3)).detach()
    # A hole of half the side, cut off at the border; shifts bring in a few zeros more.
    assert float(zeros.max()) < 0.5
    assert 0.1 < float(zeros.mean()) < 0.35
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert float(images.grad.abs().sum()) > 0
