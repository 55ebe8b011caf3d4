"""Time before the next frame, against transfers whose bounds are known."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.ports import Frame
from sorter.spare_time import SpareTime

MS = 1_000_000
PERIOD_NS = 5 * MS
SHORTEST_NS, LONGEST_NS = 5 * MS, 11 * MS


def frame(number: int, transfer_ns: int) -> Frame:
    exposed_ns = number * PERIOD_NS
    return Frame(np.empty((0, 0), np.uint8), number, exposed_ns, 0, exposed_ns + transfer_ns)


def follow(transfers_ns: list[int]) -> SpareTime:
    spare = SpareTime(PERIOD_NS)
    for number, transfer_ns in enumerate(transfers_ns):
        spare.took(frame(number, transfer_ns))
    return spare


CASES = {
    # Transfers of the frames so far, ms after the last one came, ms needed, whether there is time.
    "it came as early as it can": ([5, 8, 5], 0.0, 5.0, True),
    "but no longer than a period": ([5, 8, 5], 0.0, 5.1, False),
    "later, less is left": ([5, 8, 5], 4.0, 1.1, False),
    "it came late: the next may come at once": ([5, 8, 11], 0.0, 0.1, False),
    "in between": ([5, 8, 7], 1.0, 2.0, True),
    "the next is overdue, so that none comes any more": ([5, 8, 11], 15.1, 99.0, True),
    "the shortest transfer is not known yet": ([11, 8], 0.0, 5.0, True),
}


@pytest.mark.parametrize("case", CASES)
def test_there_is_time_until_the_next_can_come(case: str) -> None:
    transfers_ms, since_ms, need_ms, lasts = CASES[case]
    spare = follow([one * MS for one in transfers_ms])
    received_ns = frame(len(transfers_ms) - 1, transfers_ms[-1] * MS).received_ns
    assert spare.lasts(received_ns + int(since_ms * MS), int(need_ms * MS)) == lasts


def test_no_frame_comes_while_there_is_time() -> None:
    rng = np.random.default_rng(1)
    transfers = rng.integers(SHORTEST_NS, LONGEST_NS, 2000).tolist()
    spare = follow([SHORTEST_NS])
    quiet = 0
    for number in range(1, len(transfers) - 1):
        now, then = frame(number, transfers[number]), frame(number + 1, transfers[number + 1])
        spare.took(now)
        if spare.lasts(now.received_ns, 2 * MS):
            quiet += 1
            assert then.received_ns >= now.received_ns + 2 * MS
    assert quiet > 0.4 * len(transfers)


def test_at_an_unknown_pace_there_is_always_time() -> None:
    spare = SpareTime(0)
    assert spare.lasts(0, MS)
    spare.took(frame(7, 8 * MS))
    assert spare.lasts(frame(7, 8 * MS).received_ns + 1, 100 * MS)
