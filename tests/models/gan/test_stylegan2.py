"""StyleGAN2's parts against independent references, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.gan.equalised import EqualConv, EqualLinear
from models.gan.modulated import modulated_conv
from models.gan.stylegan2 import (
    CPU,
    StyleganDiscriminator,
    StyleganGenerator,
    batch_deviation,
)

SMALL = CPU.model_copy(update={"max_channels": 8, "channel_base": 256, "z_dim": 6, "w_dim": 6})


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_is_one_for_each_sample(demodulate: bool, up: bool) -> None:
    features = torch.randn(5, 4, 7, 7, generator=rng(1)).double()
    weight = torch.randn(6, 4, 3, 3, generator=rng(2)).double()
    style = torch.randn(5, 4, generator=rng(3)).double()
    ours = modulated_conv(features, weight, style, demodulate=demodulate, up=up)
    for i in range(5):
        own = weight * style[i][None, :, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wanted = functional.conv_transpose2d(features[i : i + 1], own.transpose(0, 1), stride=2)
        else:
            wanted = functional.conv2d(features[i : i + 1], own, padding=1)
        assert torch.allclose(ours[i : i + 1], wanted, atol=1e-10)


def test_transposed_convolution_then_filter_is_filter_then_convolution() -> None:
    """On an endless grid both orders are the same; far from the border they must agree."""
    from models.gan.resample import after_transposed, double

    features = torch.zeros(1, 2, 16, 16)
    features[:, :, 6:10, 6:10] = torch.randn(1, 2, 4, 4, generator=rng(4))
    weight = torch.randn(3, 2, 3, 3, generator=rng(5))
    ours = after_transposed(16)(
        functional.conv_transpose2d(features, weight.transpose(0, 1), stride=2)
    )
    wanted = functional.conv2d(double(16)(features), weight.flip(2, 3), padding=1)
    assert torch.allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize(("n", "group", "size"), [(8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2)])
def test_deviation_over_groups(n: int, group: int, size: int) -> None:
    features = torch.randn(n, 3, 2, 2, generator=rng(6)).double()
    ours = batch_deviation(features, group)
    assert ours.shape == (n, 1, 2, 2)
    for i in range(n):
        members = features[i % (n // size) :: n // size]
        wanted = (members.var(0, unbiased=False) + 1e-8).sqrt().mean()
        assert torch.allclose(ours[i], wanted.expand(1, 2, 2))


def test_activations_keep_their_scale() -> None:
    torch.manual_seed(0)
    linear, conv = EqualLinear(256, 256), EqualConv(64, 64, 3)
    assert float(linear(torch.randn(500, 256)).std().detach()) == pytest.approx(1.0, rel=0.05)
    image = conv(torch.randn(20, 64, 16, 16))[:, :, 2:-2, 2:-2]
    assert float(image.std().detach()) == pytest.approx(1.0, rel=0.05)


def test_mixing_swaps_styles_from_some_layer_on() -> None:
    torch.manual_seed(0)
    network = StyleganGenerator(SMALL.model_copy(update={"mixing": 1.0}), 32)
    z, label = network.random(64, rng()), torch.zeros(64, dtype=torch.long)
    with torch.no_grad():
        mixed, plain = network.latents(z, label, rng(1)), network.latents(z, label)
    same = (mixed == plain).all(2)
    assert same[:, 0].all()
    assert not same[:, -1].any()
    # Once another style has begun it stays.
    assert (same[:, 1:] <= same[:, :-1]).all()
    network.eval()
    assert torch.equal(network.latents(z, label, rng(1)), network.latents(z, label))


def test_truncation_pulls_to_the_mean_style() -> None:
    torch.manual_seed(0)
    network = StyleganGenerator(SMALL, 32)
    network.mapping.mean.normal_()
    network.eval()
    label = torch.zeros(3, dtype=torch.long)
    full = network.sample_latents(label, rng(), 1.0)
    half = network.sample_latents(label, rng(), 0.5)
    assert torch.allclose(half, (full + network.mapping.mean) / 2, atol=1e-6)


def test_noise_is_the_only_thing_random_in_drawing() -> None:
    torch.manual_seed(0)
    network = StyleganGenerator(SMALL, 32).eval()
    label = torch.zeros(2, dtype=torch.long)
    z = network.random(2, rng())
    assert torch.equal(network(z, label), network(z, label))
    # Strengths start at zero: noise is learnt.
    assert torch.equal(network(z, label, rng(1)), network(z, label))
    with torch.no_grad():
        network.first.noise_strength.fill_(0.5)
    assert not torch.equal(network(z, label, rng(1)), network(z, label))


def test_classes_reach_both_networks() -> None:
    torch.manual_seed(0)
    network = StyleganGenerator(SMALL, 32, classes=3).eval()
    critic = StyleganDiscriminator(SMALL, 32, classes=3)
    z = network.random(1, rng()).repeat(3, 1)
    images = network(z, torch.arange(3))
    assert not torch.allclose(images[0], images[1])
    logits = critic(images[:1].repeat(3, 1, 1, 1), torch.arange(3))
    assert len(set(logits.tolist())) == 3


def test_both_networks_see_images_in_units_of_contrast() -> None:
    label = torch.zeros(4, dtype=torch.long)
    found = []
    for contrast in (1.0, 0.1):
        torch.manual_seed(3)
        settings = SMALL.model_copy(update={"contrast": contrast})
        generator, critic = StyleganGenerator(settings, 32), StyleganDiscriminator(settings, 32)
        images = generator.eval().draw(generator.sample_latents(label, rng(7)), rng(8))
        found.append((images, critic(images, label)))
    (plain, on_plain), (faint, on_faint) = found
    assert torch.allclose(faint, 0.1 * plain, atol=1e-6)
    assert torch.allclose(on_faint, on_plain, atol=1e-5)
