"""Bodies: what is drawn, and how it looks from several sides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_sim.crops import random_rotation, rolling
from hardware_sim.phenotypes import DEFECTS, HARMLESS, strength
from hardware_sim.spheroids import (
    SIZE_PRESETS,
    BodySpec,
    Kind,
    SizePreset,
    draw_bubble,
    draw_debris,
    draw_fibre,
    draw_spheroid,
    make_body,
)

PITCH_UM = 1.73
IDENTITY = np.eye(3)


def spheroid(phenotype: str, severity: float, *, seed: int = 5, size: float = 220.0) -> BodySpec:
    health = "unhealthy" if phenotype in DEFECTS else "healthy"
    return BodySpec("spheroid", size, health, phenotype, severity, seed)  # type: ignore[arg-type]


def picture(
    spec: BodySpec, rotation: NDArray[np.floating] = IDENTITY, defocus_um: float = 0.0
) -> NDArray[np.float32]:
    """The body in the middle of a 401 x 401 frame."""
    frame = np.ones((401, 401), np.float32)
    patch = make_body(spec).transmission(
        rotation, pitch_um=PITCH_UM, defocus_um=defocus_um, centre_px=(200.0, 200.0)
    )
    height, width = patch.transmission.shape
    x, y = patch.x0_px, patch.y0_px
    assert min(x, y) >= 0
    assert max(x + width, y + height) <= 401
    frame[y : y + height, x : x + width] = patch.transmission
    return frame


@pytest.mark.parametrize("preset", sorted(SIZE_PRESETS))
def test_sizes_stay_in_the_preset_around_its_median(preset: SizePreset) -> None:
    rng = np.random.default_rng(1)
    low, median, high = SIZE_PRESETS[preset]
    sizes = [
        draw_spheroid(rng, unhealthy_fraction=0.1, size=preset).diameter_um for _ in range(2000)
    ]
    assert low <= min(sizes)
    assert max(sizes) <= high
    assert abs(np.median(sizes) / median - 1.0) < 0.03


def test_health_severity_and_phenotypes_follow_difficulty_v1() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw_spheroid(rng, unhealthy_fraction=0.5) for _ in range(8000)]
    sick = [one for one in drawn if one.health == "unhealthy"]
    well = [one for one in drawn if one.health == "healthy"]
    assert abs(len(sick) / len(drawn) - 0.5) < 0.02
    severity = np.array([one.severity for one in sick])
    assert severity.min() >= 0.4
    assert severity.max() <= 1.0
    # Uniform: the empirical distribution stays within the 1 % Kolmogorov bound.
    uniform = np.sort((severity - 0.4) / 0.6)
    steps = (np.arange(len(uniform)) + 0.5) / len(uniform)
    assert np.abs(uniform - steps).max() < 1.63 / np.sqrt(len(uniform))
    assert all(0.0 <= one.severity < 0.3 for one in well)
    names, counts = np.unique([one.phenotype for one in sick], return_counts=True)
    assert sorted(names) == sorted(DEFECTS)
    assert np.abs(counts / len(sick) - 1 / len(DEFECTS)).max() < 0.025
    odd = [one for one in well if one.phenotype in HARMLESS]
    assert 0.10 < len(odd) / len(well) < 0.16
    assert all(one.diameter_um >= 240.0 for one in odd if one.phenotype == "dark_core")


def test_size_says_nothing_about_health() -> None:
    rng = np.random.default_rng(3)
    drawn = [draw_spheroid(rng, unhealthy_fraction=0.5) for _ in range(6000)]
    sick = np.sort([one.diameter_um for one in drawn if one.health == "unhealthy"])
    well = np.sort([one.diameter_um for one in drawn if one.health == "healthy"])
    grid = np.linspace(150, 400, 500)
    gap = np.abs(
        np.searchsorted(sick, grid) / len(sick) - np.searchsorted(well, grid) / len(well)
    ).max()
    assert gap < 1.63 * np.sqrt((len(sick) + len(well)) / (len(sick) * len(well)))


def test_strength_rises_and_jumps_where_nothing_is_drawn() -> None:
    values = [strength(s) for s in np.linspace(0, 1, 101)]
    assert all(a <= b for a, b in itertools.pairwise(values))
    assert strength(0.3) <= 0.15
    assert strength(0.4) >= 0.4


@pytest.mark.parametrize("phenotype", ["healthy", *sorted(HARMLESS), *sorted(DEFECTS)])
def test_every_phenotype_is_drawn_the_same_way_twice(phenotype: str) -> None:
    spec = spheroid(phenotype, 0.8 if phenotype in DEFECTS else 0.2)
    first, second = picture(spec), picture(spec)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, picture(spheroid(phenotype, spec.severity, seed=6)))
    assert first.min() > 0.0
    assert first.max() < 2.0


@pytest.mark.parametrize("phenotype", ["healthy", *sorted(DEFECTS)])
def test_everything_lies_inside_the_bounding_radius(phenotype: str) -> None:
    rng = np.random.default_rng(4)
    for seed in range(3):
        body = make_body(spheroid(phenotype, 1.0 if phenotype in DEFECTS else 0.2, seed=seed))
        light = body.transmission(
            random_rotation(rng), pitch_um=PITCH_UM, defocus_um=60.0, centre_px=(0.0, 0.0)
        ).transmission
        edges = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
        np.testing.assert_allclose(edges, 1.0, atol=0.01)


def test_a_body_moves_with_its_centre() -> None:
    body = make_body(spheroid("blebbing", 0.7))
    here = body.transmission(IDENTITY, pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(100.25, -30.0))
    there = body.transmission(IDENTITY, pitch_um=PITCH_UM, defocus_um=0.0, centre_px=(117.25, 12.0))
    assert (there.x0_px - here.x0_px, there.y0_px - here.y0_px) == (17, 42)
    np.testing.assert_allclose(there.transmission, here.transmission, atol=0.02)


def test_a_half_turn_about_the_optical_axis_turns_the_picture() -> None:
    spec = spheroid("fragmented", 0.9)
    flat = np.diag([-1.0, -1.0, 1.0])
    turned = picture(spec, flat)[::-1, ::-1]
    assert np.corrcoef(turned.ravel(), picture(spec).ravel())[0, 1] > 0.98


def test_a_one_sided_defect_shows_in_some_views_only() -> None:
    """Blebs lie outside the round outline in the views in which their side is seen in profile."""
    outside = []
    y, x = np.mgrid[0:401, 0:401] - 200.0
    ring = np.hypot(x, y) * PITCH_UM > 126.0
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        light = picture(spheroid("blebbing", 0.45, seed=9), rolling(float(angle)))
        outside.append(float(np.abs(light[ring] - 1.0).sum()))
    assert max(outside) > 3.0 * (min(outside) + 1.0)


def test_a_bubble_is_as_large_as_it_says_and_bright_in_the_middle() -> None:
    light = picture(BodySpec("bubble", 150.0, None, "bubble", 0.0, 1))
    dark = light < 0.5
    across = np.flatnonzero(dark[200])
    assert abs((across[-1] - across[0] + 1) * PITCH_UM - 150.0) < 2.5 * PITCH_UM
    assert light[200, 200] > 0.9
    np.testing.assert_allclose(light, light.T, atol=1e-3)


def test_a_healthy_one_has_a_dark_rim_as_wide_as_its_diameter() -> None:
    light = picture(spheroid("healthy", 0.0, size=200.0))
    widths = []
    for row in (light, light.T):
        dark = np.flatnonzero(row[200] < 0.6)
        widths.append((dark[-1] - dark[0] + 1) * PITCH_UM)
    assert np.mean(widths) == pytest.approx(200.0, rel=0.12)
    assert 0.55 < np.median(light[180:221, 180:221]) < 0.98


def test_a_hollow_one_is_brighter_in_the_middle_than_in_its_shell() -> None:
    light = picture(spheroid("hollow", 1.0))
    y, x = np.mgrid[0:401, 0:401] - 200.0
    share = np.hypot(x, y) * PITCH_UM / 110.0
    assert light[share < 0.4].mean() > light[(share > 0.9) & (share < 1.0)].mean() + 0.1


def test_defocus_blurs() -> None:
    spec = spheroid("healthy", 0.1)

    def sharpness(defocus_um: float) -> float:
        return float(np.abs(np.diff(picture(spec, defocus_um=defocus_um), axis=1)).max())

    assert sharpness(0.0) > sharpness(60.0) > sharpness(150.0)
    assert sharpness(60.0) == pytest.approx(sharpness(-60.0))


KINDS: dict[str, tuple[Kind, float, float]] = {
    "debris": ("debris", 5.0, 90.0),
    "bubble": ("bubble", 30.0, 250.0),
    "fibre": ("fibre", 120.0, 600.0),
}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_is_no_spheroid_has_no_health(name: str) -> None:
    kind, low, high = KINDS[name]
    draw = {"debris": draw_debris, "bubble": draw_bubble, "fibre": draw_fibre}[name]
    rng = np.random.default_rng(6)
    drawn = [draw(rng) for _ in range(500)]
    assert {one.kind for one in drawn} == {kind}
    assert {one.health for one in drawn} == {None}
    assert low <= min(one.diameter_um for one in drawn)
    assert max(one.diameter_um for one in drawn) <= high
    assert make_body(drawn[0]).spec == drawn[0]
    assert picture(drawn[0]).min() < 0.95


def test_debris_is_mostly_small() -> None:
    rng = np.random.default_rng(7)
    sizes = np.array([draw_debris(rng).diameter_um for _ in range(2000)])
    assert 12.0 < np.median(sizes) < 16.0
    assert np.mean(sizes >= 30.0) < 0.08


def test_an_unknown_phenotype_is_refused() -> None:
    with pytest.raises(ValueError, match="no way to draw the phenotype 'real'"):
        make_body(BodySpec("spheroid", 200.0, None, "real", 0.0, 1))
