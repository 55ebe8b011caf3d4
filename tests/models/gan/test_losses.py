"""Penalties against finite differences, in double precision; losses against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from models.gan.biggan import BigganGenerator, BigganSettings
from models.gan.losses import (
    discriminator_loss,
    generator_loss,
    orthogonal_penalty,
    path_lengths,
    path_penalty,
    r1_penalty,
)
from models.gan.stylegan2 import CPU, StyleganDiscriminator, StyleganGenerator

SMALL = CPU.model_copy(
    update={"max_channels": 4, "channel_base": 128, "z_dim": 5, "w_dim": 5, "mapping_layers": 2}
)
STEP = 1e-5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_r1_is_the_squared_slope_at_the_images() -> None:
    torch.manual_seed(1)
    critic = StyleganDiscriminator(SMALL, 32).double()
    label = torch.zeros(1, dtype=torch.long)
    images = torch.randn(1, 1, 32, 32, generator=rng(2)).double()
    penalty = r1_penalty(lambda one: critic(one, label), images)
    slopes = torch.zeros_like(images)
    with torch.no_grad():
        for place in range(images.numel()):
            step = torch.zeros(images.numel(), dtype=torch.float64)
            step[place] = STEP
            shift = step.view_as(images)
            up, down = critic(images + shift, label).sum(), critic(images - shift, label).sum()
            slopes.view(-1)[place] = (up - down) / (2 * STEP)
    wanted = slopes.square().sum((1, 2, 3)).mean()
    assert float(penalty.detach()) == pytest.approx(float(wanted), rel=1e-4)


def test_gradient_of_r1_with_respect_to_weights() -> None:
    torch.manual_seed(1)
    critic = StyleganDiscriminator(SMALL, 32).double()
    label = torch.zeros(3, dtype=torch.long)
    images = torch.randn(3, 1, 32, 32, generator=rng(2)).double()

    def penalty() -> torch.Tensor:
        return r1_penalty(lambda one: critic(one, label), images)

    penalty().backward()  # type: ignore[no-untyped-call]
    _compare_by_steps(critic, lambda: float(penalty().detach()))


def test_path_length_and_its_gradient() -> None:
    torch.manual_seed(3)
    network = StyleganGenerator(SMALL.model_copy(update={"mixing": 0.0}), 32).double()
    label = torch.zeros(2, dtype=torch.long)
    z = network.random(2, rng(4)).double()
    y = torch.randn(2, 1, 32, 32, generator=rng(5), dtype=torch.float64) / 32

    def lengths() -> torch.Tensor:
        latents = network.latents(z, label)
        return path_lengths(network.draw(latents), latents, rng(5))

    # Jᵀy of the first image by steps in each of its latents.
    latents = network.latents(z, label).detach()
    square = 0.0
    with torch.no_grad():
        for style in range(latents.shape[1]):
            for place in range(latents.shape[2]):
                shift = torch.zeros_like(latents)
                shift[0, style, place] = STEP
                up, down = network.draw(latents + shift), network.draw(latents - shift)
                square += float((((up - down) / (2 * STEP))[0] * y[0]).sum()) ** 2
    wanted = math.sqrt(square / latents.shape[1])
    assert float(lengths()[0].detach()) == pytest.approx(wanted, rel=1e-4)

    def fixed() -> torch.Tensor:
        # The mean is followed, not differentiated.
        return (lengths() - 0.3).square().mean()

    fixed().backward()  # type: ignore[no-untyped-call]
    _compare_by_steps(network, lambda: float(fixed().detach()))


def _compare_by_steps(network: torch.nn.Module, value: Callable[[], float]) -> None:
    """The largest gradient of each layer against central differences.

    The steps are tiny, because the slope of a leaky ReLU jumps: hardly one of all the units may
    cross its kink within a step.
    """
    step, checked = 1e-8, 0
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            continue
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        place = int(gradient.abs().argmax())
        before = float(flat[place])
        flat[place] = before + step
        up = value()
        flat[place] = before - step
        down = value()
        flat[place] = before
        wanted = (up - down) / (2 * step)
        assert float(gradient[place]) == pytest.approx(wanted, rel=2e-3, abs=1e-5), name
        checked += 1
    assert checked > 8


def test_running_mean_of_lengths() -> None:
    lengths = torch.tensor([1.0, 3.0])
    penalty, mean = path_penalty(lengths, torch.tensor(0.0), 0.5)
    assert float(mean) == 1.0
    assert float(penalty) == pytest.approx((0.0 + 4.0) / 2)


def test_adversarial_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.2])
    assert float(discriminator_loss(real, fake, "hinge")) == pytest.approx(0.25 + 0.6)
    assert float(generator_loss(fake, "hinge")) == pytest.approx(1.4)
    p_real, p_fake = torch.sigmoid(real), torch.sigmoid(fake)
    wanted = -(p_real.log().mean() + (1 - p_fake).log().mean())
    found = discriminator_loss(real, fake, "non_saturating")
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    assert float(generator_loss(fake, "non_saturating")) == pytest.approx(
        float(-p_fake.log().mean()), rel=1e-5
    )


def test_orthogonal_penalty_counts_every_pair_of_filters() -> None:
    torch.manual_seed(0)
    network = BigganGenerator(BigganSettings(channels=8, z_chunk=4, embedding=6), 32)
    wanted = 0.0
    for name, weight in network.named_parameters():
        if not name.endswith("original") or weight.dim() < 2:
            continue
        rows = weight.detach().flatten(1).double()
        for i in range(len(rows)):
            products = rows @ rows[i]
            wanted += float(products.square().sum() - products[i].square())
    assert float(orthogonal_penalty(network).detach()) == pytest.approx(wanted, rel=1e-4)
