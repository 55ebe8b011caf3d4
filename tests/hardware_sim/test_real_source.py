"""Cut-outs of the real droplets as bodies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hardware_sim.real_source import RealBody, RealSource, droplets, outline, relative_light
from hardware_sim.spheroids import BodySpec
from sorter.errors import InputError

REAL = Path(__file__).parents[1] / "data" / "real"
SPEC = BodySpec("spheroid", 100.0, None, "real", 0.0, 0)


@pytest.fixture(scope="module")
def source() -> RealSource:
    return RealSource(REAL)


def test_every_ok_frame_gives_a_body_of_a_droplet_spheroids_size(source: RealSource) -> None:
    assert len(source) == 31
    rng = np.random.default_rng(1)
    for _ in range(40):
        spec = source.draw_spheroid(rng)
        assert (spec.kind, spec.health, spec.phenotype) == ("spheroid", None, "real")
        assert 100.0 < spec.diameter_um < 240.0
        assert source.make_body(spec).spec == spec


def test_a_cut_out_has_no_seam(source: RealSource) -> None:
    for number in range(len(source)):
        body = source.make_body(BodySpec("spheroid", 1.0, None, "real", 0.0, number))
        light = body.transmission(
            np.eye(3), pitch_um=1.73, defocus_um=30.0, centre_px=(50.3, 60.7)
        ).transmission
        edges = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
        np.testing.assert_allclose(edges, 1.0, atol=0.005)
        assert light.min() < 0.6


def test_outlines_agree_with_the_published_masks() -> None:
    debris = {2, 5, 8, 14, 20}
    shares = []
    for name, light in droplets(REAL).items():
        file = REAL / "a673_droplets" / "masks" / Path(name).with_suffix(".png").name
        if not file.exists() or int(file.stem.removeprefix("image_")) in debris:
            continue
        mask = np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)) > 0
        ours = outline(light)
        shares.append(float((ours & mask).sum() / (ours | mask).sum()))
    assert len(shares) == 20
    assert np.median(shares) > 0.93


def body_with_a_mark() -> RealBody:
    """A grey disc with a black mark 10 px to the right of its centre, at 3 µm/px."""
    light = np.ones((61, 61), np.float32)
    cv2.circle(light, (30, 30), 20, 0.6, cv2.FILLED)
    cv2.circle(light, (40, 30), 3, 0.1, cv2.FILLED)
    return RealBody(SPEC, light, (30.0, 30.0), pitch_um=3.0)


@pytest.mark.parametrize(
    ("degrees", "where"), [(0, (1, 0)), (90, (0, 1)), (180, (-1, 0)), (270, (0, -1))]
)
def test_it_turns_in_the_plane_as_a_drawn_body_does(degrees: int, where: tuple[int, int]) -> None:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    patch = body_with_a_mark().transmission(
        rotation, pitch_um=1.5, defocus_um=0.0, centre_px=(200.0, 100.0)
    )
    y, x = np.nonzero(patch.transmission < 0.3)
    # 10 px of 3 µm are 20 px of 1.5 µm.
    assert x.mean() + patch.x0_px - 200.0 == pytest.approx(20 * where[0], abs=0.6)
    assert y.mean() + patch.y0_px - 100.0 == pytest.approx(20 * where[1], abs=0.6)


def test_rolling_out_of_the_plane_leaves_it_as_it_is() -> None:
    cos, sin = np.cos(1.0), np.sin(1.0)
    roll = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    body = body_with_a_mark()
    still, rolled = (
        body.transmission(r, pitch_um=1.5, defocus_um=0.0, centre_px=(9.0, 9.0)).transmission
        for r in (np.eye(3), roll)
    )
    np.testing.assert_allclose(still, rolled, atol=1e-4)


def test_relative_light_takes_out_a_slanting_background() -> None:
    y, x = np.mgrid[0:150, 0:150].astype(np.float32)
    background = 800.0 + 2.0 * x - y
    image = background.copy()
    image[60:90, 60:90] *= 0.5
    light = relative_light(image)
    np.testing.assert_allclose(light[:50], 1.0, atol=0.01)
    np.testing.assert_allclose(light[62:88, 62:88], 0.5, atol=0.01)


def test_a_missing_folder_and_a_foreign_spec_are_refused(
    source: RealSource, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="real images can't be read"):
        RealSource(tmp_path)
    with pytest.raises(ValueError, match="is not one of 31"):
        source.make_body(BodySpec("spheroid", 200.0, None, "real", 0.0, 99))
