"""200 images, adaptive augmentation on against off: KID against all 2,000 real at the end.

Each training is taken up again where it was stopped; ``--seeds 1`` does a part of the work. The
curves are drawn into ``ada.png`` in the folder of the work.

    python -m benchmarks.bar_03_ada
"""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median, stdev

from matplotlib.figure import Figure
from scipy.stats import t as student

from benchmarks._bar import Row, finish
from benchmarks._gans import KINDS, device_name, features, has_gpu, options, simulated, train
from models.gan.records import METRICS_FILE
from sorter.errors import RunFault


def main() -> None:
    parser = options(__doc__)
    # The ADA paper's rule, 0.0002 size² / batch.
    parser.set_defaults(
        images=340_000 if has_gpu() else 60_000,
        batch=64 if has_gpu() else 8,
        gamma=0.0128 if has_gpu() else None,
    )
    parser.add_argument("--kind", choices=KINDS, default="stylegan2-ada" if has_gpu() else "dcgan")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=200, help="images that are learnt from")
    arguments = parser.parse_args()
    data = simulated(arguments.work, arguments.size)
    features(data, arguments)
    todo = list(itertools.product(arguments.seeds, ("ada", "none")))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        found = list(pool.map(lambda one: _trained(data, arguments, *one), todo))
    for (seed, augment), value in zip(todo, found, strict=True):
        print(f"  seed {seed}, {augment}: KID at the end {value:.2f}")
    ends = {
        augment: [value for (_, which), value in zip(todo, found, strict=True) if which == augment]
        for augment in ("ada", "none")
    }
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
    draw_curves(arguments, todo)
    network = f"{arguments.kind}, preset {arguments.preset}, {arguments.size} px"
    finish(f"ADA on {arguments.limit} images; {network}; {device_name()}", rows)


def _trained(data: Path, arguments: Namespace, seed: int, augment: str) -> float:
    """KID at the end of one training."""
    out = _out(arguments, seed, augment)
    more = ["--augment", augment, "--limit", str(arguments.limit), "--patience", "0"]
    try:
        train(out, data, arguments.kind, Namespace(**vars(arguments) | {"seed": seed}), *more)
    except subprocess.CalledProcessError as error:
        if error.returncode != RunFault.exit_code:
            raise
        print(f"{out.name} has diverged; its last evaluations count", flush=True)
    return _end(out)


def _out(arguments: Namespace, seed: int, augment: str) -> Path:
    """Folder of one training."""
    work: Path = arguments.work
    return work / f"{arguments.kind}-{augment}-{arguments.limit}-seed{seed}"


def _end(out: Path) -> float:
    """KID at the end: the mean of the last three evaluations, which scatter."""
    return mean(_metric(out, "kid")[-3:])


def _metric(out: Path, name: str) -> list[float]:
    """What a training told of it, evaluation by evaluation."""
    lines = (out / METRICS_FILE).read_text("utf-8").splitlines()
    return [float(json.loads(line)[name]) for line in lines]


def draw_curves(arguments: Namespace, todo: Sequence[tuple[int, str]]) -> None:
    """KID, the critic's opinion of real images and ADA's strength over the trainings."""
    metrics = {"kid": "KID", "real": "D(real)", "ada_p": "strength of ADA"}
    styles = {"none": ("#b4532a", "without"), "ada": ("#1f6f8b", "with ADA")}
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(metrics))
    for panel, (metric, text) in zip(panels, metrics.items(), strict=True):
        for augment, (colour, name) in styles.items():
            outs = [_out(arguments, *one) for one in todo if one[1] == augment]
            curves = [_metric(out, metric) for out in outs]
            thousands = [images / 1000 for images in _metric(outs[0], "images")]
            for one in curves:
                panel.plot(thousands[: len(one)], one, color=colour, linewidth=0.8, alpha=0.5)
            middle = [median(column) for column in zip(*curves, strict=False)]
            panel.plot(thousands[: len(middle)], middle, color=colour, linewidth=2, label=name)
        panel.set(xlabel="thousand images shown", ylabel=text)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yscale("log")
    panels[0].legend(frameon=False)
    figure.savefig(arguments.work / "ada.png", dpi=120)


if __name__ == "__main__":
    main()
