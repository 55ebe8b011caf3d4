"""Each fault begins where its limit says, is told once, and again after it has gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from sorter.faults import Fault, FaultKind
from sorter.watch import FrameFacts, ObjectFacts, Watch, WatchSettings

MS, S = 1_000_000, 1_000_000_000
GOOD = FrameFacts(0, 0, 3.0, 0.6, 0.1, 500)
HEALTHY = ObjectFacts(0, True, False, False, 1.0)


def frames(watch: Watch, facts: Iterable[FrameFacts], start_ns: int = 0) -> list[Fault]:
    """One frame each 5 ms."""
    found: list[Fault] = []
    for i, one in enumerate(facts):
        found += watch.frame(replace(one, now_ns=start_ns + i * 5 * MS))
    return found


def objects(watch: Watch, facts: Iterable[ObjectFacts], every_s: float = 1.0) -> list[Fault]:
    found: list[Fault] = []
    for i, one in enumerate(facts):
        found += watch.object(replace(one, now_ns=round(i * every_s * S)))
    return found


def kinds(found: Iterable[Fault]) -> list[FaultKind]:
    return [fault.kind for fault in found]


def new() -> Watch:
    return Watch(WatchSettings(), 0)


def test_nothing_is_wrong_with_good_frames_and_objects() -> None:
    watch = new()
    assert not frames(watch, [GOOD] * 2_000)
    assert not objects(watch, [HEALTHY, replace(HEALTHY, unhealthy=True), *[HEALTHY] * 18] * 10)


FRAMES: dict[str, tuple[FrameFacts, FaultKind]] = {
    "dark": (replace(GOOD, level=0.2), FaultKind.LIGHT_OUT_OF_RANGE),
    "bright": (replace(GOOD, level=0.99), FaultKind.LIGHT_OUT_OF_RANGE),
    "something stands still": (replace(GOOD, oldest_s=3.1), FaultKind.CLOGGED),
    "clock": (replace(GOOD, clock_bound_us=5_001), FaultKind.CLOCK_UNSURE),
    "frames lost": (replace(GOOD, lost=1), FaultKind.FRAMES_LOST),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_fault_of_frames_is_told_once_and_again_when_it_comes_back(case: str) -> None:
    bad, kind = FRAMES[case]
    watch = new()
    assert kinds(frames(watch, [bad] * 50)) == [kind]
    assert not frames(watch, [GOOD] * 1_100, S)
    assert kinds(frames(watch, [bad] * 50, 10 * S)) == [kind]


def test_a_background_that_is_not_known_is_no_fault() -> None:
    assert not frames(new(), [replace(GOOD, level=None)] * 10)


@pytest.mark.parametrize(("slow", "told"), [(10, False), (11, True)])
def test_the_model_is_slow_when_more_than_one_frame_in_twenty_is(slow: int, told: bool) -> None:
    slow_ones = [replace(GOOD, latency_ms=25.0)] * slow
    facts = [*[GOOD] * 200, *slow_ones, *[GOOD] * (200 - slow)]
    assert (kinds(frames(new(), facts)) == [FaultKind.MODEL_SLOW]) is told


def test_slow_frames_of_long_ago_are_forgotten() -> None:
    watch = new()
    frames(watch, [*[GOOD] * 200, *[replace(GOOD, latency_ms=25.0)] * 10, *[GOOD] * 200])
    assert not frames(watch, [replace(GOOD, latency_ms=25.0)] * 10, 5 * S)


def test_frames_that_waited_while_the_run_was_made_ready_do_not_count() -> None:
    assert not frames(new(), [replace(GOOD, latency_ms=80.0)] * 200 + [GOOD] * 200)


def test_a_camera_that_stalls() -> None:
    watch = new()
    frames(watch, [GOOD] * 10)
    assert not watch.idle(45 * MS + 500 * MS)
    assert kinds(watch.idle(45 * MS + 501 * MS)) == [FaultKind.CAMERA_STALLED]
    assert not watch.idle(45 * MS + 900 * MS)


def test_a_camera_takes_its_time_to_start() -> None:
    watch = new()
    assert not watch.idle(10 * S)
    assert kinds(watch.idle(10 * S + 1)) == [FaultKind.CAMERA_STALLED]


def test_nothing_arrives() -> None:
    watch = new()
    objects(watch, [HEALTHY] * 3)
    watch.frame(replace(GOOD, now_ns=123 * S))
    assert kinds(watch.idle(123 * S)) == [FaultKind.NO_ARRIVALS]


def test_a_pause_is_not_taken_for_a_stall() -> None:
    watch = new()
    watch.resumed(500 * S)
    assert not watch.idle(509 * S)


def test_more_objects_than_the_gate_resolves() -> None:
    assert kinds(objects(new(), [HEALTHY] * 31, every_s=0.15)) == [FaultKind.EVENT_RATE]
    assert not objects(new(), [HEALTHY] * 200, every_s=0.2)


def test_bubbles() -> None:
    bubble = ObjectFacts(0, False, True, False, None)
    assert not objects(new(), [bubble] * 12)
    assert kinds(objects(new(), [bubble] * 13)) == [FaultKind.BUBBLES]


@pytest.mark.parametrize(("unhealthy", "told"), [(19, False), (20, True)])
def test_a_bad_batch_by_its_control_limit(unhealthy: int, told: bool) -> None:
    """Of 100 with 10 % expected: 10 % + 3 x 3 %."""
    facts = [replace(HEALTHY, unhealthy=i < unhealthy) for i in range(100)]
    assert (kinds(objects(new(), facts)) == [FaultKind.BATCH_BAD]) is told


def test_objects_get_slower() -> None:
    facts = [HEALTHY] * 50 + [replace(HEALTHY, relative_speed=0.65)] * 30
    assert kinds(objects(new(), facts)) == [FaultKind.SPEED_FALLING]


def test_the_disk_fills() -> None:
    watch = new()
    assert not watch.disk(501.0, 0)
    assert kinds(watch.disk(499.0, 1)) == [FaultKind.DISK_FILLING]
    assert not watch.disk(400.0, 2)


def test_blurred_outlines_are_told_once_and_again_when_they_come_back() -> None:
    watch = new()
    sharp = [fault for i in range(30) for fault in watch.outline(7.0, i)]
    blurred = [fault for i in range(30) for fault in watch.outline(15.0, i)]
    again = [fault for i in range(30) for fault in watch.outline(7.0, i)]
    back = [fault for i in range(30) for fault in watch.outline(15.0, i)]
    assert [kinds(found) for found in (sharp, blurred, again, back)] == [
        [], [FaultKind.FOCUS_OUT_OF_RANGE], [], [FaultKind.FOCUS_OUT_OF_RANGE],
    ]  # fmt: skip
    assert "15 µm wide" in blurred[0].what
