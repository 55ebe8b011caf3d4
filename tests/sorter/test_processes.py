"""Cores that the display leaves to the loop, and gets back; timers that come on time; memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
from sorter.processes import leave_first_core, return_to_cores
every = os.sched_getaffinity(0)
before = leave_first_core()
inside = os.sched_getaffinity(0)
return_to_cores(before)
assert before == os.sched_getaffinity(0) == every
print(len(every), len(inside), min(every) in inside)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system can't say")
def test_the_first_core_is_left_and_taken_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    cores, left, has_first = done.stdout.split()
    if int(cores) > 1:
        assert (int(left), has_first) == (int(cores) - 1, "False")
    else:
        assert (left, has_first) == ("1", "True")


SLACK = Path("/proc/self/timerslack_ns")
AWAKE = """
from pathlib import Path
from sorter.processes import wake_on_time
wake_on_time()
print(Path("/proc/self/timerslack_ns").read_text())
"""


@pytest.mark.skipif(not SLACK.exists(), reason="only Linux has a slack of timers")
def test_timers_come_on_time() -> None:
    done = subprocess.run([sys.executable, "-c", AWAKE], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1


FREED = """
import sys
from resource import RUSAGE_SELF, getrusage
import numpy as np
from sorter.processes import keep_memory

def page_by_page() -> int:
    before = getrusage(RUSAGE_SELF).ru_minflt
    pieces = [np.ones(5_000_000, np.float32) for _ in range(3)]
    return getrusage(RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_memory()
page_by_page()
print(sum(page_by_page() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries are left alone")
def test_what_is_freed_is_not_asked_for_again() -> None:
    given_back, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", FREED, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("given back", "kept")
    )
    assert kept < given_back / 5
