"""Configuration files of the two cameras that the one driver is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import mm_test_adapters  # type: ignore[import-untyped]

import hardware_sim
from drivers.mmcore_camera import MMCoreCamera, MMCoreCameraSettings
from drivers.ports import Camera, Clock, Frame
from hardware_sim.camera import ELAPSED_TAG
from hardware_sim.scene_settings import FeedSettings, SceneCamera, SceneSettings, dump_scene

WIDTH_PX, HEIGHT_PX = 320, 128
RATE_HZ = 200.0
PATIENCE_NS = 20_000_000_000

Which = Literal["demo", "simulated"]


def demo_cfg(folder: Path, bit_depth: int = 8) -> Path:
    """The genuine C++ DemoCamera."""
    path = folder / "demo.cfg"
    lines = [
        "Property,Core,Initialize,0",
        "Device,Camera,DemoCamera,DCam",
        "Property,Core,Initialize,1",
        "Property,Core,Camera,Camera",
        f"Property,Camera,OnCameraCCDXSize,{WIDTH_PX}",
        f"Property,Camera,OnCameraCCDYSize,{HEIGHT_PX}",
        f"Property,Camera,PixelType,{8 if bit_depth == 8 else 16}bit",
        f"Property,Camera,BitDepth,{bit_depth}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def simulated_cfg(folder: Path, scene: SceneSettings | None = None, bit_depth: int = 8) -> Path:
    """The simulated camera with the package's own template beside a small scene."""
    template = Path(hardware_sim.__file__).parent / "sim_camera.cfg"
    path = folder / "camera.cfg"
    path.write_text(template.read_text())
    (folder / "scene.toml").write_text(dump_scene(scene or small_scene(bit_depth)))
    return path


def small_scene(bit_depth: int = 8, **camera: Any) -> SceneSettings:
    """A small frame, so that a loaded machine keeps up."""
    sensor = SceneCamera(
        width_px=WIDTH_PX, height_px=HEIGHT_PX, bit_depth=bit_depth, frame_rate_hz=RATE_HZ, **camera
    )
    return SceneSettings(
        seed=5, truth_log=Path("truth.jsonl"), camera=sensor, feed=FeedSettings(lead_in_s=0.1)
    )


def settings_for(which: Which, cfg: Path, **changes: Any) -> MMCoreCameraSettings:
    """Settings that fit the camera."""
    values: dict[str, Any] = {
        "config_file": cfg,
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "exposure_ms": 5.0,
        "frame_rate_hz": RATE_HZ,
        "buffer_mb": 4,
    }
    if which == "demo":
        values["adapter_path"] = Path(mm_test_adapters.device_adapter_path())
    else:
        values |= {"elapsed_tag": ELAPSED_TAG, "gaps_by_elapsed": True}
    return MMCoreCameraSettings(**values | changes)


def open_camera(which: Which, folder: Path, clock: Clock, **changes: Any) -> MMCoreCamera:
    """A camera of that kind in ``folder``, not started."""
    depth = int(changes.get("bit_depth", 8))
    make = demo_cfg if which == "demo" else simulated_cfg
    cfg = make(folder, bit_depth=depth)
    return MMCoreCamera(settings_for(which, cfg, **changes), clock)


def take(camera: Camera, clock: Clock, n: int) -> list[Frame]:
    """The next n frames; fails when they don't come."""
    frames: list[Frame] = []
    deadline_ns = clock.now_ns() + PATIENCE_NS
    while len(frames) < n:
        frame = camera.pop()
        if frame is not None:
            frames.append(frame)
            continue
        assert clock.now_ns() < deadline_ns, f"only {len(frames)} of {n} frames came"
        clock.wait_until(clock.now_ns() + 1_000_000)
    return frames
