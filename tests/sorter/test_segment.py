"""Segmentation against shapes whose area, centre and circularity are known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.ports import Pixels
from sorter.detection import Detection
from sorter.errors import InputError
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import Ellipse, disc, frame, vignetted

SHAPE = (320, 480)
PITCH_UM = 1.73
NOISE = 0.012


def segmenter(bits: int = 8, shape: tuple[int, int] = SHAPE) -> Segmenter:
    """One that has seen a few empty frames."""
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=shape, bit_depth=bits)
    for i in range(6):
        empty = frame(shape, light=vignetted(shape), noise=NOISE, bits=bits, seed=100 + i)
        assert made.detect(empty) == []
    return made


def found_in(*bodies: Ellipse, seed: int = 0, noise: float = NOISE) -> list[Detection]:
    pixels = frame(SHAPE, bodies, light=vignetted(SHAPE), noise=noise, seed=seed)
    return segmenter().detect(pixels)


def check(detection: Detection, body: Ellipse, percent: float = 1.5) -> None:
    assert math.hypot(detection.x_px - body.x, detection.y_px - body.y) < 0.3
    area = body.area * PITCH_UM**2
    assert detection.area_um2 == pytest.approx(area, rel=percent / 100)
    assert detection.diameter_um == pytest.approx(2 * math.sqrt(area / math.pi), rel=percent / 100)


SINGLE = {
    "dark": disc(200.3, 150.6, 60, light=0.2),
    "half dark": disc(240.0, 160.0, 45.5, light=0.5),
    "faint": disc(240.0, 160.0, 50, light=0.85),
    "small": disc(101.7, 99.2, 17.3),
    "ring": disc(240.4, 160.1, 60, light=0.45, inner=0.87),
    "thin ring": disc(240.4, 160.1, 43, light=0.3, inner=0.90),
    "ellipse": Ellipse(240.2, 160.4, 55, 46, 0.5),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_body_is_found_where_and_as_large_as_it_is(name: str) -> None:
    body = SINGLE[name]
    (detection,) = found_in(body)
    # Half the resolution thickens a thin rim by a fraction of a pixel.
    check(detection, body, percent=5.0 if name in ("small", "ring", "thin ring") else 2.0)
    assert detection.circularity == pytest.approx(body.circularity, abs=0.05)
    assert detection.solidity > 0.96
    assert (detection.touches_border, detection.split, detection.double) == (False,) * 3


def test_grey_ratio_is_the_transmission() -> None:
    (detection,) = found_in(disc(240, 160, 50, light=0.6))
    assert detection.grey_ratio == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(
    ("body", "rel", "px"),
    [
        (Ellipse(240.2, 160.4, 24, 20, 0.9), 1e-9, 0),
        (Ellipse(240.2, 160.4, 60, 44, 0.9), 0.03, 1),
    ],
    ids=["small, at full resolution", "large, at half"],
)
def test_the_contour_filled_gives_the_area(body: Ellipse, rel: float, px: int) -> None:
    (detection,) = found_in(body)
    mask = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(mask, [detection.contour], 1)
    assert int(mask.sum()) * PITCH_UM**2 == pytest.approx(detection.area_um2, rel=rel)
    assert cv2.boundingRect(detection.contour) == pytest.approx(detection.bbox, abs=px)


@pytest.mark.parametrize("diameter_um", [30.0, 36.0, 50.0])
@pytest.mark.parametrize("offset", [0.0, 0.9, 1.8, 2.7])
def test_nothing_from_30_um_is_missed(diameter_um: float, offset: float) -> None:
    body = disc(200 + offset, 150 + offset, diameter_um / PITCH_UM / 2, light=0.6)
    (detection,) = found_in(body, seed=int(offset * 10))
    assert detection.diameter_um == pytest.approx(diameter_um, rel=0.12)


def test_specks_and_noise_are_no_objects() -> None:
    assert found_in(disc(100, 100, 3.0, light=0.7), disc(300, 200, 2.5, light=0.5)) == []


def test_many_bodies_each_once() -> None:
    bodies = [disc(45 + 78 * i, 60 + 95 * j, 20 + 3 * i + j) for i in range(6) for j in range(3)]
    found = sorted(found_in(*bodies), key=lambda d: (round(d.x_px / 78), d.y_px))
    assert len(found) == len(bodies)
    for detection, body in zip(found, bodies, strict=True):
        check(detection, body, percent=4.0)


BORDER = {
    "left": disc(10, 160, 50),
    "right": disc(475, 160, 50),
    "top": disc(240, -15, 50),
    "bottom": disc(240, 310, 50),
    "corner": disc(5, 5, 50),
    "pale left": disc(10, 160, 50, light=0.4, inner=0.85),
    "pale bottom": disc(240, 300, 50, light=0.4, inner=0.85),
}


@pytest.mark.parametrize("name", BORDER)
def test_bodies_at_the_border_are_reported_as_cut(name: str) -> None:
    body = BORDER[name]
    (detection,) = found_in(body)
    assert detection.touches_border
    assert not detection.double
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    visible = int((np.hypot(x - body.x, y - body.y) <= body.a).sum())
    assert detection.area_um2 == pytest.approx(visible * PITCH_UM**2, rel=0.04)


def test_one_pixel_from_the_border_is_whole() -> None:
    (detection,) = found_in(disc(52.0, 160, 50))
    assert not detection.touches_border


def pair(r1: float, r2: float, apart: float, turn: float, **look: float) -> list[Ellipse]:
    dx, dy = apart / 2 * math.cos(turn), apart / 2 * math.sin(turn)
    return [disc(240 - dx, 160 - dy, r1, **look), disc(240 + dx, 160 + dy, r2, **look)]


TOUCHING = {
    "equal": (50, 50, 100, 0.0),
    "turned": (50, 50, 99, 0.8),
    "unequal": (70, 40, 108, 1.6),
    "overlapping": (55, 50, 88, 2.5),
    "by a hair": (60, 60, 121.5, 0.3),
}


@pytest.mark.parametrize("pale", [False, True])
@pytest.mark.parametrize("name", TOUCHING)
def test_touching_bodies_are_split(name: str, pale: bool) -> None:
    r1, r2, apart, turn = TOUCHING[name]
    look = {"light": 0.5, "inner": 0.86} if pale else {"light": 0.5}
    bodies = pair(r1, r2, apart, turn, **look)
    found = found_in(*bodies)
    assert len(found) == 2
    for body in bodies:
        nearest = min(found, key=lambda d: math.hypot(d.x_px - body.x, d.y_px - body.y))
        assert math.hypot(nearest.x_px - body.x, nearest.y_px - body.y) < 0.12 * body.a
        assert nearest.area_um2 == pytest.approx(body.area * PITCH_UM**2, rel=0.12)
        assert nearest.split or name == "by a hair"


@pytest.mark.parametrize("apart", [40.0, 55.0, 70.0])
def test_what_overlaps_too_far_to_be_split_is_a_double(apart: float) -> None:
    found = found_in(*pair(50, 50, apart, 0.4))
    assert len(found) == 2 or (len(found) == 1 and found[0].double)


def test_three_in_a_row_are_three() -> None:
    found = found_in(disc(120, 160, 52), disc(222, 170, 52), disc(320, 160, 48))
    assert len(found) == 3
    assert all(d.split for d in found)


def test_two_cut_by_the_border_are_two() -> None:
    found = found_in(disc(180, 20, 50), disc(277, 12, 48))
    assert len(found) == 2
    assert all(d.split and d.touches_border for d in found)


ROUND = {
    "disc": Ellipse(240, 160, 60, 60),
    "oval": Ellipse(240, 160, 62, 52, 0.7),
    "ring": Ellipse(240, 160, 60, 55, 1.2, 0.5, 0.88),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ROUND)
def test_healthy_round_bodies_are_never_doubles(name: str, seed: int) -> None:
    (detection,) = found_in(ROUND[name], seed=seed)
    assert (detection.double, detection.split) == (False, False)


def test_a_fibre_that_sticks_out_does_not_move_the_centre() -> None:
    fibre = Ellipse(310, 160, 45, 3.0, 0.0, 0.5)
    found = found_in(disc(240, 160, 50), fibre)
    body = max(found, key=lambda d: d.area_um2)
    assert body.x_px == pytest.approx(240, abs=1.0)
    assert body.area_um2 == pytest.approx(math.pi * 50**2 * PITCH_UM**2, rel=0.04)


def test_a_bubble_is_one_object_with_its_bright_middle() -> None:
    body = disc(240, 160, 50, light=0.1, inner=0.5)
    bright = disc(240, 160, 15, light=1.4)
    (detection,) = found_in(body, bright)
    check(detection, body)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deeper_frames_give_the_same_detections(bits: int) -> None:
    bodies = [disc(100.3, 100.2, 40), disc(300, 180, 55, inner=0.85), disc(400, 20, 30)]
    light = vignetted(SHAPE)
    flat = frame(SHAPE, bodies, light=light, noise=NOISE)
    eight = segmenter().detect(flat)
    deep = segmenter(bits).detect(frame(SHAPE, bodies, light=light, noise=NOISE, bits=bits))
    assert len(eight) == len(deep) == 3
    for a, b in zip(eight, deep, strict=True):
        assert (a.x_px, a.y_px) == pytest.approx((b.x_px, b.y_px), abs=0.1)
        assert a.area_um2 == pytest.approx(b.area_um2, rel=0.01)
        assert a.grey_ratio == pytest.approx(b.grey_ratio, abs=0.01)


def test_a_shape_that_is_no_multiple_of_the_reduction() -> None:
    shape = (321, 479)
    made = segmenter(shape=shape)
    body = disc(470, 312, 40)
    (detection,) = made.detect(frame(shape, [body], light=vignetted(shape), noise=NOISE))
    assert detection.touches_border
    x, y, w, h = detection.bbox
    assert (x + w, y + h) == (479, 321)


def test_the_first_frame_may_hold_bodies() -> None:
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    bodies = [disc(120, 150, 55), disc(300, 180, 50, light=0.5, inner=0.87), disc(470, 60, 40)]
    light = vignetted(SHAPE)
    for i in range(12):
        moved = [disc(b.x + 6 * i, b.y, b.a, b.light, b.inner) for b in bodies]
        found = made.detect(frame(SHAPE, moved, light=light, noise=NOISE, seed=i))
        for body in moved[:2]:
            assert any(
                math.hypot(d.x_px - body.x, d.y_px - body.y) < 1.0
                and d.area_um2 == pytest.approx(body.area * PITCH_UM**2, rel=0.06)
                for d in found
            )


def test_the_same_frames_give_the_same_detections() -> None:
    frames = [
        frame(SHAPE, [disc(80 + 20 * i, 150, 40)], light=vignetted(SHAPE), noise=NOISE, seed=i)
        for i in range(8)
    ]
    one, two = segmenter(), segmenter()
    for pixels in frames:
        a, b = one.detect(pixels), two.detect(pixels)
        assert [(d.x_px, d.area_um2) for d in a] == [(d.x_px, d.area_um2) for d in b]


@settings(max_examples=12, deadline=None)
@given(dx=st.integers(-60, 60), dy=st.integers(-40, 40))
def test_moving_a_body_moves_its_detection(dx: int, dy: int) -> None:
    shape = Ellipse(240.3, 160.7, 48, 40, 0.6)
    moved = Ellipse(240.3 + dx, 160.7 + dy, 48, 40, 0.6)
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    made.detect(frame(SHAPE))
    (a,), (b,) = made.detect(frame(SHAPE, [shape])), made.detect(frame(SHAPE, [moved]))
    assert (b.x_px - a.x_px, b.y_px - a.y_px) == pytest.approx((dx, dy), abs=0.15)
    assert b.area_um2 == pytest.approx(a.area_um2, rel=0.015)


@settings(max_examples=12, deadline=None)
@given(
    x=st.floats(120, 360),
    y=st.floats(100, 220),
    a=st.floats(30, 55),
    squeeze=st.floats(0.85, 1.0),
    turn=st.floats(0, 3.14),
)
def test_a_mirrored_frame_gives_mirrored_detections(
    x: float, y: float, a: float, squeeze: float, turn: float
) -> None:
    pixels = frame(SHAPE, [Ellipse(x, y, a, a * squeeze, turn, 0.5, 0.8)])
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    made.detect(frame(SHAPE))
    (one,) = made.detect(pixels)
    mirrored: Pixels = np.ascontiguousarray(pixels[:, ::-1])  # type: ignore[assignment]
    (other,) = made.detect(mirrored)
    assert other.x_px == pytest.approx(SHAPE[1] - 1 - one.x_px, abs=0.1)
    assert other.y_px == pytest.approx(one.y_px, abs=0.1)
    assert other.area_um2 == pytest.approx(one.area_um2, rel=0.01)


WRONG_FRAMES: dict[str, Pixels] = {
    "size": frame((320, 481)),
    "depth": frame(SHAPE, bits=12),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_a_frame_of_another_kind_is_refused(name: str) -> None:
    pixels = WRONG_FRAMES[name]
    with pytest.raises(InputError, match="was due"):
        segmenter().detect(pixels)


@pytest.mark.parametrize(
    ("pitch_um", "shape", "bits"), [(0.0, SHAPE, 8), (1.7, (4, 480), 8), (1.7, SHAPE, 20)]
)
def test_impossible_cameras_are_refused(pitch_um: float, shape: tuple[int, int], bits: int) -> None:
    with pytest.raises(InputError):
        Segmenter(SegmentSettings(), pitch_um=pitch_um, shape=shape, bit_depth=bits)


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="thresh"):
        SegmentSettings.model_validate({"find": {"thresh": 0.1}})
