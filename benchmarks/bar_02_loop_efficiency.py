"""Does the loop itself measure where objects really went, while it sorts?

    python -m benchmarks.bar_02_loop_efficiency [--seeds 0-9] [--duration-s 60]

As `bar_02_efficiency`, which feeds the watch afterwards; here the whole way is taken: the scene's
optical gates (`hardware_sim.optical_gates`), the firmware's passages over the wire, the driver, the
controller's watch, mass balance and correction of arrivals, and the balance in the run's record.
Virtual time, default rig, seeds apart; nothing here was measured on a real junction.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._at_junction import Run, true_outlets
from benchmarks._bar import Row, finish, wilson
from benchmarks._runs import parse_seeds
from hardware_sim.demo_rig import TRUTH_LOG, DemoSettings, rig_of, scene_of
from hardware_sim.truth_log import read_truth
from hardware_sim.virtual_rig import run_virtual
from sorter.report_junction import last_balance

WITHIN = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        balance: as the record has it.
        good, n: of the objects meant for collect whose end is known: entered it, and all.
        unsafe: the simulator's verdict.
    """

    balance: dict[str, Any]
    good: int
    n: int
    unsafe: int


def measure(seed: int, duration_s: float) -> Measured:
    """Sort in virtual time with optical gates, and look at the truth."""
    settings = DemoSettings(seed=seed, duration_s=duration_s, optical_gates=True)
    with tempfile.TemporaryDirectory() as folder:
        result = run_virtual(settings, Path(folder))
        truth = read_truth(Path(folder) / TRUTH_LOG)
    rig = rig_of(settings, scene_of(settings), "virtual")
    ended_ns = int((truth.end or {})["t_ns"])
    went = true_outlets(Run(seed, rig, result.trace, result.gate, truth.bodies, ended_ns))
    trace, collect = result.trace, rig.outlets.collect
    meant = {row.id: row.outlet for row in trace.objects.values() if row.reason != "speck"}
    meant |= {i: change.changed_outlet for i, change in trace.changes.items() if i in meant}
    known = [went[i] == collect for i, outlet in meant.items() if outlet == collect and i in went]
    balance = last_balance(trace.events)
    assert balance is not None
    return Measured(balance, sum(known), len(known), int(result.truth["unsafe"]))


def rows(runs: Sequence[Measured]) -> list[Row]:
    """Efficiency against the truth, balances that close, strays, and safety."""
    rates = [one.balance["efficiency"] for one in runs]
    n = sum(rate["n"] for rate in rates)
    good = sum(round(rate["value"] * rate["n"]) for rate in rates if rate["n"])
    true_good, true_n = sum(one.good for one in runs), sum(one.n for one in runs)
    for what, part, whole in (("measured", good, n), ("true", true_good, true_n)):
        low, high = wilson(part, whole)
        print(f"  {what}: {part / whole:.2%} of {whole} [{low:.2%}, {high:.2%}]")
    off = good / n - true_good / true_n
    open_ones = sum(not one.balance["closes"] for one in runs)
    sure = sum(one.balance["strays"] for one in runs)
    unsafe = sum(one.unsafe for one in runs)
    entered = sum(one.balance["entered"] for one in runs)
    return [
        Row("sort efficiency: measured - true", n, off, f"within {WITHIN:g}", abs(off) <= WITHIN),
        Row("runs whose balance is open", len(runs), open_ones, "= 0", open_ones == 0),
        Row("objects said to have strayed, surely", entered, sure, "= 0", sure == 0),
        Row("unsafe bodies", len(runs), unsafe, "= 0", unsafe == 0),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=parse_seeds, default=parse_seeds("0-9"))
    parser.add_argument("--duration-s", type=float, default=60.0)
    options = parser.parse_args(arguments)
    runs = []
    for seed in options.seeds:
        runs.append(measure(seed, options.duration_s))
        one = runs[-1]
        print(f"  seed {seed}: {one.balance['efficiency']}, true {one.good}/{one.n}", flush=True)
    finish("Where objects went, as the loop measures it", rows(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
