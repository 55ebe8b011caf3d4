"""The sort report for the terminal, at the end of a demo or a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sorter.report_junction import measured_of
from sorter.report_truth import truth_value
from sorter.report_words import TERMINAL_STYLE, TRUTH_WORDS, UNVALIDATED, reason_words
from sorter.summary import Summary


def sort_report_text(summary: Summary, truth: Mapping[str, Any] | None = None) -> RenderableType:
    """What a run came to, for `rich.console.Console.print`."""
    parts: list[RenderableType] = [_figures(summary), _outlets(summary)]
    if summary.junction is not None:
        parts.append(_junction(summary.junction))
    if truth is not None:
        parts.append(_truth(truth))
    parts.append(Text(UNVALIDATED, style="dim italic"))
    ended = summary.end_reason or "not ended"
    style = {"done": "green", "interrupted": "yellow"}.get(ended, "red")
    return Panel(
        Group(*parts),
        title=f"Sort report · {summary.duration_s:.1f} s · [{style}]{ended}[/]",
        subtitle=f"run {summary.run_id}",
        box=box.ROUNDED,
        padding=(1, 2),
        expand=False,
    )


def _figures(s: Summary) -> Table:
    table = Table.grid(padding=(0, 3))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify)
    efficiency = "–" if s.efficiency is None else f"{100 * s.efficiency:.1f} %"
    latency, command = s.latency_ms, s.command_ms
    table.add_row("seen", f"{s.seen:,}", "frames received", f"{s.frames_received:,}")
    table.add_row("decided", f"{s.decided:,}", "frames dropped", _alarm(s.frames_dropped))
    table.add_row(
        "aborted for coincidence", f"{s.conflicts:,}", "frames/s", f"{s.fps_measured:.1f}"
    )
    table.add_row("late", f"{s.late:,}", "latency p50", f"{latency.p50:.2f} ms")
    table.add_row("per minute", f"{s.objects_per_min:.1f}", "latency p99", f"{latency.p99:.2f} ms")
    table.add_row("efficiency", efficiency, "latency p99.9", f"{latency.p999:.2f} ms")
    table.add_row("warnings", f"{s.warnings:,}", "command p99", f"{command.p99:.2f} ms")
    if s.faults:
        table.add_row("faults", _alarm(s.faults), "", "")
    return table


def _alarm(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")


def _outlets(s: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("outlet and reason")
    for name in ("target", "sent", "executed", "refused"):
        table.add_column(name, justify="right")
    for name, o in s.outlets.items():
        commanded = (f"{o.sent:,}", f"{o.executed:,}", f"{o.refused:,}") if o.sent else ("–",) * 3
        table.add_row(Text(name, style="bold"), f"{o.target:,}", *commanded)
        for reason, n in o.reasons.items():
            style = TERMINAL_STYLE.get(reason, "dim")
            table.add_row(Text(f"  {reason_words(reason)}", style=style), f"{n:,}", "", "", "")
    return table


def _junction(balance: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="measured at the junction")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("meaning", style="dim")
    for row in measured_of(balance).rows:
        table.add_row(*row)
    return table


def _truth(truth: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="against the truth of the simulator")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("meaning", style="dim")
    for name, meaning in TRUTH_WORDS.items():
        if name in truth:
            value = truth[name]
            if isinstance(value, list):
                continue
            shown = truth_value(value)
            style = "bold red" if name == "unsafe" and value else ""
            table.add_row(name.replace("_", " "), Text(shown, style=style), meaning)
    return table
