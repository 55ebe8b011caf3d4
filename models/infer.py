"""numpy crops -> `Prediction` through ONNX Runtime. Never imports torch."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.bundle import INPUT_NAME, OUTPUT_NAME, Bundle
from models.prediction import Prediction
from sorter.errors import BundleError, HardwareError, InputError

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"
_NAMES = {_CPU: "cpu", _CUDA: "cuda", _TENSORRT: "tensorrt"}
_SEVERITY_ERROR = 3


class InferSettings(BaseModel):
    """How the network runs. The defaults are what ``benchmarks/bar_01_infer.py`` measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    providers: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        default="auto",
        description="where the network runs; auto takes CUDA where it works, the CPU otherwise",
    )
    threads: int = Field(
        default=1, ge=1, le=64, description="threads of ONNX Runtime on the CPU; count"
    )
    spinning: bool = Field(
        default=False,
        description="threads that wait keep a core busy: faster with several threads, but starves "
        "the camera on a small machine",
    )
    max_batch: int = Field(default=32, ge=1, le=256, description="crops in one call; count")


class Classifier:
    """A bundle's network, ready to predict.

    Attributes:
        provider: where it runs: ``cpu``, ``cuda`` or ``tensorrt``.
        provider_note: one sentence on why.
        bundle: the bundle it came from.

    Raises:
        BundleError: the model can't be loaded, or isn't what the manifest says.
        HardwareError: CUDA or TensorRT was asked for by name and doesn't work here.
    """

    def __init__(self, bundle: Bundle, settings: InferSettings | None = None) -> None:
        self.bundle = bundle
        self._settings = settings or InferSettings()
        self._session, self.provider_note = _open(bundle, self._settings)
        self.provider = _NAMES[self._session.get_providers()[0]]
        self._check_shapes()
        size = bundle.manifest.size_px
        self._sizes = _batch_sizes(self.provider, self._settings.max_batch)
        self._buffer = np.full(
            (self._sizes[-1], 1, size, size), bundle.manifest.background_level, np.uint8
        )

    def warm_up(self) -> None:
        """Run every batch size once or twice: a first run costs up to a thousand times more."""
        for size in self._sizes:
            for _ in range(2):
                self._session.run([OUTPUT_NAME], {INPUT_NAME: self._buffer[:size]})

    def predict(self, crops: NDArray[np.uint8]) -> Prediction:
        """Class probabilities of crops.

        Args:
            crops: (n, size, size) uint8, background at the manifest's level; n may be 0, and
                more than ``max_batch`` are run in several calls.

        Raises:
            InputError: crops of another type or size.
        """
        manifest = self.bundle.manifest
        size = manifest.size_px
        if crops.dtype != np.uint8 or crops.ndim != 3 or crops.shape[1:] != (size, size):
            raise InputError(
                f"the model takes crops (n, {size}, {size}) of uint8, "
                f"got {crops.shape} of {crops.dtype}",
                on=self.bundle.path,
                do="Cut crops with the bundle's size_px and pitch_um.",
            )
        step = self._sizes[-1]
        parts = [self._run(crops[i : i + step]) for i in range(0, len(crops), step)]
        if not parts:
            parts = [np.empty((0, len(manifest.labels)), np.float32)]
        probabilities = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return Prediction(probabilities, manifest.labels, manifest.sha256)

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        n = len(crops)
        padded = next(size for size in self._sizes if size >= n)
        if padded == n:
            batch = np.ascontiguousarray(crops)[:, None]
        else:
            batch = self._buffer[:padded]
            batch[:n, 0] = crops
        output: NDArray[np.float32] = self._session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0]
        return output[:n]

    def _check_shapes(self) -> None:
        manifest = self.bundle.manifest
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = [(i.name, i.type, list(i.shape[1:])) for i in (*inputs, *outputs)]
        wanted = [
            (INPUT_NAME, "tensor(uint8)", [1, manifest.size_px, manifest.size_px]),
            (OUTPUT_NAME, "tensor(float)", [len(manifest.labels)]),
        ]
        if found != wanted:
            raise BundleError(
                f"the model has {found}, its manifest calls for {wanted}",
                on=self.bundle.path,
                do="The manifest belongs to another model: train or copy the bundle again.",
            )


def _batch_sizes(provider: str, max_batch: int) -> tuple[int, ...]:
    """Batch sizes that are warmed up and used; others are padded to the next.

    On the CPU time grows with the batch and nothing is gained by padding, so every size is used.
    A GPU plans each shape anew and barely feels the padding: powers of two.
    """
    if provider == "cpu":
        return tuple(range(1, max_batch + 1))
    powers = [1]
    while powers[-1] < max_batch:
        powers.append(powers[-1] * 2)
    return tuple(powers)


def _open(bundle: Bundle, settings: InferSettings) -> tuple[ort.InferenceSession, str]:
    asked = settings.providers
    if asked == "cpu":
        return _session(bundle, settings, [_CPU]), "CPU, as the settings say"
    missing = _why_no_gpu(_TENSORRT if asked == "tensorrt" else _CUDA)
    if missing is None:
        wanted = [_TENSORRT, _CUDA, _CPU] if asked == "tensorrt" else [_CUDA, _CPU]
        session = _session(bundle, settings, wanted)
        if session.get_providers()[0] == wanted[0]:
            return session, f"{_NAMES[wanted[0]]} on the first GPU"
        missing = f"ONNX Runtime could not start {wanted[0]}; its message above says why"
    if asked != "auto":
        raise HardwareError(
            f"{asked} was asked for, but {missing}",
            on="infer.providers",
            do="Install the GPU's driver, CUDA and cuDNN, or set providers to auto or cpu.",
        )
    return _session(bundle, settings, [_CPU]), f"CPU, because {missing}"


def _session(bundle: Bundle, settings: InferSettings, providers: list[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _SEVERITY_ERROR
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if settings.spinning else "0"
    )
    try:
        return ort.InferenceSession(bundle.model, options, providers=providers)
    # ONNX Runtime's own exceptions share no base but Exception.
    except Exception as error:
        raise BundleError(
            f"ONNX Runtime can't load the model: {error}",
            on=bundle.path,
            do="Use a bundle made for this version, or update onnxruntime.",
        ) from error


def _why_no_gpu(provider: str) -> str | None:
    """None where a GPU answers, else why not.

    Asked of the driver, because ONNX Runtime lists CUDA wherever it was *built* with it, and
    prints errors when it then finds no GPU.
    """
    if provider not in ort.get_available_providers():
        return f"this onnxruntime was built without {_NAMES[provider]}"
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return "this machine has no NVIDIA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver does not answer"
    return None if count.value > 0 else "this machine has no NVIDIA GPU"
