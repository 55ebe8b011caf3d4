"""When a frame was exposed, from a camera that doesn't say so.

A camera gives a relative elapsed time on a clock of its own (another zero, some tens of ppm of
drift), and the host sees the frame after a transfer that takes a minimum time plus a random
delay that is never negative. So ``received - elapsed`` has a lower envelope, on which the frames
with the fastest transfer lie: envelope minus the calibrated minimum transfer time maps the
camera's clock to the host's.

The envelope at a frame is bounded by every earlier one: its delay, carried along the fitted drift,
plus what the drift's own uncertainty adds since. The tightest of these bounds over the last half
minute is taken, so that seconds in which every frame was held up by a busy host don't move the
estimate. The drift is the median of the pairwise slopes of half-second minima (Theil 1950; Sen
1968). Estimating a clock from minimum delays is the clock filter of NTP (RFC 5905, section 10); the
error bound here is the gap that ``n`` frames leave above the true minimum with 99.9 % confidence
when the delay is spread evenly, plus what the drift can add.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_BLOCK_NS = 500_000_000
_BLOCKS = 60
_NEAR_NS = 1_000_000_000
_DRIFT_SPAN_NS = 5_000_000_000
_MISSED_SHARE = 1e-3
_EARLY_MARGIN_NS = 1_000_000
_EARLY_IN_A_ROW = 5
_OUT_OF_ORDER_NS = 100_000_000


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
    """Half a second of frames: the smallest ``received - elapsed``, and where it was.

    ``n`` counts frames with independent delays, ``counted_ns`` is the last of them.
    """

    start_ns: int
    elapsed_ns: int
    offset_ns: int
    counted_ns: int
    n: int


class ExposureClock:
    """Maps a camera's elapsed time to host time. Pure: fed by `observe`, no clock of its own."""

    def __init__(self, transfer: TransferModel) -> None:
        self._transfer = transfer
        self._blocks: deque[_Block] = deque(maxlen=_BLOCKS)
        self._best = _Block(0, 0, 0, 0, 1)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the camera was armed again and its clock may have a new zero."""
        self._blocks.clear()
        self._drift = 0.0
        self._drift_bound = self._transfer.max_drift_ppm * 1e-6
        self._last_elapsed_ns = -1
        self._early = 0
        self._clean = 0

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
        believed; several in a row, or a camera clock that jumps back, start the fit afresh. A jump
        back by a few frames is frames out of order: only what was fitted last is forgotten.
        """
        if elapsed_ns < self._last_elapsed_ns:
            self._go_back(elapsed_ns)
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

    def _go_back(self, elapsed_ns: int) -> None:
        """Frames came out of order, or the camera's clock has a new zero.

        A fit that began anew with frames that a stall holds up would date them all too late.
        """
        if self._last_elapsed_ns - elapsed_ns > _OUT_OF_ORDER_NS or len(self._blocks) < 2:
            self.reset()
            return
        self._blocks.pop()  # the frame before may have had a wrong time
        self._choose(elapsed_ns)

    def _too_early(self, elapsed_ns: int, offset_ns: int) -> bool:
        if not self._blocks:
            return False
        allowed_ns = self._transfer.spread_ns + _EARLY_MARGIN_NS
        return offset_ns < self._bound(self._best, elapsed_ns) - allowed_ns

    def _add(self, elapsed_ns: int, offset_ns: int) -> None:
        if not self._blocks or elapsed_ns - self._blocks[-1].start_ns >= _BLOCK_NS:
            self._fit_drift()
            self._blocks.append(_Block(elapsed_ns, elapsed_ns, offset_ns, elapsed_ns, 1))
            self._choose(elapsed_ns)
            return
        block = self._blocks[-1]
        # Frames come out in order, so delays closer together than their spread aren't independent.
        if elapsed_ns - block.counted_ns >= self._transfer.spread_ns:
            block.n += 1
            block.counted_ns = elapsed_ns
        if offset_ns < block.offset_ns:
            block.elapsed_ns, block.offset_ns = elapsed_ns, offset_ns
            if self._bound(block, elapsed_ns) <= self._bound(self._best, elapsed_ns):
                self._best = block

    def _fit_drift(self) -> None:
        if not self._blocks or self._span_ns() < _DRIFT_SPAN_NS:
            return
        at = np.array([block.elapsed_ns for block in self._blocks], dtype=np.float64)
        offset = np.array(
            [block.offset_ns - self._blocks[0].offset_ns for block in self._blocks],
            dtype=np.float64,
        )
        limit = self._transfer.max_drift_ppm * 1e-6
        # Blocks in which every frame was held up say nothing about the drift.
        lowest = (offset[:, None] + limit * np.abs(at[:, None] - at)).min(axis=0)
        gaps = np.array([self._gap_ns(block.n) for block in self._blocks])
        clean = offset <= lowest + gaps
        at, offset = at[clean], offset[clean]
        first, second = np.triu_indices(len(at), k=1)
        apart = at[second] - at[first]
        # Neighbouring blocks say more about the jitter than about the drift.
        far = apart > 0.3 * self._span_ns()
        if not far.any():
            return
        slopes = (offset[second] - offset[first])[far] / apart[far]
        self._drift = float(np.clip(np.median(slopes), -limit, limit))
        frames = float(np.median([block.n for block in self._blocks]))
        self._drift_bound = min(limit, 2 * self._gap_ns(frames) / self._span_ns())

    def _span_ns(self) -> int:
        return self._blocks[-1].elapsed_ns - self._blocks[0].elapsed_ns

    def _gap_ns(self, n: float) -> float:
        return float(self._transfer.spread_ns * (1.0 - _MISSED_SHARE ** (1.0 / n)))

    def _bound(self, block: _Block, elapsed_ns: int) -> float:
        """Upper bound that a block sets on the envelope of ``received - elapsed``."""
        age_ns = elapsed_ns - block.elapsed_ns
        return block.offset_ns + (self._drift + self._drift_bound) * age_ns

    def _choose(self, elapsed_ns: int) -> None:
        """Take the block with the tightest bound; count the frames near it that agree with it.

        All bounds rise alike with time, so the choice holds until a block or the drift changes.
        """
        self._best = min(self._blocks, key=lambda block: self._bound(block, elapsed_ns))
        lowest_ns = self._bound(self._best, elapsed_ns)
        self._clean = sum(
            block.n
            for block in self._blocks
            if abs(block.start_ns - self._best.start_ns) <= _NEAR_NS
            and self._bound(block, elapsed_ns) - lowest_ns <= self._gap_ns(block.n)
        )

    def _estimate(self, elapsed_ns: int) -> Exposure:
        model, best = self._transfer, self._best
        gap_ns = self._gap_ns(max(self._clean, self._best.n))
        age_ns = elapsed_ns - best.elapsed_ns
        error_ns = gap_ns / 2 + self._drift_bound * age_ns + model.minimum_error_ns + model.tick_ns
        # The minimum that was seen lies between the true one and one gap above it.
        offset_ns = best.offset_ns + round(self._drift * age_ns - gap_ns / 2)
        return Exposure(elapsed_ns + offset_ns - model.minimum_ns, round(error_ns))
