"""The parts of the GANs against independent references, in double precision.

python -m benchmarks.bar_03_parts
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import upfirdn as scipy_upfirdn
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from benchmarks._bar import Row, finish
from models.gan.ada import AdaPipeline, Strength, adjust, observe
from models.gan.biggan import BigganDiscriminator, BigganSettings
from models.gan.losses import path_lengths, r1_penalty
from models.gan.modulated import modulated_conv
from models.gan.networks import Rng
from models.gan.recipe import Recipe
from models.gan.resample import upfirdn
from models.gan.stylegan2 import CPU, StyleganDiscriminator, StyleganGenerator

SMALL = CPU.model_copy(
    update={"max_channels": 6, "channel_base": 192, "z_dim": 6, "w_dim": 6, "mixing": 0.0}
)


def main() -> None:
    torch.manual_seed(0)
    errors = [
        ("modulated convolution against one for each sample: largest error", *modulated(), 1e-9),
        ("filtered resampling against scipy's upfirdn: largest error", *resampling(), 1e-9),
        ("R1: gradients against finite differences, largest relative error", *r1(), 1e-3),
        ("path length: the same", *paths(), 1e-3),
        ("ADA at p = 0: largest change", *nothing(), 0.0),
        ("ADA at p = 0.5: gradients against finite differences", *ada_gradient(), 1e-4),
        ("spectral norm against the largest singular value", *spectral(), 1e-3),
    ]
    rows = [
        Row(what, n, value, f"<= {limit:g}", value <= limit) for what, n, value, limit in errors
    ]
    for what, sign, wanted in (("over-fits", 1.0, 1), ("doesn't", 0.0, -1)):
        moved = adjust(observe(Strength(0.5), sign * 64, 64), 64, Recipe()).p - 0.5
        rows.append(
            Row(f"change of p when D {what}", 64, moved, f"sign {wanted:+d}", moved * wanted > 0)
        )
    finish("Parts of the GANs", rows)


def rng(seed: int) -> Rng:
    return Rng().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def modulated() -> tuple[int, float]:
    features, weight, style = normal(1, 16, 8, 9, 9), normal(2, 12, 8, 3, 3), normal(3, 16, 8)
    worst = 0.0
    for up in (False, True):
        ours = modulated_conv(features, weight, style, up=up)
        for i in range(16):
            own = weight * style[i][None, :, None, None]
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            one = features[i : i + 1]
            wanted = (
                functional.conv_transpose2d(one, own.transpose(0, 1), stride=2)
                if up
                else functional.conv2d(one, own, padding=1)
            )
            worst = max(worst, float((ours[i : i + 1] - wanted).abs().max()))
    return 32, worst


def resampling() -> tuple[int, float]:
    worst, count = 0.0, 0
    for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
        for taps in ((1.0, 3.0, 3.0, 1.0), (0.37, -2.1, 4.3)):
            k = len(taps)
            images = normal(count, 2, 2, 12, 12)
            ours = upfirdn(
                images, torch.tensor(taps, dtype=torch.float64), up, down, (k - 1, k - 1)
            )
            wanted = images.numpy()
            for axis in (2, 3):
                # scipy puts no zeros behind the last sample: what it lacks there is zero.
                length = (wanted.shape[axis] * up + k - 1 + down - 1) // down
                full = scipy_upfirdn(np.array(taps), wanted, up, down, axis=axis)
                pad = [(0, 0)] * 4
                pad[axis] = (0, max(0, length - full.shape[axis]))
                wanted = np.take(np.pad(full, pad), range(length), axis=axis)
            n = ours.shape[2]
            worst = max(worst, float(np.abs(ours.numpy() - wanted[:, :, :n, :n]).max()))
            count += 1
    return count, worst


def _worst_gradient(network: nn.Module, value: Tensor, again: object) -> tuple[int, float]:
    """The largest gradient of each layer against central differences of tiny steps."""
    assert callable(again)
    value.backward()  # type: ignore[no-untyped-call]
    worst, count, step = 0.0, 0, 1e-8
    for parameter in network.parameters():
        if parameter.grad is None:
            continue
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        place = int(gradient.abs().argmax())
        before = float(flat[place])
        flat[place] = before + step
        up = float(again().detach())
        flat[place] = before - step
        down = float(again().detach())
        flat[place] = before
        wanted = (up - down) / (2 * step)
        worst = max(worst, abs(float(gradient[place]) - wanted) / max(abs(wanted), 1e-2))
        count += 1
    return count, worst


def r1() -> tuple[int, float]:
    critic = StyleganDiscriminator(SMALL, 32).double()
    images, label = normal(5, 2, 1, 32, 32), torch.zeros(2, dtype=torch.long)

    def value() -> Tensor:
        return r1_penalty(lambda one: critic(one, label), images)

    return _worst_gradient(critic, value(), value)


def paths() -> tuple[int, float]:
    network = StyleganGenerator(SMALL, 32).double()
    label = torch.zeros(2, dtype=torch.long)
    z = network.random(2, rng(6)).double()

    def value() -> Tensor:
        latents = network.latents(z, label)
        return (path_lengths(network.draw(latents), latents, rng(7)) - 0.3).square().mean()

    return _worst_gradient(network, value(), value)


def nothing() -> tuple[int, float]:
    images = normal(8, 64, 1, 32, 32)
    return 64, float((AdaPipeline(32).double()(images, 0.0, rng(1)) - images).abs().max())


def ada_gradient() -> tuple[int, float]:
    pipeline = AdaPipeline(32).double()
    images, direction, weights = (normal(seed, 32, 1, 32, 32) for seed in (9, 10, 11))
    leaf = images.clone().requires_grad_(True)
    (pipeline(leaf, 0.5, rng(2)) * weights).sum().backward()
    assert leaf.grad is not None
    slope = float((leaf.grad * direction).sum())
    ends = [
        (pipeline(images + sign * 1e-6 * direction, 0.5, rng(2)) * weights).sum()
        for sign in (1, -1)
    ]
    wanted = float((ends[0] - ends[1]) / 2e-6)
    return 32, abs(slope - wanted) / abs(wanted)


def spectral() -> tuple[int, float]:
    network = BigganDiscriminator(BigganSettings(channels=8), 32)
    worst, count = 0.0, 0
    for layer in network.modules():
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        original = layer.get_parameter("parametrizations.weight.original")
        with torch.no_grad():
            original.normal_(generator=rng(12))
        for _ in range(300):
            weight = layer.weight
        assert isinstance(weight, Tensor)
        wanted = float(torch.linalg.matrix_norm(original.detach().flatten(1).double(), 2))
        found = float((original.norm() / weight.norm()).detach())
        worst, count = max(worst, abs(found / wanted - 1)), count + 1
    return count, worst


if __name__ == "__main__":
    main()
