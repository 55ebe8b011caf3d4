"""The network: small enough to classify a crop in some 20 µs on one CPU thread.

A strided stem takes the 64 px crop to 32 px at once, then blocks of depthwise and pointwise
convolutions (MobileNet, Howard et al. 2017, section 3.1) halve it while the channels grow.
Moderate accuracy per view is enough: 10 to 30 views of each object vote. Average *and* maximum
pooling at the end, because a defect may be one small place or a texture all over.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

# One grey-level unit of the network's input; about the contrast of a spheroid.
GREY_SCALE = 64.0


class NetSettings(BaseModel):
    """Shape of the network. Channel counts are multiples of 8 for ONNX Runtime's blocked layout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_channels: int = Field(default=16, ge=8, multiple_of=8, description="channels at 1/2 size")
    blocks: tuple[tuple[int, int], ...] = Field(
        default=((32, 2), (64, 2), (64, 1), (96, 2)),
        min_length=1,
        description="(channels, stride) of each depthwise-separable block",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of features dropped")


class SpheroidNet(nn.Module):
    """Logits of crops.

    Args:
        classes: number of classes.
        background: grey level of the crops' background; becomes 0 inside, as padding is.
        settings: shape of the network.
    """

    def __init__(self, classes: int, background: float, settings: NetSettings) -> None:
        super().__init__()
        self.background = float(background)
        layers = _conv(1, settings.stem_channels, 5, 2)
        channels = settings.stem_channels
        for out, stride in settings.blocks:
            layers += _conv(channels, channels, 3, stride, groups=channels)
            layers += _conv(channels, out, 1, 1)
            channels = out
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, crops: Tensor) -> Tensor:
        """(n, classes) logits of (n, 1, size, size) grey levels 0 to 255, of any number type."""
        return cast(Tensor, self.head(self.dropout(self.pooled(crops))))

    def pooled(self, crops: Tensor) -> Tensor:
        """(n, 2·channels) features of crops: average and maximum over places."""
        scaled = (crops.float() - self.background) * (1.0 / GREY_SCALE)
        features = self.features(scaled)
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)


class ExportedNet(nn.Module):
    """What goes into the ONNX file: uint8 crops in, calibrated probabilities out.

    Args:
        net: the trained network.
        temperature: divides the logits (Guo et al. 2017, section 4.2).
    """

    def __init__(self, net: SpheroidNet, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = float(temperature)

    def forward(self, crops: Tensor) -> Tensor:
        """(n, classes) probabilities of (n, 1, size, size) uint8."""
        return torch.softmax(self.net(crops) * (1.0 / self.temperature), dim=1)


def preprocessing_text(background: int) -> str:
    """What is done to a crop, for the manifest."""
    return (
        f"Outside: a square crop centred on the object, scaled to the pitch, divided by the local "
        f"background and multiplied by {background}, clipped to 0..255, uint8. Inside the model: "
        f"(grey - {background}) / {GREY_SCALE:g}; softmax at the end."
    )


def _conv(inputs: int, outputs: int, size: int, stride: int, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
