"""Tiny GANs and trainings for tests."""

from __future__ import annotations

from models.classifier import NetSettings
from models.features import FeatureSettings
from models.gan.biggan import BigganSettings
from models.gan.dcgan import DcganSettings
from models.gan.kinds import GanSettings, Kind
from models.gan.recipe import Recipe
from models.gan.stylegan2 import CPU, StyleganSettings
from models.gan.training import GanTraining
from models.two_sample import TwoSampleSettings

NET = NetSettings(stem_channels=8, blocks=((16, 2), (16, 2)), dropout=0.0)
FEATURES = FeatureSettings(crops=640, batch=16, net=NET)
TELLING = TwoSampleSettings(crops=3200, batch=32, net=NET)
# Its rate is high: a new DCGAN draws nothing but background, and has eight steps to change that.
RECIPE = Recipe(
    batch=8,
    generator_rate=5e-3,
    ema_half_life_images=50,
    augment="ada",
    ada_interval=2,
    ada_images=200,
    ada_target=0.01,
)
TINY: dict[Kind, GanSettings] = {
    "dcgan": DcganSettings(z_dim=8, channels=4, max_channels=8, recipe=RECIPE),
    "biggan": BigganSettings(
        channels=8,
        z_chunk=4,
        embedding=4,
        recipe=RECIPE.model_copy(
            update={
                "adversarial": "hinge",
                "orthogonal_weight": 1e-4,
                "discriminator_steps": 2,
                "augment": "diffaugment",
            }
        ),
    ),
    "stylegan2-ada": StyleganSettings(
        z_dim=8,
        w_dim=8,
        mapping_layers=2,
        channel_base=128,
        max_channels=8,
        recipe=CPU.recipe.model_copy(
            update=RECIPE.model_dump(include={"batch", "ada_interval", "ada_images", "ada_target"})
            | {"path_weight": 0.5, "path_interval": 2, "r1_interval": 3}
        ),
    ),
}


def training(kind: Kind, images: int, **changes: object) -> GanTraining:
    """A training that takes a second or two."""
    values: dict[str, object] = {
        "gan": TINY[kind],
        "size_px": 32,
        "images": images,
        "seed": 3,
        "kid_images": 16,
        "evaluate_every": 64,
        "features": FEATURES,
        "accelerator": "cpu",
        "threads": 1,
    }
    return GanTraining.model_validate(values | changes)
