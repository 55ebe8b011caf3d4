"""A tiny data set whose classes are plain to see: discs, discs with dark spots, rings."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

COLUMNS = (
    "id", "file", "label", "phenotype", "severity", "pitch_um", "run", "object", "diameter_um",
)  # fmt: skip
KINDS = (("healthy", "healthy"), ("unhealthy", "spotted"), ("other", "ring"))


def draw(kind: str, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(size, size) uint8 crop on a background of 160."""
    image = np.full((size, size), 160.0, np.float32)
    centre = size / 2 + rng.uniform(-1, 1, 2)
    radius = size * rng.uniform(0.25, 0.38)
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x - centre[0], y - centre[1])
    if kind == "ring":
        image[np.abs(distance - radius) < 2] = 30
    else:
        image[distance < radius] = 110
    if kind == "spotted":
        for angle in rng.uniform(0, 2 * np.pi, 3):
            spot = centre + 0.6 * radius * np.array([np.cos(angle), np.sin(angle)])
            image[np.hypot(x - spot[0], y - spot[1]) < 2.5] = 20
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def write_toy(
    folder: Path, objects: int = 210, views: int = 2, size: int = 32, seed: int = 0, runs: int = 7
) -> list[dict[str, str]]:
    """Write a data set; returns the rows of its table."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for body in range(objects):
        label, kind = KINDS[body % 3]
        for view in range(views):
            name = f"{body:04d}_{view}"
            cv2.imwrite(str(folder / "images" / f"{name}.png"), draw(kind, size, rng))
            values = (
                name, f"images/{name}.png", label, kind, "0.5" if label == "unhealthy" else "",
                "6.0", f"run{body // 3 % runs}", str(body), "200",
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    write_table(folder, rows)
    return rows


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write ``labels.csv``."""
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
