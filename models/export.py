"""torch -> ONNX, with a check that both say the same."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from models.bundle import INPUT_NAME, OUTPUT_NAME
from sorter.errors import CheckFailed

OPSET = 17
PARITY_TOLERANCE = 1e-4


def export_onnx(model: nn.Module, crops: NDArray[np.uint8]) -> bytes:
    """The model as ONNX, batch size left open, checked against torch.

    Args:
        model: takes (n, 1, size, size) uint8, gives (n, classes) probabilities; put into
            evaluation mode here, so that batch norms are folded into the convolutions.
        crops: (n, size, size) uint8, real crops to compare on; at least one.

    Raises:
        CheckFailed: ONNX Runtime and torch differ by more than `PARITY_TOLERANCE`.
    """
    model.eval()
    example = torch.from_numpy(crops[:2].copy())[:, None]
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        file = Path(scratch) / "model.onnx"
        # The new exporter writes notes about torchvision to stderr and trips over FutureWarnings
        # of torch's own; the old one only says, in several places, that it is old. torch is
        # pinned, and what comes out is checked below.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (example,),
            file,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: {0: "n"}, OUTPUT_NAME: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
        data = file.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    check_parity(model, data, crops)
    return data


def check_parity(model: nn.Module, data: bytes, crops: NDArray[np.uint8]) -> float:
    """Largest difference between torch and ONNX Runtime over crops, one by one and as a batch.

    Raises:
        CheckFailed: it is above `PARITY_TOLERANCE`, or not a number.
    """
    model.eval()
    batch = np.ascontiguousarray(crops)[:, None]
    with torch.inference_mode():
        wanted = model(torch.from_numpy(batch)).numpy()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    together = session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0]
    single = np.concatenate(
        [session.run([OUTPUT_NAME], {INPUT_NAME: batch[i : i + 1]})[0] for i in range(len(batch))]
    )
    difference = float(max(np.abs(together - wanted).max(), np.abs(single - wanted).max()))
    if not difference <= PARITY_TOLERANCE:
        raise CheckFailed(
            f"torch and ONNX Runtime differ by {difference:.2g} (allowed: {PARITY_TOLERANCE:g})",
            on="export",
            do="Don't use this model; report the versions of torch and onnxruntime.",
        )
    return difference
