from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import Frame
from hardware_sim.gate_log import GateEdge
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import FeedSettings, SceneCamera, SceneSettings
from hardware_sim.transfer import Transfers, exposed_ns
from hardware_sim.truth_log import read_truth
from hardware_sim.virtual_camera import VirtualCamera, VirtualClock

START_NS = 7_000_000_000
MS = 1_000_000
CAMERA = SceneCamera(width_px=320, height_px=128, stall_every_s=1.0)
SCENE = SceneSettings(seed=4, camera=CAMERA, feed=FeedSettings(rate_hz=20.0, lead_in_s=0.05))
SETTINGS = MMCoreCameraSettings(config_file=Path("none.cfg"), width_px=320, height_px=128)


def play(seconds: float, gate: list[GateEdge] | None = None) -> list[Frame]:
    """Step from due time to due time, as a scheduler does."""
    clock = VirtualClock(START_NS)
    edges = gate or []
    camera = VirtualCamera(
        Scene(SCENE), SETTINGS, clock, lambda: [e for e in edges if e.t_ns <= clock.now_ns()]
    )
    camera.start()
    frames = []
    while (due_ns := camera.next_due_ns) is not None and due_ns < START_NS + seconds * 1e9:
        clock.advance_to(due_ns)
        frame = camera.pop()
        assert frame is not None
        assert frame.received_ns == due_ns
        frames.append(frame)
    camera.close()
    return frames


def test_clock_stands_still_unless_moved() -> None:
    clock = VirtualClock(5)
    clock.wait_until(3)
    assert clock.now_ns() == 5
    clock.wait_until(8)
    clock.advance_to(9)
    assert clock.now_ns() == 9
    with pytest.raises(ValueError, match="go back"):
        clock.advance_to(8)


def test_nothing_comes_before_it_is_due() -> None:
    clock = VirtualClock(START_NS)
    camera = VirtualCamera(Scene(SCENE), SETTINGS, clock)
    assert camera.pop() is None
    camera.start()
    assert camera.pop() is None
    due_ns = camera.next_due_ns
    assert due_ns is not None
    clock.advance_to(due_ns - 1)
    assert camera.pop() is None
    clock.advance_to(due_ns)
    assert camera.pop() is not None


def test_the_same_seed_gives_the_same_frames() -> None:
    gate = [GateEdge(START_NS + 500 * MS, "collect", START_NS + 525 * MS)]
    one, two, still = play(1.0, gate), play(1.0, gate), play(1.0)
    same = [np.array_equal(a.pixels, b.pixels) for a, b in zip(one, two, strict=True)]
    assert all(same)
    assert [(a.exposed_ns, a.received_ns) for a in one] == [
        (b.exposed_ns, b.received_ns) for b in two
    ]
    moved = [not np.array_equal(a.pixels, b.pixels) for a, b in zip(one, still, strict=True)]
    # The valve has switched after 525 ms, in frame 105.
    assert not any(moved[:105])
    assert any(moved[105:])


def test_frames_come_in_order_delayed_and_dated() -> None:
    frames = play(1.6)
    assert [f.number for f in frames] == list(range(len(frames)))
    truth = [exposed_ns(CAMERA, START_NS, f.number) for f in frames]
    transit_ms = np.array([f.received_ns - t for f, t in zip(frames, truth, strict=True)]) / MS
    assert transit_ms.min() >= 5.0
    assert np.median(transit_ms) == pytest.approx(8.5, abs=1.0)
    # One stall of 30 ms in a second and a half.
    assert 20.0 < transit_ms.max() <= 41.0
    off = np.abs([f.exposed_ns - t for f, t in zip(frames, truth, strict=True)])
    bound = np.array([f.exposed_error_ns for f in frames])
    assert np.mean(off <= bound) > 0.95


def test_stop_lets_out_what_had_arrived_and_the_truth_ends(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    clock = VirtualClock(START_NS)
    scene = Scene(SCENE.model_copy(update={"truth_log": path}))
    camera = VirtualCamera(scene, SETTINGS, clock)
    camera.start()
    clock.advance_to(START_NS + 200 * MS)
    camera.stop()
    frames = []
    while (frame := camera.pop()) is not None:
        frames.append(frame)
    clock.advance_to(START_NS + 400 * MS)
    assert camera.pop() is None
    assert all(f.received_ns <= START_NS + 200 * MS for f in frames)
    assert len(frames) == pytest.approx(38, abs=2)
    camera.close()
    camera.close()
    end = read_truth(path).end
    assert end is not None
    assert end["frames_rendered"] == len(frames)


def test_transfers_are_seeded_and_in_order() -> None:
    at = [exposed_ns(CAMERA, START_NS, k) for k in range(1000)]
    one, two = Transfers(CAMERA, START_NS, 1), Transfers(CAMERA, START_NS, 1)
    due = [one.due_ns(t) for t in at]
    assert due == [two.due_ns(t) for t in at]
    assert due == sorted(due)
    longest = max(d - t for d, t in zip(due, at, strict=True))
    assert 11 * MS < longest <= 41 * MS
