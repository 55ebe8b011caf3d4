"""Does the bundle load, does it fit the camera, and is this machine fast enough for the rig?"""

from __future__ import annotations

from collections.abc import Iterator

from sorter.bench import measure
from sorter.bench_frames import bench_frames
from sorter.build import load_model
from sorter.doctor.finding import Finding, attempt, failed, passed
from sorter.settings import RigSettings

FRAMES = 300


def check_model(rig: RigSettings, *, frames: int = FRAMES) -> Iterator[Finding]:
    """Load and warm up; then the pipeline's time for a body in frames of the camera's size.

    Raises `BundleError`, `HardwareError`.
    """
    bundle, classifier = load_model(rig)
    yield passed(
        "model",
        f"{bundle.path.name}, sha256 {bundle.manifest.sha256[:12]}…, on {classifier.provider}",
    )

    def speed() -> Finding:
        drawn = bench_frames(
            1,
            width_px=rig.camera.width_px,
            height_px=rig.camera.height_px,
            pitch_um=rig.camera.pitch_um,
        )
        row = measure(bundle, classifier, drawn, n_frames=frames)
        period_ms = 1e3 / rig.camera.frame_rate_hz
        told = (
            f"p50 {row.p50_ms:.2f} ms, p99 {row.p99_ms:.2f} ms for a frame with a body; a frame "
            f"comes every {period_ms:.2f} ms"
        )
        if row.p50_ms > period_ms or row.p99_ms > rig.watch.budget_ms:
            return failed(
                "latency", told, "Lower the frame rate or the frame's size, or free the machine"
            )
        return passed("latency", told)

    yield attempt("latency", speed)
