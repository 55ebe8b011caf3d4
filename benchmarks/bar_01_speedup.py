"""The shipped pipeline against scikit-image and torch eager: the same frames, in one run.

Bar: at p50 at least 20 times faster, one thread each. Both sides take turns in short blocks of
frames, so that whatever else the machine does meanwhile meets both.

    python -m benchmarks.bar_01_speedup [frames]
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._bar import Row, finish
from benchmarks.baseline_skimage import Baseline
from drivers.ports import Frame
from models.bundle import load_bundle
from models.infer import Classifier, InferSettings
from sorter.bench import FRAME_PERIOD_NS, bench_pipeline
from sorter.bench_frames import BenchFrames, bench_frames

BAR = 20.0
OBJECTS = 16
BLOCK = 16
WARM_UP_BLOCKS = 4
Times = NDArray[np.float64]


def _both_sides(frames: BenchFrames) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """Pipeline and baseline: each takes a frame's number, gives the count of classified objects."""
    bundle = load_bundle("default")
    classifier = Classifier(bundle, InferSettings(providers="cpu", threads=1))
    classifier.warm_up()
    pipeline = bench_pipeline(bundle, classifier, frames)

    baseline = Baseline(bundle.manifest, frames.pitch_um)
    length = len(frames.frames)

    def ours(i: int) -> int:
        at_ns = i * FRAME_PERIOD_NS
        frame = Frame(frames.frames[i % length], i, at_ns, 0, at_ns)
        return pipeline.process(frame, float(at_ns)).n_judged

    def theirs(i: int) -> int:
        return len(baseline.process(frames.frames[i % length]))

    return ours, theirs


def _block_ms(step: Callable[[int], int], first: int) -> tuple[Times, list[int]]:
    """Times of a block of frames, and how many objects each gave."""
    times = np.empty(BLOCK)
    found = []
    for k in range(BLOCK):
        start = time.perf_counter_ns()
        n = step(first + k)
        times[k] = (time.perf_counter_ns() - start) / 1e6
        found.append(n)
    return times, found


def _ratio_interval(ours: Times, theirs: Times) -> tuple[float, float]:
    """95 % interval of the ratio of medians, by bootstrap over pairs of blocks."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), (2000, len(ours)))
    ratios = [np.median(theirs[one]) / np.median(ours[one]) for one in drawn]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def main(n_frames: int = 640) -> None:
    """Measure, print, exit."""
    torch.set_num_threads(1)
    frames = bench_frames(OBJECTS)
    ours_step, theirs_step = _both_sides(frames)
    ours, theirs = [], []
    counts: dict[str, list[int]] = {"pipeline": [], "baseline": []}
    gc.collect()
    for block in range(-WARM_UP_BLOCKS, max(2, n_frames // BLOCK)):
        first = (block + WARM_UP_BLOCKS) * BLOCK
        ours_ms, ours_found = _block_ms(ours_step, first)
        theirs_ms, theirs_found = _block_ms(theirs_step, first)
        if block >= 0:
            ours.append(ours_ms)
            theirs.append(theirs_ms)
            counts["pipeline"] += ours_found
            counts["baseline"] += theirs_found
    _report(np.array(ours), np.array(theirs), counts)


def _report(ours: Times, theirs: Times, counts: dict[str, list[int]]) -> None:
    n = ours.size
    rows = []
    for name, times in (("pipeline", ours), ("baseline", theirs)):
        share = float(np.mean(np.array(counts[name]) == OBJECTS))
        what = f"{name}, frames with all {OBJECTS} classified"
        rows.append(Row(what, n, share, ">= 0.99", share >= 0.99))
        p50, p99 = np.percentile(times, [50, 99])
        rows.append(Row(f"{name} p50, ms", n, float(p50), "stated", True))
        rows.append(Row(f"{name} p99, ms", n, float(p99), "stated", True))
    ratio = float(np.median(theirs) / np.median(ours))
    p99 = float(np.percentile(theirs, 99) / np.percentile(ours, 99))
    rows.append(Row("baseline / pipeline at p99", n, p99, "stated", True))
    rows.append(
        Row(
            "baseline / pipeline at p50",
            n,
            ratio,
            f">= {BAR:g}",
            ratio >= BAR,
            _ratio_interval(ours, theirs),
        )
    )
    finish("Speed against scikit-image and torch eager, one thread each", rows)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:2]))
