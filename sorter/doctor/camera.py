"""Does the camera's configuration load, and deliver frames of the stated size?"""

from __future__ import annotations

from drivers.mmcore_camera import MMCoreCamera
from drivers.ports import Clock
from sorter.doctor.finding import Finding, failed, passed
from sorter.settings import RigSettings

FRAMES = 20
_POLL_NS = 1_000_000


def check_camera(rig: RigSettings, clock: Clock) -> Finding:
    """Load it, take some frames, and let it go. Raises `CameraError`."""
    camera = MMCoreCamera(rig.camera, clock)
    try:
        camera.start()
        came, shape = 0, (0, 0)
        until_ns = clock.now_ns() + int(rig.watch.first_frame_s * 1e9)
        while came < FRAMES and clock.now_ns() < until_ns:
            frame = camera.pop()
            if frame is None:
                clock.wait_until(clock.now_ns() + _POLL_NS)
                continue
            came += 1
            height, width = frame.pixels.shape
            shape = (width, height)
    finally:
        camera.close()
    stated = (rig.camera.width_px, rig.camera.height_px)
    if came < FRAMES:
        return failed(
            "camera",
            f"{came} frames in {rig.watch.first_frame_s:g} s",
            "Check its cable, its trigger, and the exposure time",
        )
    if shape != stated:
        return failed(
            "camera",
            f"frames of {shape[0]}x{shape[1]}, not {stated[0]}x{stated[1]}",
            "Correct camera.width_px and camera.height_px",
        )
    return passed("camera", f"{came} frames of {shape[0]}x{shape[1]} from {rig.camera.camera}")
