"""Bar: one segmenter with its default settings on four sources of real images.

The pitch is the only input. Nothing here says anything about the health of a spheroid.

    python -m benchmarks.bar_01_segment_real [--overlays DIR]
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._bar import Row, finish, wilson
from sorter.detection import Detection
from sorter.still import StillSettings, of_size, overlay, read_grey, segment_still

DATA = Path(__file__).parent.parent / "tests" / "data"
REAL = DATA / "real"
PITCH_UM = {
    "many_spheroids": 7.0,
    "a673_droplets": 3.26,
    "ewing_large": 1.380,
    "patient_wells": 1.3622,
}
SMALLEST_UM = StillSettings().smallest_um
"""Size window of all figures, the default of `sorter segment`: the largest circle inside."""
DEBRIS_ON_MASK = {2, 5, 8, 14, 20}
"""Droplets whose published mask holds debris that sticks to the spheroid."""


def detections(path: Path, source: str, overlays: Path | None) -> tuple[Any, list[Detection]]:
    """The image and what is found in it, inside the size window."""
    pixels = read_grey(path)
    found = segment_still(pixels, pitch_um=PITCH_UM[source])
    found = of_size(found, PITCH_UM[source], SMALLEST_UM)
    if overlays is not None:
        overlays.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(overlays / f"{source}_{path.stem}.png"), overlay(pixels, found))
    return pixels, found


def filled(found: Sequence[Detection], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(height, width), true inside the outlines."""
    mask = np.zeros(shape[:2], np.uint8)
    for detection in found:
        cv2.drawContours(mask, [detection.contour[:, None, :]], -1, 255, -1)
    return mask > 0


def iou(found: Sequence[Detection], truth: NDArray[np.bool_]) -> float:
    """Intersection over union with the mask, of the detection that fits it best."""
    return max(
        (
            float((mask & truth).sum() / (mask | truth).sum())
            for mask in (filled([d], truth.shape) for d in found)
        ),
        default=0.0,
    )


def matches(body: dict[str, Any], detection: Detection) -> bool:
    """Within half a radius of the body's centre, in x and y together."""
    radius = (body["w"] + body["h"]) / 4.0
    distance = float(np.hypot(detection.x_px - body["x"], detection.y_px - body["y"]))
    return bool(distance <= 0.5 * radius)


def within(body: dict[str, Any], detection: Detection) -> bool:
    """Whether it overlaps with the box of a body that does not count."""
    x, y, w, h = detection.bbox
    return bool(
        abs(x + (w - 1) / 2 - body["x"]) <= (w + body["w"]) / 2
        and abs(y + (h - 1) / 2 - body["y"]) <= (h + body["h"]) / 2
    )


def many_spheroids(overlays: Path | None) -> list[Row]:
    """Recall of whole bodies, one to one, and share of false detections."""
    annotated = json.loads((DATA / "annotations" / "many_spheroids.json").read_text("utf-8"))
    total = hit = detected = false = 0
    for field in annotated["fields"]:
        path = REAL / "many_spheroids" / "images" / field["file"]
        _, found = detections(path, "many_spheroids", overlays)
        counted = [
            b for b in field["bodies"] if not (b["cut"] or b.get("debris") or b.get("unsure"))
        ]
        others = [b for b in field["bodies"] if b not in counted]
        left = list(found)
        for body in counted:
            near = [d for d in left if matches(body, d)]
            total += 1
            if near:
                hit += 1
                left.remove(min(near, key=lambda d: abs(d.x_px - body["x"])))
            else:
                print(f"  missed: {field['file']} {body}")
        for detection in left:
            if not any(within(body, detection) for body in others):
                false += 1
                print(f"  false: {field['file']} {detection.bbox} {detection.diameter_um:.0f} µm")
        detected += len(found)
    share, wrong = hit / total, false / detected
    return [
        Row("many_spheroids: whole ones matched", total, share, ">= 0.98", share >= 0.98,
            wilson(hit, total)),
        Row("many_spheroids: false detections", detected, wrong, "<= 0.02", wrong <= 0.02,
            wilson(false, detected)),
    ]  # fmt: skip


def a673_droplets(overlays: Path | None) -> list[Row]:
    """Exactly one per frame that a person called ok, and the overlap with the masks."""
    root = REAL / "a673_droplets"
    with (root / "visual_qc.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["visual_qc"] == "ok"]
    one, overlaps = 0, []
    for name in names:
        _, found = detections(root / "images" / name, "a673_droplets", overlays)
        one += len(found) == 1
        if len(found) != 1:
            print(f"  {name}: {[round(d.diameter_um) for d in found]} µm")
        mask = root / "masks" / name.replace(".tiff", ".png")
        if mask.exists() and int(mask.stem.split("_")[1]) not in DEBRIS_ON_MASK:
            overlaps.append(iou(found, read_grey(mask) > 0))
            print(f"  {name}: IoU {overlaps[-1]:.3f}")
    median = float(np.median(overlaps))
    return [
        Row("a673_droplets: ok frames with exactly one", len(names), one / len(names), "= 1",
            one == len(names), wilson(one, len(names))),
        Row("a673_droplets: median IoU", len(overlaps), median, ">= 0.9", median >= 0.9,
            (float(np.min(overlaps)), float(np.max(overlaps)))),
    ]  # fmt: skip


def ewing_large(overlays: Path | None) -> list[Row]:
    """Overlap with both masks."""
    root = REAL / "ewing_large"
    rows = []
    for name in ("B2.png", "B10.png"):
        _, found = detections(root / "images" / name, "ewing_large", overlays)
        value = iou(found, read_grey(root / "masks" / name) > 0)
        rows.append(Row(f"ewing_large {name}: IoU", 1, value, ">= 0.9", value >= 0.9))
    return rows


def patient_wells(overlays: Path | None) -> list[Row]:
    """Scribbled pixels of spheroids that are found, and of background that are left alone."""
    root = REAL / "patient_wells"
    inside, spheroid, outside, background = 0, 0, 0, 0
    for path in sorted((root / "images").glob("*.tif")):
        pixels, found = detections(path, "patient_wells", overlays)
        mask = filled(found, pixels.shape)
        scribble = read_grey(root / "scribbles" / f"{path.stem}.png")
        hit, n = int(mask[scribble == 2].sum()), int((scribble == 2).sum())
        miss, m = int((~mask)[scribble == 1].sum()), int((scribble == 1).sum())
        print(f"  {path.name}: recall {hit / n:.4f}  specificity {miss / m:.4f}")
        inside, spheroid, outside, background = (
            inside + hit, spheroid + n, outside + miss, background + m,
        )  # fmt: skip
    recall, specificity = inside / spheroid, outside / background
    return [
        Row("patient_wells: recall of spheroid scribbles, px", spheroid, recall, ">= 0.98",
            recall >= 0.98),
        Row("patient_wells: specificity on background scribbles, px", background, specificity,
            ">= 0.98", specificity >= 0.98),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlays", type=Path, default=None, help="write overlays there")
    overlays = parser.parse_args().overlays
    rows = [
        row
        for source in (many_spheroids, a673_droplets, ewing_large, patient_wells)
        for row in source(overlays)
    ]
    finish(
        f"Segmentation of real images (default settings; objects from {SMALLEST_UM:.0f} µm; "
        "the interval of the median IoU is the range)",
        rows,
    )


if __name__ == "__main__":
    main()
