"""How alike two sets of images are, measured in features. Pure functions of arrays.

FID (Heusel 2017) and the kernel of KID (Binkowski 2018) are torchmetrics', neighbours are
scikit-learn's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its standard error, from ``n`` independent parts."""

    value: float
    error: float
    n: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """How two sets overlap in feature space, each in [0, 1] (density may exceed 1).

    Attributes:
        precision, recall: Kynkäänniemi 2019.
        density, coverage: Naeem 2020.
    """

    precision: float
    recall: float
    density: float
    coverage: float


class _AsTheyAre(nn.Module):
    """torchmetrics asks for a network; the features are computed already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def kid(real: Features, fake: Features, block: int = 100, seed: int = 0) -> Estimate:
    """Kernel distance: unbiased estimates over disjoint blocks, their mean and its standard error.

    Args:
        real, fake: (n, features) and (m, features).
        block: rows of each in a block; smaller where there are fewer than two blocks.
        seed: of the order in which rows are dealt to blocks.

    Raises:
        ValueError: fewer than four rows.
    """
    count = min(len(real), len(fake))
    if count < 4:
        raise ValueError(f"a kernel distance needs four images or more, not {count}")
    block = min(block, count // 2)
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(len(real)), rng.permutation(len(fake))
    values = []
    for start in range(0, count - block + 1, block):
        rows = slice(start, start + block)
        one, other = torch.from_numpy(real[a[rows]]), torch.from_numpy(fake[b[rows]])
        values.append(float(poly_mmd(one.double(), other.double())))
    return Estimate(
        float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values))), len(values)
    )


def fid(real: Features, fake: Features) -> float:
    """Fréchet distance of two Gaussians; biased upwards for few images.

    Args:
        real, fake: (n, features), n at least 2.
    """
    metric = FrechetInceptionDistance(feature=_AsTheyAre(real.shape[1]))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(real).double(), real=True)
    metric.update(torch.from_numpy(fake).double(), real=False)
    return float(metric.compute())


def overlap(real: Features, fake: Features, k: int = 5) -> Overlap:
    """Precision, recall, density and coverage by balls to the k-th nearest neighbour.

    Args:
        real, fake: (n, features), more than k rows each.
        k: neighbours.
    """
    real_radius, fake_radius = _radius(real, k), _radius(fake, k)
    distance = _distances(fake, real)
    in_real = distance <= real_radius[None]
    in_fake = distance <= fake_radius[:, None]
    return Overlap(
        precision=float(in_real.any(1).mean()),
        recall=float(in_fake.any(0).mean()),
        density=float(in_real.sum(1).mean() / k),
        coverage=float((distance.min(0) <= real_radius).mean()),
    )


def nearest(of: Features, among: Features) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(n,) distance to, and (n,) row of, the nearest neighbour of each row ``of`` in ``among``."""
    distance, row = NearestNeighbors(n_neighbors=1).fit(among).kneighbors(of)
    return distance[:, 0], row[:, 0]


def nearest_other(features: Features) -> NDArray[np.float64]:
    """(n,) distance of each row to the nearest *other* row of the same set."""
    return _radius(features, 1)


def spread(features: Features, seed: int = 0) -> float:
    """Mean distance between pairs of rows; small when a generator has collapsed."""
    rng = np.random.default_rng(seed)
    other = np.roll(rng.permutation(len(features)), 1)
    order = np.roll(other, -1)
    return float(np.linalg.norm(features[order] - features[other], axis=1).mean())


def _radius(features: Features, k: int) -> NDArray[np.float64]:
    distance, _ = NearestNeighbors(n_neighbors=k + 1).fit(features).kneighbors(features)
    return np.asarray(distance[:, k], dtype=np.float64)


def _distances(a: Features, b: Features) -> NDArray[np.float64]:
    one, other = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    return torch.cdist(one, other).numpy()
