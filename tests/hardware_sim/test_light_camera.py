"""The camera without pixels: the same motion, times and numbers as the one with pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest

from drivers.ports import Camera, Frame
from hardware_sim.demo_rig import DemoSettings, rig_of, scene_of
from hardware_sim.gate_log import GateEdge
from hardware_sim.light_camera import FrameSource, LightCamera, LightStage, OnFrame, RawFrame
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.truth_log import BodyTruth
from hardware_sim.virtual_camera import VirtualCamera, VirtualClock
from sorter.errors import CameraError

START_NS = 1_000_000_000
DEMO = DemoSettings(seed=3, rate_hz=4.0)
EDGES = [
    GateEdge(START_NS + 400_000_000, "collect", START_NS + 425_000_000),
    GateEdge(START_NS + 500_000_000, "waste", START_NS + 515_000_000),
]


class Truths:
    """A `TruthSink` in memory."""

    def __init__(self) -> None:
        self.bodies: list[BodyTruth] = []

    def write(self, truth: BodyTruth) -> None:
        self.bodies.append(truth)

    def end(self, **counts: int) -> None:
        """No more will come."""


def scene() -> SceneSettings:
    """Bodies come at once."""
    plain = scene_of(DEMO)
    feed = plain.feed.model_copy(update={"lead_in_s": 0.0})
    small = plain.camera.model_copy(update={"frame_rate_hz": 50.0})
    none = {"gate_log": None, "truth_log": None}
    return plain.model_copy(update={"feed": feed, "camera": small, **none})


def light(clock: VirtualClock, on_frame: OnFrame | None = None) -> tuple[LightCamera, LightStage]:
    """A camera without pixels."""
    stage = LightStage(scene(), Truths(), START_NS)
    hook = [] if on_frame is None else [on_frame]
    source = FrameSource(stage, START_NS, lambda: EDGES, *hook)
    return LightCamera(source, rig_of(DEMO, scene(), "virtual").camera, clock), stage


def frames_of(camera: Camera, clock: VirtualClock, for_ms: int) -> list[Frame]:
    """All frames of a while."""
    camera.start()
    frames: list[Frame] = []
    for _ in range(for_ms):
        clock.advance_to(clock.now_ns() + 1_000_000)
        while (frame := camera.pop()) is not None:
            frames.append(frame)
    return frames


def test_times_numbers_and_motion_are_those_with_pixels() -> None:
    clock = VirtualClock(START_NS)
    settings = rig_of(DEMO, scene(), "virtual").camera
    full_scene = Scene(scene(), appearance=None)
    full = frames_of(VirtualCamera(full_scene, settings, clock, lambda: EDGES), clock, 700)
    clock = VirtualClock(START_NS)
    camera, stage = light(clock)
    without = frames_of(camera, clock, 700)
    # The camera of a run that is armed begins with the next exposure, not with that of the moment.
    assert [f.number + 1 for f in without] == [f.number for f in full[1:]]
    off_ns = [a.exposed_ns - b.exposed_ns for a, b in zip(without, full[1:], strict=True)]
    # Each begins to learn the transfer's delays with a frame of its own.
    assert np.abs(off_ns[5:]).max() < 400_000
    assert [f.received_ns for f in without[3:]] == pytest.approx(
        [f.received_ns for f in full[4:]], abs=6_000_000
    )
    places = {t.entry.body: t.positions for t in stage.travellers}
    for traveller in full_scene.travellers:
        theirs = {n: x for n, x, _ in traveller.positions}
        for n, x, _ in places.get(traveller.entry.body, []):
            assert theirs[n] == x  # across the flow they may have given way to each other
    assert any(places.values())


def test_bodies_that_run_into_each_other_give_way() -> None:
    crowd = scene().model_copy(
        update={"feed": scene().feed.model_copy(update={"rate_hz": 15.0, "bursts": False})}
    )
    stage = LightStage(crowd, Truths(), START_NS)
    pairs = deep = 0
    for n in range(1, 400):
        stage.skip(START_NS + n * 10_000_000, ())
        singles = [
            (b.x_px, b.y_px, b.spec.diameter_um / 1.73)
            for b in stage.look(n).bodies
            if b.group is None and b.spec.kind == "spheroid"
        ]
        for a, b in combinations(singles, 2):
            pairs += 1
            deep += bool(np.hypot(a[0] - b[0], a[1] - b[1]) < 0.35 * (a[2] + b[2]))
    assert pairs > 100
    assert deep < 0.02 * pairs  # pressed by a third one, or against the wall


def test_what_a_frame_shows() -> None:
    clock = VirtualClock(START_NS)
    camera, _ = light(clock)
    frames = frames_of(camera, clock, 1_200)
    seen = [body for frame in frames[-5:] for body in camera.seen_in(frame)]
    assert seen, "the scene has changed: nothing in view; choose another seed"
    for body in seen:
        reach_px = body.spec.diameter_um / 2 / 1.73
        assert -reach_px < body.x_px < 1280 + reach_px


def test_a_lost_frame_is_a_gap_in_the_numbers() -> None:
    for counted in (True, False):

        def lose(source: FrameSource, raw: RawFrame, counted: bool = counted) -> Sequence[RawFrame]:
            if raw.index != 10:
                return (raw,)
            if not counted:
                source.uncount()
            return ()

        clock = VirtualClock(START_NS)
        camera, _ = light(clock, lose)
        frames = frames_of(camera, clock, 500)
        steps = {b.number - a.number for a, b in pairwise(frames)}
        assert steps == {1, 2}
        assert 10 not in camera.index_of.values()
        assert all(camera.index_of[f.number] == f.number + 1 for f in frames)


def test_frames_out_of_order_come_with_their_own_times() -> None:
    def swap(source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
        if raw.index != 10:
            return (raw,)
        source.put_behind_next(raw)
        return ()

    clock = VirtualClock(START_NS)
    camera, _ = light(clock, swap)
    frames = frames_of(camera, clock, 500)
    indices = [camera.index_of[frame.number] for frame in frames]
    assert indices[8:12] == [9, 11, 10, 12]
    assert len({frame.number for frame in frames}) == len(frames)


def test_a_silent_camera_is_a_fault_and_a_stopped_one_is_not() -> None:
    def silent(source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
        source.held_until_ns = raw.received_ns + 10_000_000_000
        return ()

    clock = VirtualClock(START_NS)
    camera, _ = light(clock, silent)
    with pytest.raises(CameraError, match="no frame for"):
        frames_of(camera, clock, 3_200)
    camera.stop()
    assert camera.pop() is None
