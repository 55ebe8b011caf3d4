"""Who is judged when, and what stops a healthy body: with a `Vision` whose answers are known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.ports import Frame
from models.votes import VoteSettings
from sorter.attention import Attention
from sorter.decide import Decider, DecideSettings, OutletSettings, Reason
from sorter.detection import Detection
from sorter.pipeline import DecidedObject, Pipeline
from sorter.track import TrackSettings
from sorter.tracker import Tracker
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

PERIOD_NS = 5_000_000
# While frames wait: whether a body is judged in its first views.
FIRST_VIEWS = [True, True, False, True, False, True, False, False, True, False, False, True]
SPEED_UM_S = 16_000.0
NO_PIXELS = np.empty((0, 0), np.uint8)


@dataclass
class Seen:
    """A `Vision`: bodies side by side across the flow, all of them healthy."""

    bodies: int
    hides: bool = False
    glimpsed_in: Collection[int] = ()
    judged: list[list[int]] = field(default_factory=list)
    judged_in: list[int] = field(default_factory=list)

    def settle(self) -> None:
        """Nothing to learn."""

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        return self.hides

    def detect(self, frame: Frame, attention: Attention) -> list[Detection]:
        x_um = 150.0 + SPEED_UM_S * frame.exposed_ns * 1e-9
        if x_um > WIDTH_PX * PITCH_UM + 100:
            return []
        glimpsed = frame.number in self.glimpsed_in
        return [detection(x_um, 250.0 * (i + 1), glimpsed=glimpsed) for i in range(self.bodies)]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        self.judged_in.append(frame.number)
        self.judged.append([round(d.y_px * PITCH_UM / 250.0) - 1 for d in detections])
        n = len(detections)
        return np.tile(np.array([0.99, 0.01, 0.0], np.float32), (n, 1)), np.zeros(
            (n, 8, 8), np.uint8
        )


@dataclass
class Failing(Seen):
    """The first body is 0.5 mm ahead; the network fails when it alone has left the view."""

    def detect(self, frame: Frame, attention: Attention) -> list[Detection]:
        x_um = 150.0 + SPEED_UM_S * frame.exposed_ns * 1e-9
        ways = [(x_um + 500.0, 250.0), (x_um, 600.0)]
        return [detection(x, y) for x, y in ways if x < WIDTH_PX * PITCH_UM + 90]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if len(detections) < 2 and self.judged:
            raise RuntimeError("the network failed")
        return super().classify(frame, detections)


class Late:
    """Each frame is late."""

    def is_late(self, need_ns: int) -> bool:
        return True

    def is_crowded(self) -> bool:
        return True


def pipeline_of(vision: Seen, *, at_once: int = 2) -> Pipeline:
    decider = Decider(
        DecideSettings(judged_at_once=at_once),
        OutletSettings(),
        labels=("healthy", "unhealthy", "other"),
        threshold=lambda count: 0.5,
        votes=VoteSettings(),
    )
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    return Pipeline(vision, tracker, decider, junction_um=12_000.0)


def take(pipeline: Pipeline, number: int, *, crowded: bool = False) -> list[DecidedObject]:
    at_ns = number * PERIOD_NS
    frame = Frame(NO_PIXELS, number, at_ns, 0, at_ns)
    return pipeline.process(frame, float(at_ns), lateness=Late() if crowded else None).decided


def run(vision: Seen, *, crowded: bool = False, at_once: int = 2) -> list[DecidedObject]:
    pipeline = pipeline_of(vision, at_once=at_once)
    return [one for n in range(40) for one in take(pipeline, n, crowded=crowded)]


def test_whoever_leaves_as_the_network_fails_is_decided_all_the_same() -> None:
    pipeline = pipeline_of(Failing(2))
    decided: list[DecidedObject] = []
    with suppress(RuntimeError):
        for number in range(40):
            decided += take(pipeline, number)
    assert len(decided) == 0
    decided += pipeline.drain()
    assert sorted(one.track.id for one in decided) == [1, 2]
    assert pipeline.drain() == []


@pytest.mark.parametrize("bodies", [1, 2, 3, 5])
@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_no_more_are_judged_at_once_and_all_get_their_share(bodies: int, at_once: int) -> None:
    vision = Seen(bodies)
    decided = run(vision, at_once=at_once)
    assert len(decided) == bodies
    assert max(len(frame) for frame in vision.judged) == min(bodies, at_once)
    counts = [len(one.views.probabilities) for one in decided]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == sum(len(frame) for frame in vision.judged)


def test_while_frames_wait_most_views_are_passed_over_but_not_the_first() -> None:
    vision = Seen(1)
    (waiting,) = run(vision, crowded=True)
    (calm,) = run(Seen(1))
    whole = len(calm.views.diameters_um)
    assert len(waiting.views.diameters_um) == whole
    assert len(calm.views.probabilities) == whole
    assert [number in vision.judged_in for number in range(len(FIRST_VIEWS))] == FIRST_VIEWS
    assert len(waiting.views.probabilities) == pytest.approx(whole / 3, abs=3)


@pytest.mark.parametrize("bodies", [2, 5])
def test_while_frames_wait_one_is_judged_at_once_and_all_get_their_share(bodies: int) -> None:
    vision = Seen(bodies)
    decided = run(vision, crowded=True)
    assert {len(frame) for frame in vision.judged} == {1}
    counts = [len(one.views.probabilities) for one in decided]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("hides", "outlet", "reason"),
    [(False, "collect", Reason.HEALTHY), (True, "waste", Reason.HIDDEN)],
)
def test_a_healthy_body_with_another_in_it_goes_to_rest(
    hides: bool, outlet: str, reason: Reason
) -> None:
    (decided,) = run(Seen(1, hides=hides))
    assert (decided.decision.outlet, decided.decision.reason) == (outlet, reason)


@pytest.mark.parametrize(
    ("glimpsed", "outlet", "reason"),
    [
        ("none", "collect", Reason.HEALTHY),
        ("most", "collect", Reason.HEALTHY),
        ("all but five", "waste", Reason.UNSEEN),
        ("all", "waste", Reason.UNSEEN),
    ],
)
def test_who_was_outlined_less_than_six_times_is_not_collected(
    glimpsed: str, outlet: str, reason: Reason
) -> None:
    numbers = {
        "none": range(0),
        "most": range(10, 40),
        "all but five": range(5, 40),
        "all": range(40),
    }[glimpsed]
    vision = Seen(1, glimpsed_in=numbers)
    (decided,) = run(vision)
    assert (decided.decision.outlet, decided.decision.reason) == (outlet, reason)
    assert not set(vision.judged_in) & set(numbers)
