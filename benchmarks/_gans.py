"""What the bars about GANs share: data, trainings by the documented command, quality.

Everything is kept in one folder and taken up again there: a bar can be interrupted at any time, and
called for a part at a time, in as many sessions as it takes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks._bar import Row
from hardware_sim.dataset import write_dataset
from models.dataset import load_crops
from models.features import FeatureSettings, save_features, train_features
from models.gan.training_data import resized
from models.quality import FIGURES_FILE, judge

# What a bar leaves there, the next call takes up again.
WORK = Path(tempfile.gettempdir()) / "bar_03"
KINDS = ("dcgan", "biggan", "stylegan2-ada")
# Real images shown to each kind: half an hour for StyleGAN2 on a core that does nothing else; its
# KID falls no more from 68,000 on.
CPU_IMAGES = 80_000
# Ten minutes on a large GPU that several trainings share.
GPU_IMAGES = 400_000
# So small networks gain little by a second one, and lose nine tenths where other work wants a core.
CPU_THREADS = 1


def options(description: str | None) -> argparse.ArgumentParser:
    """Options of every bar about GANs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=WORK, help="kept, taken up again")
    parser.add_argument("--size", type=int, default=64 if has_gpu() else 32, help="px")
    parser.add_argument("--images", type=int, default=GPU_IMAGES if has_gpu() else CPU_IMAGES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="cpu", help="of the networks")
    parser.add_argument("--batch", type=int, default=64 if has_gpu() else None)
    parser.add_argument("--gamma", type=float, help="weight of R1 in StyleGAN2-ADA")
    parser.add_argument("--jobs", type=int, default=1, help="trainings beside each other")
    parser.add_argument("--threads", type=int, default=CPU_THREADS)
    return parser


def has_gpu() -> bool:
    return torch.cuda.is_available()


def device_name() -> str:
    if has_gpu():
        return str(torch.cuda.get_device_name())
    text = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [one.split(":")[1].strip() for one in text.splitlines() if one.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else "a CPU"


def simulated(work: Path, size: int, unhealthy: int = 2000, seed: int = 1) -> Path:
    """A data set with so many unhealthy crops and as many healthy ones, each of its own body."""
    folder = work / f"crops-{size}px-{unhealthy}-seed{seed}"
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_dataset(
            folder, n=2 * unhealthy, unhealthy=0.5, seed=seed, size_px=size, runs=20, workers=2
        )
    return folder


def features(data: Path, arguments: argparse.Namespace) -> Path:
    """The network in whose features all trainings on a data set are judged."""
    folder: Path = arguments.work / f"features-{data.name}"
    if not folder.exists():
        crops = resized(load_crops(data), arguments.size)
        save_features(train_features(crops, FeatureSettings(), seed=0), folder)
    return folder


def train(out: Path, data: Path, kind: str, arguments: argparse.Namespace, *extra: str) -> None:
    """Run the documented command to its end, going on where an earlier call stopped."""
    if not out.exists():
        shutil.copytree(features(data, arguments), out / "features")
    program = shutil.which("sorter", path=str(Path(sys.executable).parent)) or "sorter"
    command = [program, "train", "gan", "--kind", kind, "--data", str(data), "--out", str(out)]
    command += ["--size", str(arguments.size), "--images", str(arguments.images)]
    command += ["--seed", str(arguments.seed), "--threads", str(arguments.threads)]
    command += ["--preset", arguments.preset, *extra]
    if arguments.batch is not None:
        command += ["--batch", str(arguments.batch)]
    if arguments.gamma is not None and kind == "stylegan2-ada":
        command += ["--gamma", str(arguments.gamma)]
    if (out / "training.json").exists():
        command.append("--resume")
    print("$", shlex.join(command), flush=True)
    subprocess.run(command, check=True)


def quality(out: Path, data: Path, n: int = 2000) -> dict[str, Any]:
    """Quality of a training's best checkpoint; measured once for each checkpoint."""
    from models.gan.checkpoint import load_checkpoint

    known, sha256 = measured(out), load_checkpoint(out).about.sha256
    if known is not None and known["checkpoint_sha256"] == sha256:
        return known
    return judge(out, data, out / "quality", n=n)


def measured(out: Path) -> dict[str, Any] | None:
    """What `quality` found in an earlier call, if there was one."""
    file = out / "quality" / FIGURES_FILE
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else None


def accuracy_row(what: str, found: dict[str, Any], bar: str, passed: bool) -> Row:
    low, high = found["interval"]
    return Row(what, int(found["n"]), float(found["value"]), bar, passed, (low, high))
