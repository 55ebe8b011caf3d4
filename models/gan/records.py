"""What a training tells as it goes: a file of JSON lines, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from sorter.errors import RunFault
from sorter.files import write_atomic

METRICS_FILE = "metrics.jsonl"


class Records:
    """Appends metrics; what a training that is resumed had written beyond its checkpoint goes.

    Args:
        folder: of the training.
        images: image count that the training starts from.
    """

    def __init__(self, folder: Path, images: int) -> None:
        self._file = folder / METRICS_FILE
        kept = [line for line in _lines(self._file) if json.loads(line)["images"] <= images]
        write_atomic(self._file, "".join(kept))
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=images + 1 if images else None
        )

    def tell(self, images: int, values: Mapping[str, float]) -> None:
        """Add one line.

        Raises:
            RunFault: it can't be written.
        """
        line = json.dumps({"images": images, **values}) + "\n"
        try:
            with self._file.open("a", encoding="utf-8", newline="\n") as file:
                file.write(line)
        except OSError as error:
            raise RunFault(
                f"metrics can't be written: {error.strerror}",
                on=self._file,
                do="Free disk space, then go on with --resume; checkpoints are intact.",
            ) from error
        for name, value in values.items():
            self._board.add_scalar(name, value, images)

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._board.close()


def grid(images: NDArray[np.uint8], columns: int, gap_px: int = 2) -> NDArray[np.uint8]:
    """One picture of many, row by row, on white.

    Args:
        images: (n, size, size) uint8, n at least 1.
        columns: in a row.
        gap_px: between pictures.
    """
    n, size, _ = images.shape
    rows = -(-n // columns)
    pitch = size + gap_px
    out = np.full((rows * pitch - gap_px, columns * pitch - gap_px), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        out[y * pitch : y * pitch + size, x * pitch : x * pitch + size] = image
    return out


def write_grid(file: Path, images: NDArray[np.uint8], columns: int) -> None:
    """Write `grid` as a PNG file, whole or not at all."""
    write_atomic(file, png(grid(images, columns)))


def png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A grey picture as the bytes of a PNG file."""
    good, data = cv2.imencode(".png", image)
    if not good:
        raise ValueError(f"a picture of shape {image.shape} can't be encoded")
    return data.tobytes()


def _lines(file: Path) -> list[str]:
    """Whole lines of an existing file; a half-written last one is dropped."""
    if not file.exists():
        return []
    return [one for one in file.read_text(encoding="utf-8").splitlines(True) if one.endswith("\n")]
