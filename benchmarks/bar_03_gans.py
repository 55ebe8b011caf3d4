"""Each GAN on 2,000 simulated unhealthy crops: can a network tell what it draws from the real?

On a GPU at 64 px, on a CPU at 32 px (some two hours for each kind on two cores that do nothing
else); trained by the documented command, taken up again where it was stopped. Grids and figures
are in WORK/KIND/quality/quality.html.

    python -m benchmarks.bar_03_gans --work trainings
"""

from __future__ import annotations

import math

from benchmarks._bar import Row, finish
from benchmarks._gans import KINDS, accuracy_row, device_name, has_gpu, options, quality, simulated
from benchmarks._gans import train as train_by_command


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--unhealthy", type=int, default=2000, help="crops that are learnt from")
    arguments = parser.parse_args()
    data = simulated(arguments.work, arguments.size, arguments.unhealthy)
    found = {}
    for kind in arguments.kinds:
        out = arguments.work / f"{kind}-{arguments.size}px-seed{arguments.seed}"
        train_by_command(out, data, kind, arguments)
        found[kind] = quality(out, data)
    limit = 0.80 if has_gpu() else 0.90
    rows = []
    for kind, figures in found.items():
        value = figures["two_sample"]["value"]
        asked = kind == "stylegan2-ada"
        bar = f"<= {limit:.2f}" if asked else "reported"
        rows.append(
            accuracy_row(
                f"{kind}: told from real", figures["two_sample"], bar, not asked or value <= limit
            )
        )
        same = figures["two_sample_real_against_real"]
        low, high = same["interval"]
        rows.append(accuracy_row(f"{kind}: real from real", same, "holds 0.5", low <= 0.5 <= high))
        early = figures.get("two_sample_early", {"value": math.nan, "interval": (0, 1), "n": 0})
        rows.append(
            accuracy_row(
                f"{kind}: {figures.get('early_checkpoint')} told from real",
                early,
                ">= 0.95",
                early["value"] >= 0.95,
            )
        )
        kid = figures["kid"]
        others = [found[one]["kid"]["value"] for one in found if one != kind]
        lowest = not others or kid["value"] < min(others)
        interval = (kid["value"] - 1.96 * kid["error"], kid["value"] + 1.96 * kid["error"])
        bar = "the lowest" if asked else "reported"
        what = f"{kind}: KID (halves of the real: {figures['kid_of_real_halves']['value']:.4f})"
        rows.append(Row(what, kid["n"], kid["value"], bar, not asked or lowest, interval))
    finish(f"GANs at {arguments.size} px on {device_name()}", rows)


if __name__ == "__main__":
    main()
