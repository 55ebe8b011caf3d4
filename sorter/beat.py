"""The pump's beat: how far it shifts liquid time, and how well that is known.

`sorter.pulsation` finds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled

Array = NDArray[np.float64]
ITERATIONS = 5  # each shrinks the error by the beat's amplitude, 0.1 at most


@dataclass(frozen=True, slots=True)
class Beat:
    """P(t) = cos_s cos(w (t - at)) + sin_s sin(w (t - at)), in seconds; w in rad/s.

    Attributes:
        at_ns: host time from which it is counted: that of the last track which told of it.
        covariance: (3, 3) of (cos_s, sin_s, omega).
        significance: F ratio of the beat against noise.
        displaced_ns: how far liquid time was ahead of host time at most (`sorter.liquid`), ns.
        beside: share by which the flow may change beside the beat.
    """

    cos_s: float
    sin_s: float
    omega: float
    at_ns: int
    covariance: Array
    significance: float
    displaced_ns: float
    beside: float

    @property
    def hz(self) -> float:
        """Frequency."""
        return self.omega / math.tau

    @property
    def amplitude(self) -> float:
        """Relative amplitude of the speed."""
        return self.omega * math.hypot(self.cos_s, self.sin_s)

    def shift_ns(self, times_ns: NDArray[np.int64] | Array | float) -> Array:
        """P at host times (any shape), ns: what is added to liquid time."""
        phase = self.omega * 1e-9 * (np.asarray(times_ns) - self.at_ns)
        return np.asarray(1e9 * (self.cos_s * np.cos(phase) + self.sin_s * np.sin(phase)))

    def without(self, shifted_ns: float, half_ns: float) -> tuple[float, float]:
        """Liquid time without pulsation at which that with it reaches `shifted_ns`; half width.

        P belongs to host time, which an open gate leaves behind liquid time by up to
        `displaced_ns`: the middle is taken, and the rest widens the half width.
        """
        behind_ns = self.at_ns + self.displaced_ns / 2
        liquid_ns = shifted_ns
        for _ in range(ITERATIONS):
            phase = self.omega * 1e-9 * (liquid_ns - behind_ns)
            shift_s = self.cos_s * math.cos(phase) + self.sin_s * math.sin(phase)
            liquid_ns = shifted_ns - 1e9 * shift_s
        slowest = 1 - self.amplitude
        wider_ns = self.amplitude / slowest * (half_ns + self.displaced_ns / 2)
        return liquid_ns, half_ns + wider_ns

    def tolerance_at(self, time_ns: float) -> float:
        """Share by which the flow may differ from the beat at a host time: three sigma.

        The error of the amplitudes is taken at its worst phase, and that of the frequency grows
        with the time since `at_ns`.
        """
        (a, b), (_, d) = self.covariance[:2, :2].tolist()
        worst = (a + d) / 2 + math.hypot((a - d) / 2, b)  # the larger eigenvalue
        turned = abs(time_ns - self.at_ns) * 1e-9 * math.sqrt(float(self.covariance[2, 2]))
        error = self.omega * math.sqrt(max(worst, 0.0)) + self.amplitude * turned
        return math.hypot(self.beside, 3 * error)

    def error_ns(self, seen_ns: NDArray[np.int64], at_ns: float) -> float:
        """Half width (three sigma) of what the beat may be wrong by at a later time, ns.

        The line through what was seen, extrapolated, takes off most of what is wrong with P.

        Args:
            seen_ns: (n,) host times of the views to which a line is fitted, two at least.
            at_ns: host time of the arrival.
        """
        at_s = 1e-9 * (at_ns - self.at_ns)
        by_c, by_s, by_w, last_s = _left(
            seen_ns, self.at_ns, at_s, self.cos_s, self.sin_s, self.omega
        )
        (cc, cs, cw), (_, ss, sw), (_, _, ww) = self.covariance.tolist()
        square = by_c * (by_c * cc + 2 * by_s * cs + 2 * by_w * cw)
        square += by_s * (by_s * ss + 2 * by_w * sw) + by_w * by_w * ww
        wrong_s = 3 * math.sqrt(max(square, 0.0))
        return 1e9 * math.hypot(wrong_s, self.beside * (at_s - last_s))

    def moved_to(self, at_ns: int) -> Array:
        """(cos_s, sin_s, omega) of the same beat counted from another time."""
        phase = self.omega * 1e-9 * (at_ns - self.at_ns)
        c, d = math.cos(phase), math.sin(phase)
        return np.array(
            [self.cos_s * c + self.sin_s * d, self.sin_s * c - self.cos_s * d, self.omega]
        )


@compiled
def _left(
    seen_ns: NDArray[np.int64], since_ns: int, at_s: float, cos_s: float, sin_s: float, omega: float
) -> tuple[float, float, float, float]:
    """What a line through what was seen leaves of P at a later time, by each of its parameters.

    Args:
        seen_ns: (n,) host times of the views.
        since_ns: host time from which the beat is counted.
        at_s: the later time, counted from there.
        cos_s, sin_s, omega: of the beat.

    Returns:
        derivatives by cos_s, sin_s and omega, and the time of the last view, counted from there.
    """
    n, mean_s = len(seen_ns), 0.0
    for i in range(n):
        mean_s += 1e-9 * (seen_ns[i] - since_ns) / n
    spread = 0.0
    for i in range(n):
        spread += (1e-9 * (seen_ns[i] - since_ns) - mean_s) ** 2
    ahead = (at_s - mean_s) / max(spread, 1e-12)  # frames of one time tell no speed
    by_c, by_s = math.cos(omega * at_s), math.sin(omega * at_s)
    by_w, t = at_s * (sin_s * by_c - cos_s * by_s), 0.0
    for i in range(n):
        t = 1e-9 * (seen_ns[i] - since_ns)
        # What a line that is fitted to views and read at the later time takes of each view.
        share = 1.0 / n + (t - mean_s) * ahead
        c, s = share * math.cos(omega * t), share * math.sin(omega * t)
        by_c -= c
        by_s -= s
        by_w -= t * (sin_s * c - cos_s * s)
    return by_c, by_s, by_w, t
