"""`sorter doctor`: is a rig fit to sort, and does a dispenser do what its protocol says?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from drivers.conformance.live import LiveResult
    from sorter.doctor.finding import Finding

_COLOURS = {"passed": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("doctor")(doctor)


@told
def doctor(
    rig_file: Annotated[
        Path | None, typer.Argument(metavar="[RIG.toml]", help="the rig's settings file")
    ] = None,
    dispenser: Annotated[
        str | None,
        typer.Option(metavar="PORT", help="hold PROTOCOL.md's conformance table with this port"),
    ] = None,
    baud: Annotated[int, typer.Option(min=1, help="of that port; USB ignores it")] = 115_200,
    move_gate: Annotated[
        bool,
        typer.Option("--move-gate", help="with --dispenser: open the gate, let the pump run"),
    ] = False,
    store: Annotated[Path, typer.Option(help="folder of the calibrations")] = Path("calibration"),
    max_age_days: Annotated[
        float, typer.Option(min=0, help="tell of calibrations older than this")
    ] = 90.0,
    as_json: JsonFlag = False,
) -> None:
    """Check a rig, or hold the conformance table with a dispenser; opens no gate by itself.

    Exit codes: 0 all is well, 1 a check failed, 3 hardware does not answer.

    Example: sorter doctor rig.toml
    Example: sorter doctor --dispenser COM3
    """
    if (rig_file is None) == (dispenser is None):
        raise UsageError("name a rig file, or a dispenser's port", do="See `sorter doctor --help`")
    if move_gate and dispenser is None:
        raise UsageError("--move-gate goes with --dispenser", do="See `sorter doctor --help`")
    if rig_file is not None:
        _rig(rig_file, store, max_age_days, as_json=as_json)
    elif dispenser is not None:
        _dispenser(dispenser, baud, move_gate=move_gate, as_json=as_json)


def _rig(rig_file: Path, store: Path, max_age_days: float, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from drivers.clock import MonotonicClock
    from sorter.doctor.finding import exit_code
    from sorter.doctor.rig import check_rig
    from sorter.settings import load_rig

    findings: list[Finding] = []
    console = console_err() if as_json else console_out()
    for one in check_rig(
        load_rig(rig_file),
        MonotonicClock(),
        store=store,
        now=datetime.now(UTC),
        max_age_days=max_age_days,
    ):
        findings.append(one)
        advice = f" [dim]{escape(one.do)}[/]" if one.do else ""
        mark = f"[{_COLOURS[one.verdict]}]{one.verdict:8}[/]"
        console.print(f"{mark} {one.check:12} {escape(one.what)}{advice}", soft_wrap=True)
    code = exit_code(findings)
    if as_json:
        put_json({"exit_code": code, "checks": [asdict(one) for one in findings]})
    if code:
        raise typer.Exit(code)


def _dispenser(port: str, baud: int, *, move_gate: bool, as_json: bool) -> None:
    import secrets
    from contextlib import closing

    from drivers.clock import MonotonicClock
    from drivers.conformance.live import check_device
    from drivers.protocol import MASK_32
    from drivers.serial_link import SerialLink, SerialLinkSettings

    console = console_err() if as_json else console_out()
    results: list[LiveResult] = []
    with closing(SerialLink(SerialLinkSettings(port=port, baud=baud))) as link:
        for one in check_device(
            link,
            MonotonicClock(),
            move_gate=move_gate,
            draw_nonce=lambda: 1 + secrets.randbelow(MASK_32),
        ):
            results.append(one)
            # At once: should the link fail, what was found until then stands there.
            console.print(_row(one), soft_wrap=True)
    failed = sum(one.verdict == "failed" for one in results)
    if as_json:
        counts = {
            verdict: sum(one.verdict == verdict for one in results)
            for verdict in ("passed", "failed", "skipped")
        }
        put_json(counts | {"moved_gate": move_gate, "cases": [asdict(one) for one in results]})
    if failed:
        raise CheckFailed(
            f"the dispenser does not do what PROTOCOL.md says in {failed} cases",
            on=port,
            do="Flash the firmware of this version, or mend yours",
        )


def _row(one: LiveResult) -> str:
    """One case's line; of one that did not pass, what was expected and what was heard."""
    row = f"[{_COLOURS[one.verdict]}]{one.verdict:8}[/] {escape(one.case)}"
    if one.verdict == "failed":
        return f"{row}: expected {escape(one.expected)}, heard {escape(one.heard) or 'nothing'}"
    return f"{row} [dim]{escape(one.expected)}[/]" if one.expected else row
