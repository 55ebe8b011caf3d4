"""Predictions of arrivals that correct themselves by what is seen at the junction.

What is wrong with a rig's calibration is wrong alike for all bodies: a junction that is further
away than set makes every flight longer by the same factor, and a delay is the same for all. So

    seen - predicted  =  scale × flight  +  delay      (liquid time)

is fitted to the last passages, robustly (Huber's weights, iterated; Huber 1964), each weighted by
how well its arrival was predicted, with normal priors that keep both small where the flights are
too much alike to tell one from the other. It is bounded, and believed only after enough of them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.junction import Seen
from sorter.track import Arrival

Array = NDArray[np.float64]
_HUBER = 1.345  # 95 % efficient where errors are normal
_MAD_TO_SD = 1.4826
_ITERATIONS = 25
_SETTLED = 1e-4  # of a prior's standard deviation
_SIGMAS = 3.0  # half widths of arrivals are that many


class CorrectionSettings(BaseModel):
    """How fast the prediction learns, and how far it may go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apply: bool = Field(
        True, description="move arrivals by what was learnt; without it, it is only shown"
    )
    passages: int = Field(200, ge=10, description="how many of the last passages it is learnt from")
    least_passages: int = Field(
        40, ge=10, description="with fewer of them nothing is believed and nothing moved"
    )
    max_shift_ms: float = Field(40.0, gt=0, description="no arrival is moved by more than this, ms")
    prior_scale: float = Field(
        0.05, gt=0, description="standard deviation of the factor on flights, before anything seen"
    )
    prior_delay_ms: float = Field(
        10.0, gt=0, description="standard deviation of the delay, before anything was seen, ms"
    )
    noise_ms: float = Field(
        2.0, gt=0, description="least standard deviation of a passage around its prediction, ms"
    )


@dataclass(frozen=True, slots=True)
class Correction:
    """What was learnt.

    Attributes:
        scale: flights take longer by this factor, 0.03: 3 %.
        delay_ns: and by this time.
        covariance: ((2, 2)) of (scale, delay in s).
        n: passages that it rests on.
        believed: they are enough.
        bound_ns: no arrival is moved further.
    """

    scale: float
    delay_ns: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    n: int
    believed: bool
    bound_ns: float

    def shift_ns(self, flight_s: float) -> float:
        """By how much a flight of that length ends later; 0 while it is not believed."""
        if not self.believed:
            return 0.0
        return max(-self.bound_ns, min(self._wanted_ns(flight_s), self.bound_ns))

    def is_bounded(self, flight_s: float) -> bool:
        """Whether more would have to be moved than may be: the rig wants calibrating."""
        return self.believed and abs(self._wanted_ns(flight_s)) > self.bound_ns

    def sd_ns(self, flight_s: float) -> float:
        """Standard deviation of the shift."""
        (ss, sd), (_, dd) = self.covariance
        return 1e9 * math.sqrt(max(0.0, ss * flight_s**2 + 2 * sd * flight_s + dd))

    def _wanted_ns(self, flight_s: float) -> float:
        return self.scale * flight_s * 1e9 + self.delay_ns


class ArrivalCorrection:
    """Learns from passages, and corrects arrivals."""

    def __init__(self, settings: CorrectionSettings) -> None:
        self._settings = settings
        # Flight s, seen minus predicted s, standard deviation of that s.
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=settings.passages)
        self._correction: Correction | None = None

    def learn(self, seen: Seen) -> bool:
        """Take one passage; False: it tells nothing (a shared dark, a speck, a stray)."""
        one = seen.expected
        if seen.shared or seen.astray or not one.counts or one.flight_s <= 0:
            return False
        late_ns = seen.late_ns + one.shift_ns
        sd_ns = math.hypot(one.arrival.error_ns / _SIGMAS, self._settings.noise_ms * 1e6)
        self._seen.append((one.flight_s, late_ns * 1e-9, sd_ns * 1e-9))
        self._correction = None
        return True

    @property
    def correction(self) -> Correction:
        """What is known now."""
        if self._correction is None:
            self._correction = self._fit()
        return self._correction

    def corrected(self, arrival: Arrival, flight_s: float) -> Arrival:
        """The arrival as it should have been predicted, its interval widened by what is unsure.

        The arrival itself where nothing is believed yet, or nothing is to be applied.
        """
        correction = self.correction
        if not (correction.believed and self._settings.apply):
            return arrival
        return Arrival(
            arrival.liquid_ns + correction.shift_ns(flight_s),
            math.hypot(arrival.error_ns, _SIGMAS * correction.sd_ns(flight_s)),
        )

    def _fit(self) -> Correction:
        s = self._settings
        prior = np.diag([s.prior_scale**-2, (s.prior_delay_ms * 1e-3) ** -2])
        n = len(self._seen)
        known, covariance = np.zeros(2), _inverse(prior)
        if n:
            flight, late, sd = np.array(self._seen, np.float64).T
            design = np.column_stack([flight, np.ones(n)]) / sd[:, None]
            known, covariance = _huber(design, late / sd, prior)
        (ss, sd_), (ds, dd) = covariance.tolist()
        return Correction(
            scale=float(known[0]),
            delay_ns=float(known[1]) * 1e9,
            covariance=((ss, sd_), (ds, dd)),
            n=n,
            believed=n >= s.least_passages,
            bound_ns=s.max_shift_ms * 1e6,
        )


def _huber(design: Array, target: Array, prior: Array) -> tuple[Array, Array]:
    """(2,) parameters and their (2, 2) covariance; rows of `design` (n, 2) have unit variance.

    The variance is taken from the residuals, but not below what the rows claim: intervals of
    arrivals are wide on purpose, and what looks better than they promise may be chance.
    """
    known: Array = np.zeros(2)
    covariance = _inverse(prior)
    known[1] = np.median(target / design[:, 1])
    for _ in range(_ITERATIONS):
        residuals = target - design @ known
        spread = max(1.0, _MAD_TO_SD * float(np.median(np.abs(residuals - np.median(residuals)))))
        weights = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(residuals), 1e-12))
        weighted: Array = design.T * (weights / spread**2)
        covariance = _inverse(weighted @ design + prior)
        before, known = known, np.asarray(covariance @ (weighted @ target))
        if np.all(np.abs(known - before) < _SETTLED / np.sqrt(np.diag(prior))):
            break
    return known, covariance


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)
