"""The simulator's processes keep out of the way of the controller that they test."""

from __future__ import annotations

import os


def keep_to_last_core() -> None:
    """Run on the last core only, where there are several and the system can say so.

    Real cameras and dispensers take no time of the host's processor. Without this the renderer
    moves about and takes the core, and the caches, that the loop is working on.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[-1:])
