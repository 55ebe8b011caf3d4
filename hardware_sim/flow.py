"""How liquid and bodies move in the channel.

A flat channel of height ``h`` with a laminar (plane Poiseuille) profile over its height: liquid at
height ``z`` moves at ``4 (z/h) (1 - z/h)`` of the maximum, so a body of radius r that runs along
the floor goes at that share for z = r: 0.23, 0.44 and 0.75 of the maximum at 100, 200 and 400 µm in
a 0.8 mm channel; large bodies overtake small ones.

All motion is driven by one number, the *liquid's travel* L(t): the distance that liquid moving at
the mean speed has come. It holds the steady flow, the pump's pulsation and the volume that the
gate displaces. A body moves by its own share of it::

    dx = share * dL,     share = body speed / mean liquid speed
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hardware_sim.gate_log import Edge, GateEdge, PumpEdge

# After so many time constants a displacement is over (e^-30 of 2.3 mm is far below an atom).
_OVER = 30.0
# A flow of less than this share of its full speed stands still: 2 nm in a millisecond.
_STILL = 1e-4


class FlowSettings(BaseModel):
    """The channel, the flow in it, the way to the junction, and what the gate does to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel_height_um: float = Field(800.0, gt=0, description="channel height, µm")
    channel_width_um: float = Field(800.0, gt=0, description="channel width, µm")
    mean_mm_s: float = Field(20.0, gt=0, description="mean liquid speed, mm/s")
    max_mm_s: float = Field(42.0, gt=0, description="speed in the channel's middle, mm/s")
    pulsation: float = Field(0.03, ge=0, lt=1, description="relative amplitude of the pump's beat")
    pulsation_hz: float = Field(1.3, gt=0, description="frequency of the pump's beat, Hz")
    slip: float = Field(0.8, gt=0, le=1, description="mean of body speed / liquid speed")
    slip_min: float = Field(0.6, gt=0, le=1, description="smallest body speed / liquid speed")
    slip_max: float = Field(0.95, gt=0, le=1, description="largest body speed / liquid speed")
    density_difference_kg_m3: float = Field(45.0, ge=0, description="body minus liquid, kg/m³")
    viscosity_mpa_s: float = Field(1.0, gt=0, description="viscosity of the liquid, mPa·s")
    settling_run_mm: float = Field(
        30.0, ge=0, description="channel before the view in which bodies settle, mm"
    )
    junction_mm: float = Field(10.0, gt=0, description="view's right edge to the junction, mm")
    displaced_ul: float = Field(1.5, ge=0, description="volume that an actuation displaces, µL")
    compliance_ms: float = Field(
        100.0, gt=0, description="time constant with which the displacement comes, ms"
    )
    run_down_ms: float = Field(
        60.0, gt=0, description="time constant with which a held pump's flow stops, and starts, ms"
    )
    lost: float = Field(0.02, ge=0, le=1, description="share of bodies that never arrive")
    rotation_rad_s: tuple[float, float] = Field(
        (50.0, 80.0), description="range of the rolling speed, rad/s"
    )
    lateral_sd_um: float = Field(
        90.0, ge=0, description="spread of bodies across the channel (standard deviation), µm"
    )
    lateral_mm_s: float = Field(0.1, ge=0, description="sideways drift (standard deviation), mm/s")

    @property
    def displaced_um(self) -> float:
        """How far one actuation moves the liquid column, µm (volume over cross-section)."""
        return self.displaced_ul * 1e9 / (self.channel_height_um * self.channel_width_um)


def liquid_share(height_um: NDArray[np.float64], flow: FlowSettings) -> NDArray[np.float64]:
    """Liquid speed at a height over the *mean* speed; zero at floor and ceiling."""
    # np.clip costs more than its two halves where a few bodies are moved.
    rel = np.minimum(np.maximum(height_um / flow.channel_height_um, 0.0), 1.0)
    return 4.0 * rel * (1.0 - rel) * (flow.max_mm_s / flow.mean_mm_s)


def settling_mm_s(diameter_um: float, flow: FlowSettings) -> float:
    """Settling speed of a sphere, mm/s, by Stokes' law with the drag of Schiller and Naumann.

    L. Schiller and A. Naumann, "Über die grundlegenden Berechnungen bei der
    Schwerkraftaufbereitung", Z. Ver. Dtsch. Ing. 77 (1933) 318. With the defaults 0.24, 0.94, 2.0
    and 4.8 mm/s at 100, 200, 300 and 500 µm.
    """
    diameter_m, viscosity = diameter_um * 1e-6, flow.viscosity_mpa_s * 1e-3
    stokes = flow.density_difference_kg_m3 * 9.81 * diameter_m**2 / (18.0 * viscosity)
    speed = stokes
    for _ in range(30):
        reynolds = 1000.0 * speed * diameter_m / viscosity
        speed = 0.5 * (speed + stokes / (1.0 + 0.15 * reynolds**0.687))
    return speed * 1e3


def height_at_view_um(diameter_um: float, entry_um: float, flow: FlowSettings) -> float:
    """Height of a body's centre when it reaches the view, having entered at ``entry_um``.

    It settles over the run before the view at the mean liquid speed, down to the floor.
    """
    fall_um = settling_mm_s(diameter_um, flow) * flow.settling_run_mm / flow.mean_mm_s * 1e3
    return max(diameter_um / 2, entry_um - fall_um)


def displacement_um(
    t_ns: NDArray[np.int64], edges: Sequence[GateEdge], flow: FlowSettings, rest: str = "waste"
) -> NDArray[np.float64]:
    """How far the gate has moved the whole liquid column at host times ``t_ns``, µm, +x downstream.

    Opening (leaving ``rest``) draws the column forward by displaced volume over cross-section,
    closing pushes it back by as much, each coming in exponentially with the compliance's time
    constant from the moment at which the valve switches; going from one outlet to another moves
    nothing. A body moves by this times its own speed over the mean liquid speed, and so can be
    predicted by anybody who knows when the gate was switched.

    Args:
        t_ns: any shape, host time.
        edges: the gate's switches in the order of the log; later than ``t_ns`` is ignored.
        flow: displaced volume, cross-section, compliance.
        rest: the outlet at which the gate is closed.

    Returns:
        float64 of the shape of ``t_ns``.
    """
    times = np.asarray(t_ns, dtype=np.int64)
    moved = np.zeros(times.shape, dtype=np.float64)
    tau_ns = flow.compliance_ms * 1e6
    is_open = False
    for edge in edges:
        opens = edge.outlet != rest
        if opens == is_open:
            continue
        is_open = opens
        since = np.clip((times - edge.effective_ns) / tau_ns, 0.0, _OVER)
        moved += (1.0 if opens else -1.0) * (1.0 - np.exp(-since))
    return moved * flow.displaced_um


class PumpedTime:
    """How long the pump has pushed the liquid since ``origin_ns``, its starts and stops rounded.

    The flow follows the output that holds the pump as a first-order lag does. Until the first
    switch it runs, as a pump does that nobody can hold. Times don't go back.
    """

    def __init__(self, origin_ns: int, run_down_ms: float) -> None:
        self._tau_s = run_down_ms * 1e-3
        self._to_come: deque[PumpEdge] = deque()
        self._from_ns = origin_ns
        self._before_s = 0.0
        self._speed = self._wanted = 1.0

    def add(self, edge: PumpEdge) -> None:
        """Take the output's next switch."""
        self._to_come.append(edge)

    def at_s(self, t_ns: int) -> float:
        """Seconds of full flow until host time ``t_ns``."""
        while self._to_come and self._to_come[0].t_ns <= t_ns:
            edge = self._to_come.popleft()
            at_ns = max(edge.t_ns, self._from_ns)
            self._before_s, self._speed = self._since(at_ns)
            self._from_ns, self._wanted = at_ns, 0.0 if edge.held else 1.0
            if edge.t_ns < at_ns - 10 * self._tau_s * 1e9:
                self._speed = self._wanted  # it was so long before anybody looked
        return self._since(t_ns)[0]

    def flows_at(self, t_ns: int) -> bool:
        """Whether the liquid moves noticeably at a time, or soon will; ask `at_s` for it first."""
        return self._wanted > 0 or bool(self._to_come) or self._since(t_ns)[1] > _STILL

    def _since(self, t_ns: int) -> tuple[float, float]:
        """Seconds of full flow, and the share of the full speed, by the last switch."""
        seconds = (t_ns - self._from_ns) / 1e9
        if self._speed == self._wanted:
            return self._before_s + self._wanted * seconds, self._speed
        left = math.exp(-seconds / self._tau_s)
        over = self._speed - self._wanted
        run_down_s = over * self._tau_s * (1.0 - left)
        return self._before_s + self._wanted * seconds + run_down_s, self._wanted + over * left


class LiquidTravel:
    """L(t): the distance that liquid at the mean speed has come since ``origin_ns``, µm.

    `at_um` is called with times that don't go back; switches that are over are folded into a
    constant, so a long run costs no more than a short one.
    """

    def __init__(self, flow: FlowSettings, origin_ns: int, rest: str = "waste") -> None:
        self._flow = flow
        self._pumped = PumpedTime(origin_ns, flow.run_down_ms)
        self._rest = rest
        self._recent: list[GateEdge] = []
        self._is_open = False
        self._settled_um = 0.0

    def add(self, edges: Sequence[Edge]) -> None:
        """Take new switches of gate and pump, in the order of the log."""
        for edge in edges:
            if isinstance(edge, PumpEdge):
                self._pumped.add(edge)
            if not isinstance(edge, GateEdge):
                continue
            opens = edge.outlet != self._rest
            if opens != self._is_open:
                self._is_open = opens
                self._recent.append(edge)

    def at_um(self, t_ns: int) -> float:
        """L at host time ``t_ns``, µm."""
        flow = self._flow
        seconds = self._pumped.at_s(t_ns)
        beat = 2.0 * math.pi * flow.pulsation_hz
        pulse = flow.pulsation * (1.0 - math.cos(beat * seconds)) / beat
        return flow.mean_mm_s * 1e3 * (seconds + pulse) + self._displaced_um(t_ns)

    def moves_at(self, t_ns: int) -> bool:
        """Whether the pump or the gate moves the liquid at a time that `at_um` was asked for."""
        return bool(self._recent) or self._pumped.flows_at(t_ns)

    def _displaced_um(self, t_ns: int) -> float:
        tau_ns = self._flow.compliance_ms * 1e6
        while self._recent and t_ns - self._recent[0].effective_ns > _OVER * tau_ns:
            done = self._recent.pop(0)
            self._settled_um += self._sign(done) * self._flow.displaced_um
        moved_um = self._settled_um
        for edge in self._recent:
            since = (t_ns - edge.effective_ns) / tau_ns
            if since > 0:
                moved_um += self._sign(edge) * self._flow.displaced_um * (1.0 - math.exp(-since))
        return moved_um

    def _sign(self, edge: GateEdge) -> float:
        return 1.0 if edge.outlet != self._rest else -1.0
