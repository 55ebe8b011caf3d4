"""`sorter sim campaign`: the whole rig in virtual time, struck by faults."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.errors import CheckFailed

_HEAD = (
    "faults",
    "objects",
    "pixel_rigs",
    "unsafe",
    "unaccounted",
    "deadlocks",
    "openings",
    "digest",
)


def register(app: typer.Typer) -> None:
    """Add the subcommand to `sim`, which is there already."""
    sim = next(group.typer_instance for group in app.registered_groups if group.name == "sim")
    assert sim is not None
    sim.command("campaign")(sim_campaign)


@told
def sim_campaign(
    faults: Annotated[int, typer.Option(min=1, help="so many faults at least")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="everything random")] = 0,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="processes; the result is the same for any number")
    ] = 2,
    pixels: Annotated[
        int, typer.Option(min=0, help="so many rigs, of one run each, go through pixels")
    ] = 0,
    replay: Annotated[
        int | None, typer.Option(help="run one rig again, by the number of a failing one")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Faults anywhere, in virtual time: nothing unsafe, nothing lost, nothing stuck.

    Rigs with bodies, camera, link and firmware are stepped from one seed; bytes, frames, clocks,
    ports, disks and processes fail. Exit code 1 when something did not hold.

    Example: sorter sim campaign --faults 50000 --seed 7 --json
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from hardware_sim.campaign import Campaign, run_campaign, run_rig

    if replay is None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console_err()) as shown:
            task = shown.add_task("faults", total=faults)

            def tell(done: int, objects: int) -> None:
                what = f"{done} faults on {objects} objects"
                shown.update(task, completed=min(done, faults), description=what)

            campaign = run_campaign(faults, seed, workers=workers, pixel_rigs=pixels, progress=tell)
    else:
        from hardware_sim.campaign import FAULTS_A_RIG

        campaign = Campaign(seed, [run_rig(replay, min(faults, FAULTS_A_RIG))])
    _tell(campaign.report(), as_json=as_json)
    if campaign.wrong():
        raise CheckFailed(
            f"{campaign.wrong()} violations",
            do="Step to the same one with --replay and the number of the rig",
        )


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(report)
        return
    from rich.table import Table

    console = console_out()
    for key in _HEAD:
        console.print(f"{key:12} {report[key]}", highlight=False, soft_wrap=True)
    table = Table("kind", "faults", "changed the trace")
    for kind, count in report["by_kind"].items():
        table.add_row(kind, str(count), str(report["changed_by_kind"].get(kind, 0)))
    console.print(table)
    for one in report["failing"]:
        console.print(f"rig {one['replay']}: {one['wrong']}", soft_wrap=True, markup=False)
