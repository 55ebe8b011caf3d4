"""Memory: 15,000 images of 256 px, and a training at 64 px; peaks of processes of their own.

15,000 images of 256×256 px are 0.98 GB in 8 bits and 7.9 GB in 64: a peak under 2.5 GB means that
they were never all in memory in 64, 32 or even 16 bits at once beside the 8-bit ones.

    python -m benchmarks.bar_03_memory
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks._bar import Row, finish
from benchmarks._gans import WORK, simulated

_LOAD = """
import resource, sys
from pathlib import Path
from models.dataset import load_crops
from models.gan.training_data import rare_class
from models.gan.grey import GreyScale
from models.gan.stream import ImageStream
rare = rare_class(load_crops(Path(sys.argv[1])), label="unhealthy", size_px=256)
stream = ImageStream(rare.crops.images, rare.condition, 0, True, GreyScale())
for first in range(0, 640, 64):
    stream.batch(first, 64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
_TRAIN = """
import resource, sys
from pathlib import Path
from models.gan.kinds import PRESETS
from models.gan.training import GanTraining
from models.train_gan import train_gan
kind = sys.argv[3]
images, threads = int(sys.argv[4]), int(sys.argv[5])
training = GanTraining(gan=PRESETS[kind, "cpu"], size_px=64, images=images, threads=threads)
train_gan(Path(sys.argv[1]), Path(sys.argv[2]), training)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=15_000, help="images of 256 px")
    parser.add_argument("--images", type=int, default=640, help="shown in the training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=WORK)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        many = Path(scratch) / "many"
        _write_many(many, arguments.n)
        peak = _peak(_LOAD, str(many))
        limit = 2.5 * arguments.n / 15_000 + (0.6 if arguments.n < 15_000 else 0.0)
        what = f"{arguments.n} images of 256 px read, filtered, streamed: peak GB"
        rows.append(Row(what, arguments.n, peak, f"< {limit:.2f}", peak < limit))
        data = simulated(arguments.work, 64)
        for kind in ("dcgan", "biggan", "stylegan2-ada"):
            numbers = map(str, (arguments.images, arguments.threads))
            peak = _peak(_TRAIN, str(data), f"{scratch}/{kind}", kind, *numbers)
            what = f"training of {kind} at 64 px on 4,000 crops: peak GB"
            rows.append(Row(what, arguments.images, peak, "< 3", peak < 3.0))
    finish("Memory of trainings on the CPU", rows)


def _peak(code: str, *arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stdout.splitlines()[-1]) / 1e9


def _write_many(folder: Path, n: int) -> None:
    """Discs of different sizes; what they show doesn't matter here."""
    (folder / "images").mkdir(parents=True)
    y, x = np.mgrid[:256, :256]
    distance = np.hypot(x - 127.5, y - 127.5)
    rng = np.random.default_rng(0)
    lines = ["id,file,label,phenotype,severity,pitch_um,run"]
    for i in range(n):
        image = np.where(distance < rng.uniform(40, 110), 90, 160).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image)
        lines.append(f"{i},images/{i}.png,unhealthy,disc,,1.5,r{i % 10}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
