"""Liquid time: how far the column of liquid has moved, valve jumps included.

A pinch valve that opens or closes moves the whole column by its displaced volume, smoothed by the
compliance of the tubing, and every body by that distance times its own speed relative to the mean
speed of the liquid. So a body's position is a straight line not in time but in

    liquid time  =  time  +  displacement(time) / mean speed of the liquid,

and the controller knows the displacement because the gate moves only on its own commands. Tracks
are fitted, and arrivals predicted, in liquid time; `first_passage_ns` brings them back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.compiled import compiled

_Times = NDArray[np.int64]

GRID_NS = 2_000_000  # passages are read off a grid this fine, with linear interpolation between
FOREVER_NS = 1 << 62


class LiquidSettings(BaseModel):
    """What the liquid between view and junction does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean_speed_um_s: float = Field(20_000.0, gt=0, description="mean speed of the liquid, µm/s")
    displaced_um: float = Field(
        2_340.0,
        ge=0,
        description="how far one actuation moves the column: displaced volume / cross-section, µm",
    )
    compliance_ms: float = Field(
        100.0, gt=0, description="time constant with which the tubing smooths that jump, ms"
    )
    settles_ms: float = Field(
        400.0,
        ge=0,
        description="for so long after the pump is known to run the flow may still speed up: what "
        "is seen first meanwhile goes to rest, and may arrive sooner than it looks, ms",
    )


@dataclass(frozen=True, slots=True)
class Opening:
    """One stay of the gate away from rest: effective host times at which it left and returned."""

    outlet: str
    open_ns: int
    close_ns: int = FOREVER_NS


def merge(openings: Sequence[Opening]) -> tuple[Opening, ...]:
    """Union of openings of the same outlet, in order of time."""
    merged: list[Opening] = []
    for opening in sorted(openings, key=lambda o: o.open_ns):
        last = merged[-1] if merged else None
        if last and last.outlet == opening.outlet and opening.open_ns <= last.close_ns:
            close_ns = max(last.close_ns, opening.close_ns)
            merged[-1] = Opening(last.outlet, last.open_ns, close_ns)
        else:
            merged.append(opening)
    return tuple(merged)


class Liquid:
    """Converts between host time and liquid time for a given list of openings.

    Args:
        settings: how far the valve's jumps move it, and how fast.
        jitter_ns: how much earlier or later than planned the valve may move.
    """

    def __init__(self, settings: LiquidSettings, jitter_ns: int = 0) -> None:
        self.settings = settings
        self._jitter_ns = jitter_ns
        self.jump_ns = settings.displaced_um / settings.mean_speed_um_s * 1e9
        self._tau_ns = settings.compliance_ms * 1e6

    @property
    def settled_ns(self) -> int:
        """After this time an opening that has closed is forgotten by the liquid."""
        return int(12 * self._tau_ns)

    def at(self, time_ns: int, openings: Sequence[Opening]) -> float:
        """Liquid time (ns) of one host time; `openings` must not overlap."""
        if not openings:
            return float(time_ns)
        return _liquid_ns(time_ns, *_edges(openings), self.jump_ns, self._tau_ns)

    def unrest_ns(self, time_ns: int, openings: Sequence[Opening]) -> float:
        """How far off liquid time may be at one host time, because the valve's jitter is not known.

        An edge that came early or late has moved the liquid on, or left it behind: by the more, the
        shorter ago it was. The errors of several add in quadrature.
        """
        edges_ns = [t_ns for o in openings for t_ns in (o.open_ns, o.close_ns) if t_ns <= time_ns]
        squares = sum(math.exp(-2.0 * (time_ns - t_ns) / self._tau_ns) for t_ns in edges_ns)
        return self.jump_ns * self._jitter_ns / self._tau_ns * math.sqrt(squares)

    def lead_ns(self, before_ns: int) -> float:
        """Liquid time that a body gains when the gate opens `before_ns` before it arrives."""
        return float(self.jump_ns * -np.expm1(-before_ns / self._tau_ns))

    def first_passage_ns(self, liquid_ns: float, openings: Sequence[Opening]) -> int:
        """Host time at which liquid time first reaches `liquid_ns`."""
        near = [o for o in openings if o.open_ns < liquid_ns + self.jump_ns]
        if not near or self.jump_ns == 0:
            return int(liquid_ns)
        return _first_passage_ns(float(liquid_ns), *_edges(near), self.jump_ns, self._tau_ns)


def _edges(openings: Sequence[Opening]) -> tuple[_Times, _Times]:
    """When each opens and closes, (n,) each."""
    opens = np.array([opening.open_ns for opening in openings], np.int64)
    return opens, np.array([opening.close_ns for opening in openings], np.int64)


@compiled
def _liquid_ns(
    time_ns: int, opens_ns: _Times, closes_ns: _Times, jump_ns: float, tau_ns: float
) -> float:
    """Liquid time of a host time: of each jump a share has happened since the valve moved."""
    liquid_ns = float(time_ns)
    for i in range(len(opens_ns)):
        if time_ns > opens_ns[i]:
            liquid_ns -= jump_ns * math.expm1(-(time_ns - opens_ns[i]) / tau_ns)
        if time_ns > closes_ns[i]:
            liquid_ns += jump_ns * math.expm1(-(time_ns - closes_ns[i]) / tau_ns)
    return liquid_ns


@compiled
def _first_passage_ns(
    liquid_ns: float, opens_ns: _Times, closes_ns: _Times, jump_ns: float, tau_ns: float
) -> int:
    """Host time at which liquid time first reaches a value, with one opening at least."""
    # Openings don't overlap, so displacement stays within [-jump, jump] of zero.
    time_ns = int(liquid_ns - jump_ns) - GRID_NS
    last_ns = int(liquid_ns + jump_ns) + 2 * GRID_NS
    reached_ns = _liquid_ns(time_ns, opens_ns, closes_ns, jump_ns, tau_ns)
    if reached_ns >= liquid_ns:
        return time_ns
    while time_ns < last_ns:
        before_ns = reached_ns
        time_ns += GRID_NS
        reached_ns = _liquid_ns(time_ns, opens_ns, closes_ns, jump_ns, tau_ns)
        if reached_ns >= liquid_ns:
            part = (liquid_ns - before_ns) / (reached_ns - before_ns)
            return int(time_ns - GRID_NS + part * GRID_NS)
    return time_ns
