"""Still images: background from one image, files, JSON, overlays, and the real images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sorter.errors import InputError
from sorter.still import of_size, overlay, read_grey, segment_files, segment_still, thickness_px
from sorter.still_background import estimate_background
from tests.sorter.drawn import Ellipse, disc, frame, vignetted

REAL = Path(__file__).parent.parent / "data" / "real"
SHAPE = (300, 400)


@pytest.mark.parametrize("pitch_um", [1.4, 3.3, 7.0])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_one_set_of_settings_serves_every_pitch_and_depth(pitch_um: float, bits: int) -> None:
    radius = 100.0 / pitch_um
    bodies = [disc(110, 150, radius, light=0.3), disc(290, 160, radius, light=0.4, inner=0.85)]
    pixels = frame(SHAPE, bodies, light=vignetted(SHAPE), noise=0.008, bits=bits)
    found = sorted(segment_still(pixels, pitch_um=pitch_um), key=lambda d: d.x_px)
    assert len(found) == 2
    for detection, body in zip(found, bodies, strict=True):
        assert (detection.x_px, detection.y_px) == pytest.approx((body.x, body.y), abs=0.5)
        assert detection.diameter_um == pytest.approx(200, abs=4 + 0.4 * pitch_um)


def test_a_body_over_a_third_of_the_image() -> None:
    (detection,) = segment_still(
        frame((350, 420), [disc(210, 175, 125, light=0.3)], noise=0.01), pitch_um=2.1
    )
    assert detection.area_um2 == pytest.approx(np.pi * 125**2 * 2.1**2, rel=0.02)


def test_a_dark_body_at_the_border_is_filled() -> None:
    (detection,) = segment_still(frame(SHAPE, [disc(20, 150, 60, light=0.2)]), pitch_um=3.0)
    assert detection.touches_border
    assert detection.bbox[2] == pytest.approx(80, abs=2)


def test_clouds_of_light_are_no_objects() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    light = 0.9 + 0.1 * np.sin(x / 30) * np.cos(y / 40)
    pixels = frame(SHAPE, [disc(200, 150, 25, light=0.4, inner=0.8)], light=light)
    (detection,) = segment_still(pixels, pitch_um=3.3)
    assert (detection.x_px, detection.y_px) == pytest.approx((200, 150), abs=0.5)


def test_an_empty_image_is_empty() -> None:
    assert segment_still(frame(SHAPE, noise=0.01), pitch_um=2.0) == []


def test_the_background_is_found_below_the_bodies() -> None:
    light = vignetted((120, 160))
    bodies = [disc(50, 60, 18, light=0.3), disc(110, 50, 14, light=0.4, inner=0.8)]
    level = estimate_background(frame((120, 160), bodies, light=light), 7.0)
    assert np.abs(level / (light * 0.65 * 255) - 1).max() < 0.05


def test_thickness_tells_fibres_from_bodies() -> None:
    pixels = frame(SHAPE, [disc(100, 150, 40), Ellipse(280, 150, 90, 5, 0.4)], noise=0.01)
    found = segment_still(pixels, pitch_um=2.0)
    assert len(found) >= 2
    (body,) = of_size(found, 2.0, 50.0)
    assert body.x_px == pytest.approx(100, abs=0.5)
    assert thickness_px(body) == pytest.approx(80, abs=2.5)


def write(path: Path, image: NDArray[Any]) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def test_files_give_the_documented_json(tmp_path: Path) -> None:
    one = write(tmp_path / "one.png", frame(SHAPE, [disc(200.2, 150.4, 40)], noise=0.01))
    two = write(tmp_path / "two.tiff", frame(SHAPE, noise=0.01, bits=16))
    result = json.loads(json.dumps(segment_files([one, two], 2.5, tmp_path / "overlays")))
    assert [image["file"] for image in result["images"]] == [str(one), str(two)]
    (detection,) = result["images"][0]["detections"]
    assert set(detection) == {
        "x_px", "y_px", "area_um2", "diameter_um", "circularity", "touches_border", "contour",
    }  # fmt: skip
    assert (detection["x_px"], detection["y_px"]) == pytest.approx((200.2, 150.4), abs=0.3)
    mask = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(mask, [np.array(detection["contour"], np.int32)], 1)
    assert int(mask.sum()) * 2.5**2 == pytest.approx(detection["area_um2"], abs=1e-2)
    assert result["images"][1]["detections"] == []
    for name in ("one_overlay.png", "two_overlay.png"):
        picture = cv2.imread(str(tmp_path / "overlays" / name), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.ndim == 3
    assert not list((tmp_path / "overlays").glob("*.part"))


def test_images_of_one_name_get_overlays_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = write(tmp_path / "one.png", frame(SHAPE))
    two = write(tmp_path / "other" / "one.png", frame(SHAPE))
    segment_files([one, two], 2.5, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one_overlay.png", "one_overlay_2.png"]


def test_colour_is_read_as_grey(tmp_path: Path) -> None:
    grey = frame(SHAPE, [disc(200, 150, 40)])
    colour = write(tmp_path / "colour.png", np.dstack([grey] * 3))
    assert (read_grey(colour) == grey).all()


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for path in (tmp_path / "missing.png", text, empty, tmp_path):
        with pytest.raises(InputError, match=r"\."):
            segment_files([path], 2.0)


def test_an_overlay_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    image = write(tmp_path / "one.png", frame(SHAPE))
    (tmp_path / "taken").write_text("a file where the directory should be")
    with pytest.raises(InputError, match="overlay"):
        segment_files([image], 2.0, tmp_path / "taken")


def test_a_pitch_that_is_not_positive_is_refused() -> None:
    with pytest.raises(InputError, match="pitch"):
        segment_still(frame(SHAPE), pitch_um=0.0)


def test_an_overlay_of_a_flat_image() -> None:
    assert overlay(frame((64, 64)), []).shape == (896, 896, 3)


# -- real images: what benchmarks/bar_01_segment_real.py measures in full -----------------------


def _ok_droplets() -> list[str]:
    with (REAL / "a673_droplets" / "visual_qc.csv").open(newline="", encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file) if row["visual_qc"] == "ok"]


@pytest.mark.parametrize("name", _ok_droplets())
def test_one_spheroid_in_every_real_droplet(name: str) -> None:
    pixels = read_grey(REAL / "a673_droplets" / "images" / name)
    found = of_size(segment_still(pixels, pitch_um=3.26), 3.26, 50.0)
    assert len(found) == 1
    assert 100 < found[0].diameter_um < 260
