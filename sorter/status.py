"""Counters of a running run, for the live display; cheap to update, no part in any decision."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from sorter.decide import Decision, Reason
from sorter.record_rows import FrameRow

_RECENT_FRAMES = 4096


class Counters:
    """What has been seen, decided and sent so far."""

    def __init__(self) -> None:
        self.frames_received = 0
        self.frames_dropped = 0
        self.commands = 0
        self.executed = 0
        self.outlets: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._latency_ms = np.zeros(_RECENT_FRAMES)
        self._busy_frames = 0
        self._first_ns = 0
        self._last_ns = 0

    def frame(self, row: FrameRow) -> None:
        """Count a frame; those with at least one object count for the latency."""
        if self.frames_received == 0:
            self._first_ns = row.exposed_ns
        self.frames_received += 1
        self._last_ns = row.exposed_ns
        if row.n_objects:
            i = self._busy_frames % _RECENT_FRAMES
            self._latency_ms[i] = (row.done_ns - row.received_ns) / 1e6
            self._busy_frames += 1

    def decided(self, decision: Decision) -> None:
        """Count a decision."""
        self.outlets[decision.outlet] += 1
        self.reasons[decision.reason.value] += 1

    def changed(self, before: Decision, after: Decision) -> None:
        """Count a decision that was taken back under its new outlet and reason."""
        self.outlets[before.outlet] -= 1
        self.reasons[before.reason.value] -= 1
        self.decided(after)

    def snapshot(self, state: str, under_way: int) -> dict[str, Any]:
        """JSON-able counters."""
        recent = self._latency_ms[: min(self._busy_frames, _RECENT_FRAMES)]
        p50, p99 = np.percentile(recent, [50, 99]) if len(recent) else (0.0, 0.0)
        seconds = (self._last_ns - self._first_ns) / 1e9
        return {
            "state": state,
            "seen": sum(self.outlets.values()),
            "decided": sum(self.outlets.values()) - self.reasons[Reason.LATE.value],
            "late": self.reasons[Reason.LATE.value],
            "conflicts": self.reasons[Reason.CONFLICT.value],
            "outlets": {name: n for name, n in self.outlets.items() if n},
            "reasons": {name: n for name, n in self.reasons.items() if n},
            "commands": self.commands,
            "executed": self.executed,
            "under_way": under_way,
            "frames_received": self.frames_received,
            "frames_dropped": self.frames_dropped,
            "fps": (self.frames_received - 1) / seconds if seconds > 0 else 0.0,
            "latency_p50_ms": float(p50),
            "latency_p99_ms": float(p99),
        }
