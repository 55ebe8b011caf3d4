"""`sorter calibrate …`: measure a rig, and keep what was found in its calibration store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorter.cli.app import JsonFlag, console_out, put_json, told

Store = Annotated[Path, typer.Option(help="folder of the calibration store")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    calibrate = typer.Typer(help="Measure a rig; entries are dated, and never overwritten.")
    calibrate.command("threshold")(threshold)
    calibrate.callback()(_group)
    app.add_typer(calibrate, name="calibrate", no_args_is_help=True)


def _group() -> None:
    """Measure a rig."""


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
