"""Parameter counts at 64, 128 and 256 px: as built, by hand from the papers' tables, in the docs.

python -m benchmarks.bar_03_shapes
"""

from __future__ import annotations

import torch

from benchmarks._bar import Row, finish
from models.gan.kinds import PRESETS, build
from models.gan.networks import parameters_of
from tests.models.gan.test_shapes import BY_HAND, KINDS, PAGE, SIZES


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = []
    for kind in KINDS:
        for size in SIZES:
            with torch.device("meta"):
                networks = build(PRESETS[kind, "paper"], size)
            counts = tuple(parameters_of(one) for one in networks)
            by_hand = BY_HAND[kind](size)
            line = f"| {kind} | {size} | {counts[0]:,} | {counts[1]:,} |"
            for name, count, wanted in zip("GD", counts, by_hand, strict=True):
                what = f"{kind} at {size} px, {name}: parameters"
                good = count == wanted and line in page
                rows.append(Row(what, 1, count, f"= {wanted:,}, in docs/gans.md", good))
    finish("Shapes", rows)


if __name__ == "__main__":
    main()
