"""Bodies on their way: where each one is, how it is turned, and what becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardware_sim.feed import Arrival
from hardware_sim.flow import FlowSettings, height_at_view_um, liquid_share, settling_mm_s
from hardware_sim.spheroids import BodySpec

Floats = NDArray[np.float64]

# Beyond the body's own radius: fringe and blur must be outside the view when it enters.
_MARGIN_UM = 80.0
_WALL_UM = 5.0
# So few are moved faster one by one.
_FEW = 24
# Touching bodies stick together and are a little flattened where they do.
_FLATTENED = (0.92, 1.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """How a body enters: everything about its motion that doesn't change.

    Attributes:
        body: number of the body, from 1.
        group: number of the touching group, or None.
        spec: what it is.
        x_um, y_um, z_um: where it starts; x from pixel column 0, y from the middle of the
            channel, z above the floor.
        flow_z_um: height that decides its speed; one for all of a touching group.
        floor_um: the lowest height of its centre.
        slip: body speed over liquid speed.
        settling_um_s: falling speed.
        drift_um_s: sideways speed.
        turn: (3, 3) attitude when it enters.
        axis: (3,) unit vector about which it rolls.
        rolling_rad_s: how fast.
        lost_um: where it gets lost, or None.
    """

    body: int
    group: int | None
    spec: BodySpec
    x_um: float
    y_um: float
    z_um: float
    flow_z_um: float
    floor_um: float
    slip: float
    settling_um_s: float
    drift_um_s: float
    turn: Floats
    axis: Floats
    rolling_rad_s: float
    lost_um: float | None


@dataclass(slots=True)
class Traveller:
    """A body in the channel and the trace that it left in the frames."""

    entry: Entry
    entered_s: float
    positions: list[tuple[int, float, float]] = field(default_factory=list)

    def rotation(self, t_s: float) -> Floats:
        """(3, 3) attitude at scene time ``t_s``."""
        angle = self.entry.rolling_rad_s * (t_s - self.entered_s)
        return rotation_about(self.entry.axis, angle) @ self.entry.turn


def rotation_about(axis: Floats, angle_rad: float) -> Floats:
    """(3, 3) rotation by ``angle_rad`` about a unit vector (Rodrigues' formula)."""
    x, y, z = axis.tolist()
    s, c = math.sin(angle_rad), math.cos(angle_rad)
    k = 1.0 - c
    return np.array(
        [
            [c + k * x * x, k * x * y - s * z, k * x * z + s * y],
            [k * x * y + s * z, c + k * y * y, k * y * z - s * x],
            [k * x * z - s * y, k * y * z + s * x, c + k * z * z],
        ]
    )


def random_turn(rng: np.random.Generator) -> Floats:
    """(3, 3) rotation, uniform over all attitudes (a random unit quaternion)."""
    w, x, y, z = (float(v) for v in _unit(rng.standard_normal(4)))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def entries(
    arrival: Arrival, flow: FlowSettings, first_body: int, group: int | None, view_um: float
) -> list[Entry]:
    """How the members of an arrival enter the view at its left edge.

    Members of a touching group share speed and fate and don't drift sideways; each rolls by itself.

    Args:
        arrival: what comes.
        flow: the channel.
        first_body: number of the first member.
        group: number of the group for more than one member.
        view_um: length of the view, µm.
    """
    rng = np.random.default_rng([arrival.seed, 11])
    radii = [spec.diameter_um / 2 for spec in arrival.members]
    offsets = _between_walls(_touching(rng, radii), radii, flow)
    heights = [_height(rng, spec, flow) for spec in arrival.members]
    if len(radii) > 1:
        heights = list(radii)
    slip = float(np.clip(rng.normal(flow.slip, 0.06), flow.slip_min, flow.slip_max))
    drift = float(rng.normal(0.0, flow.lateral_mm_s * 1e3)) if len(radii) == 1 else 0.0
    lost_um = None
    if rng.uniform() < flow.lost:
        lost_um = float(rng.uniform(view_um + 500.0, view_um + flow.junction_mm * 1e3))
    reach = max(abs(o[1]) + r for o, r in zip(offsets, radii, strict=True))
    y0 = _lateral(rng, flow, reach)
    foremost = max(o[0] + r for o, r in zip(offsets, radii, strict=True))
    made = []
    for i, spec in enumerate(arrival.members):
        fibre = spec.kind == "fibre"
        floor_um = 0.1 * radii[i] if fibre else radii[i]
        made.append(
            Entry(
                body=first_body + i,
                group=group,
                spec=spec,
                x_um=offsets[i][0] - foremost - _MARGIN_UM,
                y_um=y0 + offsets[i][1],
                z_um=heights[i],
                flow_z_um=float(np.mean(heights)),
                floor_um=floor_um,
                slip=slip,
                settling_um_s=_settling_um_s(spec, len(radii), flow),
                drift_um_s=drift,
                turn=random_turn(rng),
                axis=_unit(np.array([0.0, 1.0, 0.0]) + 0.25 * rng.standard_normal(3)),
                rolling_rad_s=float(rng.uniform(*flow.rotation_rad_s)),
                lost_um=lost_um,
            )
        )
    return made


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


def _height(rng: np.random.Generator, spec: BodySpec, flow: FlowSettings) -> float:
    """Height at which the body comes into view: bubbles at the ceiling, the heavy on the floor."""
    radius = min(spec.diameter_um / 2, flow.channel_height_um / 2)
    if spec.kind == "bubble":
        return flow.channel_height_um - radius
    if spec.kind == "fibre":
        # Thin whatever its length: it falls like the smallest debris.
        return float(rng.uniform(0.1, 0.9)) * flow.channel_height_um
    entry_um = float(rng.uniform(radius, flow.channel_height_um - radius))
    return height_at_view_um(spec.diameter_um, entry_um, flow)


def _settling_um_s(spec: BodySpec, members: int, flow: FlowSettings) -> float:
    # A touching group has settled long before the view.
    if members > 1 or spec.kind in ("bubble", "fibre"):
        return 0.0
    return settling_mm_s(spec.diameter_um, flow) * 1e3


def _lateral(rng: np.random.Generator, flow: FlowSettings, reach_um: float) -> float:
    """Distance from the channel's middle, normal, drawn again until it is between the walls."""
    room_um = flow.channel_width_um / 2 - reach_um - _WALL_UM
    if room_um <= 0:
        return 0.0
    while abs(y := float(rng.normal(0.0, flow.lateral_sd_um))) > room_um:
        pass
    return y


def _touching(rng: np.random.Generator, radii: list[float]) -> list[tuple[float, float]]:
    """(x, y) of each member in µm, on the floor, each touching one before it and no other."""
    places = [(0.0, 0.0)]
    for i in range(1, len(radii)):
        while True:
            on = int(rng.integers(0, i))
            angle = float(rng.uniform(0.0, 2.0 * math.pi))
            # Two spheres that stand on the floor touch at this horizontal distance.
            apart = 2.0 * math.sqrt(radii[i] * radii[on]) * float(rng.uniform(*_FLATTENED))
            place = (
                places[on][0] + apart * math.cos(angle),
                places[on][1] + apart * math.sin(angle),
            )
            clear = all(
                j == on or math.dist(place, places[j]) > 1.7 * math.sqrt(radii[i] * radii[j])
                for j in range(i)
            )
            if clear:
                places.append(place)
                break
    return places


def _between_walls(
    places: list[tuple[float, float]], radii: list[float], flow: FlowSettings
) -> list[tuple[float, float]]:
    """Turned, shorter side across, and in the middle, where they reach too far across the flow."""
    x, y, r = np.array([(*place, radius) for place, radius in zip(places, radii, strict=True)]).T
    if np.max(np.abs(y) + r) <= flow.channel_width_um / 2 - _WALL_UM:
        return places
    if np.ptp(x) < np.ptp(y):
        x, y = y, -x
    y = y - (np.max(y + r) + np.min(y - r)) / 2
    return list(zip(x.tolist(), y.tolist(), strict=True))


class Flock:
    """Where all travellers are, moved together.

    Columns of the state are x, y, z, height for the speed, floor, slip, settling, drift, and x at
    which the body gets lost, infinite where it does not; µm, s.
    """

    def __init__(self, flow: FlowSettings) -> None:
        self._flow = flow
        self.travellers: list[Traveller] = []
        self._state = np.empty((0, 9))

    def add(self, traveller: Traveller) -> None:
        """Let a body in, where its entry says."""
        e = traveller.entry
        row = [e.x_um, e.y_um, e.z_um, e.flow_z_um, e.floor_um, e.slip, e.settling_um_s]
        lost_um = math.inf if e.lost_um is None else e.lost_um
        self._state = np.vstack([self._state, [*row, e.drift_um_s, lost_um]])
        self.travellers.append(traveller)

    def remove(self, gone: NDArray[np.bool_]) -> list[Traveller]:
        """Take out the travellers marked in (n,) ``gone``; returns them."""
        if not gone.any():
            return []
        taken = [t for t, is_gone in zip(self.travellers, gone, strict=True) if is_gone]
        self.travellers = [t for t, out in zip(self.travellers, gone, strict=True) if not out]
        self._state = self._state[~gone]
        return taken

    @property
    def x_um(self) -> Floats:
        """(n,) distance downstream of pixel column 0."""
        return np.asarray(self._state[:, 0])

    @property
    def y_um(self) -> Floats:
        """(n,) distance from the channel's middle."""
        return np.asarray(self._state[:, 1])

    @property
    def z_um(self) -> Floats:
        """(n,) height of the centre above the floor."""
        return np.asarray(self._state[:, 2])

    @property
    def lost_um(self) -> Floats:
        """(n,) distance downstream at which each body gets lost; infinite for most."""
        return np.asarray(self._state[:, 8])

    def move(self, liquid_um: float, seconds: float) -> None:
        """Move by the liquid's travel since the last call, and settle for that long."""
        s = self._state
        if len(s) <= _FEW:
            self._move_few(liquid_um, seconds)
            return
        s[:, 0] += s[:, 5] * liquid_share(s[:, 3], self._flow) * liquid_um
        wall_um = np.maximum(self._flow.channel_width_um / 2, np.abs(s[:, 1]))
        s[:, 1] = np.minimum(np.maximum(s[:, 1] + s[:, 7] * seconds, -wall_um), wall_um)
        fall = (s[:, 6] * seconds)[:, None]
        heights = s[:, 2:4]
        floor = np.minimum(heights, s[:, 4:5])
        s[:, 2:4] = np.maximum(heights - fall, floor)

    def _move_few(self, liquid_um: float, seconds: float) -> None:
        """The same to the bit, without arrays."""
        flow, moved = self._flow, []
        height_um, half_um = flow.channel_height_um, flow.channel_width_um / 2
        fastest = flow.max_mm_s / flow.mean_mm_s
        for x, y, z, flow_z, floor, slip, settling, drift, _ in self._state.tolist():
            rel = min(max(flow_z / height_um, 0.0), 1.0)
            wall = max(half_um, abs(y))
            fall = settling * seconds
            moved.append(
                (
                    x + slip * (4.0 * rel * (1.0 - rel) * fastest) * liquid_um,
                    min(max(y + drift * seconds, -wall), wall),
                    max(z - fall, min(z, floor)),
                    max(flow_z - fall, min(flow_z, floor)),
                )
            )
        if moved:
            self._state[:, :4] = moved
