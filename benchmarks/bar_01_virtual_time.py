"""Virtual time: the same seed gives the same trace; a recorded real-time run replays identically.

    python -m benchmarks.bar_01_virtual_time [--seeds 0-2] [--duration-s 20]

The trace is everything that the controller hands over: every frame's times, every object with its
sightings, probabilities and crops, every command, and the journal.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._bar import Row, finish
from benchmarks._runs import Plan, parser, run_all
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.virtual_rig import run_virtual
from sorter.replay import replay


def digest_of(seed: int, duration_s: float) -> str:
    """The digest of a run in virtual time."""
    with tempfile.TemporaryDirectory() as folder:
        settings = DemoSettings(seed=seed, duration_s=duration_s)
        return run_virtual(settings, Path(folder)).trace.digest


def digest_rows(seeds: Sequence[int], duration_s: float) -> list[Row]:
    """Each seed twice."""
    first = [digest_of(seed, duration_s) for seed in seeds]
    again = [digest_of(seed, duration_s) for seed in seeds]
    same = sum(a == b for a, b in zip(first, again, strict=True))
    n = len(seeds)
    return [
        Row("seeds with the same digest twice", n, same, f"= {n}", same == n),
        Row("different digests", n, len(set(first)), f"= {n}", len(set(first)) == n),
    ]


def replay_rows(plan: Plan) -> list[Row]:
    """Recorded real-time runs, once more."""
    runs = list(run_all(plan))
    results = [replay(Path(run.told["record"])) for run in runs]
    same = sum(result.difference is None for result in results)
    decisions = sum(len(result.recorded.decisions) for result in results)
    for run, result in zip(runs, results, strict=True):
        if result.difference is not None:
            print(f"  seed {run.seed}: {result.difference}")
    return [
        Row("real-time runs that replay identically", len(runs), same, f"= {len(runs)}",
            same == len(runs)),
        Row("decisions in them", len(runs), decisions, "> 0", decisions > 0),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    given = parser(__doc__, seeds="0-2", duration_s=20.0).parse_args(arguments)
    plan = Plan(given.resume, given.seeds, 2.0, 0.1, given.duration_s)
    rows = [*digest_rows(given.seeds, given.duration_s), *replay_rows(plan)]
    finish("Virtual time", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
