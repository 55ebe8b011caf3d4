"""Real-time runs of `sorter demo`, one after another, kept so that a bar can be taken up again."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._bar import Row, wilson
from sorter.files import write_atomic
from sorter.record_reader import open_record

# The installed command of this very environment.
COMMAND = str(Path(sys.executable).with_name("sorter"))
MISJUDGED = frozenset({"unhealthy", "unsure", "not_a_spheroid", "hidden"})
P99_MS, P999_MS, FRAMES = 3.0, 8.0, 20_000
_RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which runs a bar wants.

    Attributes:
        folder: where each run keeps its files, one folder a run.
        seeds: one run each.
    """

    folder: Path
    seeds: tuple[int, ...]
    rate_hz: float
    unhealthy: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over.

    Attributes:
        told: what ``sorter demo --json`` printed.
        truth: the simulator's whole verdict.
        latency_ms: (n,) of frames with at least one object.
    """

    seed: int
    told: dict[str, Any]
    truth: dict[str, Any]
    latency_ms: NDArray[np.float64]


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0-19`` or ``0,3,7``."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return tuple(seeds)


def parser(doc: str | None, *, seeds: str, duration_s: float) -> argparse.ArgumentParser:
    """Options that every bar of runs has."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--seeds", type=parse_seeds, default=parse_seeds(seeds), help="0-19 or 0,3,7")
    made.add_argument("--duration-s", type=float, default=duration_s)
    made.add_argument(
        "--resume", type=Path, default=Path("bar-runs"), help="folder of results: runs in it count"
    )
    return made


def run_all(plan: Plan) -> Iterator[Run]:
    """The runs in order of seeds; those whose results lie in the folder are not run again."""
    for seed in plan.seeds:
        folder = plan.folder / _name(plan, seed)
        if not (folder / _RESULT).is_file():
            _run(plan, seed, folder)
        run = _read(seed, folder)
        print(f"  {folder.name}: {_one_line(run)}", flush=True)
        yield run


def _name(plan: Plan, seed: int) -> str:
    rate = f"{plan.rate_hz:g}hz-{plan.unhealthy:g}u-{plan.duration_s:g}s"
    return f"{rate}-seed{seed:03d}"


def _run(plan: Plan, seed: int, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted bar left
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "--seed": seed,
        "--rate-hz": plan.rate_hz,
        "--unhealthy": plan.unhealthy,
        "--duration-s": plan.duration_s,
        "--out": folder,
    }
    arguments = [str(part) for option in options.items() for part in option]
    start = time.monotonic()
    done = subprocess.run(
        [COMMAND, "demo", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=plan.duration_s + 120,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"the run with seed {seed} ended with {done.returncode}: {done.stderr.strip()}")
    told = json.loads(done.stdout) | {"wall_s": time.monotonic() - start}
    write_atomic(folder / _RESULT, json.dumps(told))


def _read(seed: int, folder: Path) -> Run:
    told = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    (record,) = folder.glob("*.sqlite")
    with open_record(record) as reader:
        return Run(seed, told, truth, reader.latency_ms())


def _one_line(run: Run) -> str:
    told, truth = run.told, run.truth
    shown = [
        f"fps {told['fps_measured']:.1f}",
        f"rendered {told['frames_rendered']}",
        f"received {told['frames_received']}",
        f"dropped {told['frames_dropped']}",
        f"p99 {told['latency_ms']['p99']:.2f} ms",
        f"unhealthy {truth['unhealthy']} kept out {_percent(truth['unhealthy_recall'])}",
        f"yield {_percent(truth['yield'])}",
        f"unsafe {truth['unsafe']}",
    ]
    return ", ".join(shown)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def share_row(what: str, successes: int, n: int, *, least: float | None, most: float = 1.0) -> Row:
    """A pooled share with its Wilson interval; at least ``least``, or else at most ``most``."""
    value = successes / n if n else float("nan")
    passed = n > 0 and (value <= most if least is None else value >= least)
    bar = f"<= {most:g}" if least is None else f">= {least:g}"
    return Row(what, n, value, bar, passed, wilson(successes, n))


def latency_rows(runs: Sequence[Run], frames: int = FRAMES) -> list[Row]:
    """p99 and p99.9 over all frames with an object, with bootstrap intervals over frames."""
    pooled = np.concatenate([run.latency_ms for run in runs])
    rows = []
    for percent, bar_ms in ((99.0, P99_MS), (99.9, P999_MS)):
        value = float(np.percentile(pooled, percent)) if len(pooled) else float("nan")
        passed = len(pooled) >= frames and value <= bar_ms
        bar = f"<= {bar_ms:g} ms on >= {frames} frames"
        interval = bootstrap_percentile(pooled, percent)
        rows.append(Row(f"latency p{percent:g}, ms", len(pooled), value, bar, passed, interval))
    return rows


def bootstrap_percentile(
    values: NDArray[np.float64], percent: float, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval (Efron 1979) of a percentile of (n,) values.

    Frames are drawn one by one; neighbours resemble each other, so the interval is rather narrow.
    """
    if not len(values):
        return (float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = [
        float(np.percentile(values[rng.integers(0, len(values), len(values))], percent))
        for _ in range(draws)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return (float(low), float(high))


def every_run_row(what: str, good: Sequence[bool], worst: float, bar: str) -> Row:
    """A condition that each run must meet; the value is the worst run's."""
    return Row(f"{what} (worst run)", len(good), worst, bar, all(good))


def safety_row(runs: Sequence[Run]) -> Row:
    """Unsafe bodies in each run."""
    unsafe = [int(run.truth["unsafe"]) for run in runs]
    return every_run_row("unsafe", [n == 0 for n in unsafe], max(unsafe), "= 0 in each run")


def yield_row(runs: Sequence[Run], least: float) -> Row:
    """Healthy spheroids collected, of all that passed."""
    kept = sum(collected_healthy(run.truth) for run in runs)
    return share_row("yield", kept, total(runs, "healthy"), least=least)


def total(runs: Sequence[Run], key: str) -> int:
    """Sum of a count of the verdict."""
    return sum(int(run.truth[key]) for run in runs)


def collected_healthy(truth: dict[str, Any]) -> int:
    """Healthy spheroids in collect."""
    return sum(
        row["kind"] == "spheroid" and row["health"] == "healthy" and row["outlet"] == "collect"
        for row in truth["outlets"]
    )


def judged_healthy(truth: dict[str, Any]) -> tuple[int, int]:
    """(misjudged, all) healthy single spheroids that were seen and reached the junction."""
    rows = [
        row
        for row in truth["outlets"]
        if row["kind"] == "spheroid"
        and row["health"] == "healthy"
        and row["group"] is None
        and row["object_ids"]
    ]
    return sum(bool(MISJUDGED & set(row["reasons"])) for row in rows), len(rows)


def by_phenotype(runs: Sequence[Run]) -> dict[str, tuple[int, int]]:
    """Phenotype -> (kept out, all), pooled."""
    kept: Counter[str] = Counter()
    n: Counter[str] = Counter()
    for run in runs:
        for name, row in run.truth["recall_by_phenotype"].items():
            kept[name] += row["kept_out"]
            n[name] += row["n"]
    return {name: (kept[name], n[name]) for name in sorted(n)}
