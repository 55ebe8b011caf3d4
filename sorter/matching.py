"""Which detection is which body: squared distances in gates, and the cheapest pairs first.

Plain numbers rather than arrays: a frame holds a handful of bodies, most pairs are out of reach at
the first comparison, and a dozen array operations cost more than all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

GROWTH = 2.5  # a body's diameter changes by less than this factor from view to view
_GROWTH_WEIGHT = 0.25
_HAIR = 1.000001


class Expected(NamedTuple):
    """Where a track expects its body, µm; `gate_um` along the flow."""

    x_um: float
    gate_um: float
    y_um: float
    diameter_um: float


class Seen(NamedTuple):
    """What a detection shows, µm; `leaves`: it is cut off by the right edge; `rough`: its size is
    hardly known."""

    x_um: float
    y_um: float
    diameter_um: float
    leaves: bool
    rough: bool = False


class Candidate(NamedTuple):
    """A track and a detection that may be of one body, by their places in the lists."""

    cost: float
    track: int
    detection: int


def candidates(
    expected: Sequence[Expected], seen: Sequence[Seen], *, lateral_gate_um: float
) -> list[Candidate]:
    """All pairs within the gates, cheapest first."""
    found = []
    for row, track in enumerate(expected):
        # Most pairs are out of any reach; the hair more is for what rounding does to the rest.
        x_um, reach_um = track.x_um, (track.gate_um + track.diameter_um / 2) * _HAIR
        for column, one in enumerate(seen):
            if abs(one.x_um - x_um) > reach_um:
                continue
            cost = _cost(track, one, lateral_gate_um)
            if cost is not None:
                found.append(Candidate(cost, row, column))
    found.sort()
    return found


def _cost(track: Expected, seen: Seen, lateral_gate_um: float) -> float | None:
    """Squared distance in gates; None outside of one."""
    # A body cut off by the right edge shows its centroid too far upstream, by up to a radius.
    gate_um = track.gate_um + track.diameter_um / 2 if seen.leaves else track.gate_um
    along = (track.x_um - seen.x_um) / gate_um
    if not -1.0 <= along <= 1.0:
        return None
    across = (track.y_um - seen.y_um) / lateral_gate_um
    if not -1.0 <= across <= 1.0:
        return None
    cost = along * along + across * across
    if seen.leaves or seen.rough:  # of any size
        return cost
    growth = math.log(track.diameter_um / seen.diameter_um) / math.log(GROWTH)
    if not -1.0 <= growth <= 1.0:
        return None
    return cost + _GROWTH_WEIGHT * growth * growth


def cheapest(pairs: Iterable[Candidate], *, without: Collection[int]) -> dict[int, int]:
    """Detection to track, each once, in the order of the pairs; those in `without` get none."""
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, column in pairs:
        if row not in taken and column not in chosen and column not in without:
            chosen[column] = row
            taken.add(row)
    return chosen
