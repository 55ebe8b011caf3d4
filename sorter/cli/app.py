"""The one command, and how its subcommands tell results and errors.

Exit codes: 0 done, 1 a check failed, 2 wrong usage, settings or bundle, 3 hardware that does not
answer, 4 a fault during a run, 130 Ctrl-C. With ``--json`` one JSON object goes to standard output
and everything else to standard error. What a subcommand needs is imported when it runs.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from sorter.cli import INTERRUPTED
from sorter.errors import SorterError

P = ParamSpec("P")

app = typer.Typer(
    name="sorter",
    help="Sorts spheroids that flow past a microscope camera. Start with: sorter demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)

JsonFlag = Annotated[
    bool, typer.Option("--json", help="one JSON object on standard output, the rest on error")
]


def told(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the tree of errors into messages and exit codes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SorterError as error:
            console_err().print(f"[bold red]error:[/] {_plain(error.message)}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            console_err().print("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def console_out() -> Console:
    """Where results go."""
    return Console()


def console_err() -> Console:
    """Where everything goes that is not the result."""
    return Console(stderr=True)


def put_json(value: Any) -> None:
    """The result of a command under ``--json``."""
    sys.stdout.write(json.dumps(value, allow_nan=False, indent=2) + "\n")
    sys.stdout.flush()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _show_version(wanted: bool) -> None:
    if wanted:
        console_out().print(f"spheroid-sorter {version('spheroid-sorter')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="show the version"),
    ] = False,
) -> None:
    """Nothing to do before a subcommand."""
