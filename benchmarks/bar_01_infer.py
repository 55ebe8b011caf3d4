"""Time of the shipped network on this machine: threads, spinning and batch size.

``python -m benchmarks.bar_01_infer`` prints a table, and says whether one crop and sixteen are fast
enough for the pipeline's own bars. The defaults of `InferSettings` come from this table.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from benchmarks._bar import Row, finish
from models.bundle import load_bundle
from models.infer import Classifier, InferSettings

BATCHES = (1, 2, 4, 8, 16, 32)
THREADS = ((1, False), (2, False), (2, True))
CALLS = 400
ALONE_BAR_US = 150.0
SHARED_BAR_US = 60.0


def time_calls(classifier: Classifier, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(CALLS,) microseconds of one call."""
    classifier.warm_up()
    times = np.empty(CALLS)
    for i in range(CALLS):
        start = time.perf_counter_ns()
        classifier.predict(crops)
        times[i] = (time.perf_counter_ns() - start) / 1e3
    return times


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of a median from order statistics (normal approximation)."""
    ordered, n = np.sort(values), len(values)
    half = 0.98 * np.sqrt(n)
    return float(ordered[int(n / 2 - half)]), float(ordered[int(n / 2 + half)])


def main() -> None:
    bundle = load_bundle("default")
    size = bundle.manifest.size_px
    crops = np.random.default_rng(0).integers(0, 256, (max(BATCHES), size, size), dtype=np.uint8)
    print("threads  spinning  " + "".join(f"n={n:<14d}" for n in BATCHES) + "(p50 / p99, us)")
    alone = together = np.zeros(1)
    for threads, spinning in THREADS:
        settings = InferSettings(providers="cpu", threads=threads, spinning=spinning)
        classifier = Classifier(bundle, settings)
        line = f"{threads:7d}  {spinning!s:8s}  "
        for n in BATCHES:
            times = time_calls(classifier, crops[:n])
            p50, p99 = np.percentile(times, [50, 99])
            line += f"{f'{p50:.0f} / {p99:.0f}':16s}"
            if settings == InferSettings(providers="cpu"):
                alone = times if n == 1 else alone
                together = times / n if n == 16 else together
        print(line)
    one, many = float(np.median(alone)), float(np.median(together))
    finish(
        f"Network of the bundle {bundle.manifest.name}, defaults, on the CPU",
        [
            Row(
                "one crop, p50, us", CALLS, one, f"<= {ALONE_BAR_US:g}", one <= ALONE_BAR_US,
                median_interval(alone),
            ),
            Row(
                "a crop of sixteen, p50, us", CALLS, many, f"<= {SHARED_BAR_US:g}",
                many <= SHARED_BAR_US, median_interval(together),
            ),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
