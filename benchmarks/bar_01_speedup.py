"""The shipped pipeline against scikit-image and torch eager: the same frames, in one run.

Bar: at p50 at least 20 times faster, one thread each, both sides measuring the same quantities.
The baseline without perimeter, solidity and mean grey is timed too, and its ratio stated. All take
turns in short blocks of frames, so that whatever else the machine does meanwhile meets all.

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


def _sides(frames: BenchFrames) -> dict[str, Callable[[int], int]]:
    """Pipeline and baselines: a frame's number in, the count of classified objects out."""
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

    def bare(i: int) -> int:
        return len(baseline.process(frames.frames[i % length], measures=False))

    return {"pipeline": ours, "baseline": theirs, "bare baseline": bare}


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
    sides = _sides(bench_frames(OBJECTS))
    times: dict[str, list[Times]] = {name: [] for name in sides}
    counts: dict[str, list[int]] = {name: [] for name in sides}
    gc.collect()
    for block in range(-WARM_UP_BLOCKS, max(2, n_frames // BLOCK)):
        first = (block + WARM_UP_BLOCKS) * BLOCK
        for name, step in sides.items():
            block_ms, found = _block_ms(step, first)
            if block >= 0:
                times[name].append(block_ms)
                counts[name] += found
    _report({name: np.array(blocks) for name, blocks in times.items()}, counts)


def _report(times: dict[str, Times], counts: dict[str, list[int]]) -> None:
    rows = []
    n = times["pipeline"].size
    for name, blocks in times.items():
        share = float(np.mean(np.array(counts[name]) == OBJECTS))
        what = f"{name}, frames with all {OBJECTS} classified"
        rows.append(Row(what, n, share, ">= 0.99", share >= 0.99))
        p50, p99 = np.percentile(blocks, [50, 99])
        rows.append(Row(f"{name} p50, ms", n, float(p50), "stated", True))
        rows.append(Row(f"{name} p99, ms", n, float(p99), "stated", True))
    ours = times["pipeline"]
    for name, bar in (("bare baseline", "stated"), ("baseline", f">= {BAR:g}")):
        ratio = float(np.median(times[name]) / np.median(ours))
        passed = bar == "stated" or ratio >= BAR
        interval = _ratio_interval(ours, times[name])
        rows.append(Row(f"{name} / pipeline at p50", n, ratio, bar, passed, interval))
    finish("Speed against scikit-image and torch eager, one thread each", rows)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:2]))
