"""`sorter calibrate …`: measure a rig, and keep what was found in its calibration store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sorter.cli.app import JsonFlag, console_out, put_json, told

if TYPE_CHECKING:
    from drivers.ports import Camera, Clock, Pixels

_IDLE_NS = 1_000_000
Store = Annotated[Path, typer.Option(help="folder of the calibration store")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    calibrate = typer.Typer(help="Measure a rig; entries are dated, and never overwritten.")
    calibrate.command("background")(background)
    calibrate.command("threshold")(threshold)
    app.add_typer(calibrate, name="calibrate", no_args_is_help=True)


@told
def background(
    rig_file: Annotated[Path, typer.Argument(metavar="RIG.toml", help="the rig's settings file")],
    frames: Annotated[int, typer.Option(min=50, help="frames to look at")] = 400,
    store: Store = Path("calibration"),
    as_json: JsonFlag = False,
) -> None:
    """Measure how bright and how even the light is; spheroids may flow past meanwhile.

    Example: sorter calibrate background rig.toml
    """
    from calibration.background import calibrate_background
    from calibration.store import CalibrationStore
    from drivers.clock import MonotonicClock
    from drivers.mmcore_camera import MMCoreCamera
    from sorter.settings import load_rig

    rig = load_rig(rig_file)
    clock = MonotonicClock()
    camera = MMCoreCamera(rig.camera, clock)
    try:
        camera.start()
        entry = calibrate_background(
            islice(_frames_of(camera, clock), frames),
            pitch_um=rig.camera.pitch_um,
            bit_depth=rig.camera.bit_depth,
            segment=rig.segment,
        )
    finally:
        camera.close()
    path = CalibrationStore(store).add(entry)
    if as_json:
        put_json(entry.model_dump(mode="json") | {"file": str(path)})
        return
    v = entry.values
    console_out().print(
        f"level {v['level']:.1%} of full scale, falloff {v['falloff']:.1%}, noise {v['noise']:.2%},"
        f" flicker {v['flicker']:.2%}; kept in {path}",
        soft_wrap=True,
    )


def _frames_of(camera: Camera, clock: Clock) -> Iterator[Pixels]:
    """Frames of a started camera, one after the other; raises `CameraError` when none comes."""
    while True:
        frame = camera.pop()
        if frame is None:
            clock.wait_until(clock.now_ns() + _IDLE_NS)
        else:
            yield frame.pixels


@told
def threshold(
    data: Annotated[Path, typer.Option(help="labelled data set with several views per object")],
    bundle: Annotated[str, typer.Option(help="folder of the model bundle")] = "default",
    store: Store = Path("calibration"),
    max_healthy_loss: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="share of the healthy that may be lost")
    ] = 0.03,
    min_views: Annotated[int, typer.Option(min=1, help="objects with fewer are left out")] = 4,
    as_json: JsonFlag = False,
) -> None:
    """Choose the threshold at which a spheroid is collected, from labelled objects.

    Example: sorter calibrate threshold --data labelled --max-healthy-loss 0.02
    """
    from calibration.store import CalibrationStore
    from calibration.threshold import threshold_from_data
    from models.bundle import load_bundle
    from models.infer import Classifier

    loaded = load_bundle(bundle)
    entry = threshold_from_data(
        data, Classifier(loaded), max_healthy_loss=max_healthy_loss, min_views=min_views
    )
    path = CalibrationStore(store).add(entry)
    if as_json:
        put_json(entry.model_dump(mode="json") | {"file": str(path)})
        return
    v = entry.values
    console_out().print(
        f"threshold {v['threshold']:.3f}: recall of the unhealthy {v['recall']:.1%} at "
        f"{v['healthy_loss']:.1%} loss of the healthy; kept in {path}\n"
        f"to use it, set decide.collect_below = {v['threshold']:.4f} in the rig file"
    )
