"""Features of a network trained in the domain, in which generated images are judged.

Networks trained on photographs know little of spheroids. This one learns two things from the data
set itself: phenotypes, where there are two or more, and which of the distortions of
`models.distort` was done to a crop. The second works for a single class too, and makes it look at
what generators get wrong. Features are scaled to mean 0 and variance 1 over the data set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from models.augment import turn_and_flip
from models.classifier import NetSettings, SpheroidNet
from models.dataset import CropSet
from models.distort import DISTORTIONS, distort
from sorter.errors import InputError
from sorter.files import write_atomic

_BATCH = 512
_WEIGHTS, _ABOUT = "features.safetensors", "features.json"
FloatArray = NDArray[np.float32]


class FeatureSettings(BaseModel):
    """Shape of the feature network, and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crops: int = Field(default=40_000, ge=100, description="crops shown in training")
    batch: int = Field(default=64, ge=8, description="crops in a step")
    learning_rate: float = Field(default=2e-3, gt=0, description="AdamW's, at its highest")
    background: int = Field(default=160, ge=1, le=255, description="of the crops; grey level")
    net: NetSettings = NetSettings(dropout=0.0)


class FeatureNet(nn.Module):
    """Features of crops; see the module.

    Args:
        settings: shape.
        phenotypes: names that its first logits stand for; may be empty.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, settings: FeatureSettings, phenotypes: tuple[str, ...]) -> None:
        super().__init__()
        self.settings = settings
        self.phenotypes = phenotypes
        classes = len(phenotypes) + len(DISTORTIONS)
        self.net = SpheroidNet(classes, settings.background, settings.net)
        width = self.net.head.in_features
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, crops: Tensor) -> Tensor:
        """(n, features), scaled, of (n, 1, size, size) grey levels 0 to 255."""
        return (self.net.pooled(crops) - self.mean) * self.scale


@dataclass(frozen=True, slots=True)
class Extractor:
    """A trained feature network on its device, in evaluation mode."""

    net: FeatureNet
    device: torch.device

    def __call__(self, images: NDArray[np.uint8]) -> FloatArray:
        """(n, features) float32 of (n, size, size) uint8."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = torch.from_numpy(images[start : start + _BATCH])[:, None]
                parts.append(self.net(batch.to(self.device)).cpu().numpy())
        return np.concatenate(parts)

    def phenotype(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """(n,) index of the likeliest phenotype of (n, size, size) uint8."""
        count = len(self.net.phenotypes)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = torch.from_numpy(images[start : start + _BATCH])[:, None]
                logits = self.net.net(batch.to(self.device))[:, :count]
                parts.append(logits.argmax(1).cpu().numpy())
        return np.concatenate(parts)


def train_features(
    crops: CropSet, settings: FeatureSettings | None = None, seed: int = 0
) -> Extractor:
    """Train a feature network on the crops of a data set, on the CPU.

    Args:
        crops: all labels are used.
        settings: how.
        seed: of weights, order and distortions.

    Raises:
        InputError: fewer crops than a batch.
    """
    settings = settings or FeatureSettings()
    if len(crops) < settings.batch:
        raise InputError(
            f"{len(crops)} crops are too few to train features on",
            on="data set",
            do=f"Bring {settings.batch} or more.",
        )
    names, index = np.unique(crops.phenotype, return_inverse=True)
    names = names if len(names) > 1 else names[:0]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FeatureNet(settings, tuple(map(str, names)))
    images, label = torch.from_numpy(crops.images)[:, None], torch.from_numpy(index)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=0.02)
    steps = settings.crops // settings.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, steps)
    for _ in range(steps):
        pick = torch.randint(0, len(images), (settings.batch,), generator=generator)
        kind = torch.randint(0, len(DISTORTIONS), (settings.batch,), generator=generator)
        batch = turn_and_flip(images[pick].float(), generator)
        logits = net.net(distort(batch, kind, settings.background, generator))
        loss = functional.cross_entropy(logits[:, len(names) :], kind)
        if len(names):
            loss = loss + functional.cross_entropy(logits[:, : len(names)], label[pick])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()
    extractor = Extractor(net, torch.device("cpu"))
    found = torch.from_numpy(extractor(crops.images))
    net.mean.copy_(found.mean(0))
    # A feature that hardly varies would count as much as one that does: the floor keeps it small.
    spread = found.std(0)
    net.scale.copy_(1.0 / spread.clamp(min=float(spread.mean()) * 0.05))
    return extractor


def save_features(extractor: Extractor, folder: Path) -> None:
    """Write a feature network: ``features.safetensors`` and ``features.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: one.cpu().contiguous() for name, one in extractor.net.state_dict().items()}
    write_atomic(folder / _WEIGHTS, safetensors.torch.save(tensors))
    about = {
        "settings": extractor.net.settings.model_dump(mode="json"),
        "phenotypes": list(extractor.net.phenotypes),
    }
    write_atomic(folder / _ABOUT, json.dumps(about, indent=2) + "\n")


def load_features(folder: Path, device: torch.device | None = None) -> Extractor:
    """Read a feature network.

    Raises:
        InputError: it is missing or damaged.
    """
    device = device or torch.device("cpu")
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        settings = FeatureSettings.model_validate(about["settings"])
        net = FeatureNet(settings, tuple(about["phenotypes"]))
        net.load_state_dict(safetensors.torch.load((folder / _WEIGHTS).read_bytes()))
    except (OSError, ValueError, KeyError, RuntimeError, ValidationError) as error:
        raise InputError(
            f"the feature network can't be read: {error}",
            on=folder,
            do="Remove the folder, and it is trained again.",
        ) from error
    except safetensors.SafetensorError as error:
        raise InputError(
            f"the feature network is damaged: {error}",
            on=folder,
            do="Remove the folder, and it is trained again.",
        ) from error
    return Extractor(net.to(device).eval(), device)
