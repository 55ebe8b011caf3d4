"""Images per second and peak memory of each GAN; each in a process of its own.

StyleGAN2-ADA on two CPU cores is measured in the very configuration that `bar_03_gans` trains
there (preset ``cpu``, 32 px, one thread). On a GPU the preset ``paper`` at 64 px is measured.

    python -m benchmarks.bar_03_speed
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import psutil
import torch

from benchmarks._bar import Row, finish
from benchmarks._gans import CPU_THREADS, KINDS, device_name, has_gpu

GIGABYTE = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of measuring, for each")
    parser.add_argument("--threads", type=int, default=CPU_THREADS)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _measure(arguments.one[0], int(arguments.one[1]), arguments.seconds, arguments.threads)
        return
    print(f"load {os.getloadavg()[0]:.1f}, device {device_name()}")
    rows = []
    cases = [(kind, 64) for kind in KINDS] + ([] if has_gpu() else [("stylegan2-ada", 32)])
    for kind, size in cases:
        command = [sys.executable, "-m", "benchmarks.bar_03_speed", "--one", kind, str(size)]
        command += ["--seconds", str(arguments.seconds), "--threads", str(arguments.threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        asked = (kind, size) == ("stylegan2-ada", 32)
        got = f"peak {found['peak_gb']:.2f} GB, got {found['cores']:.1f} cores"
        what = f"{kind} at {size} px, {found['preset']}: images/s ({got})"
        rate = found["images_per_s"]
        bar = ">= 25 on 2 cores" if asked else "reported"
        rows.append(Row(what, found["images"], rate, bar, not asked or rate >= 25))
    finish(f"Speed of training on {device_name()}", rows)


def _measure(kind: str, size: int, seconds: float, threads: int) -> None:
    """Train on noise: its content doesn't matter for the time. Prints one line of JSON."""
    from lightning_fabric import Fabric

    from models.gan.ada import Strength
    from models.gan.kinds import PRESETS
    from models.gan.state import new_state
    from models.gan.step import Stepper

    preset = "paper" if has_gpu() else "cpu"
    settings = PRESETS[kind, preset]  # type: ignore[index]
    torch.set_num_threads(threads)
    fabric = Fabric(accelerator="auto", devices=1)
    fabric.launch()
    state = new_state(settings, size, 1, 0, fabric.device)
    # Augmentation costs the same at any strength above 0.
    state.strength = Strength(0.3)
    stepper = Stepper(settings.recipe, size, fabric, 0)
    shape = (settings.recipe.batch, 1, size, size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    label = torch.zeros(len(images), dtype=torch.long, device=fabric.device)
    batches = [(images.to(fabric.device), label)] * settings.recipe.discriminator_steps
    stepper.step(state, batches)
    state.images, start, worked = 0, time.perf_counter(), time.process_time()
    # Whole rounds of the lazy regularisation, so that none is left out.
    while time.perf_counter() - start < seconds:
        for _ in range(16):
            stepper.step(state, batches)
        if has_gpu():
            torch.cuda.synchronize()
    took = time.perf_counter() - start
    gpu = torch.cuda.max_memory_allocated() if has_gpu() else 0
    peak = gpu or _peak_bytes()
    print(
        json.dumps(
            {
                "images": state.images,
                "images_per_s": state.images / took,
                "peak_gb": peak / GIGABYTE,
                "cores": (time.process_time() - worked) / took,
                "preset": preset,
            }
        )
    )


def _peak_bytes() -> int:
    """Peak resident memory of this process."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
