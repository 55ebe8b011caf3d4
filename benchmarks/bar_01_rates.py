"""The sorter at higher rates with few unhealthy ones: latency and safety hold, yield is reported.

    python -m benchmarks.bar_01_rates --seeds 0-4 --resume bar-runs

At 2/s and 10/s with 1 % unhealthy. Beside the yield stands the coincidence limit: the share of
healthy ones without a neighbour bound elsewhere within tau on either side,
exp(-2 * rate * fraction * tau), with tau = 100 ms and the unhealthy alone as those bound elsewhere.
Debris, doubles and jumps of the liquid are not in that formula. 10/s is a stress test for pinch
valves. The simulator's truth; performance on real HepG2 spheroids is unvalidated.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks._bar import Row, finish
from benchmarks._runs import Plan, Run, latency_rows, parser, run_all, safety_row, yield_row

RATES_HZ = (2.0, 10.0)
UNHEALTHY = 0.01
TAU_S = 0.1


def rows_at(rate_hz: float, runs: Sequence[Run]) -> list[Row]:
    """Rows of one rate."""
    limit = math.exp(-2 * rate_hz * UNHEALTHY * TAU_S)
    found = yield_row(runs, least=0.0)
    told = replace(found, bar=f"reported; the coincidence limit is {limit:.3f}", passed=True)
    rows = [*latency_rows(runs), safety_row(runs), told]
    return [replace(row, what=f"{rate_hz:g}/s: {row.what}") for row in rows]


def main(arguments: Sequence[str]) -> None:
    """Run what is missing, pool, print, exit."""
    given = parser(__doc__, seeds="0-4", duration_s=60.0).parse_args(arguments)
    rows: list[Row] = []
    for rate_hz in RATES_HZ:
        plan = Plan(given.resume, given.seeds, rate_hz, UNHEALTHY, given.duration_s)
        rows += rows_at(rate_hz, list(run_all(plan)))
    finish(f"Higher rates, {UNHEALTHY:.0%} unhealthy", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
