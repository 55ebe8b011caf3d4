"""`sorter segment` and `sorter bench`: what the pipeline sees, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command("segment")(segment)
    app.command("bench")(bench)


@told
def segment(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="PNG, TIFF, BMP, JPEG")],
    pitch_um: Annotated[float, typer.Option(help="µm per pixel of the images")],
    out: Annotated[Path | None, typer.Option(help="folder for overlays, one PNG each")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find spheroids in still images.

    Example: sorter segment well_*.tif --pitch-um 1.36 --out overlays
    """
    from sorter.still import segment_files

    if pitch_um <= 0:
        raise UsageError("the pitch must be positive", on=f"--pitch-um {pitch_um}")
    result = segment_files(images, pitch_um, out)
    if as_json:
        put_json(result)
        return
    table = Table("image", "objects", "diameters, µm")
    for image in result["images"]:
        sizes = sorted((d["diameter_um"] for d in image["detections"]), reverse=True)
        shown = ", ".join(f"{size:.0f}" for size in sizes[:10]) + (" …" if len(sizes) > 10 else "")
        table.add_row(Path(image["file"]).name, str(len(sizes)), shown)
    console_out().print(table)
    if out is not None:
        console_out().print(f"overlays in {out}")


@told
def bench(
    frames: Annotated[int, typer.Option(min=50, help="frames per row")] = 400,
    bundle: Annotated[str, typer.Option(help="folder of the model bundle")] = "default",
    as_json: JsonFlag = False,
) -> None:
    """Measure segment + track + crop + classify on this machine, one thread.

    Example: sorter bench --frames 1000
    """
    from models.bundle import load_bundle
    from models.infer import Classifier
    from sorter.bench import BenchRow, run_bench

    loaded = load_bundle(bundle)
    classifier = Classifier(loaded)
    classifier.warm_up()
    err = console_err()

    def said(row: BenchRow) -> None:
        size = f"{row.width_px}x{row.height_px}"
        err.print(f"{size}, {row.objects} objects: {row.p50_ms:.2f} ms", highlight=False)

    result = run_bench(loaded, classifier, n_frames=frames, progress=said)
    if as_json:
        put_json(result)
    else:
        console_out().print(_bench_table(result))
        console_out().print(
            f"{result['spheroids_per_s']:.0f} spheroids/s "
            f"(16 in every 1280x512 frame, on {result['provider']})"
        )


def _bench_table(result: dict[str, Any]) -> Table:
    table = Table(title="segment + track + crop + classify, ms per frame")
    for name in ("frame", "MP", "objects", "p50", "p99", "spheroids/s"):
        table.add_column(name, justify="right")
    for row in result["table"]:
        table.add_row(
            f"{row['width_px']}x{row['height_px']}",
            f"{row['megapixels']:.2f}",
            str(row["objects"]),
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['spheroids_per_s']:.0f}",
        )
    return table
