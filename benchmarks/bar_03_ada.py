"""200 images, adaptive augmentation on against off: KID against all 2,000 real at the end.

Each training is taken up again where it was stopped; ``--seeds 1`` does a part of the work.

    python -m benchmarks.bar_03_ada
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

from benchmarks._bar import Row, finish
from benchmarks._gans import KINDS, device_name, has_gpu, options, simulated, train


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(images=1_000_000 if has_gpu() else 60_000)
    parser.add_argument("--kind", choices=KINDS, default="stylegan2-ada" if has_gpu() else "dcgan")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=200, help="images that are learnt from")
    parser.add_argument("--batch", type=int, default=None if has_gpu() else 8)
    arguments = parser.parse_args()
    data = simulated(arguments.work, arguments.size)
    ends: dict[str, list[float]] = {"ada": [], "none": []}
    for seed in arguments.seeds:
        for augment, values in ends.items():
            out = arguments.work / f"{arguments.kind}-{augment}-{arguments.limit}-seed{seed}"
            own = Namespace(**vars(arguments) | {"seed": seed})
            more = ["--augment", augment, "--limit", str(arguments.limit), "--patience", "0"]
            if arguments.batch is not None:
                more += ["--batch", str(arguments.batch)]
            train(out, data, arguments.kind, own, *more)
            values.append(_end(out))
    gains = [off - on for on, off in zip(ends["ada"], ends["none"], strict=True)]
    n = len(gains)
    half = student.ppf(0.975, n - 1) * stdev(gains) / math.sqrt(n) if n > 1 else math.nan
    rows = [
        Row(f"KID at the end, {name}", len(values), mean(values), "reported", True)
        for name, values in ends.items()
    ]
    rows.append(
        Row(
            "KID off minus on, of the same seed",
            len(gains),
            mean(gains),
            "> 0, for 3 seeds or more",
            len(gains) >= 3 and mean(gains) > 0,
            (mean(gains) - half, mean(gains) + half),
        )
    )
    what = f"ADA with {arguments.kind} on {arguments.limit} images at {arguments.size} px"
    finish(f"{what} on {device_name()}", rows)


def _end(out: Path) -> float:
    """KID at the end: the mean of the last three evaluations, which scatter."""
    lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
    return mean(float(json.loads(line)["kid"]) for line in lines[-3:])


if __name__ == "__main__":
    main()
