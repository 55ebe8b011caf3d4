"""Counters of a run: a decision that is taken back is counted once, under its new name."""

from __future__ import annotations

import pytest

from sorter.decide import Decision, Reason
from sorter.record_rows import FrameRow
from sorter.status import Counters

HEALTHY = Decision("collect", Reason.HEALTHY, 0.1, 0.0)
LATE = Decision("waste", Reason.LATE, 0.1, 0.0)
PERIOD_NS = 5_000_000


def frame(i: int, latency_ns: int, n_objects: int) -> FrameRow:
    received_ns = i * PERIOD_NS + 8_000_000
    return FrameRow(i, i * PERIOD_NS, 1000, received_ns, received_ns + latency_ns, n_objects)


def test_a_fresh_run_has_zeros() -> None:
    told = Counters().snapshot("idle", 0)
    assert (told["seen"], told["fps"], told["latency_p99_ms"], told["outlets"]) == (0, 0, 0, {})


def test_decisions_that_change() -> None:
    counters = Counters()
    for _ in range(3):
        counters.decided(HEALTHY)
    counters.changed(HEALTHY, LATE)
    told = counters.snapshot("running", 2)
    assert (told["seen"], told["decided"], told["late"], told["under_way"]) == (3, 2, 1, 2)
    assert told["outlets"] == {"collect": 2, "waste": 1}
    assert told["reasons"] == {"healthy": 2, "late": 1}


def test_rate_and_latency_of_frames_with_objects() -> None:
    counters = Counters()
    for i in range(101):
        counters.frame(frame(i, 2_000_000 if i % 2 else 90_000_000, i % 2))
    told = counters.snapshot("running", 0)
    assert told["frames_received"] == 101
    assert told["fps"] == pytest.approx(200.0)
    assert (told["latency_p50_ms"], told["latency_p99_ms"]) == pytest.approx((2.0, 2.0))
