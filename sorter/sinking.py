"""When a body passes a place downstream, sinking or settled, in a flat channel.

Large bodies have settled before the view, run along the floor and keep their speed. Small ones
still sink: in the laminar profile ``v = s u(z)``, ``u(z) = 4 (z/h) (1 - z/h)`` (plane Poiseuille;
s the body's share of the largest speed of the liquid), a body that sinks at w is accelerated by
``dv/dt = -4 s (w/h) (1 - 2 z/h)``: it speeds up from the ceiling and slows down towards the floor,
``|dv/dt| = 4 s (w/h) sqrt(1 - v/s)``, and goes on at the speed of the floor's neighbourhood,
``s u(r)``, once it has come down to its radius r. That bounds what the view was too short to tell.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from sorter.motion import Motion

_STEADY_UM_S2 = 1e-3
_FIBRE = 0.5  # circularity of a rod four times as long as it is wide
_MOST_DENSE = 1.25  # fastest sinking over the usual


class ChannelSettings(BaseModel):
    """The channel and the liquid in it, as far as the motion of small bodies depends on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height_um: float = Field(800.0, gt=0, description="height of the channel, µm")
    max_liquid_um_s: float = Field(
        42_000.0, gt=0, description="speed of the liquid in the channel's middle, µm/s"
    )
    slip_min: float = Field(0.62, gt=0, le=1, description="slowest body, share of its liquid's")
    slip_max: float = Field(0.96, gt=0, le=1, description="fastest body, share of its liquid's")
    settling_100_um_s: float = Field(
        240.0,
        ge=0,
        description="how fast a body of 100 µm sinks, give or take 40 %, µm/s; smaller ones as "
        "the square of their diameter",
    )
    settled_um: float = Field(
        120.0, ge=0, description="bodies of this diameter and more have settled before the view, µm"
    )
    looks_larger: float = Field(
        1.05, gt=0, description="smallest true diameter of a small body over that seen"
    )
    looks_smaller: float = Field(
        1.25, gt=0, description="largest true diameter of a small body over that seen"
    )
    least_um: float = Field(30.0, gt=0, description="smallest body that matters, µm")
    focus_um: float = Field(
        110.0, ge=0, description="height of the focal plane above the floor, µm"
    )
    blur: float = Field(
        0.04,
        ge=0,
        description="standard deviation of the blur over the distance from the focal plane; with 0 "
        "nothing is told from how sharp a small body is",
    )
    rolling_rad_s: tuple[float, float] = Field(
        (45.0, 85.0), description="how fast small bodies roll, least and most, rad/s"
    )

    def most_acceleration_um_s2(self, speed_um_s: float, diameter_um: float) -> float:
        """How much a body of that speed and diameter can speed up or slow down, µm/s²."""
        fastest = self.slip_max * self.max_liquid_um_s
        sinking = (
            _MOST_DENSE * self.settling_100_um_s * (self.looks_smaller * diameter_um / 100.0) ** 2
        )
        uneven = math.sqrt(max(0.02, 1.0 - speed_um_s / fastest))
        return 4.0 * fastest * sinking / self.height_um * uneven

    def floor_speeds_um_s(self, speed_um_s: float, diameter_um: float) -> tuple[float, float]:
        """Slowest and fastest speed of a body of that diameter once on the floor, µm/s."""
        smallest = max(self.least_um, self.looks_larger * diameter_um)
        largest = max(smallest, self.looks_smaller * diameter_um)
        slow = self.slip_min * self._liquid_um_s(smallest / 2)
        fast = self.slip_max * self._liquid_um_s(largest / 2)
        return min(slow, speed_um_s), min(fast, speed_um_s)

    def usual_speed_um_s(self, diameter_um: float) -> float:
        """Speed of a body of that diameter that runs along the floor, with the usual slip, µm/s."""
        return 0.5 * (self.slip_min + self.slip_max) * self._liquid_um_s(diameter_um / 2)

    def _liquid_um_s(self, z_um: float) -> float:
        share = min(z_um / self.height_um, 0.5)
        return 4.0 * share * (1.0 - share) * self.max_liquid_um_s


def sinks_as_um(diameter_um: float, circularity: float) -> float:
    """Diameter of the grain that sinks as fast: of a fibre its thickness, whatever its length.

    A rod of length l and width w has the area l w and a circularity of about π w / l, so that w is
    half the diameter of the disc of that area times the root of the circularity.
    """
    if circularity >= _FIBRE:
        return diameter_um
    return diameter_um / 2 * math.sqrt(max(circularity, 0.0))


def passage_s(
    motion: Motion,
    distance_um: float,
    diameter_um: float,
    channel: ChannelSettings,
    *,
    min_speed_um_s: float,
    max_speed_um_s: float,
) -> tuple[float, float]:
    """Earliest and latest time after `motion.at_s` at which a body has come `distance_um`.

    Args:
        motion: how it moves; its errors are those of the interval.
        distance_um: from where it was then, above 0.
        diameter_um: as seen.
        channel: how fast it may sink, and where that ends.
        min_speed_um_s, max_speed_um_s: what a body can have.
    """
    error = motion.speed_error_um_s
    speed = min(max(motion.speed_um_s, min_speed_um_s), max_speed_um_s)
    fast, slow = min(speed + error, max_speed_um_s), max(speed - error, min_speed_um_s)
    if diameter_um >= channel.settled_um:
        return distance_um / fast, distance_um / slow
    most = channel.most_acceleration_um_s2(speed, diameter_um)
    low, high = _accelerations(motion, most)
    middle = (low + high) / 2
    floor_slow, floor_fast = channel.floor_speeds_um_s(speed, diameter_um)
    likely_s = time_to_s(distance_um, speed, middle, (floor_slow + floor_fast) / 2)
    early_s = math.hypot(
        likely_s - time_to_s(distance_um, speed, high, floor_fast),
        likely_s - time_to_s(distance_um, fast, middle, floor_fast),
    )
    late_s = math.hypot(
        likely_s - time_to_s(distance_um, speed, low, floor_slow),
        likely_s - time_to_s(distance_um, slow, middle, floor_slow),
    )
    return likely_s - early_s, likely_s + late_s


def _accelerations(motion: Motion, most: float) -> tuple[float, float]:
    """Least and greatest acceleration: what was seen, within what can be.

    What can be is a normal prior whose 1.5 standard deviations are `most`.
    """
    error = motion.acceleration_error_um_s2
    if math.isinf(error) or most == 0.0:
        return -most, most
    prior, seen = (most / 1.5) ** 2, (error / 3.0) ** 2
    trust = prior / (prior + seen)
    likely, off = trust * motion.acceleration_um_s2, math.sqrt(trust) * error
    return max(-most, min(likely - off, most)), min(most, max(likely + off, -most))


def time_to_s(
    distance_um: float, speed_um_s: float, acceleration_um_s2: float, floor_um_s: float
) -> float:
    """Time to come a distance; a body that slows down does so no further than `floor_um_s`."""
    v, a = speed_um_s, acceleration_um_s2
    if abs(a) < _STEADY_UM_S2:
        return distance_um / v
    if a < 0:
        if v <= floor_um_s:
            return distance_um / v
        slowing_s = (v - floor_um_s) / -a
        slowing_um = (v + floor_um_s) / 2 * slowing_s
        if slowing_um < distance_um:
            return slowing_s + (distance_um - slowing_um) / floor_um_s
    return (math.sqrt(v * v + 2.0 * a * distance_um) - v) / a
