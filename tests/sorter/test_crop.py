"""Crops: scale, place, level, what lies outside the frame, and neighbours that touch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.ports import Pixels
from sorter.background import Background
from sorter.crop import Cropper, CropSettings, crop
from sorter.detection import Detection
from sorter.grid import Grid, Pyramid
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import Ellipse, disc, frame, vignetted

SHAPE = (400, 560)
PITCH_UM = 1.73
SETTINGS = CropSettings()


def segment(*bodies: Ellipse, bits: int = 8) -> tuple[Pixels, Background, list[Detection]]:
    """Frame, background and detections, largest first."""
    light = vignetted(SHAPE)
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=bits)
    for _ in range(4):
        made.detect(frame(SHAPE, light=light, bits=bits))
    pixels = frame(SHAPE, bodies, light=light, bits=bits)
    found = sorted(made.detect(pixels), key=lambda d: -d.area_um2)
    return pixels, made.background, found


def cut(*bodies: Ellipse, bits: int = 8, settings: CropSettings = SETTINGS) -> NDArray[np.uint8]:
    pixels, background, found = segment(*bodies, bits=bits)
    return crop(pixels, background, found[0], pitch_um=PITCH_UM, settings=settings)


def darkness(image: NDArray[np.uint8], level: int = 160) -> NDArray[np.float64]:
    return np.clip(1.0 - image / level, 0.0, 1.0)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_size_place_and_level(bits: int) -> None:
    body = disc(280.4, 200.3, 60, light=0.5)
    image = cut(body, bits=bits)
    assert image.shape == (64, 64)
    assert image.dtype == np.uint8
    assert np.abs(image[:12].astype(int) - 160).max() <= 2
    assert np.abs(image[28:36, 28:36].astype(int) - 80).max() <= 2
    dark = darkness(image) / 0.5
    assert dark.sum() == pytest.approx(body.area * (PITCH_UM / 6.0) ** 2, rel=0.02)
    y, x = np.mgrid[:64, :64]
    assert (dark * x).sum() / dark.sum() == pytest.approx(31.5, abs=0.15)
    assert (dark * y).sum() / dark.sum() == pytest.approx(31.5, abs=0.15)


@pytest.mark.parametrize(
    ("size", "pitch_um"), [(64, 6.0), (128, 3.0), (96, 1.73), (64, 1.2), (32, 12.0)]
)
def test_any_size_and_pitch(size: int, pitch_um: float) -> None:
    body = disc(280, 200, 22, light=0.4)
    image = cut(body, settings=CropSettings(size_px=size, pitch_um=pitch_um, level=200))
    area = (darkness(image, 200) / 0.6).sum() * pitch_um**2
    assert image.shape == (size, size)
    assert area == pytest.approx(body.area * PITCH_UM**2, rel=0.03)


def test_averaging_takes_noise_away() -> None:
    light = vignetted(SHAPE)
    _, background, found = segment(disc(280, 200, 30))
    noisy = frame(SHAPE, [disc(280, 200, 30)], light=light, noise=0.03, seed=3)
    image = crop(noisy, background, found[0], pitch_um=PITCH_UM, settings=SETTINGS)
    # 12 pixels go into one: 0.03 * 160 / sqrt(12) = 1.4; without averaging 4.8.
    assert image[:16].std() < 2.2


def test_an_even_background_may_be_given_as_a_number() -> None:
    pixels = frame((256, 256), [disc(128, 128, 40, light=0.5)])
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=(256, 256), bit_depth=8)
    (detection,) = made.detect(pixels)
    image = crop(pixels, float(pixels[0, 0]), detection, pitch_um=PITCH_UM, settings=SETTINGS)
    assert image[2, 2] == 160
    assert abs(int(image[32, 32]) - 80) <= 1


@pytest.mark.parametrize(
    "body", [disc(15, 200, 50), disc(550, 200, 50), disc(280, 5, 50), disc(280, 398, 50)]
)
def test_outside_the_frame_is_background(body: Ellipse) -> None:
    pixels, background, found = segment(body)
    image = crop(pixels, background, found[0], pitch_um=PITCH_UM, settings=SETTINGS)
    scale = SETTINGS.pitch_um / PITCH_UM
    y, x = (np.mgrid[:64, :64] - 31.5) * scale
    px, py = x + found[0].x_px, y + found[0].y_px
    outside = (px < -0.5) | (py < -0.5) | (px > SHAPE[1] - 0.5) | (py > SHAPE[0] - 0.5)
    assert outside.sum() > 300
    assert (image[outside] == 160).all()


def test_it_writes_to_the_array_that_it_is_given() -> None:
    pixels, background, found = segment(disc(280, 200, 50))
    batch = np.zeros((3, 64, 64), np.uint8)
    result = crop(
        pixels,
        background,
        found[0],
        pitch_um=PITCH_UM,
        settings=SETTINGS,
        out=batch[1],
    )
    assert result is not None
    alone = crop(pixels, background, found[0], pitch_um=PITCH_UM, settings=SETTINGS)
    assert (batch[1] == alone).all()
    assert not batch[0].any()
    assert not batch[2].any()


def test_many_at_once_from_halvings_that_are_there() -> None:
    bodies = [disc(60, 60, 30), disc(280, 200, 50), disc(540, 390, 40)]
    pixels, background, found = segment(*bodies)
    levels = Pyramid(Grid(SHAPE, 4), pixels.dtype).build(pixels)
    crops = Cropper(background, SETTINGS, pitch_um=PITCH_UM).cut(levels, found)
    assert crops.shape == (3, 64, 64)
    for made, detection in zip(crops, found, strict=True):
        alone = crop(pixels, background, detection, pitch_um=PITCH_UM, settings=SETTINGS)
        assert np.array_equal(made, alone)


def test_a_cropper_follows_the_background_as_it_learns() -> None:
    light = vignetted(SHAPE)
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    cropper = Cropper(made.background, SETTINGS, pitch_um=PITCH_UM)
    body = disc(150, 120, 40, light=0.5)
    tilted = light * np.linspace(0.9, 1.0, SHAPE[1], dtype=np.float32)
    for now in (light, tilted):
        empty = frame(SHAPE, light=now)
        for _ in range(400):
            made.detect(empty)
        pixels = frame(SHAPE, [body], light=now)
        (detection,) = made.detect(pixels)
        (image,) = cropper.cut(made.pyramid.of(pixels), [detection])
        assert np.abs(image[:12].astype(int) - 160).max() <= 3


def test_a_neighbour_that_touches_is_painted_over() -> None:
    left, right = disc(230, 200, 50, light=0.5), disc(329, 200, 48, light=0.5)
    pixels, background, found = segment(left, right)
    assert len(found) == 2
    for detection, body in zip(found, (left, right), strict=True):
        image = crop(pixels, background, detection, pitch_um=PITCH_UM, settings=SETTINGS)
        area = (darkness(image) / 0.5).sum() * (6.0 / PITCH_UM) ** 2
        assert area == pytest.approx(body.area, rel=0.06)


def test_a_neighbour_that_does_not_touch_stays() -> None:
    body, speck = disc(250, 200, 50, light=0.5), disc(330, 200, 12, light=0.5)
    pixels, background, found = segment(body, speck)
    image = crop(pixels, background, found[0], pitch_um=PITCH_UM, settings=SETTINGS)
    area = (darkness(image) / 0.5).sum() * (6.0 / PITCH_UM) ** 2
    assert area == pytest.approx(body.area + speck.area, rel=0.03)


@pytest.mark.parametrize("brightness", [0.5, 0.65, 0.75])
def test_the_level_does_not_follow_the_light(brightness: float) -> None:
    light = vignetted(SHAPE)
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    made.detect(frame(SHAPE, light=light))
    body = disc(100, 80, 50, light=0.5)
    pixels = frame(SHAPE, [body], light=light, brightness=brightness)
    (detection,) = made.detect(pixels)
    image = crop(pixels, made.background, detection, pitch_um=PITCH_UM, settings=SETTINGS)
    inside = image[26:38, 26:38].mean()
    assert inside == pytest.approx(80, abs=1.5)
    assert math.isclose(float(np.median(image)), 160, abs_tol=2)
