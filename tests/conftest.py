"""No test may leave work running: threads, child processes, shared memory."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

# Tests measure no time: a busy machine must not fail one.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_GRACE_S = 3.0
_SHARED_MEMORY = Path("/dev/shm")
# Serves multiprocessing for the life of the interpreter, and ends with it.
_STAYS = "multiprocessing.resource_tracker"


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Fail a test whose threads or child processes outlive it."""
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    yield
    left = _still_running(threads) + _still_alive(children)
    if left:
        pytest.fail(f"left running: {'; '.join(left)}", pytrace=False)


def _still_running(before: set[threading.Thread]) -> list[str]:
    """New threads that do not end within the grace time."""
    deadline = time.monotonic() + _GRACE_S
    new = [one for one in threading.enumerate() if one not in before]
    for thread in new:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {one.name}" for one in new if one.is_alive()]


def _still_alive(before: set[psutil.Process]) -> list[str]:
    """New child processes that do not end within the grace time; they are ended here."""
    new = [one for one in psutil.Process().children(recursive=True) if one not in before]
    ours = [one for one in new if _STAYS not in _command(one)]
    if not ours:
        return []
    _, alive = psutil.wait_procs(ours, timeout=_GRACE_S)
    told = [f"process {one.pid} {_command(one)}" for one in alive]
    for process in alive:
        process.kill()
    return told


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:  # it ended just now
        return ""


@pytest.fixture(autouse=True, scope="session")
def _no_shared_memory_left() -> Iterator[None]:
    """Fail the session when a block of shared memory stays that nobody has open."""
    before = _blocks()
    yield
    orphans = _orphans(before)
    if orphans:  # a second look: one may have been between its making and its mapping
        time.sleep(0.5)
        orphans &= _orphans(before)
    if orphans:
        pytest.fail(f"shared memory left behind: {', '.join(sorted(orphans))}", pytrace=False)


def _blocks() -> set[str]:
    """Names of Python's shared memory blocks; empty where the system shows none."""
    if sys.platform == "win32" or not _SHARED_MEMORY.is_dir():
        return set()
    return {one.name for one in _SHARED_MEMORY.glob("psm_*")}


def _orphans(before: set[str]) -> set[str]:
    new = _blocks() - before
    if not new:
        return set()
    mapped = "\n".join(_maps(one) for one in psutil.process_iter())
    return {name for name in new if name not in mapped}


def _maps(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:  # ended, or not ours to look into
        return ""
