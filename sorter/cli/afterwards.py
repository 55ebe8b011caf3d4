"""`sorter report`, `export`, `replay`: what is done with a run afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorter.cli.app import JsonFlag, console_out, put_json, told
from sorter.errors import CheckFailed, UsageError

Record = Annotated[Path, typer.Argument(metavar="RUN.sqlite", help="the record of a run")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command("report")(report)
    app.command("export")(export)
    app.command("replay")(replay)


@told
def report(
    record: Record,
    out: Annotated[Path | None, typer.Option(help="the page; beside the record otherwise")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the sort report of a run: one page that needs nothing else.

    Example: sorter report runs/3f….sqlite
    """
    from sorter.record_reader import open_record
    from sorter.report import write_report
    from sorter.report_text import sort_report_text
    from sorter.summary import summarize

    with open_record(record) as reader:
        summary = summarize(reader)
    page = write_report(record, out or record.with_suffix(".html"))
    if as_json:
        put_json(summary.to_dict() | {"page": str(page)})
        return
    console_out().print(sort_report_text(summary))
    console_out().print(f"page: {page}")


@told
def export(
    record: Record,
    table: Annotated[Path | None, typer.Option(help="CSV file: one line for each object")] = None,
    crops: Annotated[Path | None, typer.Option(help="new folder: a data set to label")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a run's objects out as a table, and its crops as a data set to label.

    Example: sorter export runs/3f….sqlite --table objects.csv --crops to-label
    """
    from sorter.export import export_crops, export_objects

    if table is None and crops is None:
        raise UsageError("nothing to export", do="Name --table FILE.csv, --crops DIR, or both")
    counts: dict[str, int] = {}
    if table is not None:
        counts["objects"] = export_objects(record, table)
    if crops is not None:
        counts["crops"] = export_crops(record, crops)
    if as_json:
        put_json(counts)
        return
    console_out().print(", ".join(f"{n} {what}" for what, n in counts.items()))


@told
def replay(record: Record, as_json: JsonFlag = False) -> None:
    """Run a recorded run again in virtual time: it must decide and command the same.

    Example: sorter replay runs/3f….sqlite
    """
    from sorter.replay import replay as run_again

    result = run_again(record)
    told_ = {
        "steps": result.steps,
        "decisions": len(result.recorded.decisions),
        "commands": len(result.recorded.commands),
        "identical": result.difference is None,
        "difference": result.difference,
        "left_out": result.left_out,
    }
    if as_json:
        put_json(told_)
    if result.difference is not None:
        raise CheckFailed(f"the replay differs: {result.difference}", on=record)
    if not as_json:
        console_out().print(
            f"identical: {told_['decisions']} decisions, {told_['commands']} commands, "
            f"{result.steps} steps"
        )
        if result.left_out:
            console_out().print(
                f"the record was cut off within a step; {result.left_out} entries of that step "
                "were left out"
            )
