"""Inference on the shipped bundle, and on networks with a known answer."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.bundle import Bundle, load_bundle
from models.infer import Classifier, InferSettings
from sorter.errors import BundleError, HardwareError, InputError
from tests.models.test_bundle import manifest


def linear_model(size: int = 8, columns: int = 3, kind: int = TensorProto.UINT8) -> bytes:
    """probabilities = (mean grey / 255, 1 - that, 0 …): a network whose answer is known."""
    weight = np.full((size * size, columns), 0, np.float32)
    weight[:, 0], weight[:, 1] = 1, -1
    nodes = [
        helper.make_node("Cast", ["crops"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["mean"]),
        helper.make_node("Add", ["mean", "offset"], ["probabilities"]),
    ]
    constants = {
        "weight": weight,
        "scale": np.array(1 / (255 * size * size), np.float32),
        "offset": np.array([0, 1] + [0] * (columns - 2), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("crops", kind, ["n", 1, size, size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", columns])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def bundle(model: bytes, size: int = 8) -> Bundle:
    own = manifest(size_px=size, sha256=hashlib.sha256(model).hexdigest())
    return Bundle(Path("memory"), own, model)


def images(n: int, size: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 20])
def test_each_row_is_its_own_crops_answer(n: int) -> None:
    crops = images(n)
    classifier = Classifier(bundle(linear_model()), InferSettings(providers="cpu", max_batch=8))
    classifier.warm_up()
    prediction = classifier.predict(crops)
    mean = crops.reshape(n, 64).mean(axis=1) / 255 if n else np.zeros(0)
    assert prediction.probabilities.shape == (n, 3)
    assert prediction.probabilities[:, 0] == pytest.approx(mean, abs=1e-5)
    assert prediction.model_hash == classifier.bundle.manifest.sha256


def test_crops_that_do_not_lie_together_in_memory() -> None:
    crops = images(6, 16)[::2, ::2, ::2]
    prediction = Classifier(bundle(linear_model())).predict(crops)
    assert prediction.probabilities[:, 0] == pytest.approx(
        crops.reshape(3, 64).mean(axis=1) / 255, abs=1e-5
    )


@pytest.mark.parametrize("n", [1, 5, 33])
def test_the_shipped_network_answers_alike_alone_and_together(n: int) -> None:
    classifier = Classifier(load_bundle("default"), InferSettings(threads=2, spinning=True))
    crops = images(n, classifier.bundle.manifest.size_px)
    together = classifier.predict(crops).probabilities
    alone = np.concatenate([classifier.predict(crop[None]).probabilities for crop in crops])
    assert together == pytest.approx(alone, abs=1e-5)
    assert together.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-5)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((1, 9, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((1, 8, 8), np.uint16),
        np.zeros((1, 1, 8, 8), np.uint8),
    ],
    ids=["size", "no batch", "type", "channel"],
)
def test_crops_that_do_not_fit_are_refused(crops: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"\(n, 8, 8\) of uint8"):
        Classifier(bundle(linear_model())).predict(crops)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"nonsense", "can't load the model"),
        (linear_model(size=16), "manifest calls for"),
        (linear_model(columns=2), "manifest calls for"),
        (linear_model(kind=TensorProto.FLOAT), "manifest calls for"),
    ],
    ids=["not ONNX", "size", "classes", "float input"],
)
def test_a_model_that_is_not_the_manifests_is_refused(model: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Classifier(bundle(model))


@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_gpu_by_name_runs_there_or_is_refused(wanted: str) -> None:
    settings = InferSettings(providers="cuda" if wanted == "cuda" else "tensorrt")
    if Classifier(bundle(linear_model())).provider == "cuda":
        assert Classifier(bundle(linear_model()), settings).provider == wanted
    else:
        with pytest.raises(HardwareError, match=rf"{wanted} was asked for.*providers"):
            Classifier(bundle(linear_model()), settings)


def test_auto_says_where_it_runs() -> None:
    classifier = Classifier(bundle(linear_model()))
    assert classifier.provider in ("cpu", "cuda")
    if classifier.provider == "cpu":
        assert classifier.provider_note.startswith("CPU, because")


def test_neither_torch_nor_noise_on_stderr() -> None:
    code = (
        "import sys; from models.bundle import load_bundle; from models.infer import Classifier; "
        "Classifier(load_bundle('default')).warm_up(); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
