"""When a small body passes a place downstream: every descent that could have shown what was seen.

A small body sinks through the laminar profile while it flows (see `sorter.sinking`). Its height
and its slip can't be seen, but each pair of them, with a settling speed that fits its size, draws
a path x(t) of its own. Paths are drawn for a grid of heights, or of moments at which they came down
to the floor, and of settling speeds. Each is fitted to the views by generalised least squares:
where it begins, and the slip. Its misfit is that of these, in variances, and how far slip, size and
density are from what is usual, in theirs. All paths within nine of the best (three sigma) go on to
the junction; what they say there, earliest to latest, is the answer.

The path is exact: with u(z) = 4 (z/h) (1 - z/h), U its integral, and z falling at w to the floor,
where it lands at time l,

    integral of u dt since l  =  (U(floor) - U(z)) / w  +  u(floor) * (time after l).

What rolls shows its centroid to and fro with the roll, at some phase and rate: its covariance over
time is the mean of the cosines of all rates that it may roll at (`_covariance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from sorter.jolts import apart
from sorter.motion import SIGMAS
from sorter.sinking import ChannelSettings

Floats = NDArray[np.float64]

SAMPLES = 12  # views are averaged to so many
# Places in the ranges that bodies can have, which are taken to be three sigma to each side.
_SLIPS = np.linspace(-0.9, 0.9, 11)
_SIZES = np.linspace(-0.84, 0.84, 7)
_DENSITIES = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
# In spans of the views, after their middle.
_LANDINGS = np.array([-0.47, -0.4, -0.33, -0.26, -0.18, -0.1, -0.02])
_TWICE = 0.2  # variance of the centroid at twice the rate of the roll, in those at its rate
_SINGLE = 0.05  # and of what is each view's own
_HALF_MAXIMUM = 2.355  # full width of a normal distribution there, in standard deviations
_LOOKS = 0.7, 1.35  # how much smaller and larger it may look than that
_PUMP_S = 0.12  # what the pump does is alike for about so long
_DENSITY = 0.4  # range of the density's share in the settling speed, to each side
_NO_SINKING_UM_S = 0.05
_NO_FLOOR_UM = 1.0


@dataclass(frozen=True, slots=True)
class _Paths:
    """Descents, one an element: height at time 0, settling speed, height on the floor.

    Attributes:
        z_um, sinking_um_s, floor_um: (n,); below the floor: it has landed, and would be there.
        unusual: (n,) squared distance of size and density from the usual, in variances.
        h_um: of the channel.
    """

    z_um: Floats
    sinking_um_s: Floats
    floor_um: Floats
    unusual: Floats
    h_um: float

    def of(self, chosen: NDArray[np.bool_]) -> _Paths:
        """Some of them."""
        return _Paths(
            self.z_um[chosen],
            self.sinking_um_s[chosen],
            self.floor_um[chosen],
            self.unusual[chosen],
            self.h_um,
        )

    def come_s(self, t_s: Floats) -> Floats:
        """(n, m) integrals of u from landing to times (n or 1, m), in s at the largest speed."""
        z, w, floor = self.z_um[:, None], self.sinking_um_s[:, None], self.floor_um[:, None]
        now = np.clip(z - w * t_s, floor, self.h_um - floor)
        falling = (self._integral(floor) - self._integral(now)) / w
        landed_s = np.maximum(0.0, t_s - (z - floor) / w)
        return np.asarray(falling + self._share(floor) * landed_s)

    def when_s(self, come_s: Floats) -> Floats:
        """(n,) times at which the integrals reach ``come_s`` (n,).

        In falling, U(z) / h = 2/3 of the smoothstep 3 s² - 2 s³ of s = z / h, whose inverse is
        s = 1/2 - sin(asin(1 - 2 y) / 3).
        """
        z, w, floor = self.z_um, self.sinking_um_s, self.floor_um
        y = np.clip(1.5 * (self._integral(floor) - w * come_s) / self.h_um, 0.0, 1.0)
        falling_s = (z - self.h_um * (0.5 - np.sin(np.arcsin(1.0 - 2.0 * y) / 3.0))) / w
        landed_s = (z - floor) / w + come_s / self._share(floor)
        return np.where(come_s >= 0.0, landed_s, falling_s)

    def share_at(self, t_s: Floats) -> Floats:
        """(n,) share of the largest liquid speed at times (n,)."""
        return self._share(np.maximum(self.floor_um, self.z_um - self.sinking_um_s * t_s))

    def _share(self, z_um: Floats) -> Floats:
        rel = z_um / self.h_um
        return 4.0 * rel * (1.0 - rel)

    def _integral(self, z_um: Floats) -> Floats:
        """Of u over height, in µm."""
        rel = z_um / self.h_um
        return z_um * rel * (2.0 - 4.0 / 3.0 * rel)


def passage_of_descents_s(
    t_s: Floats,
    x_um: Floats,
    to_um: float,
    *,
    diameters_um: tuple[float, float],
    looks_um: float,
    channel: ChannelSettings,
    noise_um: float,
    pump_um: float,
    valve_um: Floats,
) -> tuple[float, float] | None:
    """Earliest and latest time at which a body that was seen comes to ``to_um``.

    Args:
        t_s: times of the views (n,), n at least 6, increasing; the answer is on the same clock.
        x_um: where it was (n,).
        to_um: beyond all of them.
        diameters_um: smallest and largest diameter that it can have, at three sigma.
        looks_um: its diameter as it looks, which tells how far it may be out of focus.
        channel: height, speed and slip; how fast bodies sink.
        noise_um: least standard deviation of a position.
        pump_um: standard deviation of what the pump does to the positions, and is not known.
        valve_um: (n,) the same of what the valve's jitter does (`sorter.jolts`).

    Returns:
        None when no descent shows what was seen.
    """
    t, x = _averaged(t_s), _averaged(x_um)
    at_s, mean_um = float(t.mean()), float(x.mean())
    t, x = t - at_s, x - mean_um
    valve = np.array([_averaged(row) for row in apart(valve_um / noise_um)])
    covariance = _covariance(t, channel, pump_um / noise_um) + valve.T @ valve
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    paths = _grid(t, float(t @ x) / float(t @ t), diameters_um, channel)
    paths = paths.of(_may_look(paths, looks_um, channel))
    begins, seen = whiten.sum(axis=1), whiten @ x
    come = paths.come_s(t[None, :]) @ whiten.T
    weight = float(begins @ begins)
    mean_come, mean_seen = come @ begins / weight, float(seen @ begins) / weight
    come -= mean_come[:, None] * begins
    seen -= mean_seen * begins
    spread = np.einsum("ij,ij->i", come, come)
    speed = come @ seen / spread
    squares = np.maximum(0.0, seen @ seen - speed**2 * spread)
    usual, range_ = _middle(channel.slip_min, channel.slip_max)
    unusual = SIGMAS * (speed / channel.max_liquid_um_s - usual) / range_
    variance = max(noise_um**2, float(squares.min()) / (t.size - 3))
    misfit = squares / variance + unusual**2 + paths.unusual
    likely = misfit - float(misfit.min())
    can = (likely <= SIGMAS**2) & (np.abs(unusual) <= SIGMAS)
    if not can.any():
        return None
    paths, speed, likely, spread = paths.of(can), speed[can], likely[can], spread[can]
    ahead = (to_um - mean_um - mean_seen) / speed
    passes_s = paths.when_s(ahead + mean_come[can])
    # What is left of three sigma goes to where the fitted path lies and how fast it is run.
    left = np.sqrt(variance * (SIGMAS**2 - likely) * (1.0 / weight + ahead**2 / spread))
    off_s = left / (speed * paths.share_at(passes_s))
    return at_s + float((passes_s - off_s).min()), at_s + float((passes_s + off_s).max())


def _may_look(paths: _Paths, looks_um: float, channel: ChannelSettings) -> NDArray[np.bool_]:
    """(n,) which paths' bodies may look that large, at their height in the middle of the views.

    Blurred, a disc looks about as wide as the root of the sum of the squares of its diameter and of
    the blur's full width at half maximum. All of them where that leaves none.
    """
    if not channel.blur > 0:
        return np.ones(paths.z_um.size, np.bool_)
    z_um = np.clip(paths.z_um, paths.floor_um, paths.h_um - paths.floor_um)
    wide_um = _HALF_MAXIMUM * channel.blur * np.abs(z_um - channel.focus_um)
    look_um = np.hypot(2.0 * paths.floor_um, wide_um)
    may = (looks_um > _LOOKS[0] * look_um - 3.0) & (looks_um < _LOOKS[1] * look_um + 6.0)
    # What does not sink is of any size.
    may |= paths.floor_um == _NO_FLOOR_UM
    return may if may.any() else np.ones(may.size, np.bool_)


def _covariance(t_s: Floats, channel: ChannelSettings, pump: float) -> Floats:
    """(n, n) covariance of positions at times (n,), in variances of the centroid's roll.

    Args:
        t_s: times.
        channel: how fast bodies roll.
        pump: standard deviation of what the pump does, in those of the roll.
    """
    apart = t_s[:, None] - t_s[None, :]
    low, high = channel.rolling_rad_s

    def of_roll(times: int) -> Floats:
        middle, half = times * (high + low) / 2, times * (high - low) / 2
        return np.asarray(np.cos(middle * apart) * np.sinc(half * apart / pi))

    of_pump = pump**2 * np.exp(-0.5 * (apart / _PUMP_S) ** 2)
    return np.asarray(of_roll(1) + _TWICE * of_roll(2) + of_pump + _SINGLE * np.eye(t_s.size))


def _averaged(values: Floats) -> Floats:
    """At most `SAMPLES` means of successive values."""
    if values.size <= SAMPLES:
        return values
    starts = np.arange(SAMPLES) * values.size // SAMPLES
    counts = np.diff(np.append(starts, values.size))
    return np.asarray(np.add.reduceat(values, starts) / counts)


def _grid(
    t_s: Floats, speed_um_s: float, diameters_um: tuple[float, float], channel: ChannelSettings
) -> _Paths:
    """Descents that pass with about that speed at time 0, or landed while they were seen.

    Both heights for each slip, and a few moments of landing, with each size and density. The last
    column is of bodies that don't sink, whatever their size.
    """
    usual, range_ = _middle(channel.slip_min, channel.slip_max)
    slips = usual + range_ * _SLIPS
    shares = np.minimum(1.0, max(speed_um_s, 1.0) / (slips * channel.max_liquid_um_s))
    low_um = 0.5 * (1.0 - np.sqrt(1.0 - shares)) * channel.height_um
    heights_um = np.concatenate([low_um, channel.height_um - low_um])
    usual_um, range_um = _middle(*diameters_um)
    sizes_um = (usual_um + range_um * _SIZES)[:, None]
    sinking = channel.settling_100_um_s * (sizes_um / 100.0) ** 2 * (1.0 + _DENSITY * _DENSITIES)
    sinking_um_s = np.append(np.maximum(sinking.ravel(), _NO_SINKING_UM_S), _NO_SINKING_UM_S)
    floors_um = np.append(np.repeat(sizes_um / 2, _DENSITIES.size), _NO_FLOOR_UM)
    unusual = SIGMAS**2 * (_SIZES[:, None] ** 2 + _DENSITIES**2)
    unusual = np.append(unusual.ravel(), 0.0)
    in_view_um = np.clip(heights_um[:, None], floors_um, channel.height_um - floors_um)
    # What has landed is below the floor, had it gone on sinking.
    landed_um = floors_um + sinking_um_s * (float(t_s[-1] - t_s[0]) * _LANDINGS)[:, None]
    z_um = np.concatenate([in_view_um, landed_um])
    shape = z_um.shape
    return _Paths(
        z_um.ravel(),
        np.broadcast_to(sinking_um_s, shape).ravel(),
        np.broadcast_to(floors_um, shape).ravel(),
        np.broadcast_to(unusual, shape).ravel(),
        channel.height_um,
    )


def _middle(low: float, high: float) -> tuple[float, float]:
    """Middle of a range, and how far it reaches to each side."""
    return (low + high) / 2, (high - low) / 2


def diameters_seen_um(diameter_um: float, deficit_um2: float) -> tuple[float, float]:
    """Smallest and largest diameter that an object of some tens of µm can have.

    Args:
        diameter_um: as it looks; out of focus that is too large.
        deficit_um2: light that it takes out, NaN where that was not measured. Dark bodies take out
            less than their area, the more so the smaller they are.
    """
    if not deficit_um2 > 0:
        return 0.55 * diameter_um, 1.1 * diameter_um
    likely_um = 1.33 * sqrt(deficit_um2)
    return 0.8 * likely_um, 1.2 * likely_um
