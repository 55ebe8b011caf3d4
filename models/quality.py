"""How good a generator is: numbers, neighbours, and one page with grids. Behind `sorter quality`.

Everything is measured against the images that the generator was trained on, in features of a
network that was trained in the domain (`models.features`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import CropSet, load_crops
from models.features import Extractor, load_features
from models.gan.checkpoint import Checkpoint, checkpoints_in, load_checkpoint
from models.gan.loop import draw
from models.gan.networks import Generator, Rng
from models.gan.records import grid, png
from models.gan.training_data import rare_class
from models.quality_metrics import fid, kid, nearest, nearest_other, overlap
from models.synthesize import load_generator
from models.two_sample import TwoSampleSettings, two_sample, two_sample_in_features
from sorter.errors import InputError
from sorter.files import write_atomic

Progress = Callable[[int, int, str], None]
FIGURES_FILE, PAGE_FILE = "quality.json", "quality.html"
_COLUMNS = 10
# Images, and the names of their bodies where they show bodies.
_Set = tuple[NDArray[np.uint8], NDArray[np.str_] | None]


def judge(
    checkpoint: Path,
    data: Path,
    out: Path,
    *,
    n: int = 2000,
    seed: int = 0,
    two_sample_settings: TwoSampleSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a generator and write ``quality.json`` and ``quality.html``.

    Args:
        checkpoint: a training's folder (its best is used) or one checkpoint.
        data: the data set that it was trained on.
        out: folder for the two files.
        n: images drawn, at most as many as it was trained on for the distances.
        seed: of what is drawn and of the tests.
        two_sample_settings: of the network that tells real from drawn.
        progress: called with (steps done, steps, what).

    Returns:
        What ``quality.json`` holds.

    Raises:
        InputError: checkpoint or data can't be used.
    """
    tell = progress or (lambda done, total, text: None)
    tell(0, 5, "reading")
    loaded = load_checkpoint(checkpoint)
    about = loaded.about
    crops = load_crops(data)
    if crops.content_hash != about.data_hash:
        raise InputError(
            "this is not the data set that the checkpoint was trained on",
            on=data,
            do="Name the one that was given to `sorter train gan --data`.",
        )
    real = rare_class(crops, label=about.label, size_px=about.size_px).crops
    del crops
    extract = load_features(loaded.path.parent.parent / "features")
    generator = load_generator(loaded)
    tell(1, 5, "drawing")
    drawn = draw_for_judging(generator, len(about.classes), n, seed)
    tell(2, 5, "features")
    figures = _figures(loaded, real, drawn, extract, seed)
    tell(3, 5, "two-sample tests")
    figures |= _two_sample(loaded, real, drawn, extract, seed, two_sample_settings)
    tell(4, 5, "page")
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / FIGURES_FILE, json.dumps(figures, indent=2) + "\n")
    write_atomic(out / PAGE_FILE, _page(figures, real.images, drawn, generator, extract, seed))
    tell(5, 5, "done")
    return figures


def draw_for_judging(generator: Generator, classes: int, n: int, seed: int) -> NDArray[np.uint8]:
    """(n, size, size) uint8, classes in turn; other images than the training's own samples."""
    label = torch.arange(n) % classes
    return draw(generator, label, seed + 7919)


def _figures(
    loaded: Checkpoint, real: CropSet, drawn: NDArray[np.uint8], extract: Extractor, seed: int
) -> dict[str, Any]:
    about = loaded.about
    a, b = extract(real.images), extract(drawn)
    own, (distance, _) = nearest_other(a), nearest(b, a)
    limit = float(np.percentile(own, 1.0))
    figures: dict[str, Any] = {
        "checkpoint": str(loaded.path),
        "checkpoint_sha256": about.sha256,
        "kind": about.gan.kind,
        "size_px": about.size_px,
        "images_shown": about.numbers["images"],
        "trained_on": len(real),
        "drawn": len(drawn),
        "seed": seed,
        "kid": asdict(kid(a, b, seed=seed)),
        "kid_of_real_halves": asdict(kid(*_halves(a, real.object, seed), seed=seed)),
        "fid": fid(a, b),
        "overlap": asdict(overlap(a, b)),
        "nearer_than_1_percent_of_real": float(np.mean(distance < limit)),
        "median_distance_to_training": float(np.median(distance)),
        "median_distance_among_training": float(np.median(own)),
    }
    if extract.net.phenotypes:
        figures["phenotype_shares"] = _shares(real, drawn, extract)
    return figures


def _shares(real: CropSet, drawn: NDArray[np.uint8], extract: Extractor) -> dict[str, Any]:
    """Share of each phenotype of the class: true, as the network calls the real, and the drawn."""
    names = extract.net.phenotypes
    on_real, on_drawn = extract.phenotype(real.images), extract.phenotype(drawn)
    shares = {}
    for i, name in enumerate(names):
        true = real.phenotype == name
        if true.any() or (on_drawn == i).any():
            shares[name] = {
                "true": float(true.mean()),
                "real": float((on_real == i).mean()),
                "drawn": float((on_drawn == i).mean()),
                "recognised": float((on_real[true] == i).mean()) if true.any() else None,
            }
    return shares


def _two_sample(
    loaded: Checkpoint,
    real: CropSet,
    drawn: NDArray[np.uint8],
    extract: Extractor,
    seed: int,
    settings: TwoSampleSettings | None,
) -> dict[str, Any]:
    """On pixels, and in features; real against real and an early checkpoint show the strength."""
    found: dict[str, Any] = {}

    def ask(what: str, one: _Set, other: _Set) -> None:
        (a, a_body), (b, b_body) = one, other
        found[f"two_sample{what}"] = asdict(
            two_sample(a, b, real_body=a_body, drawn_body=b_body, settings=settings, seed=seed)
        )
        found[f"two_sample_in_features{what}"] = asdict(
            two_sample_in_features(
                extract(a), extract(b), real_body=a_body, drawn_body=b_body, seed=seed
            )
        )

    everything = (real.images, real.object)
    ask("", everything, (drawn, None))
    bodies = np.random.default_rng([seed, 5]).permutation(np.unique(real.object))
    first = np.isin(real.object, bodies[: len(bodies) // 2])
    if min(first.sum(), (~first).sum()) >= 40:
        halves = [(real.images[half], real.object[half]) for half in (first, ~first)]
        ask("_real_against_real", *halves)
    early = checkpoints_in(loaded.path.parent)[0]
    if early != loaded.path:
        start = load_checkpoint(early)
        raw = draw_for_judging(load_generator(start), len(start.about.classes), len(drawn), seed)
        found["early_checkpoint"] = early.name
        ask("_early", everything, (raw, None))
    return found


def _halves(
    features: NDArray[np.float32], body: NDArray[np.str_], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    bodies = np.random.default_rng([seed, 6]).permutation(np.unique(body))
    first = np.isin(body, bodies[: len(bodies) // 2])
    return features[first], features[~first]


def interpolation(generator: Generator, rows: int, columns: int, seed: int) -> NDArray[np.uint8]:
    """(rows · columns, size, size) uint8: on each row from one random image to another, with the
    same noise all the way."""
    rng = Rng().manual_seed(seed)
    label = torch.zeros(rows, dtype=torch.long)
    start, end = generator.sample_latents(label, rng), generator.sample_latents(label, rng)
    noise = torch.randn(rows, generator.noise_numbers, generator=rng)
    with torch.inference_mode():
        drawn = [
            generator.draw_with(start.lerp(end, k / (columns - 1)), noise) for k in range(columns)
        ]
        steps = [generator.grey.to_grey(one)[:, 0].numpy() for one in drawn]
    return np.stack(steps, 1).reshape(rows * columns, *steps[0].shape[1:])


def _page(
    figures: dict[str, Any],
    real: NDArray[np.uint8],
    drawn: NDArray[np.uint8],
    generator: Generator,
    extract: Extractor,
    seed: int,
) -> str:
    rng = np.random.default_rng(seed)
    some_real = real[np.sort(rng.permutation(len(real))[: 6 * _COLUMNS])]
    a, b = extract(real), extract(drawn)
    distance, row = nearest(b, a)
    closest = np.argsort(distance)[:_COLUMNS]
    others = rng.permutation(len(drawn))[:_COLUMNS]
    pairs = np.concatenate([drawn[closest], real[row[closest]], drawn[others], real[row[others]]])
    grids = [
        ("Real", some_real),
        ("Drawn", drawn[: 6 * _COLUMNS]),
        (
            "The ten that are nearest to a training image, that image below; then ten at random",
            pairs,
        ),
        ("From one drawn image to another", interpolation(generator, 4, _COLUMNS, seed)),
    ]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        files("models").joinpath("quality_template.html").read_text("utf-8")
    )
    return template.render(
        figures=figures,
        grids=[(title, _address(grid(images, _COLUMNS))) for title, images in grids],
        details=json.dumps(figures, indent=2),
    )


def _address(image: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()
