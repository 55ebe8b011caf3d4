from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from drivers.clock import MonotonicClock
from drivers.mmcore_camera import MMCoreCamera
from sorter.errors import CameraError
from tests.drivers.cameras import (
    HEIGHT_PX,
    RATE_HZ,
    WIDTH_PX,
    Which,
    demo_cfg,
    open_camera,
    settings_for,
    simulated_cfg,
    small_scene,
    take,
)

CLOCK = MonotonicClock()
BOTH = pytest.mark.parametrize("which", ["demo", "simulated"])


@BOTH
@pytest.mark.parametrize("bit_depth", [8, 12, 16])
def test_frames_come_in_order(which: Which, bit_depth: int, tmp_path: Path) -> None:
    camera = open_camera(which, tmp_path, CLOCK, bit_depth=bit_depth)
    try:
        info = camera.info()
        assert (info.width_px, info.height_px, info.bit_depth) == (WIDTH_PX, HEIGHT_PX, bit_depth)
        assert camera.pop() is None
        camera.start()
        frames = take(camera, CLOCK, 30)
    finally:
        camera.close()
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    assert all(f.pixels.shape == (HEIGHT_PX, WIDTH_PX) for f in frames)
    assert all(f.pixels.dtype == dtype and f.pixels.max() < 2**bit_depth for f in frames)
    assert frames[0].number == 0
    assert all(a.number < b.number for a, b in pairwise(frames))
    assert all(a.exposed_ns < b.exposed_ns < b.received_ns for a, b in pairwise(frames))
    assert all(f.exposed_error_ns > 0 for f in frames)


@BOTH
def test_stopped_camera_gives_what_waits_and_starts_again(which: Which, tmp_path: Path) -> None:
    camera = open_camera(which, tmp_path, CLOCK)
    try:
        camera.start()
        first = take(camera, CLOCK, 5)[-1]
        camera.stop()
        rest = []
        while (frame := camera.pop()) is not None:
            rest.append(frame)
        camera.start()
        again = take(camera, CLOCK, 3)
    finally:
        camera.close()
        camera.close()
    last = rest[-1] if rest else first
    lived = (again[0].received_ns - last.received_ns) * RATE_HZ / 1e9
    assert again[0].number > last.number
    # What was not seen while it stood still shows as a gap; transfer jitter is two frames.
    assert again[0].number - last.number >= lived - 3
    with pytest.raises(CameraError, match="closed"):
        camera.pop()


@BOTH
def test_overflow_arms_again_and_shows_as_a_gap(which: Which, tmp_path: Path) -> None:
    camera = open_camera(which, tmp_path, CLOCK, buffer_mb=1)
    try:
        camera.start()
        take(camera, CLOCK, 3)
        # Nobody reads for longer than the queue holds: 25 frames of 40 KiB, or what is left.
        CLOCK.wait_until(CLOCK.now_ns() + 600_000_000)
        frames = take(camera, CLOCK, 60)
        assert camera.rearms >= 1
    finally:
        camera.close()
    steps = np.diff([f.number for f in frames])
    blind = int(steps.argmax())
    assert steps[blind] >= 3
    missed = (frames[blind + 1].received_ns - frames[blind].received_ns) * RATE_HZ / 1e9
    assert steps[blind] >= missed - 3


def test_ring_of_python_devices_keeps_whole_frames(tmp_path: Path) -> None:
    """At each wrap of a ring that is no multiple of the frame, waiting frames would be gone."""
    # 102.4 frames of 40 KiB: half a second, so that a busy machine doesn't overflow it.
    camera = open_camera("simulated", tmp_path, CLOCK, buffer_mb=4)
    numbers: list[int] = []
    try:
        camera.start()
        while len(numbers) < 220:
            # Let some wait, so that the wrap comes with frames in the ring.
            CLOCK.wait_until(CLOCK.now_ns() + 40_000_000)
            numbers += [f.number for f in take(camera, CLOCK, 8)]
        assert camera.rearms == 0
    finally:
        camera.close()
    assert numbers == list(range(len(numbers)))


REFUSED = {
    "width": ({"width_px": 640}, r"320×128 px, the settings say 640×128"),
    "height": ({"height_px": 130}, r"camera\.height_px"),
    "depth": ({"bit_depth": 12}, r"settings say 12 bits"),
    "label": ({"camera": "Eye"}, r"no device labelled 'Eye'.*one of .*Camera"),
    "adapters": ({"adapter_path": Path("nowhere")}, r"folder of device adapters is missing"),
}


@BOTH
@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_camera_that_does_not_fit_is_refused(
    which: Which, changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    cfg = demo_cfg(tmp_path) if which == "demo" else simulated_cfg(tmp_path)
    with pytest.raises(CameraError, match=message) as caught:
        MMCoreCamera(settings_for(which, cfg, **changes), CLOCK)
    assert caught.value.do


BROKEN = {
    "missing": (None, "configuration file is missing"),
    "no such adapter": ("Device,Camera,NoSuchAdapter,DCam\n", "doesn't load.*NoSuchAdapter"),
    "no such class": ("#py pyDevice,Camera,hardware_sim.camera,Nobody\n", "doesn't load.*Nobody"),
    "no such property": (
        "#py pyDevice,Camera,hardware_sim.camera,SimulatedCamera\n#py Property,Camera,Colour,1\n",
        "doesn't load.*Colour",
    ),
    "no scene file": (
        (
            "#py pyDevice,Camera,hardware_sim.camera,SimulatedCamera\n"
            "#py Property,Camera,SceneFile,gone.toml\nProperty,Core,Initialize,1\n"
        ),
        "scene file is missing",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_configuration_that_does_not_load(text: str | None, message: str, tmp_path: Path) -> None:
    cfg = tmp_path / "broken.cfg"
    if text is not None:
        cfg.write_text(text)
    with pytest.raises(CameraError, match=message):
        MMCoreCamera(settings_for("simulated", cfg), CLOCK)


def test_a_tag_that_is_not_there_is_named(tmp_path: Path) -> None:
    camera = open_camera("demo", tmp_path, CLOCK, elapsed_tag="Nothing")
    try:
        camera.start()
        with pytest.raises(CameraError, match=r"'Nothing'.*ElapsedTime-ms"):
            take(camera, CLOCK, 1)
    finally:
        camera.close()


def test_a_camera_that_goes_silent_is_a_fault(tmp_path: Path) -> None:
    """A stall without end: no frame gets through any more."""
    scene = small_scene(stall_ms=60_000.0, stall_every_s=0.5)
    cfg = simulated_cfg(tmp_path, scene)
    camera = MMCoreCamera(settings_for("simulated", cfg, silent_after_ms=300.0), CLOCK)
    try:
        camera.start()
        with pytest.raises(CameraError, match="no frame for"):
            take(camera, CLOCK, 10_000)
    finally:
        camera.close()


SCRIPT = """
import sys
from pathlib import Path
from drivers.clock import MonotonicClock
from tests.drivers.cameras import open_camera, take

if __name__ == "__main__":
    camera = open_camera("demo", Path(sys.argv[1]), MonotonicClock())
    camera.start()
    take(camera, MonotonicClock(), 5)
    camera.close()
"""


def test_the_process_ends_cleanly_after_close(tmp_path: Path) -> None:
    """Unloading C++ devices without dropping the core aborts the process at exit."""
    root = Path(__file__).parents[2]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
