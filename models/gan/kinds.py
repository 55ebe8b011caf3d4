"""The three kinds by name: their settings, presets and networks."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from models.gan import biggan, dcgan, stylegan2
from models.gan.biggan import BigganDiscriminator, BigganGenerator, BigganSettings
from models.gan.dcgan import DcganDiscriminator, DcganGenerator, DcganSettings
from models.gan.networks import Discriminator, Generator
from models.gan.stylegan2 import StyleganDiscriminator, StyleganGenerator, StyleganSettings

Kind = Literal["dcgan", "biggan", "stylegan2-ada"]
Preset = Literal["paper", "cpu"]
GanSettings: TypeAlias = Annotated[
    DcganSettings | BigganSettings | StyleganSettings, Field(discriminator="kind")
]

PRESETS: dict[tuple[Kind, Preset], DcganSettings | BigganSettings | StyleganSettings] = {
    ("dcgan", "paper"): DcganSettings(),
    ("dcgan", "cpu"): dcgan.CPU,
    ("biggan", "paper"): BigganSettings(),
    ("biggan", "cpu"): biggan.CPU,
    ("stylegan2-ada", "paper"): StyleganSettings(),
    ("stylegan2-ada", "cpu"): stylegan2.CPU,
}


def preset_of(kind: str, preset: str, **recipe: object) -> GanSettings:
    """Settings of a preset; fields of its recipe that are given replace the preset's own.

    Raises:
        StopIteration: no such kind or preset.
    """
    settings = next(one for key, one in PRESETS.items() if key == (kind, preset))
    return settings.model_copy(update={"recipe": settings.recipe.model_copy(update=recipe)})


def build(settings: GanSettings, size_px: int, classes: int = 1) -> tuple[Generator, Discriminator]:
    """New networks, from torch's global random state.

    Args:
        settings: of one kind.
        size_px: one of `models.gan.networks.SIZES_PX`.
        classes: labels; 1 for none.

    Raises:
        InputError: the kind can't do this size or number of classes.
    """
    if isinstance(settings, DcganSettings):
        return (
            DcganGenerator(settings, size_px, classes),
            DcganDiscriminator(settings, size_px, classes),
        )
    if isinstance(settings, BigganSettings):
        return (
            BigganGenerator(settings, size_px, classes),
            BigganDiscriminator(settings, size_px, classes),
        )
    return (
        StyleganGenerator(settings, size_px, classes),
        StyleganDiscriminator(settings, size_px, classes),
    )
