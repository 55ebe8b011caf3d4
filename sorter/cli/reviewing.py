"""`sorter review --blinded`: real and synthetic crops in random order, on a terminal."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from sorter.cli.app import JsonFlag, console_err, console_out, put_json, told
from sorter.cli.progress import needs_train
from sorter.errors import UsageError

_KEYS = {"r": "real", "s": "synthetic"}


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("review")(review)


@told
def review(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="of the review; made if new")],
    blinded: Annotated[bool, typer.Option("--blinded", help="real against synthetic")] = False,
    real: Annotated[Path | None, typer.Option(help="data set of real crops")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="data set of synthetic crops")] = None,
    n: Annotated[int, typer.Option("--n", min=2, help="crops, half of them real")] = 100,
    label: Annotated[str, typer.Option(help="class that is shown")] = "unhealthy",
    seed: Annotated[int, typer.Option(min=0, help="of choice and order")] = 0,
    reviewer: Annotated[str, typer.Option(help="who answers")] = "",
    results: Annotated[bool, typer.Option("--results", help="only tell the results")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a reviewer which crops are synthetic; accuracy with an exact binomial interval.

    Answers are r (real), s (synthetic) or q (stop; it can be gone on with).

    Example: sorter review expert --blinded --real crops --synthetic drawn --reviewer AB
    """
    with needs_train():
        from models.blinded import Session, draw_up

    if not blinded:
        raise UsageError("only blinded reviews can be done here", on="review", do="Add --blinded.")
    if (folder / "plan.json").exists():
        session = Session(folder)
    elif real is None or synthetic is None:
        raise UsageError(
            "a new review needs crops", on=folder, do="Give --real and --synthetic data sets."
        )
    else:
        session = draw_up(folder, real, synthetic, n, label=label, seed=seed)
    if not results:
        if not reviewer.strip():
            raise UsageError("who answers?", on="--reviewer", do="Give a name or initials.")
        _ask(session, reviewer.strip())
    _tell(session, as_json)


def _ask(session: Any, reviewer: str) -> None:
    """Show each open crop and take the answer, until all are answered or q."""
    images = session.images()
    err = console_err()
    todo = session.open_for(reviewer)
    for place, number in enumerate(todo, start=1):
        err.print(_as_text(images[number]))
        started = time.monotonic()
        answer = ""
        while answer not in (*_KEYS, "q"):
            err.print(f"{place} of {len(todo)}: \\[r]eal, \\[s]ynthetic, \\[q]uit? ", end="")
            try:
                answer = input().strip().lower()[:1]
            except EOFError:
                answer = "q"
        if answer == "q":
            return
        session.add(number, _KEYS[answer], reviewer, time.monotonic() - started)


def _as_text(image: NDArray[np.uint8]) -> Any:
    """A crop in half blocks: two pixels of grey in each character."""
    from rich.text import Text

    text = Text()
    padded = image if len(image) % 2 == 0 else np.concatenate([image, image[-1:]])
    for top, bottom in zip(padded[::2], padded[1::2], strict=True):
        for a, b in zip(top, bottom, strict=True):
            text.append("▀", style=f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
        text.append("\n")
    return text


def _tell(session: Any, as_json: bool) -> None:
    reviewers = sorted({one.reviewer for one in session.given})
    if not reviewers:
        if as_json:
            put_json({"folder": str(session.folder), "answers": 0})
        else:
            console_out().print("no answers yet")
        return
    found = {"all": session.result()} | {name: session.result(name) for name in reviewers}
    if as_json:
        put_json(
            {
                "folder": str(session.folder),
                "answers": len(session.given),
                "results": {name: asdict(one) for name, one in found.items()},
            }
        )
        return
    for name, one in found.items():
        low, high = one.accuracy.interval
        console_out().print(
            f"{name}: {one.accuracy.value:.1%} right of {one.accuracy.n} "
            f"(exact 95 % interval {low:.1%} to {high:.1%}; guessing: p = {one.p_value:.3f}), "
            f"{one.median_s:.1f} s an answer"
        )
