"""Each GAN on 2,000 simulated unhealthy crops: can a network tell what it draws from the real?

On a GPU at 64 px, on a CPU at 32 px; trained by the documented command, each kind on equally many
images, taken up again where it was stopped. Grids and figures are in WORK/KIND…/quality.

    python -m benchmarks.bar_03_gans
    python -m benchmarks.bar_03_gans --kinds dcgan          # a part of it
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks._bar import Row, finish
from benchmarks._gans import (
    KINDS,
    accuracy_row,
    device_name,
    features,
    has_gpu,
    measured,
    options,
    quality,
    simulated,
    train,
)

Figures = dict[str, Any]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--unhealthy", type=int, default=2000, help="crops that are learnt from")
    arguments = parser.parse_args()
    data = simulated(arguments.work, arguments.size, arguments.unhealthy)
    outs = {
        kind: arguments.work / f"{kind}-{arguments.size}px-seed{arguments.seed}" for kind in KINDS
    }
    features(data, arguments)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda kind: train(outs[kind], data, kind, arguments), arguments.kinds))
    found = {kind: quality(outs[kind], data) for kind in arguments.kinds}
    known = {kind: measured(out) for kind, out in outs.items()} | found
    rows = []
    for kind, figures in found.items():
        others = [known[one] for one in KINDS if one != kind]
        rows += [*_telling(kind, figures), _distance(kind, figures, others)]
    finish(f"GANs at {arguments.size} px on {device_name()}", rows)


def _telling(kind: str, figures: Figures) -> list[Row]:
    """Drawn from real; and the test's own strength."""
    limit, asked = 0.80 if has_gpu() else 0.90, kind == "stylegan2-ada"
    told, same = figures["two_sample"], figures["two_sample_real_against_real"]
    early = figures.get("two_sample_early", {"value": math.nan, "interval": (0, 1), "n": 0})
    shown = f"{kind}, best after {figures['images_shown']} images"
    bar = f"<= {limit:.2f}" if asked else "reported"
    low, high = same["interval"]
    by_features = figures["two_sample_in_features"]
    return [
        accuracy_row(f"{shown}: told from real", told, bar, not asked or told["value"] <= limit),
        accuracy_row(f"{kind}: by features of the domain", by_features, "reported", True),
        accuracy_row(f"{kind}: real from real", same, "holds 0.5", low <= 0.5 <= high),
        accuracy_row(
            f"{kind}: {figures.get('early_checkpoint')} told from real",
            early,
            ">= 0.95",
            early["value"] >= 0.95,
        ),
    ]


def _distance(kind: str, figures: Figures, others: Sequence[Figures | None]) -> Row:
    """KID beside that of the other kinds; those not measured yet can't be beaten."""
    kid, asked = figures["kid"], kind == "stylegan2-ada"
    lowest = all(one is not None and kid["value"] < one["kid"]["value"] for one in others)
    interval = (kid["value"] - 1.96 * kid["error"], kid["value"] + 1.96 * kid["error"])
    what = f"{kind}: KID (halves of the real: {figures['kid_of_real_halves']['value']:.4f})"
    bar = "the lowest of the three" if asked else "reported"
    return Row(what, kid["n"], kid["value"], bar, not asked or lowest, interval)


if __name__ == "__main__":
    main()
