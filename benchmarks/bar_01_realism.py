"""Do simulated healthy spheroids look like the real droplets, by four measures, and by eye?

    python -m benchmarks.bar_01_realism

Rim contrast, rim width, interior-to-background ratio and granularity are defined in
`benchmarks._looks` and computed by the same code on both, at 3.26 µm/px. The bar: the simulator's
5-95 % range holds at least 80 % of the real values. Writes docs/images/real_vs_simulated.png.

The real spheroids are A673 (Ewing sarcoma) in droplets, not HepG2: this bars looks, not health.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._bar import Row, finish, wilson
from benchmarks._looks import PITCH_UM, REAL, Looks, measure
from hardware_sim.crops import RIG_PITCH_UM, height_um, random_rotation, run_optics
from hardware_sim.optics import Sensor
from hardware_sim.phenotypes import DEFECTS, HARMLESS
from hardware_sim.real_source import Light, droplets, outline
from hardware_sim.spheroids import BodySpec, draw_spheroid, make_body

SHEET = Path(__file__).parents[1] / "docs" / "images" / "real_vs_simulated.png"
_N = 600
_RUNS = 20
_SIDE_PX = 128
_TILE_PX = 192
_COLUMNS = 8


def simulated(spec: BodySpec, rng: np.random.Generator, sensor: Sensor, focus_um: float) -> Light:
    """A spheroid rendered by the rig's optics, over its background, resampled to `PITCH_UM`."""
    depth_um = sensor.settings.depth_of_field_um
    side = sensor.background().shape[0]
    patch = make_body(spec, depth_of_field_um=depth_um).transmission(
        random_rotation(rng),
        pitch_um=RIG_PITCH_UM,
        defocus_um=height_um(rng, spec, "150-400") - 110.0 - focus_um,
        centre_px=(side / 2, side / 2),
    )
    frame = sensor.expose([patch], time_s=0.0).astype(np.float32)
    light = frame / (sensor.background() * sensor.level(0.0))
    shape = (_SIDE_PX, _SIDE_PX)
    return np.asarray(cv2.resize(light, shape, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _sensor(run: int) -> tuple[Sensor, float]:
    optics, focus_um = run_optics(3, run)
    side = round(_SIDE_PX * PITCH_UM / RIG_PITCH_UM)
    return Sensor(side, side, 8, optics, run), focus_um


def simulated_looks() -> list[Looks]:
    """Measures of `_N` healthy spheroids as the simulator draws them, harmless oddities too."""
    found = []
    for run in range(_RUNS):
        sensor, focus_um = _sensor(run)
        rng = np.random.default_rng([31, run])
        for _ in range(_N // _RUNS):
            light = simulated(draw_spheroid(rng, unhealthy_fraction=0.0), rng, sensor, focus_um)
            mask = outline(light)
            if mask.any():
                found.append(measure(light, mask))
    return found


def rows(real: Sequence[Looks], drawn: Sequence[Looks]) -> list[Row]:
    """One row for each measure."""
    ours, theirs = (np.array([astuple(one) for one in part]) for part in (drawn, real))
    result = []
    for i, field in enumerate(fields(Looks)):
        low, high = np.percentile(ours[:, i], [5, 95])
        inside = int(np.sum((theirs[:, i] >= low) & (theirs[:, i] <= high)))
        r05, r50, r95 = np.percentile(theirs[:, i], [5, 50, 95])
        what = (
            f"{field.name}: share of real values inside the simulator's [{low:.3g}, {high:.3g}] "
            f"(real 5/50/95 %: {r05:.3g}/{r50:.3g}/{r95:.3g})"
        )
        share = inside / len(theirs)
        result.append(
            Row(what, len(theirs), share, ">= 0.8", share >= 0.8, wilson(inside, len(theirs)))
        )
    return result


def _tile(light: Light, text: str) -> NDArray[np.uint8]:
    height, width = light.shape
    y, x = (height - _SIDE_PX) // 2, (width - _SIDE_PX) // 2
    middle = light[max(0, y) : max(0, y) + _SIDE_PX, max(0, x) : max(0, x) + _SIDE_PX]
    grey = np.clip(middle * 160.0, 0, 255).astype(np.uint8)
    tile = cv2.resize(grey, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(tile, (0, 0), (_TILE_PX, 17), 40, cv2.FILLED)
    cv2.putText(tile, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 255, 1, cv2.LINE_AA)
    return np.asarray(tile, dtype=np.uint8)


def _specs() -> list[tuple[str, BodySpec]]:
    rng = np.random.default_rng(77)

    def spec(phenotype: str, severity: float, diameter_um: float) -> BodySpec:
        health = "unhealthy" if phenotype in DEFECTS else "healthy"
        seed = int(rng.integers(2**31))
        return BodySpec("spheroid", diameter_um, health, phenotype, severity, seed)  # type: ignore[arg-type]

    healthy = [("healthy", s) for s in np.linspace(0.0, 0.29, 16).round(2).tolist()]
    healthy += [(name, 0.1) for name in sorted(HARMLESS) for _ in range(2)]
    drawn = [(f"sim {p} {s:.2f}", spec(p, s, rng.uniform(160, 240))) for p, s in healthy]
    drawn = [(t, spec("dark_core", 0.1, 300.0) if "dark_core" in t else one) for t, one in drawn]
    for phenotype in DEFECTS:
        for severity in (0.4, 0.7, 1.0):
            one = spec(phenotype, severity, rng.uniform(170, 250))
            drawn.append((f"sim {phenotype} {severity}", one))
    return drawn


def sheet(real: dict[str, Light]) -> NDArray[np.uint8]:
    """Real and simulated crops side by side, labelled, all at 3.26 µm/px and one grey scale."""
    tiles = [
        _tile(light, f"real {name.removesuffix('.tiff')}")
        for name, light in list(real.items())[:24]
    ]
    rng = np.random.default_rng(78)
    for i, (text, spec) in enumerate(_specs()):
        sensor, focus_um = _sensor(i % _RUNS)
        tiles.append(_tile(simulated(spec, rng, sensor, focus_um), text))
    while len(tiles) % _COLUMNS:
        tiles.append(np.full_like(tiles[0], 40))
    lines = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.asarray(np.vstack(lines), dtype=np.uint8)


def main() -> None:
    real = droplets(REAL)
    masks = {name: outline(light) for name, light in real.items()}
    looks = [measure(light, masks[name]) for name, light in real.items() if masks[name].any()]
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(SHEET), sheet(real))
    print(f"wrote {SHEET}")
    finish("Realism against a673_droplets", rows(looks, simulated_looks()))


if __name__ == "__main__":
    main()
