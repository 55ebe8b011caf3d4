"""How fast the pipeline is on this machine: segment, track, crop and classify, one thread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from drivers.ports import Frame
from models.bundle import Bundle
from models.infer import Classifier
from sorter.bench_frames import BenchFrames, bench_frames
from sorter.crop import CropSettings
from sorter.decide import Decider, DecideSettings, OutletSettings
from sorter.pipeline import Pipeline, PixelVision
from sorter.segment import Segmenter, SegmentSettings
from sorter.track import TrackSettings
from sorter.tracker import Tracker

FRAME_PERIOD_NS = 5_000_000
HEADLINE = (1280, 512, 16)
SIZES_PX = ((640, 480), (1280, 512), (1280, 1024), (2048, 1024), (2560, 2048))
OBJECTS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One measured line: times in ms per frame, one thread."""

    width_px: int
    height_px: int
    objects: int
    frames: int
    p50_ms: float
    p99_ms: float
    objects_per_frame: float

    @property
    def spheroids_per_s(self) -> float:
        """Classified views per second at the median time."""
        return self.objects_per_frame / self.p50_ms * 1e3


def bench_pipeline(bundle: Bundle, classifier: Classifier, frames: BenchFrames) -> Pipeline:
    """The shipped pipeline for frames of that size; every body is classified in every frame."""
    manifest = bundle.manifest
    _, height, width = frames.frames.shape
    pitch_um = frames.pitch_um
    cv2.setNumThreads(1)
    segmenter = Segmenter(SegmentSettings(), pitch_um=pitch_um, shape=(height, width), bit_depth=8)
    crops = CropSettings(
        size_px=manifest.size_px, pitch_um=manifest.pitch_um, level=manifest.background_level
    )
    decider = Decider(
        DecideSettings(min_diameter_um=60.0, judged_at_once=10_000),
        OutletSettings(),
        labels=manifest.labels,
        threshold=lambda views: bundle.operating_point(views).threshold,
        votes=manifest.votes,
    )
    vision = PixelVision(
        segmenter,
        classifier,
        crops,
        pitch_um=pitch_um,
        settings=decider.settings,
    )
    tracker = Tracker(TrackSettings(), pitch_um=pitch_um, width_px=width)
    return Pipeline(vision, tracker, decider, junction_um=width * pitch_um + 10_000)


def measure(
    bundle: Bundle, classifier: Classifier, frames: BenchFrames, *, n_frames: int
) -> BenchRow:
    """Time the pipeline over so many frames, after one loop to settle."""
    pipeline = bench_pipeline(bundle, classifier, frames)
    length, height, width = frames.frames.shape
    times_ms = np.empty(n_frames)
    seen = 0
    gc.collect()
    for i in range(-length, n_frames):
        exposed_ns = (i + length) * FRAME_PERIOD_NS
        frame = Frame(frames.frames[i % length], i + length, exposed_ns, 0, exposed_ns)
        start = time.perf_counter_ns()
        result = pipeline.process(frame, float(exposed_ns))
        if i >= 0:
            times_ms[i] = (time.perf_counter_ns() - start) / 1e6
            seen += result.n_judged
    p50, p99 = np.percentile(times_ms, [50, 99])
    return BenchRow(
        width, height, len(frames.diameters_um), n_frames, float(p50), float(p99), seen / n_frames
    )


def run_bench(
    bundle: Bundle,
    classifier: Classifier,
    *,
    n_frames: int = 400,
    progress: Callable[[BenchRow], None] = lambda row: None,
) -> dict[str, Any]:
    """The headline figure and the table: objects at one frame size, sizes at 16 objects.

    Returns:
        JSON-able: ``spheroids_per_s`` of 16 objects in 1280x512 at 2 µm/px, ``provider``, and
        ``table``.
    """
    cases = [(1280, 512, n) for n in OBJECTS]
    cases += [(w, h, 16) for w, h in SIZES_PX if (w, h) != (1280, 512)]
    rows: list[BenchRow] = []
    for width, height, objects in cases:
        length = 64 if width * height < 3e6 else 32
        frames = bench_frames(objects, width_px=width, height_px=height, length=length)
        row = measure(bundle, classifier, frames, n_frames=n_frames)
        rows.append(row)
        progress(row)
    headline = next(r for r in rows if (r.width_px, r.height_px, r.objects) == HEADLINE)
    return {
        "spheroids_per_s": headline.spheroids_per_s,
        "provider": classifier.provider,
        "frames": n_frames,
        "table": table(rows),
    }


def table(rows: Sequence[BenchRow]) -> list[dict[str, Any]]:
    """Rows as JSON-able objects."""
    return [
        {
            "width_px": r.width_px,
            "height_px": r.height_px,
            "megapixels": r.width_px * r.height_px / 1e6,
            "objects": r.objects,
            "classified_per_frame": r.objects_per_frame,
            "p50_ms": r.p50_ms,
            "p99_ms": r.p99_ms,
            "spheroids_per_s": r.spheroids_per_s,
        }
        for r in rows
    ]
