"""Predictions of arrivals that correct themselves by what is seen at the junction.

What is wrong with a rig's calibration is wrong alike for all bodies: a junction that is further
away than set makes every flight longer by the same factor, a delay is the same for all, and a valve
that is slower than set moves the liquid later, which makes those late that pass while it is open
(by most of what it is slow, 1.5 µL and 100 ms of compliance given). So

    seen - predicted  =  scale × flight  +  delay  +  opened [where the gate was]     (liquid time)

is fitted to the last passages, robustly (Huber's weights, iterated; Huber 1964), each weighted by
how well its arrival was predicted, with normal priors that keep all three small where passages
don't tell them apart. It is bounded, and believed only after enough passages.
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
    prior_opened_ms: float = Field(
        10.0, gt=0, description="the same of the delay of those that an open gate lets in, ms"
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
        opened_ns: and by this, where the gate is open: the valve opens later than set.
        covariance: (3, 3) of (scale, delay in s, opened in s), as nested tuples.
        n: passages that it rests on.
        believed: they are enough.
        bound_ns: no arrival is moved further.
    """

    scale: float
    delay_ns: float
    opened_ns: float
    covariance: tuple[tuple[float, ...], ...]
    n: int
    believed: bool
    bound_ns: float

    def shift_ns(self, flight_s: float, *, opened: bool = False) -> float:
        """By how much a flight of that length ends later; 0 while it is not believed.

        Args:
            flight_s: liquid time from the last view to the arrival.
            opened: the gate is opened for it.
        """
        if not self.believed:
            return 0.0
        return max(-self.bound_ns, min(self._wanted_ns(flight_s, opened), self.bound_ns))

    def is_bounded(self, flight_s: float, *, opened: bool = False) -> bool:
        """Whether more would have to be moved than may be: the rig wants calibrating."""
        return self.believed and abs(self._wanted_ns(flight_s, opened)) > self.bound_ns

    def sd_ns(self, flight_s: float, *, opened: bool = False) -> float:
        """Standard deviation of the shift."""
        of = np.array([flight_s, 1.0, float(opened)])
        return 1e9 * math.sqrt(max(0.0, float(of @ np.array(self.covariance) @ of)))

    def _wanted_ns(self, flight_s: float, opened: bool) -> float:
        return self.scale * flight_s * 1e9 + self.delay_ns + self.opened_ns * opened


class ArrivalCorrection:
    """Learns from passages, and corrects arrivals.

    Args:
        rest: name of the outlet for which no gate is opened.
    """

    def __init__(self, settings: CorrectionSettings, rest: str) -> None:
        self._settings = settings
        self._rest = rest
        # Flight s, gate open 0 or 1, seen minus predicted s, standard deviation of that s.
        self._seen: deque[tuple[float, float, float, float]] = deque(maxlen=settings.passages)
        self._correction: Correction | None = None

    def learn(self, seen: Seen) -> bool:
        """Take one passage; False: it tells nothing (a shared dark, a speck, a stray)."""
        one = seen.expected
        if seen.shared or seen.astray or not one.counts or one.flight_s <= 0:
            return False
        late_ns = seen.late_ns + one.shift_ns
        sd_ns = math.hypot(one.arrival.error_ns / _SIGMAS, self._settings.noise_ms * 1e6)
        opened = float(seen.outlet != self._rest)
        self._seen.append((one.flight_s, opened, late_ns * 1e-9, sd_ns * 1e-9))
        self._correction = None
        return True

    @property
    def correction(self) -> Correction:
        """What is known now."""
        if self._correction is None:
            self._correction = self._fit()
        return self._correction

    def corrected(self, arrival: Arrival, flight_s: float, *, opened: bool = False) -> Arrival:
        """The arrival as it should have been predicted, its interval widened by what is unsure.

        The arrival itself where nothing is believed yet, or nothing is to be applied.

        Args:
            arrival: as predicted.
            flight_s: liquid time from the last view to it.
            opened: the gate is opened for it.
        """
        correction = self.correction
        if not (correction.believed and self._settings.apply):
            return arrival
        return Arrival(
            arrival.liquid_ns + correction.shift_ns(flight_s, opened=opened),
            math.hypot(arrival.error_ns, _SIGMAS * correction.sd_ns(flight_s, opened=opened)),
        )

    def _fit(self) -> Correction:
        s = self._settings
        priors = np.array([s.prior_scale, s.prior_delay_ms * 1e-3, s.prior_opened_ms * 1e-3])
        known: Array = np.zeros(3)
        covariance: Array = np.diag(priors**2)
        n = len(self._seen)
        if n:
            flight, opened, late, sd = np.array(self._seen, np.float64).T
            design = np.column_stack([flight, np.ones(n), opened]) / sd[:, None]
            known, covariance = _huber(design, late / sd, priors)
        scale, delay_s, opened_s = known.tolist()
        return Correction(
            scale=scale,
            delay_ns=delay_s * 1e9,
            opened_ns=opened_s * 1e9,
            covariance=tuple(tuple(row) for row in covariance.tolist()),
            n=n,
            believed=n >= s.least_passages,
            bound_ns=s.max_shift_ms * 1e6,
        )


def _huber(design: Array, target: Array, priors: Array) -> tuple[Array, Array]:
    """(3,) parameters and their (3, 3) covariance; rows of `design` (n, 3) have unit variance.

    The variance is taken from the residuals, but not below what the rows claim: intervals of
    arrivals are wide on purpose, and what looks better than they promise may be chance.

    Args:
        priors: (3,) standard deviations of the parameters around zero.
    """
    precision: Array = np.diag(priors**-2.0)
    known: Array = np.zeros(len(priors))
    covariance: Array = np.diag(priors**2)
    for _ in range(_ITERATIONS):
        residuals = target - design @ known
        spread = max(1.0, _MAD_TO_SD * float(np.median(np.abs(residuals - np.median(residuals)))))
        weights = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(residuals), 1e-12))
        weighted: Array = design.T * (weights / spread**2)
        covariance = np.asarray(np.linalg.inv(weighted @ design + precision), np.float64)
        before, known = known, np.asarray(covariance @ (weighted @ target))
        if np.all(np.abs(known - before) < _SETTLED * priors):
            break
    return known, covariance
