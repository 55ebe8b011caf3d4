"""Does the whole sorter sort, in real time, on the default simulated rig?

    python -m benchmarks.bar_01_sorting --seeds 0-19 --resume bar-runs

Runs `sorter demo --json` once for each seed (1280x512 at 200 frames/s, 1 object/s, 10 % unhealthy,
policy purity) and pools the runs. Each run's files are kept: an interrupted bar is taken up where
it stopped. Shares have Wilson intervals over bodies, latencies a bootstrap over frames. The truth
is the simulator's; performance on real HepG2 spheroids is unvalidated.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks._bar import Row, finish
from benchmarks._runs import (
    Plan,
    Run,
    by_phenotype,
    collected_healthy,
    every_run_row,
    judged_healthy,
    latency_rows,
    parser,
    run_all,
    safety_row,
    share_row,
    total,
    yield_row,
)

FPS = 199.0


def frame_rows(runs: Sequence[Run]) -> list[Row]:
    """Every frame rendered is received, at the camera's rate."""
    fps = [float(run.told["fps_measured"]) for run in runs]
    missing = [abs(run.told["frames_rendered"] - run.told["frames_received"]) for run in runs]
    dropped = [int(run.told["frames_dropped"]) for run in runs]
    return [
        every_run_row("frames/s", [one >= FPS for one in fps], min(fps), f">= {FPS:g} in each"),
        every_run_row(
            "rendered - received", [n == 0 for n in missing], max(missing), "= 0 in each"
        ),
        every_run_row("frames dropped", [n == 0 for n in dropped], max(dropped), "= 0 in each"),
    ]


def sorting_rows(runs: Sequence[Run]) -> list[Row]:
    """What went where, pooled over bodies."""
    phenotypes = by_phenotype(runs)
    unhealthy = total(runs, "unhealthy")
    kept_out = sum(kept for kept, _ in phenotypes.values())
    kept = sum(collected_healthy(run.truth) for run in runs)
    judged = [judged_healthy(run.truth) for run in runs]
    lost, singles = sum(a for a, _ in judged), sum(n for _, n in judged)
    wrong = total(runs, "seen_twice") + total(runs, "not_seen")
    return [
        share_row("unhealthy recall", kept_out, unhealthy, least=0.95),
        *(
            share_row(f"recall of {name}", good, n, least=0.85)
            for name, (good, n) in phenotypes.items()
        ),
        share_row("healthy loss", lost, singles, least=None, most=0.05),
        share_row("purity", kept, total(runs, "collected"), least=0.99),
        yield_row(runs, least=0.88),
        share_row("missed or counted twice", wrong, total(runs, "units"), least=None, most=0.01),
        safety_row(runs),
        share_row(
            "doubles collected unseen",
            total(runs, "doubles_unseen"),
            total(runs, "doubles"),
            least=None,
            most=0.05,
        ),
    ]


def main(arguments: Sequence[str]) -> None:
    """Run what is missing, pool, print, exit."""
    options = parser(__doc__, seeds="0-19", duration_s=60.0)
    options.add_argument("--rate-hz", type=float, default=1.0)
    options.add_argument("--unhealthy", type=float, default=0.1)
    given = options.parse_args(arguments)
    plan = Plan(given.resume, given.seeds, given.rate_hz, given.unhealthy, given.duration_s)
    runs = list(run_all(plan))
    title = f"Sorting at {plan.rate_hz:g}/s, {plan.unhealthy:.0%} unhealthy, {len(runs)} runs"
    finish(title, [*frame_rows(runs), *latency_rows(runs), *sorting_rows(runs)])


if __name__ == "__main__":
    main(sys.argv[1:])
