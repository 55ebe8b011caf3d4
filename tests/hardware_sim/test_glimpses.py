"""What late frames tell at the level of detections: as the finder does it on pixels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.glimpses import in_haste, whole_cells
from sorter.attention import Box, Divided, Place
from sorter.detection import Detection, glimpse
from sorter.lateness import InTime

SHAPE = (512, 1280)
PITCH_UM = 1.73
CELL_PX = 4
PLACES = st.tuples(
    st.integers(0, 1200), st.integers(0, 480), st.integers(1, 80), st.integers(1, 32)
)


def seen(box: Box) -> Detection:
    return glimpse(box, pitch_um=PITCH_UM, shape=SHAPE)


def told(*boxes: Box, known: Box | None = None) -> list[Detection]:
    places = [] if known is None else [Place(*middle(known), known[2], known[3])]
    attention = Divided(InTime(), lambda: places, PITCH_UM)
    outlined = [seen(box) for box in boxes]
    return [one for one, _ in in_haste(outlined, attention, pitch_um=PITCH_UM, shape=SHAPE)]


def middle(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


@given(PLACES)
def test_whole_cells_hold_the_box_and_no_more_than_they_must(box: Box) -> None:
    x, y, w, h = whole_cells(box, pitch_um=PITCH_UM, shape=SHAPE)
    assert all(v % CELL_PX == 0 for v in (x, y, w, h))
    assert 0 <= box[0] - x < CELL_PX
    assert 0 <= box[1] - y < CELL_PX
    assert 0 <= x + w - (box[0] + box[2]) < CELL_PX
    assert 0 <= y + h - (box[1] + box[3]) < CELL_PX


def test_who_is_known_is_a_box_and_who_is_not_stays_as_it_was() -> None:
    known, other = (301, 102, 40, 40), (602, 102, 40, 40)
    one, two = told(known, other, known=known)
    assert one.bbox == (300, 100, 44, 44)
    assert two.bbox == other


def test_each_comes_with_its_outline() -> None:
    known, other, speck = seen((301, 102, 40, 40)), seen((602, 102, 40, 40)), seen((90, 90, 12, 12))
    place = Place(*middle(known.bbox), *known.bbox[2:])
    attention = Divided(InTime(), lambda: [place], PITCH_UM)
    pairs = in_haste([speck, known, other], attention, pitch_um=PITCH_UM, shape=SHAPE)
    assert [outlined for _, outlined in pairs] == [known, other]


def test_who_comes_or_goes_is_a_box() -> None:
    found = told((0, 101, 42, 40), (1250, 101, 30, 40))
    assert [one.bbox for one in found] == [(0, 100, 44, 44), (1248, 100, 32, 44)]


def test_what_is_too_small_to_matter_is_left_out_where_it_is_not_known() -> None:
    speck = (300, 100, 12, 12)
    assert told(speck) == []
    assert [one.bbox for one in told(speck, known=speck)] == [speck]
