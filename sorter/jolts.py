"""What the valve's jitter does to arrivals: pure.

Each switch of the valve may come a little earlier or later than planned, and the jump that it gives
the liquid with it (`sorter.liquid`). What is left unknown of the jump dies away with the compliance
of the tubing; while it does, it bends the paths of all bodies in view alike.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sorter.compiled import compiled

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


@compiled
def jolted_ns(t_ns: Floats, unrest_ns: Floats, at_ns: float) -> float:
    """How far off a line through views is at a later liquid time.

    Args:
        t_ns: liquid times of the views (n,), increasing.
        unrest_ns: how far off each of these may be (n,).
        at_ns: the time.
    """
    if not unrest_ns.any():
        return 0.0
    n, mean_ns = len(t_ns), t_ns.mean()
    spread = 0.0
    for i in range(n):
        spread += (t_ns[i] - mean_ns) ** 2
    ahead = (at_ns - mean_ns) / max(spread, 1.0)
    squares, of_switch_ns = 0.0, 0.0
    for i in range(n):
        if i > 0 and unrest_ns[i] > unrest_ns[i - 1]:  # another switch
            squares += of_switch_ns * of_switch_ns
            of_switch_ns = 0.0
        # What a line that is fitted to views and read at the arrival takes of each view.
        of_switch_ns += unrest_ns[i] * (1.0 / n + (t_ns[i] - mean_ns) * ahead)
    return math.sqrt(squares + of_switch_ns * of_switch_ns)
