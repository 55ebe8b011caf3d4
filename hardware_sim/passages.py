"""What the optical gates in the outlets would have reported of a run. A pure function.

Truth × gate log: each body enters the outlet to which the valve leads when its centre passes the
junction, and darkens that outlet's optical gate while it passes there. Bodies that overlap make one
dark; small ones make none; some are missed, and some darks are made by nothing that is known of.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Passed
from hardware_sim.flow import FlowSettings, displacement_um, liquid_share
from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.truth_log import BodyTruth

Times = NDArray[np.int64]

_GRID_NS = 250_000
_AROUND_NS = 400_000_000  # so far around the junction a passage is looked for
_REMEMBERED_NS = 4_000_000_000  # the liquid has forgotten what was longer ago
_LEAST_SPEED_UM_S = 500.0
_LEAST_LENGTH_US = 1


class PassageSettings(BaseModel):
    """The optical gates and the view, as far as passages depend on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_um: float = Field(25.0, ge=0, description="smaller bodies darken no gate, µm")
    after_um: float = Field(0.0, ge=0, description="junction to optical gate, µm")
    jitter_us: float = Field(
        100.0, ge=0, description="standard deviation of the begin and of the end of a dark, µs"
    )
    resolve_us: int = Field(200, ge=0, description="darks that are nearer than this are one, µs")
    missed: float = Field(0.005, ge=0, le=1, description="share of bodies that darken nothing")
    false_per_min: float = Field(0.5, ge=0, description="darks without a body, per minute")
    news_ms: float = Field(6.0, ge=0, description="from the end of a dark to the host, ms")
    pitch_um: float = Field(1.73, gt=0, description="µm per pixel of the view")
    frame_rate_hz: float = Field(200.0, gt=0, description="frames per second of the view")
    flow: FlowSettings = FlowSettings()


@dataclass(frozen=True, slots=True)
class Passage:
    """One dark, with the numbers of the bodies that made it; none: a false one.

    Times are host times; `news_ns` is when the host hears of it.
    """

    seq: int
    outlet: str
    begun_ns: int
    length_us: int
    news_ns: int
    bodies: tuple[int, ...]

    def passed(self) -> Passed:
        """As a dispenser tells it whose clock is the host's: ``begun_us`` is host time in µs."""
        begun_us = self.begun_ns // 1_000
        return Passed(self.seq, self.outlet, begun_us, self.length_us, self.news_ns)


@dataclass(frozen=True, slots=True)
class _Dark:
    outlet: str
    begun_ns: int
    end_ns: int
    bodies: tuple[int, ...]


def passages(
    bodies: Sequence[BodyTruth],
    edges: Sequence[GateEdge],
    settings: PassageSettings,
    *,
    seed: int,
    outlets: Sequence[str] = ("waste", "collect"),
) -> list[Passage]:
    """What the optical gates see, in order of the news.

    Args:
        bodies: what passed.
        edges: the gate's log.
        settings: the optical gates.
        seed: of everything random here.
        outlets: all that have an optical gate, rest first.
    """
    rng = np.random.default_rng([seed, 7])
    darks: list[_Dark] = []
    for body in sorted(bodies, key=lambda b: (b.junction_ns or 0, b.body)):
        missed = rng.uniform() < settings.missed
        off_us = rng.normal(0.0, settings.jitter_us, 2) if settings.jitter_us else np.zeros(2)
        if body.junction_ns is None or missed or body.diameter_um < settings.least_um:
            continue
        begun_ns, end_ns = dark_of(body, body.junction_ns, edges, settings)
        outlet = outlet_at(edges, body.junction_ns, outlets[0])
        begun_ns, end_ns = (int(t + o * 1e3) for t, o in zip((begun_ns, end_ns), off_us.tolist(),
                                                              strict=True))  # fmt: skip
        least_end_ns = begun_ns + _LEAST_LENGTH_US * 1_000
        darks.append(_Dark(outlet, begun_ns, max(end_ns, least_end_ns), (body.body,)))
    darks += _false_ones(bodies, settings, outlets, rng)
    merged = [one for name in outlets for one in _merged(darks, name, settings.resolve_us * 1_000)]
    merged.sort(key=lambda one: (one.end_ns, one.begun_ns, one.outlet))
    return [
        Passage(
            seq,
            one.outlet,
            one.begun_ns,
            (one.end_ns - one.begun_ns) // 1_000,
            one.end_ns + int(settings.news_ms * 1e6),
            one.bodies,
        )
        for seq, one in enumerate(merged, start=1)
    ]


def dark_of(
    body: BodyTruth, junction_ns: int, edges: Sequence[GateEdge], settings: PassageSettings
) -> tuple[int, int]:
    """Host times between which a body is in the optical gate.

    It moves by its own share of what the liquid does, valve jumps included (`hardware_sim.flow`);
    the pump's beat, 3 % of the length, is left out.
    """
    flow = settings.flow
    mean_um_s = flow.mean_mm_s * 1e3
    share = _speed_um_s(body, settings) / mean_um_s
    radius_um = body.diameter_um / 2
    late_ns = (settings.after_um + radius_um) / (share * mean_um_s) * 1e9
    times = np.arange(
        junction_ns - _AROUND_NS - int(late_ns),
        junction_ns + _AROUND_NS + int(late_ns) + 1,
        _GRID_NS,
        dtype=np.int64,
    )
    edges = _recent(edges, int(times[0]), int(times[-1]))
    moved_um = mean_um_s * 1e-9 * (times - junction_ns) + displacement_um(times, edges, flow)
    there_um = float(displacement_um(np.array([junction_ns]), edges, flow)[0])
    x_um = share * (moved_um - there_um) - settings.after_um
    return _first(times, x_um, -radius_um), _first(times, x_um, radius_um)


def _recent(edges: Sequence[GateEdge], first_ns: int, last_ns: int) -> Sequence[GateEdge]:
    """Edges that move the liquid between two times differently, from an opening on."""
    first = bisect_left(edges, first_ns - _REMEMBERED_NS, key=lambda edge: edge.effective_ns)
    last = bisect_left(edges, last_ns, key=lambda edge: edge.effective_ns)
    return edges[max(0, first - 1) : last]


def _first(times: Times, x_um: NDArray[np.float64], place_um: float) -> int:
    """When a place is first reached, between the points of the grid."""
    i = int(np.argmax(x_um >= place_um))
    if i == 0:
        return int(times[0])
    part = (place_um - x_um[i - 1]) / (x_um[i] - x_um[i - 1])
    return int(times[i - 1] + part * _GRID_NS)


def _speed_um_s(body: BodyTruth, settings: PassageSettings) -> float:
    """Usual speed: as seen last in the view, or that of a body of its size on the floor."""
    last = body.positions[-30:]
    steps = [(x1 - x0) / (n1 - n0) for (n0, x0, _), (n1, x1, _) in pairwise(last)]
    if len(steps) >= 3:
        speed = median(steps) * settings.pitch_um * settings.frame_rate_hz
        return max(speed, _LEAST_SPEED_UM_S)
    flow = settings.flow
    height_um = min(body.diameter_um, flow.channel_height_um) / 2
    share = float(liquid_share(np.array([height_um]), flow)[0])
    return max(flow.slip * share * flow.mean_mm_s * 1e3, _LEAST_SPEED_UM_S)


def _false_ones(
    bodies: Sequence[BodyTruth],
    settings: PassageSettings,
    outlets: Sequence[str],
    rng: np.random.Generator,
) -> list[_Dark]:
    """Darks at random times while bodies came, of 0.5 to 20 ms."""
    times = [b.junction_ns for b in bodies if b.junction_ns is not None]
    if not times:
        return []
    minutes = (max(times) - min(times)) / 60e9
    found = []
    for _ in range(int(rng.poisson(settings.false_per_min * minutes))):
        begun_ns = int(rng.uniform(min(times), max(times)))
        length_ns = int(np.exp(rng.uniform(np.log(5e5), np.log(2e7))))
        found.append(_Dark(str(rng.choice(list(outlets))), begun_ns, begun_ns + length_ns, ()))
    return found


def _merged(darks: Sequence[_Dark], outlet: str, resolve_ns: int) -> list[_Dark]:
    """The darks of one outlet, those that can't be told apart made one."""
    merged: list[_Dark] = []
    for one in sorted((d for d in darks if d.outlet == outlet), key=lambda d: d.begun_ns):
        last = merged[-1] if merged else None
        if last is not None and one.begun_ns <= last.end_ns + resolve_ns:
            end_ns = max(last.end_ns, one.end_ns)
            merged[-1] = _Dark(outlet, last.begun_ns, end_ns, last.bodies + one.bodies)
        else:
            merged.append(one)
    return merged
