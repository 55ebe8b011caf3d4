"""Of 2,000 crops drawn by the StyleGAN2-ADA of `bar_03_gans`: is every phenotype there?

Shares are judged by a phenotype classifier that was trained on another simulated data set; its
confusion on the real crops is printed.

    python -m benchmarks.bar_03_gans --kinds stylegan2-ada && python -m benchmarks.bar_03_coverage
"""

from __future__ import annotations

import numpy as np

from benchmarks._bar import Row, finish, wilson
from benchmarks._gans import device_name, options, simulated, train
from models.dataset import load_crops
from models.features import FeatureSettings, train_features
from models.gan.checkpoint import load_checkpoint
from models.gan.training_data import rare_class
from models.quality import draw_for_judging
from models.synthesize import load_generator


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--n", type=int, default=2000, help="crops drawn")
    parser.add_argument("--shown", type=int, default=200_000, help="crops the classifier is shown")
    arguments = parser.parse_args()
    data = simulated(arguments.work, arguments.size)
    other = simulated(arguments.work, arguments.size, seed=2)
    out = arguments.work / f"stylegan2-ada-{arguments.size}px-seed{arguments.seed}"
    train(out, data, "stylegan2-ada", arguments)
    learnt = rare_class(load_crops(other), label="unhealthy", size_px=arguments.size).crops
    settings = FeatureSettings(crops=arguments.shown)
    classifier = train_features(learnt, settings, seed=arguments.seed)
    names = classifier.net.phenotypes
    real = rare_class(load_crops(data), label="unhealthy", size_px=arguments.size).crops
    called = classifier.phenotype(real.images)
    print(f"\n{'is':>16} called: " + " ".join(f"{name[:10]:>10}" for name in names))
    for name in names:
        row = called[real.phenotype == name]
        shares = [f"{np.mean(row == i):10.1%}" for i in range(len(names))]
        print(f"{name:>24} " + " ".join(shares))
    loaded = load_checkpoint(out)
    drawn = draw_for_judging(load_generator(loaded), 1, arguments.n, arguments.seed)
    on_drawn = classifier.phenotype(drawn)
    rows = []
    for i, name in enumerate(names):
        share, count = float(np.mean(real.phenotype == name)), int((on_drawn == i).sum())
        ratio = count / len(drawn) / share
        low, high = wilson(count, len(drawn))
        seen = float(np.mean(called == i))
        what = f"{name}: share drawn / share in the data ({share:.1%}, called {seen:.1%})"
        rows.append(
            Row(
                what,
                len(drawn),
                ratio,
                "0.5 to 2",
                0.5 <= ratio <= 2.0,
                (low / share, high / share),
            )
        )
    finish(f"Phenotypes drawn by StyleGAN2-ADA, trained on {device_name()}", rows)


if __name__ == "__main__":
    main()
