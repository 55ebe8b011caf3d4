"""A generator as ONNX: random numbers in, grey images out, checked against torch.

The graph takes ``z`` (n, z_dim) float32, ``label`` (n,) int64 and, of kinds that draw with noise,
``noise`` (n, numbers) float32, and gives ``images``, float32 (n, 1, size, size) grey levels 0 to
255, not rounded yet: what `models.gan.grey` undoes is part of the graph. z and noise are standard
normal numbers; with all noise 0 a StyleGAN2 draws bodies without texture.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.export import OPSET
from models.gan.networks import Generator, Rng
from sorter.errors import CheckFailed

PARITY_TOLERANCE = 0.05  # grey levels
_INPUTS = ("z", "label", "noise")


class _Plain(nn.Module):
    def __init__(self, generator: Generator, truncation: float) -> None:
        super().__init__()
        self.generator = generator
        self.truncation = truncation

    def forward(self, z: Tensor, label: Tensor, noise: Tensor) -> Tensor:
        latents = self.generator.latents(z, label)
        if self.truncation < 1.0:
            latents = self.generator.truncated(latents, self.truncation)
        return self.generator.grey.to_levels(self.generator.draw_with(latents, noise))


def export_generator(generator: Generator, truncation: float = 1.0) -> bytes:
    """The bytes of an ONNX file with an open batch size.

    Args:
        generator: on the CPU; left as it is.
        truncation: in (0, 1]; part of the graph where the kind truncates its styles.

    Raises:
        CheckFailed: ONNX Runtime and torch differ by more than `PARITY_TOLERANCE`.
    """
    # Removing parametrisations from a copy would take them from the original's class as well.
    plain = copy.deepcopy(generator).eval()
    _fold_norms(plain)
    model = _Plain(plain, truncation).eval()
    rng = Rng().manual_seed(0)
    z, label = generator.random(4, rng), torch.arange(4) % generator.classes
    noise = torch.randn(4, generator.noise_numbers, generator=rng)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        file = Path(scratch) / "generator.onnx"
        # As in `models.export`: the new exporter is not quiet, the old one says that it is old.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (z[:2], label[:2], noise[:2]),
            file,
            input_names=list(_INPUTS),
            output_names=["images"],
            dynamic_axes={name: {0: "n"} for name in (*_INPUTS, "images")},
            opset_version=OPSET,
            dynamo=False,
        )
        data = file.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    _check_parity(model, data, dict(zip(_INPUTS, (z, label, noise), strict=True)))
    return data


def _fold_norms(network: nn.Module) -> None:
    """Layers with spectral norm become plain ones with the weights that they use."""
    for name, layer in list(network.named_children()):
        if not parametrize.is_parametrized(layer, "weight"):
            _fold_norms(layer)
            continue
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        folded: nn.Conv2d | nn.Linear
        if isinstance(layer, nn.Conv2d):
            outputs, inputs, k, _ = layer.weight.shape
            folded = nn.Conv2d(inputs, outputs, k, padding=k // 2, bias=layer.bias is not None)
        else:
            folded = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        folded.weight.data.copy_(layer.weight.detach())
        if layer.bias is not None:
            folded.bias = layer.bias
        setattr(network, name, folded)


def _check_parity(model: nn.Module, data: bytes, inputs: Mapping[str, Tensor]) -> None:
    with torch.inference_mode():
        wanted = model(**inputs).numpy()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    # BigGAN without classes and DCGAN look at neither label nor noise, so the graph may lack them.
    taken = {one.name for one in session.get_inputs()}
    found = session.run(["images"], {name: inputs[name].numpy() for name in taken})[0]
    difference = float(np.abs(found - wanted).max())
    if not difference <= PARITY_TOLERANCE:
        raise CheckFailed(
            f"torch and ONNX Runtime differ by {difference:.2g} grey levels "
            f"(allowed: {PARITY_TOLERANCE:g})",
            on="export",
            do="Don't use this file; report the versions of torch and onnxruntime.",
        )
