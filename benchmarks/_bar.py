"""How a bar prints itself: n, value, interval, PASS or FAIL."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured row of a bar.

    Attributes:
        what: what was measured, with its unit.
        n: how many things the value rests on.
        value: the measured value.
        bar: the bar in words, ``>= 0.95``.
        passed: whether it is met.
        interval: 95 % interval of the value, or None where the value is a plain count.
    """

    what: str
    n: int
    value: float
    bar: str
    passed: bool
    interval: tuple[float, float] | None = None


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % Wilson score interval of a share (Wilson 1927)."""
    if n == 0:
        return (0.0, 1.0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (max(0.0, centre - half), min(1.0, centre + half))


def finish(title: str, rows: Sequence[Row]) -> None:
    """Print the rows and end the process: 0 when all passed, 1 when one did not."""
    print(f"\n{title}")
    for row in rows:
        interval = (
            "-" if row.interval is None else f"[{row.interval[0]:.4g}, {row.interval[1]:.4g}]"
        )
        verdict = "PASS" if row.passed else "FAIL"
        print(
            f"  {verdict}  {row.what}: n={row.n}  value={row.value:.4g}  "
            f"95% interval={interval}  bar: {row.bar}"
        )
    sys.exit(0 if all(row.passed for row in rows) else 1)
