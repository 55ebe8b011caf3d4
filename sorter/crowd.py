"""How crowded the view is: where many bodies are in it, one may hide another all the way."""

from __future__ import annotations

import math


class Crowd:
    """Number of large bodies in the view, averaged over the last seconds.

    Args:
        from_bodies: mean number in the view from which it is crowded.
        over_s: time constant of the mean, s.
    """

    def __init__(self, *, from_bodies: float, over_s: float) -> None:
        self._from_bodies = from_bodies
        self._over_ns = over_s * 1e9
        self._mean = 0.0
        self._last_ns = 0

    def see(self, bodies: int, exposed_ns: int) -> None:
        """So many are in the view in a frame."""
        passed_ns = max(0, exposed_ns - self._last_ns)
        self._mean += (bodies - self._mean) * -math.expm1(-passed_ns / self._over_ns)
        self._last_ns = exposed_ns

    @property
    def is_dense(self) -> bool:
        """Whether one body may well lie before another through the whole view.

        The share of bodies that do grows with their number in the view.
        """
        return self._mean >= self._from_bodies
