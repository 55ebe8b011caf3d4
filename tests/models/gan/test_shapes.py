"""Layer shapes and parameter counts: as the papers imply, and as docs/gans.md says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from models.gan.biggan import BigganDiscriminator, BigganGenerator, BigganSettings
from models.gan.dcgan import DcganDiscriminator, DcganGenerator, DcganSettings
from models.gan.kinds import PRESETS, GanSettings, Kind, build
from models.gan.networks import SIZES_PX, parameters_of
from models.gan.stylegan2 import StyleganDiscriminator, StyleganGenerator, StyleganSettings
from sorter.errors import InputError

PAGE = Path(__file__).parents[3] / "docs" / "gans.md"
KINDS: tuple[Kind, ...] = ("dcgan", "biggan", "stylegan2-ada")
SIZES = (64, 128, 256)


def conv(inputs: int, outputs: int, k: int, bias: bool = True) -> int:
    return inputs * outputs * k * k + (outputs if bias else 0)


def dcgan_counts(size: int) -> tuple[int, int]:
    """By hand: projection, transposed 5×5 convolutions, two numbers for each normed channel."""
    widths = {64: [1024, 512, 256, 128], 128: [1024, 1024, 512, 256, 128],
              256: [1024, 1024, 1024, 512, 256, 128]}[size]  # fmt: skip
    inner = sum(25 * a * b for a, b in itertools.pairwise(widths))
    draws = 100 * 1024 * 16 + inner + 2 * sum(widths) + 25 * 128 + 1
    tells = 25 * 128 + 128 + inner + 2 * sum(widths[:-1]) + 1024 * 16 + 1
    return draws, tells


def biggan_counts(size: int) -> tuple[int, int]:
    """By hand, from tables 4 and 5 of the paper, one grey channel and one class."""
    m = {64: [16, 8, 4, 2, 1], 128: [16, 16, 8, 4, 2, 1], 256: [16, 16, 8, 8, 4, 2, 1]}[size]
    w = [96 * one for one in m]
    condition = 128 + 20

    def up(a: int, b: int) -> int:
        return conv(a, b, 3) + conv(b, b, 3) + conv(a, b, 1) + 2 * condition * (a + b)

    def attention(c: int) -> int:
        return 2 * c * c // 8 + c * c // 2 * 2 + 1

    # At 64×64 the generator of 128 and 256 px has 2·96 and 4·96 channels; at 32×32 of 64 px 2·96.
    c_draws = {64: 192, 128: 192, 256: 384}[size]
    draws = 128 + 21 * 16 * w[0] + sum(up(a, b) for a, b in itertools.pairwise(w))
    draws += attention(c_draws) + 2 * 96 + conv(96, 1, 3)
    outs = w[::-1]
    tells, before = 0, 1
    for i, out in enumerate(outs):
        tells += conv(before, out, 3) + conv(out, out, 3)
        last = i == len(outs) - 1
        tells += 0 if last and before == out else conv(before, out, 1)
        before = out
    c_tells = {64: 96, 128: 96, 256: 192}[size]
    return draws, tells + attention(c_tells) + outs[-1] + 1 + outs[-1]


def stylegan_counts(size: int) -> tuple[int, int]:
    """By hand: 8 dense layers of 512; on each grid two styled convolutions and a grey output."""
    grids = [4 << i for i in range(20) if 4 << i <= size]
    w = {grid: min(512, 16_384 // grid) for grid in grids}

    def styled(a: int, b: int) -> int:
        return 9 * a * b + b + 1 + 513 * a

    draws = 8 * (512 * 513) + 512 * 16 + styled(512, 512)
    draws += sum(styled(w[a], w[b]) + styled(w[b], w[b]) for a, b in itertools.pairwise(grids))
    draws += sum(w[g] + 1 + 513 * w[g] for g in grids)
    tells = 2 * w[size]
    for a, b in zip(grids[::-1], grids[::-1][1:], strict=False):
        tells += conv(w[a], w[a], 3) + conv(w[a], w[b], 3) + w[a] * w[b]
    return draws, tells + conv(513, 512, 3) + 512 * 16 * 512 + 512 + 513


BY_HAND = {"dcgan": dcgan_counts, "biggan": biggan_counts, "stylegan2-ada": stylegan_counts}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_the_papers_and_stand_in_the_docs(kind: Kind, size: int) -> None:
    with torch.device("meta"):
        generator, discriminator = build(PRESETS[kind, "paper"], size)
    found = parameters_of(generator), parameters_of(discriminator)
    assert found == BY_HAND[kind](size)
    row = f"| {kind} | {size} | {found[0]:,} | {found[1]:,} |"
    assert row in PAGE.read_text(encoding="utf-8"), row


def test_counts_of_the_colour_networks_that_are_known() -> None:
    """With three channels and their classes these are the counts of the published networks."""
    with torch.device("meta"):
        style = build(StyleganSettings(), 256)
        big = build(BigganSettings(), 128, classes=1000)
    widths = [512, 512, 512, 512, 256, 128, 64]
    assert parameters_of(style[0]) + 2 * sum(widths) + 2 * len(widths) == 24_767_458
    assert parameters_of(style[1]) + 2 * 64 == 24_001_089
    assert parameters_of(big[0]) + 2 * 96 * 9 + 2 == 70_433_988
    assert parameters_of(big[1]) + 2 * 96 * 9 + 2 * 96 == 87_982_370


@pytest.mark.parametrize("size", SIZES_PX)
@pytest.mark.parametrize("kind", KINDS)
def test_every_size_is_drawn_and_judged(kind: Kind, size: int) -> None:
    narrow: dict[Kind, GanSettings] = {
        "dcgan": DcganSettings(channels=2),
        "biggan": BigganSettings(channels=8, z_chunk=2),
        "stylegan2-ada": StyleganSettings(channel_base=256, max_channels=4, w_dim=8, z_dim=8),
    }
    with torch.no_grad():
        generator, discriminator = build(narrow[kind], size)
        z, label = torch.randn(4, generator.z_dim), torch.zeros(4, dtype=torch.long)
        images = generator(z, label)
        assert images.shape == (4, 1, size, size)
        assert discriminator(images, label).shape == (4,)


def grids_of(network: torch.nn.Module, size: int) -> list[tuple[int, ...]]:
    """(channels, height, width) after each convolution of a network, on a real forward pass."""
    seen: list[tuple[int, ...]] = []

    def note(module: torch.nn.Module, args: object, out: object) -> None:
        if isinstance(out, torch.Tensor) and out.dim() == 4:
            seen.append(tuple(out.shape[1:]))

    for module in network.modules():
        if type(module).__name__ in ("ConvTranspose2d", "_Up", "StyledConv", "_Down", "_Residual"):
            module.register_forward_hook(note)
    label = torch.zeros(2, dtype=torch.long)
    if isinstance(network, DcganGenerator | BigganGenerator | StyleganGenerator):
        network(torch.randn(2, network.z_dim), label)
    else:
        network(torch.randn(2, 1, size, size), label)
    return seen


def test_shapes_at_64_px() -> None:
    with torch.device("meta"):
        shapes = {
            "dcgan": grids_of(DcganGenerator(DcganSettings(), 64), 64),
            "biggan": grids_of(BigganGenerator(BigganSettings(), 64), 64),
            "biggan d": grids_of(BigganDiscriminator(BigganSettings(), 64), 64),
            "style": grids_of(StyleganGenerator(StyleganSettings(), 64), 64),
            "style d": grids_of(StyleganDiscriminator(StyleganSettings(), 64), 64),
        }
    assert shapes["dcgan"] == [(512, 8, 8), (256, 16, 16), (128, 32, 32), (1, 64, 64)]
    assert shapes["biggan"] == [(768, 8, 8), (384, 16, 16), (192, 32, 32), (96, 64, 64)]
    assert shapes["biggan d"] == [
        (96, 32, 32), (192, 16, 16), (384, 8, 8), (768, 4, 4), (1536, 4, 4),
    ]  # fmt: skip
    assert shapes["style"] == [
        (512, 4, 4), (512, 8, 8), (512, 8, 8), (512, 16, 16), (512, 16, 16),
        (512, 32, 32), (512, 32, 32), (256, 64, 64), (256, 64, 64),
    ]  # fmt: skip
    assert shapes["style d"] == [(512, 32, 32), (512, 16, 16), (512, 8, 8), (512, 4, 4)]


@pytest.mark.parametrize("size", [16, 63, 512])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="networks are made for"):
        build(PRESETS["dcgan", "cpu"], size)


def test_dcgan_knows_no_classes() -> None:
    with pytest.raises(InputError, match="knows no classes"):
        build(PRESETS["dcgan", "cpu"], 64, classes=2)


def test_dcgan_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    generator = DcganGenerator(DcganSettings(), 64)
    first = generator.get_parameter("ups.0.weight").detach()
    assert float(first.std()) == pytest.approx(0.02, rel=0.01)
    z = generator.random(1000, torch.Generator().manual_seed(1))
    assert (float(z.min()), float(z.max())) == pytest.approx((-1, 1), abs=0.01)
    assert not [
        one for one in DcganDiscriminator(DcganSettings(), 64).norms if one.num_features == 128
    ]


def test_table_of_the_page_has_no_other_rows() -> None:
    rows = re.findall(
        r"^\| (?:dcgan|biggan|stylegan2-ada) \| \d+ \|", PAGE.read_text("utf-8"), re.M
    )
    assert len(rows) == len(KINDS) * len(SIZES)
