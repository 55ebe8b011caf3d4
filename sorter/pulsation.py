"""The pump's beat, found from how bodies speed up and slow down in the view.

All liquid goes at ``mean (1 + A sin(w t + phi))``, so a body is at ``x0 + v (t + P(t))`` with the
same ``P(t) = a cos(w t) + b sin(w t)`` (`sorter.beat`) for all of them; harmonics are left to the
tolerance. One body shows little of it: a straight line of its own is fitted away, and it rolls,
which moves its centroid by some µm with a period near 0.1 s. Many bodies show it well. For each
track that ends:

* Residuals of its line over its speed are time shifts r. To first order they are the part of
  ``a cos + b sin`` that is orthogonal to {1, t} over the track's own samples. Where the valve moved
  meanwhile, its jitter d adds ``d * D'(t)`` with the known displacement D: that is projected out
  too.
* A small body sinks, and speeds up or slows down by itself: a parabola is fitted away as far as
  that is likelier than noise (a prior on its coefficient; C. E. Rasmussen and C. K. I. Williams,
  "Gaussian Processes for Machine Learning", MIT Press 2006, section 2.7).
* Noise is alike over a roll, so a track weighs as its number of rolls, not of samples, over the
  variance ``(noise_um / v)^2``; slow bodies, long in view, tell most.
* The 2x2 normal equations of (a, b) are kept for a grid of frequencies and forgotten exponentially:
  a least-squares spectrum (N. R. Lomb, "Least-squares frequency analysis of unequally spaced
  data", Astrophys. Space Sci. 39 (1976) 447; sums are forgotten as in recursive least squares).
* From the best of the grid, Gauss-Newton steps over the kept tracks refine (a, b, w), with
  weights that fall for tracks that fit badly (Cauchy's). The covariance is that of the stated
  noise, or of the residuals where they are larger.

The estimate is used only when it stands out against noise at all of the frequencies, when no other
frequency explains nearly as much (bodies that come in a few bursts leave several), when it makes
arrivals more certain than none would, and as long as it foretells what the next tracks show; when
the pump changes, it is forgotten after some ten tracks and found again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sorter.beat import Beat

Array = NDArray[np.float64]
SAMPLES = 16  # of one track: more are averaged; at 4 Hz and 0.5 s in view still 8 a period
KEPT_TRACKS = 128
STEPS = 4  # of Gauss-Newton from the grid; one from the last estimate
GAIN, LOSS, RECENT_TRACKS = 5.0, 1.5, 8  # of squares, over the noise's variance
NOTHING = 1e-5  # relative amplitude
HELPS = 0.7  # of the uncertainty that is left without it; with more, a wrong one may be believed


class PulsationSettings(BaseModel):
    """How the pump's beat is looked for, and when it is believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="look for the pump's beat, and predict with it")
    min_hz: float = Field(0.3, gt=0, description="lowest frequency that is looked for, Hz")
    max_hz: float = Field(4.0, gt=0, le=8, description="highest frequency looked for, Hz")
    memory_s: float = Field(
        60.0, gt=1, le=120, description="after so long a track counts by 1/e: the beat is stable, s"
    )
    min_views: int = Field(8, ge=5, description="tracks with fewer whole views are not used")
    min_tracks: int = Field(
        10, ge=8, description="tracks, forgetting counted, before the beat is believed"
    )
    noise_um: float = Field(
        1.2, gt=0, description="how far rolling and noise move a centroid (standard deviation), µm"
    )
    max_amplitude: float = Field(
        0.1, gt=0, lt=1, description="a beat whose relative amplitude is larger is not believed"
    )
    roll_s: float = Field(
        0.15, gt=0, description="how long that noise is alike: a slow roll's period, s"
    )
    min_significance: float = Field(
        10.0, gt=0, description="F ratio (beat against noise) from which the beat is believed"
    )
    min_lead: float = Field(
        12.0,
        ge=0,
        description="by how much the beat must explain more than any other frequency that can be "
        "told from it, as a difference of sums of squares over the noise's variance",
    )
    tolerance: float = Field(
        0.006,
        ge=0,
        le=0.5,
        description="share by which the flow may change beside a beat that is known; the beat's "
        "own uncertainty (three standard deviations) adds to it in quadrature",
    )

    @model_validator(mode="after")
    def _ordered(self) -> PulsationSettings:
        if self.min_hz >= self.max_hz:
            raise ValueError("min_hz must be below max_hz")
        return self


@dataclass(frozen=True, slots=True)
class _Samples:
    """One track, ready to be counted; times in s from the estimator's epoch."""

    t: Array  # (SAMPLES,)
    r: Array  # (SAMPLES,) time shifts, s
    q: Array  # (SAMPLES, 4) orthonormal: what is fitted away
    w: Array  # (SAMPLES,) weights, 1/s²; zero for padding
    n: int
    speed_um_s: float
    noise_s2: float

    def rms_um(self, residual_s: Array) -> float:
        """Root mean square of residuals (SAMPLES,), as a distance."""
        return self.speed_um_s * math.sqrt(float(residual_s @ residual_s) / self.n)


class PulsationEstimator:
    """Finds the pump's beat from tracks that have ended; pure arithmetic, no clock.

    Args:
        settings: where to look, and when to believe it.
        unknown: share by which the flow may change while the beat is not known.

    Attributes:
        candidate: the likeliest beat so far, believed or not.
    """

    def __init__(self, settings: PulsationSettings, *, unknown: float) -> None:
        self.settings = settings
        self._unknown = unknown
        spacing_hz = 1.0 / (6.0 * settings.memory_s)
        n = int((settings.max_hz - settings.min_hz) / spacing_hz) + 2
        # Products of coarse and fine phasors spare most of the sines.
        self._fine = math.tau * spacing_hz * np.arange(32)
        self._coarse = math.tau * (settings.min_hz + spacing_hz * 32 * np.arange(-(-n // 32)))
        self._omegas = (self._coarse[:, None] + self._fine[None, :]).ravel()
        self._sums = np.zeros((5, self._omegas.size))  # cc, cs, ss, cr, sr
        self._tracks = 0.0
        self._gain = 0.0
        self._epoch_ns = 0  # the first track's
        self._now_s = 0.0
        self._displaced_ns = 0.0  # the most that was seen
        self._kept = _Kept()
        self._beat: Beat | None = None
        self.candidate: Beat | None = None

    def add(
        self,
        times_ns: NDArray[np.int64],
        liquid_ns: Array,
        x_um: Array,
        own_um_s2: float = 0.0,
    ) -> None:
        """Count one track that has ended.

        Args:
            times_ns: (n,) host times of exposure, increasing.
            liquid_ns: (n,) the same in liquid time without pulsation, see `sorter.liquid`.
            x_um: (n,) positions along the flow.
            own_um_s2: standard deviation of how a body like this speeds up or slows down by
                itself, as it sinks.
        """
        if not self.settings.enabled or len(x_um) < self.settings.min_views:
            return
        if self._epoch_ns == 0:
            self._epoch_ns = int(times_ns[0])
        self._displaced_ns = max(self._displaced_ns, float((liquid_ns - times_ns).max()))
        samples = self._prepare(times_ns, liquid_ns, x_um, own_um_s2)
        if samples is None:
            return
        self._check(samples)
        self._count_in(samples)
        self._estimate()

    def beat_at(self, time_ns: float) -> Beat | None:
        """The pump's beat, where it is known well enough at a host time to be of use."""
        beat = self._beat
        return beat if beat and beat.tolerance_at(time_ns) < HELPS * self._unknown else None

    def _prepare(
        self, times_ns: NDArray[np.int64], liquid_ns: Array, x_um: Array, own_um_s2: float
    ) -> _Samples | None:
        """Samples of a track; None when it does not flow, or time stands still."""
        if np.any(np.diff(times_ns) <= 0):
            return None
        t = (times_ns - self._epoch_ns) * 1e-9
        moved = (liquid_ns - times_ns) * 1e-9
        of = np.minimum(np.arange(t.size) * SAMPLES // max(t.size, SAMPLES), SAMPLES - 1)
        counts = np.bincount(of)
        t, moved, x = (np.bincount(of, v) / counts for v in (t, moved, x_um))
        tau = t + moved
        basis = [np.ones_like(t), tau - tau.mean()]
        if np.ptp(moved) > 1e-4:
            basis.append(np.gradient(moved, t))
        basis.append(basis[1] ** 2)
        q, lengths = np.linalg.qr(np.stack(basis, axis=1))
        span = basis[1] @ basis[1]
        speed = float(basis[1] @ x / span) if span > 0 else 0.0
        if speed <= 0:
            return None
        n = t.size
        rolls = 1.0 + (t[-1] - t[0]) / self.settings.roll_s
        noise_s2 = (self.settings.noise_um / speed) ** 2
        weight = rolls / (n * noise_s2)
        # A steady acceleration is fitted away as far as it is likelier the body's own than noise.
        own = weight * (own_um_s2 / (2.0 * speed) * lengths[-1, -1]) ** 2
        q[:, -1] *= math.sqrt(own / (1.0 + own))
        r = (x - q @ (q.T @ x)) / speed
        w = _pad(np.full(n, weight))
        padded_q = np.zeros((SAMPLES, 4))
        padded_q[:n, : q.shape[1]] = q
        return _Samples(_pad(t), _pad(r), padded_q, w, n, speed, noise_s2)

    def _check(self, samples: _Samples) -> None:
        """See whether the last estimate foretold this track; start anew when it does no more."""
        if self.candidate is None:
            return
        theta = self.candidate.moved_to(self._now_ns)
        told = _slopes(theta, samples.t - self._now_s, samples.q)[:, :2] @ theta[:2]
        gain = float(samples.w @ (samples.r**2 - (samples.r - told) ** 2))
        self._gain += (min(max(gain, -GAIN), GAIN) - self._gain) / RECENT_TRACKS
        if self._gain < -LOSS:
            self._forget()

    @property
    def _now_ns(self) -> int:
        return self._epoch_ns + round(self._now_s * 1e9)

    def _forget(self) -> None:
        """Begin anew: what was learnt holds no more."""
        self._sums[:] = 0.0
        self._tracks = self._gain = 0.0
        self._kept = _Kept()
        self._beat = self.candidate = None

    def _count_in(self, samples: _Samples) -> None:
        """Forget a little, then add a track's normal equations at every frequency."""
        s = self.settings
        t = samples.t[: samples.n]
        now_s = max(self._now_s, float(t[-1]))
        kept = math.exp(-(now_s - self._now_s) / s.memory_s)
        self._now_s = now_s
        z = np.exp(1j * self._coarse[:, None, None] * t) * np.exp(1j * self._fine[:, None] * t)
        z = z.reshape(-1, samples.n)
        # What is fitted away is taken off the sums, not off every sample: r has nothing of it.
        on = z @ np.column_stack([samples.q, samples.r])[: samples.n].astype(complex)
        fitted, onto_r = on[:, :-1], on[:, -1]
        squares = np.einsum("fi,fi->f", z, z) - np.einsum("fi,fi->f", fitted, fitted)
        norm = samples.n - np.einsum("fi,fi->f", fitted, fitted.conj()).real
        cc, ss = (norm + squares.real) / 2, (norm - squares.real) / 2
        new = [cc, squares.imag / 2, ss, onto_r.real, onto_r.imag]
        w = samples.w[0] * _trust(samples.rms_um(samples.r), 6 * s.noise_um)
        self._sums = kept * self._sums + w * np.stack(new)
        self._tracks = kept * self._tracks + 1.0
        self._kept.put(samples)

    def _estimate(self) -> None:
        """Best frequency of the grid, refined; believed when it stands out."""
        s = self.settings
        self._beat = None
        if self._tracks < s.min_tracks:
            return
        cc, cs, ss, cr, sr = self._sums
        regular = np.maximum(cc * ss - cs**2, 1e-12 * (cc + ss) ** 2)
        explained = (ss * cr**2 - 2 * cs * cr * sr + cc * sr**2) / regular
        best = int(np.argmax(explained))
        omega = float(self._omegas[best])
        last = self.candidate
        reach = math.tau / s.memory_s
        known = last is not None and abs(last.omega - omega) < reach
        start = last.moved_to(self._now_ns) if last and known else np.array([0.0, 0.0, omega])
        found = self._kept.refine(start, self._now_s, s, steps=1 if known else STEPS)
        self.candidate = None
        if found is None or abs(found[0][2] - omega) > reach:
            return
        theta, covariance = found
        ab = theta[:2]
        significance = float(ab @ np.linalg.solve(covariance[:2, :2], ab)) / 2
        a, b, w = map(float, theta)
        beat = Beat(
            a, b, w, self._now_ns, covariance, significance, self._displaced_ns, s.tolerance
        )
        self.candidate = beat
        foretells = self._gain > 0 and beat.amplitude <= s.max_amplitude
        if foretells and significance >= s.min_significance and self._leads(explained, best):
            self._beat = beat

    def _leads(self, explained: Array, best: int) -> bool:
        """Whether no other frequency would do as well: what comes in bursts has several that fit,
        and the covariance around one of them knows nothing of the others."""
        s = self.settings
        apart = math.tau / min(max(self._now_s, 1e-3), s.memory_s)
        others = np.abs(self._omegas - self._omegas[best]) > apart
        most = float(explained[others].max(initial=0.0))
        return float(explained[best]) - most >= s.min_lead


class _Kept:
    """The last tracks, side by side, for the refinement."""

    def __init__(self) -> None:
        self._t = np.zeros((KEPT_TRACKS, SAMPLES))
        self._r = np.zeros((KEPT_TRACKS, SAMPLES))
        self._w = np.zeros((KEPT_TRACKS, SAMPLES))
        self._q = np.zeros((KEPT_TRACKS, SAMPLES, 4))
        self._um = np.zeros(KEPT_TRACKS)  # residuals' root of the sum of squares, s, to rms, µm
        self._noise_s2 = np.zeros(KEPT_TRACKS)
        self._end_s = np.zeros(KEPT_TRACKS)
        self._n = 0

    def put(self, samples: _Samples) -> None:
        """Keep one track, in place of the oldest when there are too many."""
        i = self._n % KEPT_TRACKS
        self._t[i], self._r[i], self._w[i] = samples.t, samples.r, samples.w
        self._q[i] = samples.q
        self._um[i] = samples.speed_um_s / math.sqrt(samples.n)
        self._noise_s2[i] = samples.noise_s2
        self._end_s[i] = samples.t[samples.n - 1]
        self._n += 1

    def refine(
        self, start: Array, now_s: float, s: PulsationSettings, *, steps: int
    ) -> tuple[Array, Array] | None:
        """Gauss-Newton steps from (cos_s, sin_s, omega) at `now_s`: the same, and covariance.

        None when nothing beats: then the frequency is any.
        """
        k = min(self._n, KEPT_TRACKS)
        t, r, q = self._t[:k] - now_s, self._r[:k], self._q[:k]
        decayed = self._w[:k] * np.exp((self._end_s[:k] - now_s) / s.memory_s)[:, None]
        real = decayed > 0  # not padding
        theta = start.copy()
        for _ in range(steps):
            j = _slopes(theta, t, q)
            e = np.where(real, r - j[:, :, :2] @ theta[:2], 0.0)
            cold = (
                theta[2] * math.hypot(theta[0], theta[1]) < NOTHING
            )  # without an amplitude the frequency has no effect
            rms_um = np.sqrt((e * e).sum(1)) * self._um[:k]
            w = decayed * _trust(rms_um, (6 if cold else 3) * s.noise_um)[:, None]
            j = j[:, :, :2] if cold else j
            wj = (j * w[:, :, None]).reshape(-1, j.shape[2])
            hesse = wj.T @ j.reshape(-1, j.shape[2])
            hesse[np.diag_indices_from(hesse)] *= 1 + 1e-9  # never singular
            theta[: j.shape[2]] += np.linalg.solve(hesse, wj.T @ e.ravel())
        if theta[2] * math.hypot(theta[0], theta[1]) < NOTHING:
            return None
        spread = float((w * e * e).sum() / (w * self._noise_s2[:k, None]).sum())
        return theta, np.linalg.inv(hesse) * max(1.0, spread)


def _slopes(theta: Array, t: Array, q: Array) -> Array:
    """(..., SAMPLES, 3) derivatives of the residuals by cos_s, sin_s and omega."""
    c, d = np.cos(theta[2] * t), np.sin(theta[2] * t)
    j = np.stack([c, d, t * (theta[1] * c - theta[0] * d)], axis=-1)
    return np.asarray(j - q @ (np.swapaxes(q, -1, -2) @ j))


def _trust(rms_um: Any, far_um: float) -> Any:
    """Cauchy's weight."""
    return 1.0 / (1.0 + (rms_um / far_um) ** 2)


def _pad(values: Array) -> Array:
    out = np.zeros(SAMPLES)
    out[: values.size] = values
    return out
