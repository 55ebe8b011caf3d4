"""Class probabilities, the only thing that the sorting path takes from a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """Probabilities of a batch of crops.

    Attributes:
        probabilities: (n, classes) float32, rows sum to 1.
        labels: class names, in the order of the columns; always holds ``healthy`` and
            ``unhealthy``, and may hold ``other`` (not a spheroid).
        model_hash: sha256 of the model file, hexadecimal.
    """

    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    model_hash: str
