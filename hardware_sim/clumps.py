"""Bodies that show as one: what their common outline looks like. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 48  # of the grid that an outline is measured on: areas come out within some percent


@dataclass(frozen=True, slots=True)
class Disc:
    """A round body in a frame, px."""

    x_px: float
    y_px: float
    r_px: float


@dataclass(frozen=True, slots=True)
class Outline:
    """The union of discs.

    Attributes:
        x_px, y_px: its centroid.
        r_px: radius of a disc of the same area.
        reach: how far it reaches to the left, up, to the right and down of its centroid, in `r_px`.
    """

    x_px: float
    y_px: float
    r_px: float
    reach: tuple[float, float, float, float]


def outline(discs: Sequence[Disc]) -> Outline:
    """What discs look like as one."""
    left, right = min(d.x_px - d.r_px for d in discs), max(d.x_px + d.r_px for d in discs)
    top, bottom = min(d.y_px - d.r_px for d in discs), max(d.y_px + d.r_px for d in discs)
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    x, y = np.meshgrid(left + (right - left) * middles, top + (bottom - top) * middles)
    inside = np.zeros(x.shape, bool)
    for d in discs:
        inside |= (x - d.x_px) ** 2 + (y - d.y_px) ** 2 <= d.r_px**2
    share = inside.mean()
    r_px = float(np.sqrt(share * (right - left) * (bottom - top) / np.pi))
    x_px, y_px = float(x[inside].mean()), float(y[inside].mean())
    sides = (x_px - left, y_px - top, right - x_px, bottom - y_px)
    return Outline(
        x_px, y_px, r_px, (sides[0] / r_px, sides[1] / r_px, sides[2] / r_px, sides[3] / r_px)
    )


def clumps(pairs: Iterable[tuple[int, int]]) -> list[set[int]]:
    """What hangs together, pair by pair."""
    found: list[set[int]] = []
    for pair in pairs:
        touched = [clump for clump in found if clump & set(pair)]
        found = [clump for clump in found if clump not in touched]
        found.append(set(pair).union(*touched))
    return found
