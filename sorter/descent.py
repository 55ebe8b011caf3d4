"""When a small body passes a place downstream: every descent that could have shown what was seen.

A small body sinks through the laminar profile while it flows (see `sorter.sinking`). Its height
and its slip can't be seen, but each pair of them, with a settling speed that fits its size, draws
a path x(t) of its own. Paths are drawn for a grid of heights, or of moments at which they came down
to the floor, and of settling speeds. Each is fitted to the views by generalised least squares:
where it begins, and the slip. Its misfit is that of these, in variances, and how far slip, size and
density are from what is usual, in theirs. All paths within nine of the best (three sigma) go on to
the junction; what they say there, earliest to latest, is the answer.

A path is exact (see `sorter.falling`).

What rolls shows its centroid to and fro with the roll, at some phase and rate: its covariance over
time is the mean of the cosines of all rates that it may roll at (`_covariance`).
"""

from __future__ import annotations

import math

import numpy as np

from sorter.compiled import compiled
from sorter.falling import NO_FLOOR_UM, Floats, come_at, paths_of, share_at, when_s
from sorter.jolts import apart
from sorter.motion import SIGMAS
from sorter.sinking import ChannelSettings

SAMPLES = 12  # views are averaged to so many
# Places in the ranges that bodies can have, which are taken to be three sigma to each side.
_SLIPS = np.linspace(-0.9, 0.9, 11)
_TWICE = 0.2  # variance of the centroid at twice the rate of the roll, in those at its rate
_SINGLE = 0.05  # and of what is each view's own
_HALF_MAXIMUM = 2.355  # full width of a normal distribution there, in standard deviations
_LOOKS = 0.7, 1.35  # how much smaller and larger it may look than that
_PUMP_S = 0.12  # what the pump does is alike for about so long


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
    paths = _grid(float(t[-1] - t[0]), float(t @ x) / float(t @ t), diameters_um, channel)
    if channel.blur > 0:
        paths = _that_look(paths, looks_um, channel.height_um, channel.focus_um, channel.blur)
    slip = _middle(channel.slip_min, channel.slip_max)
    early_s, late_s = _extremes(
        t, x, whiten, paths, to_um - mean_um, noise_um, slip, channel.max_liquid_um_s,
        channel.height_um,
    )  # fmt: skip
    return (at_s + early_s, at_s + late_s) if early_s <= late_s else None


@compiled
def _extremes(
    t_s: Floats,
    x_um: Floats,
    whiten: Floats,
    paths: Floats,
    to_um: float,
    noise_um: float,
    slip: tuple[float, float],
    max_liquid_um_s: float,
    h_um: float,
) -> tuple[float, float]:
    """Earliest and latest time at ``to_um`` by all likely paths; infinity and less without any.

    Args:
        t_s, x_um: (m,) what was seen.
        whiten: (m, m) takes positions to errors that are each its own, lower triangle.
        paths: see `_grid`.
        slip: see `_middle`.
    """
    fits = np.empty((len(paths), 5))
    mean_um, weight = _fit(t_s, x_um, whiten, paths, h_um, fits)
    usual, range_ = slip
    variance = max(noise_um**2, fits[:, 1].min() / (len(t_s) - 3))
    misfits, best = np.empty(len(paths)), math.inf
    for i in range(len(paths)):
        speed, square = fits[i, 0], fits[i, 1]
        unusual = SIGMAS * (speed / max_liquid_um_s - usual) / range_
        misfits[i] = square / variance + unusual**2 + paths[i, 3]
        best = min(best, misfits[i])
        fits[i, 4] = abs(unusual)
    early_s, late_s = math.inf, -math.inf
    for i in range(len(paths)):
        speed, spread, mean_come, unusual = fits[i, 0], fits[i, 2], fits[i, 3], fits[i, 4]
        likely = misfits[i] - best
        if not (likely <= SIGMAS**2 and unusual <= SIGMAS):
            continue
        ahead = (to_um - mean_um) / speed
        passes_s = when_s(paths[i], ahead + mean_come, h_um)
        # What is left of three sigma goes to where the fitted path lies and how fast it is run.
        left = math.sqrt(variance * (SIGMAS**2 - likely) * (1.0 / weight + ahead**2 / spread))
        off_s = left / (speed * share_at(paths[i], passes_s, h_um))
        early_s, late_s = min(early_s, passes_s - off_s), max(late_s, passes_s + off_s)
    return early_s, late_s


@compiled
def _fit(
    t_s: Floats, x_um: Floats, whiten: Floats, paths: Floats, h_um: float, fits: Floats
) -> tuple[float, float]:
    """Fit each path to what was seen: where it begins, and how fast it is run.

    Args:
        fits: (n, 5), receives the largest liquid speed times slip, the squares that are left, the
            spread of the path, and its mean; the last column is left alone.

    Returns:
        mean of what was seen, and the weight of a mean.
    """
    m = len(t_s)
    begins, seen = np.zeros(m), np.zeros(m)
    for i in range(m):
        for j in range(i + 1):
            begins[i] += whiten[i, j]
            seen[i] += whiten[i, j] * x_um[j]
    weight, mean = 0.0, 0.0
    for i in range(m):
        weight += begins[i] * begins[i]
        mean += begins[i] * seen[i]
    mean /= weight
    total = 0.0
    for i in range(m):
        seen[i] -= mean * begins[i]
        total += seen[i] * seen[i]
    # Path by path in the inner loops, so that several are done at once.
    come, white = np.empty((m, len(paths))), np.zeros((m, len(paths)))
    for j in range(m):
        come_at(paths, t_s[j], h_um, come[j])
    for i in range(m):
        for j in range(i + 1):
            share = whiten[i, j]
            for n in range(len(paths)):
                white[i, n] += share * come[j, n]
    for n in range(len(paths)):
        mean_come = 0.0
        for i in range(m):
            mean_come += white[i, n] * begins[i]
        mean_come /= weight
        spread, along = 0.0, 0.0
        for i in range(m):
            off = white[i, n] - mean_come * begins[i]
            spread += off * off
            along += off * seen[i]
        speed = along / spread
        fits[n, 0], fits[n, 1] = speed, max(0.0, total - speed**2 * spread)
        fits[n, 2], fits[n, 3] = spread, mean_come
    return mean, weight


@compiled
def _that_look(paths: Floats, looks_um: float, h_um: float, focus_um: float, blur: float) -> Floats:
    """The paths whose bodies may look that large, at their height in the middle of the views; all
    of them where that leaves none.

    Blurred, a disc looks about as wide as the root of the sum of the squares of its diameter and of
    the blur's full width at half maximum. What does not sink is of any size.
    """
    may = np.empty(len(paths), np.bool_)
    for i in range(len(paths)):
        floor = paths[i, 2]
        z = min(max(paths[i, 0], floor), h_um - floor)
        look_um = math.hypot(2.0 * floor, _HALF_MAXIMUM * blur * abs(z - focus_um))
        may[i] = _LOOKS[0] * look_um - 3.0 < looks_um < _LOOKS[1] * look_um + 6.0
        may[i] |= floor == NO_FLOOR_UM
    return paths[may] if may.any() else paths


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
        return np.asarray(np.cos(middle * apart) * np.sinc(half * apart / math.pi))

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
    span_s: float, speed_um_s: float, diameters_um: tuple[float, float], channel: ChannelSettings
) -> Floats:
    """Descents that pass with about that speed at time 0, or landed while they were seen.

    Both heights for each slip, and a few moments of landing, with each size and density; and of
    each a body that does not sink, whatever its size.

    Returns:
        See `paths_of`.
    """
    usual, range_ = _middle(channel.slip_min, channel.slip_max)
    slips = usual + range_ * _SLIPS
    shares = np.minimum(1.0, max(speed_um_s, 1.0) / (slips * channel.max_liquid_um_s))
    low_um = 0.5 * (1.0 - np.sqrt(1.0 - shares)) * channel.height_um
    heights_um = np.concatenate((low_um, channel.height_um - low_um))
    sizes_um = _middle(*diameters_um)
    return paths_of(heights_um, sizes_um, span_s, channel.settling_100_um_s, channel.height_um)


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
    likely_um = 1.33 * math.sqrt(deficit_um2)
    return 0.8 * likely_um, 1.2 * likely_um
