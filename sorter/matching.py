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
    along, across, growth = apart = np.empty((3, len(expected.x_um), len(seen.x_um)))
    np.subtract.outer(expected.x_um, seen.x_um, out=along)
    np.subtract.outer(expected.y_um, seen.y_um, out=across)
    np.subtract.outer(np.log(expected.diameter_um), np.log(seen.diameter_um), out=growth)
    gate_um = expected.gate_um[:, None]
    if seen.leaves.any():
        # A body cut off by the right edge shows its centroid too far upstream, by up to a radius.
        wide_um = gate_um + expected.diameter_um[:, None] / 2
        gate_um = np.where(seen.leaves, wide_um, gate_um)
        growth[:, seen.leaves] = 0.0
    along /= gate_um
    across *= 1.0 / lateral_gate_um
    growth *= 1.0 / math.log(GROWTH)
    apart *= apart
    cost: Array = along + across + 0.25 * growth
    cost[apart.max(axis=0) > 1.0] = np.inf
    return cost


def cheapest(cost: Array, *, without: Collection[int]) -> dict[int, int]:
    """Detection to track, each once, cheapest first; detections in `without` get none."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    columns = cost.shape[1]
    flat = cost.ravel()
    near = np.flatnonzero(flat < np.inf)
    for place in near[np.argsort(flat[near], kind="stable")].tolist():
        row, column = divmod(place, columns)
        if row not in taken and column not in pairs and column not in without:
            pairs[column] = row
            taken.add(row)
    return pairs
