"""Which detection is which body: squared distances in gates, and the cheapest pairs first."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GROWTH = 2.5  # a body's diameter changes by less than this factor from view to view


@dataclass(frozen=True, slots=True)
class Expected:
    """Where tracks expect their bodies: arrays (tracks,), µm; `gate_um` along the flow."""

    x_um: Array
    gate_um: Array
    y_um: Array
    diameter_um: Array


@dataclass(frozen=True, slots=True)
class Seen:
    """What a frame shows: arrays (detections,), µm; `leaves` is cut off by the right edge."""

    x_um: Array
    y_um: Array
    diameter_um: Array
    leaves: NDArray[np.bool_]


def costs(expected: Expected, seen: Seen, *, lateral_gate_um: float) -> Array:
    """(tracks, detections) squared distances in gates; infinite outside the gate."""
    off_um = seen.x_um[None, :] - expected.x_um[:, None]
    # A body cut off by the right edge shows its centroid too far upstream, by up to a radius.
    wide_um = (expected.gate_um + expected.diameter_um / 2)[:, None]
    along = off_um / np.where(seen.leaves[None, :], wide_um, expected.gate_um[:, None])
    across = (seen.y_um[None, :] - expected.y_um[:, None]) / lateral_gate_um
    size, known = np.log(seen.diameter_um), np.log(expected.diameter_um)
    growth = (size[None, :] - known[:, None]) / math.log(GROWTH)
    growth[:, seen.leaves] = 0.0
    cost = along**2 + across**2 + 0.25 * growth**2
    outside = (np.abs(along) > 1) | (np.abs(across) > 1) | (np.abs(growth) > 1)
    return np.where(outside, np.inf, cost)


def cheapest(cost: Array, *, without: Collection[int]) -> dict[int, int]:
    """Detection to track, each once, cheapest first; detections in `without` get none."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for flat in np.argsort(cost, axis=None, kind="stable"):
        row, column = divmod(int(flat), cost.shape[1])
        if not math.isfinite(cost[row, column]):
            break
        if row not in taken and column not in pairs and column not in without:
            pairs[column] = row
            taken.add(row)
    return pairs
