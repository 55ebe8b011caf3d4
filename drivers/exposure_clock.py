"""When a frame was exposed, from a camera that doesn't say so.

A camera gives a relative elapsed time on a clock of its own (another zero, some tens of ppm of
drift), and the host sees the frame after a transfer that takes a minimum time plus a random
delay that is never negative. So ``received - elapsed`` has a lower envelope, on which the frames
with the fastest transfer lie: envelope minus the calibrated minimum transfer time maps the
camera's clock to the host's.

The envelope is the minimum over a short window (2 s), detrended by a drift fitted over a long one
(30 s) as the median of the pairwise slopes of block minima (Theil 1950; Sen 1968). Estimating a
clock from minimum delays is the clock filter of NTP (RFC 5905, section 10); its error bound here
is the gap that ``n`` frames leave above the true minimum with 99.9 % confidence when the delay is
spread evenly, plus what an unfitted drift can add over the window.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_BLOCK_NS = 500_000_000
_OFFSET_BLOCKS = 4
_RATE_BLOCKS = 60
_RATE_SPAN_NS = 5_000_000_000
_MISSED_SHARE = 1e-3
_EARLY_MARGIN_NS = 1_000_000
_EARLY_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class TransferModel:
    """What calibration knows of the way from mid-exposure to the host's hands, in ns.

    Attributes:
        minimum_ns: the shortest transfer.
        spread_ns: longest minus shortest transfer in ordinary operation (stalls are longer).
        minimum_error_ns: half width of the uncertainty of ``minimum_ns``.
        tick_ns: resolution of the camera's elapsed time.
        max_drift_ppm: bound on the rate error between the two clocks.
    """

    minimum_ns: int
    spread_ns: int
    minimum_error_ns: int = 0
    tick_ns: int = 10_000
    max_drift_ppm: float = 100.0


@dataclass(frozen=True, slots=True)
class Exposure:
    """Best-known host time of mid-exposure, and the half width of its interval, in ns."""

    exposed_ns: int
    error_ns: int


@dataclass(slots=True)
class _Block:
    """Half a second of frames: the smallest ``received - elapsed``, and where it was."""

    start_ns: int
    elapsed_ns: int
    offset_ns: int
    n: int


class ExposureClock:
    """Maps a camera's elapsed time to host time. Pure: fed by `observe`, no clock of its own."""

    def __init__(self, transfer: TransferModel) -> None:
        self._transfer = transfer
        self._blocks: deque[_Block] = deque(maxlen=_RATE_BLOCKS)
        self._drift = 0.0
        self._drift_bound = transfer.max_drift_ppm * 1e-6
        self._last_elapsed_ns = -1
        self._early = 0

    def reset(self) -> None:
        """Forget everything: the camera was armed again and its clock may have a new zero."""
        self._blocks.clear()
        self._drift = 0.0
        self._drift_bound = self._transfer.max_drift_ppm * 1e-6
        self._last_elapsed_ns = -1
        self._early = 0

    @property
    def drift_ppm(self) -> float:
        """Fitted rate of the host's clock against the camera's, minus one, in ppm."""
        return self._drift * 1e6

    def observe(self, elapsed_ns: int, received_ns: int) -> Exposure:
        """Take one frame's times and say when it was exposed.

        Args:
            elapsed_ns: the camera's own relative time of the frame.
            received_ns: host time at which the frame had arrived; never too early.

        A single frame that arrives before physics allows (a wall clock that was set) is not
        believed; several in a row, or a camera clock that jumps back, start the fit afresh.
        """
        if elapsed_ns < self._last_elapsed_ns:
            self.reset()
        self._last_elapsed_ns = elapsed_ns
        offset_ns = received_ns - elapsed_ns
        if self._too_early(elapsed_ns, offset_ns):
            self._early += 1
            if self._early >= _EARLY_IN_A_ROW:
                self.reset()
                self._last_elapsed_ns = elapsed_ns
                self._add(elapsed_ns, offset_ns)
        else:
            self._early = 0
            self._add(elapsed_ns, offset_ns)
        return self._estimate(elapsed_ns)

    def _too_early(self, elapsed_ns: int, offset_ns: int) -> bool:
        if not self._blocks:
            return False
        allowed_ns = self._transfer.spread_ns + _EARLY_MARGIN_NS
        return offset_ns < self._envelope(elapsed_ns)[0] - allowed_ns

    def _add(self, elapsed_ns: int, offset_ns: int) -> None:
        if not self._blocks or elapsed_ns - self._blocks[-1].start_ns >= _BLOCK_NS:
            self._fit_drift()
            self._blocks.append(_Block(elapsed_ns, elapsed_ns, offset_ns, 1))
            return
        block = self._blocks[-1]
        block.n += 1
        if offset_ns < block.offset_ns:
            block.elapsed_ns, block.offset_ns = elapsed_ns, offset_ns

    def _fit_drift(self) -> None:
        if not self._blocks or self._span_ns() < _RATE_SPAN_NS:
            return
        at = np.array([block.elapsed_ns for block in self._blocks], dtype=np.float64)
        offset = np.array(
            [block.offset_ns - self._blocks[0].offset_ns for block in self._blocks],
            dtype=np.float64,
        )
        first, second = np.triu_indices(len(at), k=1)
        apart = at[second] - at[first]
        # Neighbouring blocks say more about the jitter than about the drift.
        far = apart > 0.3 * self._span_ns()
        slopes = (offset[second] - offset[first])[far] / apart[far]
        limit = self._transfer.max_drift_ppm * 1e-6
        self._drift = float(np.clip(np.median(slopes), -limit, limit))
        frames = float(np.median([block.n for block in self._blocks]))
        self._drift_bound = min(limit, 2 * self._gap_ns(frames) / self._span_ns())

    def _span_ns(self) -> int:
        return self._blocks[-1].elapsed_ns - self._blocks[0].elapsed_ns

    def _gap_ns(self, n: float) -> float:
        return float(self._transfer.spread_ns * (1.0 - _MISSED_SHARE ** (1.0 / n)))

    def _envelope(self, elapsed_ns: int) -> tuple[float, int, int]:
        """Lower envelope of ``received - elapsed`` at ``elapsed_ns``, frames in it, its age."""
        recent = list(self._blocks)[-_OFFSET_BLOCKS:]
        base_ns = recent[0].offset_ns
        lowest, age_ns = min(
            (
                block.offset_ns - base_ns + self._drift * (elapsed_ns - block.elapsed_ns),
                elapsed_ns - block.elapsed_ns,
            )
            for block in recent
        )
        return base_ns + lowest, sum(block.n for block in recent), age_ns

    def _estimate(self, elapsed_ns: int) -> Exposure:
        model = self._transfer
        envelope_ns, n, age_ns = self._envelope(elapsed_ns)
        gap_ns = self._gap_ns(n)
        error_ns = gap_ns / 2 + self._drift_bound * age_ns + model.minimum_error_ns + model.tick_ns
        # The minimum that was seen lies between the true one and one gap above it.
        exposed_ns = elapsed_ns + envelope_ns - gap_ns / 2 - model.minimum_ns
        return Exposure(round(exposed_ns), round(error_ns))
