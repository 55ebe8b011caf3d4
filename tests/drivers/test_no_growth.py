"""What the firmware takes of memory: nothing that stays, with the garbage collector off."""

from __future__ import annotations

import gc
import tracemalloc

from drivers.protocol import frame
from tests.drivers.dialogues import SteppedBoard

COMMANDS = 1_000
# What CPython itself keeps: caches of small integers and of strings, a dictionary that grew.
SLACK_BYTES = 2_048


def sort_once(board: SteppedBoard, first: int, n: int) -> None:
    """Commands as a run sends them: asked, acknowledged, executed, reported, received."""
    for one in range(first, first + n):
        start = board.time(board.passed_us + 20_000)
        board.core.feed(frame(f"O 5EED0001 {one:X} collect {start} 002710"))
        board.core.feed(frame(f"PING 5EED0001 {one & 0xFFFF:04X}"))
        board.run_to(board.passed_us + 40_000)
        board.core.feed(frame(f"D 5EED0001 {one:X}"))
        board.pins("pulse", "")
        board.pins("dark", "collect 500")
        board.core.feed(frame(f"SEEN 5EED0001 {one:X}"))
        board.core.feed(b"noise\n")
        board.events.clear()


def test_nothing_grows_over_a_thousand_commands() -> None:
    board = SteppedBoard()
    board.arm(watchdog="2710")
    sort_once(board, 1, 50)
    gc.collect()
    # Circles would stay, and be counted.
    gc.disable()
    tracemalloc.start()
    try:
        sort_once(board, 51, 50)
        before = tracemalloc.take_snapshot()
        sort_once(board, 101, COMMANDS)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
        gc.enable()
    ours = [tracemalloc.Filter(True, "*/drivers/firmware/*")]
    grown = after.filter_traces(ours).compare_to(before.filter_traces(ours), "filename")
    assert sum(one.size_diff for one in grown) <= SLACK_BYTES, grown
    assert board.say("STATUS 5EED0001")[0].split()[8] == f"{COMMANDS + 100:X}"
