"""What a training knows between steps: averages, optimisers, other networks' checkpoints."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from models.gan.state import new_state
from models.gan.step import Stepper, follow
from sorter.errors import InputError
from tests.models.gans import TINY

CPU = torch.device("cpu")


def test_after_a_half_life_the_average_is_half_new() -> None:
    state = new_state(TINY["dcgan"], 32, 1, 0, CPU)
    recipe = TINY["dcgan"].recipe.model_copy(update={"ema_half_life_images": 40, "ema_ramp": 1e9})
    state.images = 1
    with torch.no_grad():
        for one in state.average.parameters():
            one.fill_(0.0)
        for one in state.generator.parameters():
            one.fill_(1.0)
    for _ in range(5):
        follow(state, recipe, 8)
    for one in state.average.parameters():
        assert torch.allclose(one, torch.full_like(one, 0.5), atol=1e-6)


def test_at_the_start_the_average_follows_closely() -> None:
    state = new_state(TINY["dcgan"], 32, 1, 0, CPU)
    with torch.no_grad():
        for one in state.generator.parameters():
            one.fill_(1.0)
    state.images = 8  # of which a twentieth is the half-life: 0.4 images
    follow(state, TINY["dcgan"].recipe, 8)
    for one in state.average.parameters():
        assert torch.allclose(one, torch.ones_like(one), atol=1e-4)


def test_singular_vectors_keep_their_length() -> None:
    state = new_state(TINY["biggan"], 32, 1, 0, CPU)
    state.images = 1000
    for name, one in state.generator.named_buffers():
        if name.endswith("._u"):
            one.copy_(torch.nn.functional.normalize(torch.randn_like(one), dim=0))
    follow(state, TINY["biggan"].recipe, 8)
    lengths = [
        float(one.norm()) for name, one in state.average.named_buffers() if name.endswith("._u")
    ]
    assert lengths == pytest.approx([1.0] * len(lengths), abs=1e-5)


def test_adam_makes_up_for_lazy_steps() -> None:
    recipe = TINY["stylegan2-ada"].recipe
    state = new_state(TINY["stylegan2-ada"], 32, 1, 0, CPU)
    for adam, interval, rate in (
        (state.generator_adam, recipe.path_interval, recipe.generator_rate),
        (state.discriminator_adam, recipe.r1_interval, recipe.discriminator_rate),
    ):
        share = interval / (interval + 1)
        group = adam.param_groups[0]
        assert group["lr"] == pytest.approx(rate * share)
        assert group["betas"] == pytest.approx((0.0**share, recipe.beta2**share))
    plain = new_state(TINY["dcgan"], 32, 1, 0, CPU)
    assert plain.generator_adam.param_groups[0]["lr"] == TINY["dcgan"].recipe.generator_rate


def test_the_seed_decides_the_weights_and_leaves_torchs_own_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (new_state(TINY["dcgan"], 32, 1, seed, CPU) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    first, again, third = (
        state.tensors()["generator/project.weight"] for state in (one, same, other)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, third)


def test_other_networks_tensors_are_refused() -> None:
    dcgan, biggan = (new_state(TINY[kind], 32, 1, 0, CPU) for kind in ("dcgan", "biggan"))
    with pytest.raises(InputError, match="other networks"):
        dcgan.restore(biggan.tensors(), biggan.numbers())


def test_mean_path_length_starts_as_the_mean_of_those_so_far() -> None:
    gan = TINY["stylegan2-ada"]
    state = new_state(gan, 32, 1, 0, CPU)
    stepper = Stepper(gan.recipe, 32, Fabric(accelerator="cpu", devices=1), 0)
    real, label = torch.zeros(gan.recipe.batch, 1, 32, 32), torch.zeros(8, dtype=torch.long)
    told = [stepper.step(state, [(real, label)]) for _ in range(6)]
    lengths = [float(one["path_length"]) for one in told if "path_length" in one]
    assert len(lengths) == 3
    assert float(state.path_mean) == pytest.approx(sum(lengths) / 3, rel=1e-5)
