"""`sorter sim dataset`, `sim dispenser`, `train classifier`, `bundle show|verify`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from sorter.cli import gans
from sorter.cli.app import JsonFlag, console_out, put_json, told
from sorter.cli.progress import bar, needs_train

Seed = Annotated[int, typer.Option(min=0, help="everything random")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    sim = typer.Typer(help="The simulator: labelled crops, and a dispenser behind a port.")
    sim.command("dataset")(sim_dataset)
    sim.command("dispenser")(sim_dispenser)
    app.add_typer(sim, name="sim", no_args_is_help=True)
    train = typer.Typer(
        help="Train models (needs the extra: pip install spheroid-sorter\\[train])."
    )
    train.command("classifier")(train_classifier)
    train.command("gan")(gans.train_gan)
    app.add_typer(train, name="train", no_args_is_help=True)
    bundle = typer.Typer(help="Model bundles.")
    bundle.command("show")(bundle_show)
    bundle.command("verify")(bundle_verify)
    app.add_typer(bundle, name="bundle", no_args_is_help=True)


@told
def sim_dataset(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="new folder")],
    n: Annotated[int, typer.Option("--n", min=1, help="crops")] = 10_000,
    unhealthy: Annotated[float, typer.Option(min=0, max=1, help="share of unhealthy")] = 0.5,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(min=16, max=512, help="side of a crop, px")] = 64,
    views: Annotated[int, typer.Option(min=1, help="crops of each object")] = 1,
    others: Annotated[
        float, typer.Option(min=0, max=1, help="share of bubbles, debris, doubles …")
    ] = 0.0,
    runs: Annotated[int, typer.Option(min=1, help="runs, each with its own optics")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Write simulated labelled crops, cut by the sorter's own segmentation.

    Example: sorter sim dataset crops --n 20000 --unhealthy 0.5 --views 8 --others 0.1 --seed 1
    """
    from hardware_sim.dataset import write_dataset

    with bar("drawing", n) as advance:
        write_dataset(
            out,
            n=n,
            unhealthy=unhealthy,
            seed=seed,
            size_px=size,
            views=views,
            others=others,
            runs=runs,
            workers=workers,
            progress=lambda done, total: advance(done, total, "drawing"),
        )
    if as_json:
        put_json({"folder": str(out), "crops": n})
    else:
        console_out().print(f"{n} crops in {out}")


@told
def sim_dispenser(
    tcp: Annotated[bool, typer.Option("--tcp", help="serve TCP, not a pseudo-terminal")] = False,
    gate_log: Annotated[Path | None, typer.Option(help="file for what the gate does")] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Run the dispenser's firmware behind a port, until Ctrl-C.

    Example: sorter sim dispenser --gate-log gate.jsonl
    """
    from hardware_sim.dispenser import serve
    from hardware_sim.dispenser_model import SimDispenserSettings
    from sorter.processes import interrupts_noted

    def ready(url: str) -> None:
        if as_json:
            put_json({"port": url})
        else:
            console_out().print(f"port: {url}   (Ctrl-C ends it)")

    # Counted, not raised: an exception that falls into a destructor would be lost.
    with interrupts_noted() as interrupts:
        settings = SimDispenserSettings(tcp=tcp, gate_log=gate_log, seed=seed)
        serve(settings, ready, lambda: interrupts.count > 0)
    raise KeyboardInterrupt


@told
def train_classifier(
    data: Annotated[Path, typer.Option(help="data set: images/ and labels.csv")],
    out: Annotated[Path, typer.Option(help="new folder for the bundle")],
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the training crops")] = 30,
    name: Annotated[str, typer.Option(help="the bundle's name")] = "spheroids",
    made_by: Annotated[
        str, typer.Option(help="the command that made the data, for the bundle's manifest")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Train the classifier and write a bundle: model, manifest, metrics, hash.

    Example: sorter train classifier --data crops --out my-bundle --seed 1
    """
    with needs_train():
        from models.train_classifier import TrainSettings
        from models.train_classifier import train_classifier as train
    from models.bundle import load_bundle

    own = shlex.join(["sorter", *sys.argv[1:]])
    settings = TrainSettings(
        epochs=epochs, name=name, command=f"{made_by} && {own}" if made_by else own
    )
    with bar("training", epochs) as advance:
        folder = train(data, out, settings, seed, advance)
    manifest = load_bundle(folder).manifest
    if as_json:
        put_json(manifest.model_dump(mode="json") | {"folder": str(folder)})
    else:
        _show(folder)


@told
def bundle_show(
    bundle: Annotated[str, typer.Argument(help="folder, or 'default'")] = "default",
    as_json: JsonFlag = False,
) -> None:
    """Show what a bundle says of itself; its hash is checked first.

    Example: sorter bundle show default
    """
    from models.bundle import load_bundle

    loaded = load_bundle(bundle)
    if as_json:
        put_json(loaded.manifest.model_dump(mode="json") | {"folder": str(loaded.path)})
    else:
        _show(loaded.path)


@told
def bundle_verify(
    bundle: Annotated[str, typer.Argument(help="folder, or 'default'")] = "default",
    as_json: JsonFlag = False,
) -> None:
    """Check a bundle's hash and manifest, and that its model loads and predicts.

    Example: sorter bundle verify my-bundle
    """
    from models.bundle import load_bundle
    from models.infer import Classifier

    loaded = load_bundle(bundle)
    classifier = Classifier(loaded)
    classifier.warm_up()
    facts = {
        "folder": str(loaded.path),
        "sha256": loaded.manifest.sha256,
        "provider": classifier.provider,
        "note": classifier.provider_note,
    }
    if as_json:
        put_json(facts)
    else:
        console_out().print(f"good: {facts['folder']} ({facts['note']})")


def _show(folder: Path) -> None:
    """A bundle's manifest as a table."""
    from rich.table import Table

    from models.bundle import load_bundle

    manifest = load_bundle(folder).manifest
    table = Table(title=str(folder), show_header=False)
    for key, value in manifest.model_dump(mode="json", exclude={"metrics", "versions"}).items():
        if key == "operating_points":
            for point in value:
                table.add_row(
                    f"{point['min_views']}+ views",
                    f"unhealthy recall {point['recall']:.1%} at {point['healthy_loss']:.1%} "
                    f"loss of the healthy (threshold {point['threshold']:.3f})",
                )
        else:
            table.add_row(key, str(value))
    table.add_row("note", str(manifest.metrics.get("note", "")))
    console_out().print(table)
