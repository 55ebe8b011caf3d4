"""What the valve's jitter does to arrivals: pure.

Each switch of the valve may come a little earlier or later than planned, and the jump that it gives
the liquid with it (`sorter.liquid`). What is left unknown of the jump dies away with the compliance
of the tubing; while it does, it bends the paths of all bodies in view alike.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def apart(unrest: Floats) -> Floats:
    """(k, n) errors of views, in k independent rows; each row's are alike.

    Args:
        unrest: how far off each view may be (n,), see `Liquid.unrest_ns`. It dies away alike for
            all views; where it grows instead, there was another switch, of which nothing is known
            either: a new row begins.
    """
    row = np.cumsum(np.diff(unrest, prepend=unrest[0]) > 0)
    return np.where(row == np.arange(row[-1] + 1)[:, None], unrest, 0.0)


def jolted_ns(t_ns: Floats, unrest_ns: Floats, at_ns: float) -> float:
    """How far off a line through views is at a later liquid time.

    Args:
        t_ns: liquid times of the views (n,), increasing.
        unrest_ns: how far off each of these may be (n,).
        at_ns: the time.
    """
    if not unrest_ns.any():
        return 0.0
    mean_ns = float(t_ns.sum()) / t_ns.size
    off_ns = t_ns - mean_ns
    ahead = (at_ns - mean_ns) / max(float(off_ns @ off_ns), 1.0)
    # What a line that is fitted to views and read at the arrival takes of each view.
    off_there_ns = unrest_ns * (1.0 / t_ns.size + off_ns * ahead)
    again = np.flatnonzero(unrest_ns[1:] > unrest_ns[:-1]) + 1
    if not again.size:
        return abs(float(off_there_ns.sum()))
    apart_ns = np.add.reduceat(off_there_ns, np.append(0, again))
    return math.sqrt(float(apart_ns @ apart_ns))
