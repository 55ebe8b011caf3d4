"""BigGAN's parts: spectral norm, conditions, attention, truncation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from models.gan.biggan import Attention, BigganDiscriminator, BigganGenerator, BigganSettings

SMALL = BigganSettings(channels=8, z_chunk=4, embedding=6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("network", [BigganGenerator, BigganDiscriminator])
def test_weights_are_divided_by_their_largest_singular_value(
    network: type[BigganGenerator | BigganDiscriminator],
) -> None:
    torch.manual_seed(0)
    module = network(SMALL, 32, classes=3)
    normed = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)
        and parametrize.is_parametrized(layer)
    ]
    assert len(normed) > 10
    for layer in normed:
        original = layer.get_parameter("parametrizations.weight.original")
        with torch.no_grad():  # as after some training: no longer orthogonal
            original.normal_(generator=rng(7))
        for _ in range(300):
            weight = layer.weight  # one power iteration each time
        wanted = np.linalg.svd(original.detach().flatten(1).numpy(), compute_uv=False)[0]
        found = float((original.flatten()[0] / weight.flatten()[0]).detach())
        assert found == pytest.approx(wanted, rel=1e-3)


def test_attention_starts_as_nothing_and_weights_places() -> None:
    torch.manual_seed(0)
    block = Attention(16).eval()
    features = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(features), features)
    with torch.no_grad():
        block.weight.fill_(1.0)
    seen = (block(features) - features).detach()
    # By hand, place by place.
    query, key, value = block.query(features), block.key(features), block.value(features)
    pool = nn.functional.max_pool2d
    keys, values = pool(key, 2).flatten(2)[0], pool(value, 2).flatten(2)[0]
    weights = torch.softmax(query[0, :, 3, 5] @ keys, 0)
    wanted = block.out((values @ weights)[None, :, None, None])[0, :, 0, 0]
    assert torch.allclose(seen[0, :, 3, 5], wanted, atol=1e-5)


def test_class_and_every_chunk_matter() -> None:
    torch.manual_seed(0)
    network = BigganGenerator(SMALL, 32, classes=2).eval()
    assert network.z_dim == 16
    z = network.random(1, rng())
    first = network(z, torch.tensor([0]))
    assert not torch.allclose(first, network(z, torch.tensor([1])), atol=1e-6)
    for chunk in range(4):
        moved = z.clone()
        moved[:, chunk * 4 : chunk * 4 + 4] += 1.0
        assert not torch.allclose(first, network(moved, torch.tensor([0])), atol=1e-6)


def test_projection_adds_the_product_with_the_embedding() -> None:
    torch.manual_seed(0)
    critic = BigganDiscriminator(SMALL, 32, classes=2).eval()
    images = torch.randn(3, 1, 32, 32)
    zero, one = (critic(images, torch.full((3,), label)) for label in (0, 1))
    pooled = []
    handle = critic.head.register_forward_hook(lambda module, args, out: pooled.append(args[0]))
    critic(images, torch.zeros(3, dtype=torch.long))
    handle.remove()
    rows = critic.get_submodule("embed").weight
    assert isinstance(rows, torch.Tensor)
    assert torch.allclose(one - zero, pooled[0] @ (rows[1] - rows[0]), atol=1e-5)


def test_truncation_redraws_what_is_far_out() -> None:
    torch.manual_seed(0)
    network = BigganGenerator(SMALL, 32)
    label = torch.zeros(500, dtype=torch.long)
    z = network.sample_latents(label, rng(), 0.25)[:, SMALL.embedding :]
    assert float(z.detach().abs().max()) <= 0.5
    assert float(z.detach().std()) > 0.2
