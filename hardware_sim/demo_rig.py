"""A simulated rig as a folder of files: the same files that a lab would write for its own.

`start_demo_rig` starts the simulated dispenser and writes ``camera.cfg``, ``scene.toml`` and
``rig.toml``; from there on the sorter reaches camera and dispenser exactly as it does hardware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from drivers.dispenser import DispenserSettings
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.serial_link import SerialLinkSettings
from hardware_sim.dispenser import start_simulated_dispenser
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import read_gate_log
from hardware_sim.scene_settings import FeedSettings, SceneSettings, dump_scene
from hardware_sim.truth_log import read_truth
from hardware_sim.verdict import TrackRow, judge
from sorter.errors import UsageError
from sorter.files import write_atomic
from sorter.junction import JunctionWatchSettings
from sorter.record import RecordSettings
from sorter.record_reader import RecordReader
from sorter.settings import ModelSettings, RigSettings, RunSettings
from sorter.settings_dump import dump_commented_toml
from sorter.whereabouts import OpticalGateSettings

GATE_LOG, TRUTH_LOG, RIG_FILE = "gate.jsonl", "truth.jsonl", "rig.toml"
PASSAGE_LOG = "passages.jsonl"


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What a person can choose for a simulated run."""

    seed: int = 0
    rate_hz: float = 1.0
    unhealthy: float = 0.10
    duration_s: float = 60.0
    source: Literal["simulated", "real"] = "simulated"
    real_images: Path | None = None
    bundle: str = "default"
    shadow: bool = False
    optical_gates: bool = False


@dataclass(frozen=True, slots=True)
class DemoRig:
    """A simulated rig that is ready: its folder, settings file and settings."""

    folder: Path
    rig_file: Path
    rig: RigSettings


def scene_of(settings: DemoSettings) -> SceneSettings:
    """The scene: the realistic rig's defaults with the given seed, rate and share."""
    return SceneSettings(
        seed=settings.seed,
        source=settings.source,
        real_images=_real_images(settings),
        gate_log=Path(GATE_LOG),
        truth_log=Path(TRUTH_LOG),
        passage_log=Path(PASSAGE_LOG) if settings.optical_gates else None,
        feed=FeedSettings(rate_hz=settings.rate_hz, unhealthy=settings.unhealthy),
    )


def _real_images(settings: DemoSettings) -> Path | None:
    """The folder with the real images: the one that was named, or the repository's own."""
    if settings.source == "simulated":
        return None
    own = Path(__file__).parents[1] / "tests" / "data" / "real"
    folder = settings.real_images or own
    if not folder.is_dir():
        raise UsageError(
            "there are no real images here",
            on=folder,
            do="Name the folder with --real-images; the project's repository has them in "
            "tests/data/real, an installed package doesn't",
        )
    return folder.absolute()


def rig_of(settings: DemoSettings, scene: SceneSettings, port: str) -> RigSettings:
    """The rig's settings: what its calibration would have found."""
    camera = scene.camera
    return RigSettings(
        camera=MMCoreCameraSettings(
            config_file=Path("camera.cfg"),
            pitch_um=scene.optics.pitch_um,
            width_px=camera.width_px,
            height_px=camera.height_px,
            bit_depth=camera.bit_depth,
            frame_rate_hz=camera.frame_rate_hz,
            transfer_delay_ms=camera.transfer_delay_ms,
            transfer_jitter_ms=camera.transfer_jitter_ms,
            elapsed_tag="Camera-ElapsedTime-ms",
            gaps_by_elapsed=True,
        ),
        port=SerialLinkSettings(port=port),
        dispenser=DispenserSettings(least_us_per_byte=10e6 / SimDispenserSettings().baud),
        # The scene tells a dark 0.2 s after its begin, the dispenser when it gets to it.
        optical_gates=OpticalGateSettings(
            present=settings.optical_gates, watch=JunctionWatchSettings(wait_ms=800.0)
        ),
        model=ModelSettings(bundle=settings.bundle),
        record=RecordSettings(folder=Path()),
        run=RunSettings(
            duration_s=settings.duration_s,
            channel_empty=True,
            shadow=settings.shadow,
            seed=settings.seed,
            note="simulated rig",
        ),
    )


@contextmanager
def start_demo_rig(folder: Path, settings: DemoSettings) -> Iterator[DemoRig]:
    """Write the rig's files and keep its dispenser running.

    Raises:
        UsageError: the folder exists and holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "the folder for the demo is not empty", on=folder, do="Name another one with --out"
        )
    scene = scene_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    write_atomic(folder / "scene.toml", dump_scene(scene))
    template = resources.files("hardware_sim").joinpath("sim_camera.cfg")
    write_atomic(folder / "camera.cfg", template.read_text("utf-8"))
    device = SimDispenserSettings(
        seed=settings.seed,
        gate_log=folder / GATE_LOG,
        passage_log=folder / PASSAGE_LOG if settings.optical_gates else None,
    )
    with start_simulated_dispenser(device) as dispenser:
        rig = rig_of(settings, scene, dispenser.url)
        rig_file = folder / RIG_FILE
        write_atomic(rig_file, dump_commented_toml(RigSettings, rig))
        yield DemoRig(folder, rig_file, rig)


def demo_truth(folder: Path, reader: RecordReader) -> tuple[dict[str, Any], int]:
    """The simulator's verdict on a run, and how many frames it rendered."""
    truth = read_truth(folder / TRUTH_LOG)
    edges = read_gate_log(folder / GATE_LOG)
    tracks = [
        TrackRow(
            object_id=o.row.id,
            sightings=[(s.frame, s.x_px, s.y_px) for s in reader.sightings(o.row.id)],
            outlet=o.outlet,
            reason=o.reason,
            commanded=o.sent_ns is not None and o.refused is None,
        )
        for o in reader.objects()
    ]
    rendered = int((truth.end or {}).get("frames_rendered", 0))
    return judge(truth, edges, tracks), rendered
