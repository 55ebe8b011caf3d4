"""`sorter dataset import|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sorter.cli.app import JsonFlag, console_out, put_json, told
from sorter.cli.progress import bar
from sorter.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    group = typer.Typer(help="Labelled crops: bring them in, look at them.")
    group.command("import")(import_)
    group.command("show")(show)
    app.add_typer(group, name="dataset", no_args_is_help=True)


@told
def import_(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="new folder")],
    folders: Annotated[
        Path | None, typer.Option(help="holds healthy/, unhealthy/, other/; below: runs")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with columns file, label, …")] = None,
    size: Annotated[int, typer.Option(min=16, max=512, help="side of a crop, px")] = 64,
    pitch_um: Annotated[float, typer.Option(help="of the crops, µm/px")] = 6.0,
    source_pitch_um: Annotated[
        float | None, typer.Option(help="of the images, where the table doesn't say")
    ] = None,
    normalise: Annotated[
        bool, typer.Option("--normalise/--as-they-are", help="divide by the background")
    ] = True,
    bits: Annotated[int, typer.Option(help="of the written files: 8 or 16")] = 8,
    run: Annotated[str, typer.Option(help="run of images that nothing says it of")] = "imported",
    group_by: Annotated[
        str, typer.Option(help="what must not be split: run, donor, plate or day")
    ] = "run",
    as_json: JsonFlag = False,
) -> None:
    """Bring labelled images in: one size, one pitch, grey as the sorter's own crops.

    Example: sorter dataset import crops --folders my-images --source-pitch-um 1.73
    """
    from models.import_crops import (
        ImportSettings,
        entries_from_folders,
        entries_from_table,
        import_crops,
    )

    if (folders is None) == (table is None):
        raise UsageError(
            "give --folders or --table", do="One of the two says what is labelled how."
        )
    if pitch_um <= 0 or (source_pitch_um is not None and source_pitch_um <= 0):
        raise UsageError("a pitch must be above 0", on="--pitch-um", do="Give µm per pixel.")
    entries = entries_from_table(table) if table else entries_from_folders(folders or Path())
    settings = ImportSettings(
        size_px=size,
        pitch_um=pitch_um,
        source_pitch_um=source_pitch_um,
        normalise=normalise,
        bits=bits,
        run=run,
        group_by=group_by,
    )
    with bar("importing", len(entries)) as advance:
        import_crops(entries, out, settings, advance)
    _tell(out, as_json)


@told
def show(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="images/ and labels.csv")],
    as_json: JsonFlag = False,
) -> None:
    """Count labels, phenotypes and runs; find near-duplicates and runs that can't be split.

    Example: sorter dataset show crops
    """
    _tell(data, as_json)


def _tell(data: Path, as_json: bool) -> None:
    from models.dataset import LABELS, load_crops, split_by_run
    from models.duplicates import near_duplicates
    from sorter.errors import InputError

    crops = load_crops(data)
    pairs = near_duplicates(crops)
    try:
        split = split_by_run(crops, (0.6, 0.2, 0.2))
        parts = [len(part) for part in (split.train, split.val, split.test)]
        split_note = f"{parts[0]} training, {parts[1]} validation, {parts[2]} test (seed 0)"
    except InputError as error:
        split_note = error.what
    facts: dict[str, Any] = {
        "folder": str(data),
        "crops": len(crops),
        "size_px": crops.size_px,
        "pitch_um": crops.pitch_um,
        "content_hash": crops.content_hash,
        "labels": {name: int((crops.label == i).sum()) for i, name in enumerate(LABELS)},
        "phenotypes": _counts(crops.phenotype.tolist()),
        "runs": _counts(crops.run.tolist()),
        "split_by_run": split_note,
        "near_duplicates": len(pairs),
        "exact_duplicates": sum(one.exact for one in pairs),
        "duplicates_across_runs": sum(one.leaks for one in pairs),
        "duplicates_with_other_labels": sum(one.clashes for one in pairs),
        "first_duplicates": [[one.first, one.second] for one in pairs[:10]],
    }
    if as_json:
        put_json(facts)
        return
    from rich.table import Table

    table = Table(title=str(data), show_header=False)
    for key, value in facts.items():
        shown = (
            ", ".join(f"{a}: {b}" for a, b in value.items()) if isinstance(value, dict) else value
        )
        table.add_row(key.replace("_", " "), str(shown))
    console_out().print(table)


def _counts(values: list[str]) -> dict[str, int]:
    return {name: values.count(name) for name in sorted(set(values))}
