"""Starting processes so that Ctrl-C can't hit them while they are being born."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in glibc's malloc.h
_KEPT_BYTES, _LARGEST_BYTES = 1 << 30, 32 << 20  # the second is the most that glibc takes


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C away from a process that is being born; it comes through here afterwards.

    Where signals can't be held back (Windows) nothing is done: the child then ignores Ctrl-C from
    its first line on.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(slots=True)
class Interrupts:
    """How often Ctrl-C came."""

    count: int = 0


@contextlib.contextmanager
def interrupts_noted() -> Iterator[Interrupts]:
    """Inside, Ctrl-C is counted and nothing is torn; who waits looks at the count now and then.

    Only in the main thread, like everything about signals in Python.
    """
    noted = Interrupts()

    def note(number: int, frame: FrameType | None) -> None:
        noted.count += 1

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts() -> None:
    """For a child: Ctrl-C is its parent's business, which tells it what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started inside get linear algebra on one thread.

    The loop's matrices are tiny. A second thread costs it up to 9 ms at a time, spent waiting for
    a core that the camera or the recorder holds. The libraries read this when they are loaded.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def give_way() -> None:
    """Leave the cores to the loop and the camera; where the system has no niceness, do nothing."""
    if hasattr(os, "nice"):
        os.nice(5)


def wake_on_time() -> None:
    """Let this process, and threads that it starts, sleep as long as they ask for, not longer.

    Linux lets a timer come 50 µs late by default, to save power: half as long again as the loop
    wants to sleep between two looks at the camera. Elsewhere nothing is done.
    """
    with contextlib.suppress(OSError):  # there is no such file elsewhere
        Path("/proc/self/timerslack_ns").write_text("1")


def keep_memory() -> None:
    """Have the C library keep what this process frees.

    glibc gives large pieces back to the system now and then. A frame that needs them again gets
    them page by page, which takes up to 2 ms. Other libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # musl has neither the file nor the call
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)


def leave_first_core() -> set[int]:
    """Keep this thread, and those that it starts, off the first core; returns where it could run.

    What runs on the loop's core between two frames costs it the caches. With one
    core, or a system that can't say, nothing changes.
    """
    if not hasattr(os, "sched_setaffinity"):
        return set()
    before = os.sched_getaffinity(0)
    if len(before) > 1:
        os.sched_setaffinity(0, before - {min(before)})
    return before


def return_to_cores(cores: set[int]) -> None:
    """Undo `leave_first_core`."""
    if cores:
        os.sched_setaffinity(0, cores)
