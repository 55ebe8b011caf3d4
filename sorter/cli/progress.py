"""A progress bar on standard error, and what is said when the training packages are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sorter.cli.app import console_err
from sorter.errors import UsageError


class Advance:
    """What long work calls with (done, total, what)."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show how far it is, and what is done now."""
        self._progress.update(self._task, completed=done, total=total, description=what)


@contextmanager
def bar(what: str, total: int) -> Iterator[Advance]:
    """A progress bar with the time left, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console_err()) as progress:
        yield Advance(progress, what, total)


@contextmanager
def needs_train() -> Iterator[None]:
    """Imports of the training packages; a missing one becomes advice.

    Raises:
        UsageError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this needs {error.name}, which is not installed",
            do="pip install 'spheroid-sorter[train]' with the project's constraints.txt",
        ) from error
