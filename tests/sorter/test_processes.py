"""Cores that the display leaves to the loop, and gets back; and timers that come on time."""

from __future__ import annotations

import os
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
