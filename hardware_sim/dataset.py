"""Simulated data sets on disk, as `models.dataset` reads them: ``images/<id>.png`` and
``labels.csv``.

Each run has light, lens, noise and focus of its own, so that a split by run tests on conditions
that were not seen in training.
"""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from hardware_sim.crops import Label, LabelledCrop, RunPlan, crops_of_run
from hardware_sim.spheroids import SizePreset
from sorter.crop import CropSettings
from sorter.errors import InputError, RunFault, UsageError

FIELD_UM = 384.0


@dataclass(frozen=True, slots=True)
class CropRow:
    """One line of ``labels.csv``; ``diameter_um`` is what the sorter measured."""

    id: str
    file: str
    label: Label
    phenotype: str
    severity: float
    pitch_um: float
    run: str
    object: str
    diameter_um: float


def plan_runs(
    *, n: int, unhealthy: float, others: float, seed: int, views: int, runs: int
) -> list[RunPlan]:
    """Deal ``n`` crops of ``views`` each to objects and runs.

    The share of the unhealthy among the spheroids, and of the others among all, is exact up to
    rounding. The last object may have fewer views.
    """
    objects = -(-n // views)
    other = round(others * objects)
    sick = round(unhealthy * (objects - other))
    healthy = objects - other - sick
    counts: list[tuple[Label, int]] = [("other", other), ("unhealthy", sick), ("healthy", healthy)]
    labels = [label for label, count in counts for _ in range(count)]
    order = np.random.default_rng([seed, 11]).permutation(objects)
    bounds = np.linspace(0, objects, runs + 1).astype(int).tolist()
    plans = []
    for run, (start, stop) in enumerate(itertools.pairwise(bounds)):
        plans.append(
            RunPlan(
                run=run,
                first_object=start,
                labels=tuple(labels[i] for i in order[start:stop]),
                views=tuple(min(views, n - views * i) for i in range(start, stop)),
            )
        )
    return plans


def write_dataset(
    out: Path,
    *,
    n: int,
    unhealthy: float,
    seed: int,
    size_px: int = 64,
    views: int = 1,
    others: float = 0.0,
    runs: int = 10,
    size: SizePreset = "150-400",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a data set of simulated crops; the same arguments give the same bytes.

    Args:
        out: new folder; written under a temporary name beside it, then renamed.
        n: crops.
        unhealthy: share of unhealthy objects among the spheroids, 0 to 1.
        seed: of everything random.
        size_px: side of a crop; it always shows `FIELD_UM` µm.
        views: crops of each object, in attitudes as it rolls past the camera.
        others: share of objects that are no single spheroid (bubbles, clumps of debris, fibres,
            touching pairs), 0 to 1.
        runs: runs that the objects are dealt to, each with optics of its own.
        size: preset of the channel.
        workers: processes; the result does not depend on it.
        progress: called with crops done and crops in all.

    Raises:
        UsageError: a number is out of range, or ``out`` exists.
        RunFault: the disk is full, or a body can't be found by the sorter.
    """
    _check(out, n=n, unhealthy=unhealthy, others=others, views=views, runs=runs, size_px=size_px)
    plans = plan_runs(n=n, unhealthy=unhealthy, others=others, seed=seed, views=views, runs=runs)
    settings = CropSettings(size_px=size_px, pitch_um=FIELD_UM / size_px)
    temporary = out.with_name(f".{out.name}-{uuid.uuid4().hex[:12]}")
    try:
        (temporary / "images").mkdir(parents=True)
        rows = _write_runs(temporary, plans, seed, settings, size, workers, n, progress)
        with (temporary / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([field.name for field in fields(CropRow)])
            writer.writerows(astuple(row) for row in rows)
        temporary.rename(out)
    except OSError as error:
        raise RunFault(
            f"the data set can't be written: {error.strerror or error}",
            on=out,
            do="Free disk space or choose another folder; nothing was left behind.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(
    out: Path, *, n: int, unhealthy: float, others: float, views: int, runs: int, size_px: int
) -> None:
    if out.exists():
        raise UsageError("the folder exists already", on=out, do="Remove it or name another one.")
    if not out.absolute().parent.is_dir():
        raise UsageError("the folder's parent does not exist", on=out, do="Make it first.")
    if min(n, views, runs) < 1 or size_px < 8:
        raise InputError(
            f"n={n}, views={views}, runs={runs}, size={size_px} px make no data set",
            do="Give n, views and runs of at least 1 and a size of at least 8 px.",
        )
    if not (0.0 <= unhealthy <= 1.0 and 0.0 <= others <= 1.0):
        raise InputError(
            f"unhealthy={unhealthy} and others={others} must be shares",
            do="Give numbers from 0 to 1.",
        )


def _write_runs(
    folder: Path,
    plans: list[RunPlan],
    seed: int,
    settings: CropSettings,
    size: SizePreset,
    workers: int,
    n: int,
    progress: Callable[[int, int], None] | None,
) -> list[CropRow]:
    """Write the images of all runs; rows in the order of the runs."""
    done = 0
    rows: dict[int, list[CropRow]] = {}
    if workers <= 1:
        for plan in plans:
            rows[plan.run] = []
            for row in _write_run(folder, plan, seed, settings, size):
                rows[plan.run].append(row)
                done += 1
                if progress is not None and (done % 20 == 0 or done == n):
                    progress(done, n)
    else:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context)
        try:
            jobs = {
                pool.submit(_write_whole_run, folder, plan, seed, settings, size): plan.run
                for plan in plans
            }
            for job in as_completed(jobs):
                rows[jobs[job]] = job.result()
                done += len(rows[jobs[job]])
                if progress is not None:
                    progress(done, n)
        except BrokenProcessPool as error:
            raise RunFault("a process that drew crops died", do="Try with one worker.") from error
        finally:
            # On a break the runs that wait are dropped; the ones being written must end before
            # their folder is removed.
            pool.shutdown(wait=True, cancel_futures=True)
    return [row for plan in plans for row in rows[plan.run]]


def _write_whole_run(
    folder: Path, plan: RunPlan, seed: int, settings: CropSettings, size: SizePreset
) -> list[CropRow]:
    # Two threads of OpenCV in each of two workers only get in each other's way.
    cv2.setNumThreads(1)
    return list(_write_run(folder, plan, seed, settings, size))


def _write_run(
    folder: Path, plan: RunPlan, seed: int, settings: CropSettings, size: SizePreset
) -> Iterator[CropRow]:
    for one in crops_of_run(plan, seed=seed, crop_settings=settings, size=size):
        name = f"{one.object:06d}-{one.view:02d}"
        file = f"images/{name}.png"
        encoded = cv2.imencode(".png", one.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
        (folder / file).write_bytes(encoded.tobytes())
        spheroid = one.label != "other"
        yield CropRow(
            id=name,
            file=file,
            label=one.label,
            phenotype=one.spec.phenotype if spheroid else _other_name(one),
            severity=round(one.spec.severity, 4),
            pitch_um=settings.pitch_um,
            run=f"sim-{plan.run:02d}",
            object=f"{one.object:06d}",
            diameter_um=round(one.detection.diameter_um, 2),
        )


def _other_name(one: LabelledCrop) -> str:
    return "double" if one.spec.kind == "spheroid" else one.spec.kind
