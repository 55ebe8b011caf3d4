from __future__ import annotations

import pytest

from drivers.clock import MonotonicClock


@pytest.mark.parametrize("ahead_ns", [-1_000_000_000, 0, 2_000_000])
def test_wait_ends_at_or_after_the_deadline(ahead_ns: int) -> None:
    clock = MonotonicClock()
    deadline_ns = clock.now_ns() + ahead_ns
    clock.wait_until(deadline_ns)
    assert clock.now_ns() >= deadline_ns
