"""The journal gives back what it was given, to the bit."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ports import (
    Acknowledged,
    Command,
    DispenserEvent,
    Executed,
    Frame,
    Passed,
    Pedal,
    Refused,
    Stopped,
)
from sorter.detection import Detection
from sorter.journal import Journal
from sorter.journal_step import (
    Call,
    Step,
    pack_command,
    pack_detection,
    pack_event,
    unpack_detection,
    unpack_event,
)

REAL = st.floats(-1e9, 1e9)
FRAME = Frame(np.zeros((2, 2), np.uint8), 7, 1 << 60, 12_345, (1 << 60) + 1)


def through_the_wire(step: Step) -> Step:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(step), type=Step)


def detection(
    value: float,
    bbox: tuple[int, int, int, int],
    flag: bool,
    deficit_um2: float = math.nan,
    glimpsed: bool = False,
) -> Detection:
    return Detection(
        x_px=value,
        y_px=value + 1,
        area_um2=value + 2,
        diameter_um=value + 3,
        circularity=value + 4,
        solidity=value + 5,
        grey_ratio=value + 6,
        bbox=bbox,
        touches_border=flag,
        split=not flag,
        double=flag,
        contour=np.zeros((3, 2), np.int32),
        deficit_um2=deficit_um2,
        glimpsed=glimpsed,
    )


@given(REAL, st.tuples(*[st.integers(0, 5000)] * 4), st.booleans(), REAL, st.booleans())
def test_detections_come_back(
    value: float, bbox: tuple[int, int, int, int], flag: bool, deficit_um2: float, glimpsed: bool
) -> None:
    one = detection(value, bbox, flag, deficit_um2, glimpsed)
    step = through_the_wire(Step(1, detections=[pack_detection(one)]))
    back = unpack_detection(step.detections[0])
    assert pack_detection(back) == pack_detection(one)
    assert (back.x_px, back.bbox, back.double) == (value, bbox, flag)
    assert (back.deficit_um2, back.glimpsed) == (deficit_um2, glimpsed)
    assert back.contour.shape == (0, 2)


def test_detections_of_older_records_were_outlined() -> None:
    packed = pack_detection(detection(1.0, (0, 0, 1, 1), True, 2.0))[:-1]
    back = unpack_detection(through_the_wire(Step(1, detections=[packed])).detections[0])
    assert (back.deficit_um2, back.glimpsed) == (2.0, False)


def test_a_deficit_that_was_not_measured_stays_so() -> None:
    packed = pack_detection(detection(1.0, (0, 0, 1, 1), True))
    back = unpack_detection(through_the_wire(Step(1, detections=[packed])).detections[0])
    assert math.isnan(back.deficit_um2)


@pytest.mark.parametrize(
    "event",
    [
        Acknowledged(4, 1 << 61),
        Refused(5, "late", 9),
        Executed(6, 1 << 40, (1 << 40) + 7, 11),
        Passed(7, "collect", 1 << 40, 2_000, 1 << 61),
        Stopped("PIN", 1 << 61),
        Pedal(True, 12),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_come_back(event: DispenserEvent) -> None:
    step = through_the_wire(Step(1, calls=[Call("step", [], [pack_event(event)])]))
    assert unpack_event(step.calls[0].answer[0]) == event


def test_a_command_is_four_values() -> None:
    assert pack_command(Command(3, "collect", 10, 20)) == [3, "collect", 10, 20]


@pytest.mark.parametrize("use", ["learnt", "told"])
def test_a_moment_that_was_used_is_kept(use: str) -> None:
    journal = Journal()
    journal.begin(1)
    getattr(journal, use)()
    blob = journal.blob()
    assert blob is not None
    assert getattr(msgspec.msgpack.decode(blob, type=Step), use)
    journal.begin(2)
    assert journal.blob() is None


def test_idle_steps_are_left_out_and_a_drain_is_told_once() -> None:
    journal = Journal()
    journal.begin(1)
    assert journal.blob() is None
    journal.drained(1)
    journal.begin(2)
    blob = journal.blob()
    assert blob is not None
    assert msgspec.msgpack.decode(blob, type=Step).drain
    journal.begin(3)
    assert journal.blob() is None
    journal.begin(4)
    journal.took(FRAME)
    blob = journal.blob()
    assert blob is not None
    head = msgspec.msgpack.decode(blob, type=Step).frame
    assert head is not None
    assert (head.number, head.exposed_ns, head.exposed_error_ns, head.received_ns) == (
        7,
        1 << 60,
        12_345,
        (1 << 60) + 1,
    )
