"""A straight line through positions over time, by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Line:
    """Sums over points (t in s, x in µm): a point more costs the same however many came before."""

    n: int = 0
    t: float = 0.0
    x: float = 0.0
    tt: float = 0.0
    tx: float = 0.0
    xx: float = 0.0

    def add(self, t_s: float, x_um: float) -> None:
        """Take in one point."""
        self.n += 1
        self.t += t_s
        self.x += x_um
        self.tt += t_s * t_s
        self.tx += t_s * x_um
        self.xx += x_um * x_um

    def fit(self, *, least_error_um: float) -> tuple[float, float, float, float] | None:
        """(x at the mean time in µm, mean time in s, speed in µm/s, standard error of the speed).

        The standard error supposes that a point is off by `least_error_um` at least, and is
        infinite with two points. None without two points at different times.
        """
        if self.n < 2:
            return None
        mean_t, mean_x = self.t / self.n, self.x / self.n
        spread = self.tt - self.n * mean_t * mean_t
        if spread <= 0:
            return None
        speed = (self.tx - self.n * mean_t * mean_x) / spread
        residual = max(0.0, self.xx - self.n * mean_x**2 - speed**2 * spread)
        sigma = math.sqrt(residual / (self.n - 2)) if self.n > 2 else math.inf
        return mean_x, mean_t, speed, max(least_error_um, sigma) / math.sqrt(spread)
