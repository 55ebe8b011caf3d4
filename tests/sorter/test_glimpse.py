"""What a late frame tells of bodies that are known: where they are, and nothing of their shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sorter.attention import Box
from sorter.detection import Detection, glimpse
from sorter.segment import Segmenter, SegmentSettings
from tests.sorter.drawn import Ellipse, disc, frame, vignetted

SHAPE = (320, 800)
PITCH_UM = 1.73
CELL_PX = 4.0
BODIES = {
    "one": [disc(400.3, 150.6, 60)],
    "a grain beside a large one": [disc(400.0, 150.0, 60), disc(310.0, 150.0, 9)],
    "three of a size": [disc(280.0, 90.0, 40), disc(440.0, 220.0, 42), disc(600.0, 100.0, 44)],
    "pale with a dark rim": [disc(440.4, 160.1, 60, light=0.45, inner=0.87)],
    "cut by the right edge": [disc(790.0, 160.0, 40)],
    "cut by the top": [disc(440.0, 10.0, 40)],
}


@dataclass
class Attention:
    """Short from the question of that number on; knows what it is told to know."""

    short_from: int = 0
    known: Callable[[Box], bool] = lambda box: True
    sought: Callable[[Box], bool] = lambda box: False
    asked: int = 0

    def is_short(self, bodies: int) -> bool:
        self.asked += 1
        return self.asked > self.short_from

    def knows(self, box: Box) -> bool:
        return self.known(box)

    def seeks(self, box: Box) -> bool:
        return self.sought(box)


def segmenter() -> Segmenter:
    made = Segmenter(SegmentSettings(), pitch_um=PITCH_UM, shape=SHAPE, bit_depth=8)
    for i in range(6):
        empty = frame(SHAPE, light=vignetted(SHAPE), noise=0.012, seed=100 + i)
        assert made.detect(empty, Attention()) == []
    return made


def detect(bodies: list[Ellipse], attention: Attention | None) -> list[Detection]:
    pixels = frame(SHAPE, bodies, light=vignetted(SHAPE), noise=0.012)
    return segmenter().detect(pixels, attention)


def near(detection: Detection, others: list[Detection]) -> Detection:
    def away(other: Detection) -> float:
        return math.hypot(detection.x_px - other.x_px, detection.y_px - other.y_px)

    return min(others, key=away)


@pytest.mark.parametrize("case", BODIES)
def test_a_glimpse_is_where_the_body_is(case: str) -> None:
    outlined, glimpsed = detect(BODIES[case], None), detect(BODIES[case], Attention())
    assert len(glimpsed) == len(outlined) == len(BODIES[case])
    for one in glimpsed:
        body = near(one, outlined)
        assert one.glimpsed
        assert not body.glimpsed
        assert math.hypot(one.x_px - body.x_px, one.y_px - body.y_px) < 2 * CELL_PX
        assert one.diameter_um == pytest.approx(body.diameter_um, rel=0.35, abs=20.0)
        assert one.touches_border == body.touches_border
        assert (one.double, one.split) == (False, False)


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("in_time", [0, 1, 2])
def test_whatever_is_outlined_in_time_each_body_is_found_once(case: str, in_time: int) -> None:
    found = detect(BODIES[case], Attention(in_time))
    assert len(found) == len(BODIES[case])
    assert sum(not one.glimpsed for one in found) == min(in_time, len(found))


def test_known_ones_are_outlined_in_turn_while_there_is_no_time_for_all() -> None:
    made, bodies = segmenter(), BODIES["three of a size"]
    outlined = []
    for i in range(3):
        pixels = frame(SHAPE, bodies, light=vignetted(SHAPE), noise=0.012, seed=i)
        found = made.detect(pixels, Attention(1))
        outlined += [round(one.x_px / 160.0) for one in found if not one.glimpsed]
    assert sorted(outlined) == [2, 3, 4]


def test_who_is_not_known_is_outlined_however_late_it_is_and_before_the_others() -> None:
    made, bodies = segmenter(), BODIES["three of a size"]
    for i in range(3):
        pixels = frame(SHAPE, bodies, light=vignetted(SHAPE), noise=0.012, seed=i)
        found = made.detect(pixels, Attention(known=lambda box: box[0] > 500))
    assert [one.glimpsed for one in found] == [False, False, True]


CUT = {
    "comes": (disc(8.0, 160.0, 40), True),
    "goes": (disc(790.0, 160.0, 40), True),
    "at the top": (disc(440.0, 10.0, 40), False),
}


@pytest.mark.parametrize("case", CUT)
def test_who_comes_or_goes_needs_no_outline(case: str) -> None:
    body, glimpsed = CUT[case]
    (found,) = detect([body], Attention(known=lambda box: False))
    assert found.touches_border
    assert found.glimpsed is glimpsed
    (found,) = detect([body], Attention(known=lambda box: False, sought=lambda box: True))
    assert not found.glimpsed


def test_what_is_too_small_to_matter_and_not_known_is_left_out() -> None:
    speck = disc(400.0, 160.0, 6)
    assert len(detect([speck], None)) == 1
    assert detect([speck], Attention(known=lambda box: False)) == []
    (known,) = detect([speck], Attention())
    assert known.glimpsed
    (sought,) = detect([speck], Attention(known=lambda box: False, sought=lambda box: True))
    assert not sought.glimpsed


@pytest.mark.parametrize(
    ("box", "bbox", "centre", "border"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40), (24.5, 39.5), False),
        ((0, 20, 30, 40), (0, 20, 30, 40), (14.5, 39.5), True),
        ((780, 20, 30, 40), (780, 20, 20, 40), (789.5, 39.5), True),
        ((10, 300, 30, 40), (10, 300, 30, 20), (24.5, 309.5), True),
    ],
)
def test_a_glimpse_ends_at_the_frame(
    box: tuple[int, int, int, int],
    bbox: tuple[int, int, int, int],
    centre: tuple[float, float],
    border: bool,
) -> None:
    made = glimpse(box, pitch_um=2.0, shape=SHAPE)
    assert (made.bbox, (made.x_px, made.y_px), made.touches_border) == (bbox, centre, border)
    assert made.diameter_um == pytest.approx(2.0 * math.sqrt(bbox[2] * bbox[3]))
