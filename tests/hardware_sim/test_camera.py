"""The simulated camera's two processes; the driver on top is tested in tests/drivers."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from drivers.clock import MonotonicClock
from drivers.mmcore_camera import MMCoreCamera
from hardware_sim.frame_ring import FrameRing
from hardware_sim.scene import Scene
from hardware_sim.scene_process import SceneProcess
from hardware_sim.transfer import exposed_ns
from hardware_sim.truth_log import read_truth
from sorter.errors import CameraError
from tests.drivers.cameras import settings_for, simulated_cfg, small_scene, take

CLOCK = MonotonicClock()


def test_all_that_is_rendered_is_received(tmp_path: Path) -> None:
    scene = small_scene()
    camera = MMCoreCamera(settings_for("simulated", simulated_cfg(tmp_path, scene)), CLOCK)
    try:
        camera.start()
        frames = take(camera, CLOCK, 150)
        camera.stop()
        while (frame := camera.pop()) is not None:
            frames.append(frame)
    finally:
        camera.close()
    assert [f.number for f in frames] == list(range(len(frames)))
    end = read_truth(tmp_path / "truth.jsonl").end
    assert end is not None
    assert end["frames_rendered"] == len(frames)
    assert end["frames_dropped"] == 0
    # What real time shows is what the scene alone gives for the same exposure times.
    again = Scene(scene.model_copy(update={"truth_log": None}))
    for frame in frames[:40]:
        at_ns = exposed_ns(scene.camera, 0, frame.number)
        assert np.array_equal(again.advance(at_ns, (), frame.number), frame.pixels)


def test_a_rendering_process_that_dies_is_a_camera_fault(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    camera = MMCoreCamera(settings_for("simulated", simulated_cfg(tmp_path)), CLOCK)
    try:
        camera.start()
        take(camera, CLOCK, 5)
        renderers = [
            p
            for p in set(psutil.Process().children()) - before
            if "resource_tracker" not in " ".join(p.cmdline())
        ]
        assert len(renderers) == 1
        renderers[0].kill()
        with pytest.raises(CameraError, match="rendering process is gone"):
            take(camera, CLOCK, 10_000)
    finally:
        camera.close()


ORPHAN = """
import os, signal, sys
from pathlib import Path
from hardware_sim.scene_process import SceneProcess
from tests.drivers.cameras import small_scene

if __name__ == "__main__":
    process = SceneProcess(small_scene().model_copy(update={"truth_log": Path(sys.argv[1])}))
    process.arm(1)
    process.ring.take(10.0)
    print(process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_rendering_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    done = subprocess.run(
        [sys.executable, str(script), str(truth)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(timeout=10)
    assert read_truth(truth).end is not None


def test_a_process_that_was_never_armed_stops() -> None:
    process = SceneProcess(small_scene().model_copy(update={"truth_log": None}))
    assert process.is_alive()
    counts = process.close()
    assert counts.frames_rendered == counts.frames_dropped == 0
    assert not process.is_alive()


def test_a_full_ring_drops_and_counts() -> None:
    """Nobody takes frames: the ring fills, the rest is dropped at the camera and counted."""
    process = SceneProcess(small_scene().model_copy(update={"truth_log": None}))
    process.arm(1)
    slots = process.ring.spec.slots
    CLOCK.wait_until(CLOCK.now_ns() + round((slots + 40) * 5e6))
    process.disarm()
    written = len(process.ring.waiting_due_ns())
    assert written == slots
    assert process.close().frames_dropped > 0


def test_ring_hands_over_in_order_and_wraps() -> None:
    context = multiprocessing.get_context("spawn")
    ring = FrameRing.create((64, 2048 * 64), "uint8", context)
    other = FrameRing.attach(ring.spec)
    ring.forget_name()
    try:
        assert other.take(0.0) is None
        for number in range(3 * ring.spec.slots):
            index = ring.free()
            assert index is not None
            ring.pixels(index)[0, 0] = number % 251
            ring.publish(index, number, 1, number * 10)
            slot = other.take(1.0)
            assert slot is not None
            assert (slot.number, slot.due_ns) == (number, number * 10)
            assert other.pixels(slot.index)[0, 0] == number % 251
            other.give_back()
        for number in range(ring.spec.slots):
            index = ring.free()
            assert index is not None
            ring.publish(index, number, 1, 0)
        assert ring.free() is None
    finally:
        other.close()
        ring.close()
        ring.close()
