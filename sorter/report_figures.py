"""The report's charts, from the rows of a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from sorter.record_reader import CommandRecord, MetaRecord, ObjectRecord
from sorter.record_rows import EventRow
from sorter.report_charts import (
    Mark,
    Passage,
    Series,
    Tick,
    histogram,
    nice_step,
    passages,
    timeline,
)
from sorter.report_words import reason_class, reason_words

_TICK_LIMIT = 6000
_CLOSE_LOOK_S = 12.0
_GROUPS = ("c-healthy", "c-unhealthy", "c-unsure", "c-conflict", "c-late", "c-double", "c-other")


@dataclass(frozen=True, slots=True)
class Figures:
    """SVG of each chart; None where there is nothing to draw.

    Attributes:
        timeline_step: every n-th object is drawn; 1: all.
        close_look_s: the stretch of time that `passages` shows.
    """

    timeline: Markup | None
    timeline_step: int
    rate: Markup | None
    passages: Markup | None
    close_look_s: tuple[float, float]
    latency: Markup | None
    sizes: Markup | None
    probabilities: Markup | None


def figures(
    meta: MetaRecord,
    objects: Sequence[ObjectRecord],
    commands: Iterable[CommandRecord],
    events: Iterable[EventRow],
    latency_ms: NDArray[np.float64],
) -> Figures:
    """Draw everything."""
    clock = _Clock(meta.run.origin_ns, _device_offset_ns(commands))
    marks = [Mark(clock.s(e.at_ns), f"{e.name}: {e.text}") for e in events if e.level != "info"]
    step = math.ceil(len(objects) / _TICK_LIMIT) or 1
    times_s = np.array([clock.at_s(o) for o in objects])
    duration_s = float(times_s.max(initial=0.0)) * 1.01
    stretch = _busiest(times_s)
    by_id = {c.row.id: c for c in commands}
    return Figures(
        timeline=_timeline(objects[::step], clock, marks, duration_s) if len(objects) else None,
        timeline_step=step,
        rate=_rate(objects, times_s, duration_s) if len(objects) > 1 else None,
        passages=_passages(objects, by_id, clock, stretch) if len(objects) else None,
        close_look_s=stretch,
        latency=_latency(latency_ms) if len(latency_ms) else None,
        sizes=_sizes(objects),
        probabilities=_probabilities(objects),
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    """Host and device times to seconds of the run."""

    origin_ns: int
    device_offset_ns: int | None

    def s(self, host_ns: int) -> float:
        return (host_ns - self.origin_ns) / 1e9

    def at_s(self, o: ObjectRecord) -> float:
        arrival_ns = o.row.arrival_ns
        return self.s(o.row.decided_ns if arrival_ns is None else arrival_ns)

    def device_s(self, device_us: int) -> float | None:
        if self.device_offset_ns is None:
            return None
        return self.s(device_us * 1000 + self.device_offset_ns)


def _device_offset_ns(commands: Iterable[CommandRecord]) -> int | None:
    """Host minus device time, from the reports that came back fastest; good to a few ms."""
    offsets = [
        c.executed_ns - c.closed_us * 1000
        for c in commands
        if c.executed_ns is not None and c.closed_us is not None
    ]
    return min(offsets, default=None)


def _busiest(times_s: NDArray[np.float64]) -> tuple[float, float]:
    """The stretch of `_CLOSE_LOOK_S` in which most objects arrive."""
    if not len(times_s):
        return (0.0, _CLOSE_LOOK_S)
    ordered = np.sort(times_s)
    ends = np.searchsorted(ordered, ordered + _CLOSE_LOOK_S - 1.5)
    first = float(ordered[int(np.argmax(ends - np.arange(len(ordered))))])
    start = max(0.0, first - 1.5)
    return (start, start + _CLOSE_LOOK_S)


def _tip(o: ObjectRecord, at_s: float) -> str:
    p = "" if o.row.p_unhealthy is None else f", p = {o.row.p_unhealthy:.3f}"
    return f"object {o.row.id} at {at_s:.2f} s → {o.outlet}: {reason_words(o.reason)}{p}"


def _lanes(objects: Sequence[ObjectRecord]) -> list[str]:
    return sorted({o.outlet for o in objects})


def _timeline(
    objects: Sequence[ObjectRecord], clock: _Clock, marks: Sequence[Mark], duration_s: float
) -> Markup:
    ticks = [
        Tick(at_s, o.outlet, reason_class(o.reason), _tip(o, at_s))
        for o in objects
        for at_s in [clock.at_s(o)]
    ]
    # Rare fates on top of the many.
    ticks.sort(key=lambda t: t.css in ("c-healthy", "c-other"), reverse=True)
    title = "Objects at the junction by outlet"
    return Markup(timeline(_lanes(objects), ticks, marks, duration_s, title=title))


def _stacks(
    objects: Sequence[ObjectRecord],
    value: Callable[[ObjectRecord], float | None],
    edges: NDArray[np.float64],
    scale: float = 1.0,
) -> list[Series]:
    """Counts in ``edges``, one series for each colour."""
    values: Mapping[str, list[float]] = {css: [] for css in _GROUPS}
    for o in objects:
        v = value(o)
        if v is not None:
            values[reason_class(o.reason)].append(v)
    series = []
    for css, members in values.items():
        counts = np.histogram(members, edges)[0].astype(np.float64) * scale
        if counts.any():
            series.append(Series(css.removeprefix("c-"), css, counts))
    return series


def _rate(
    objects: Sequence[ObjectRecord], times_s: NDArray[np.float64], duration_s: float
) -> Markup:
    width_s = nice_step(max(duration_s / 45, 1.0))
    edges = np.arange(0.0, duration_s + width_s, width_s)
    at_s = {o.row.id: float(t) for o, t in zip(objects, times_s, strict=True)}
    series = _stacks(objects, lambda o: at_s[o.row.id], edges, 60.0 / width_s)
    return Markup(
        histogram(
            edges,
            series,
            title="Objects per minute over the run",
            x_label=f"time in the run, s (bins of {width_s:g} s)",
            y_label="objects per minute",
            size=(960, 200),
        )
    )


def _passages(
    objects: Sequence[ObjectRecord],
    commands: Mapping[int, CommandRecord],
    clock: _Clock,
    stretch: tuple[float, float],
) -> Markup:
    rows = []
    for o in sorted(objects, key=lambda o: o.row.first_exposed_ns):
        at_s = clock.at_s(o)
        if stretch[0] <= at_s and clock.s(o.row.first_exposed_ns) <= stretch[1]:
            rows.append(_passage(o, commands.get(o.row.command_id or -1), clock))
    return Markup(passages(rows, stretch, title="Objects from view to junction"))


def _passage(o: ObjectRecord, command: CommandRecord | None, clock: _Clock) -> Passage:
    opening = None
    if command is not None and command.opened_us is not None and command.closed_us is not None:
        opened, closed = clock.device_s(command.opened_us), clock.device_s(command.closed_us)
        opening = None if opened is None or closed is None else (opened, closed)
    arrival_ns = o.row.arrival_ns
    return Passage(
        clock.s(o.row.first_exposed_ns),
        clock.s(o.row.last_exposed_ns),
        clock.s(o.row.decided_ns),
        None if arrival_ns is None else clock.s(arrival_ns),
        opening,
        reason_class(o.reason),
        _tip(o, clock.at_s(o)),
    )


def _latency(latency_ms: NDArray[np.float64]) -> Markup:
    positive = np.maximum(latency_ms, 1e-3)
    low = 10 ** (math.floor(math.log10(float(positive.min())) * 4) / 4)
    high = 10 ** (math.ceil(math.log10(float(positive.max())) * 4 + 1e-6) / 4)
    edges = np.geomspace(low, max(high, 1.5 * low), 61)
    counts = np.histogram(positive, edges)[0].astype(np.float64)
    p50, p99, p999 = (float(p) for p in np.percentile(positive, [50, 99, 99.9]))
    return Markup(
        histogram(
            edges,
            [Series("frames", "c-neutral", counts)],
            title="Latency of frames with objects",
            x_label="frame received → done, ms",
            y_label="frames",
            log_x=True,
            log_y=True,
            marks=[
                Mark(p50, f"p50 {p50:.2f}"),
                Mark(p99, f"p99 {p99:.2f}"),
                Mark(p999, f"p99.9 {p999:.2f}"),
            ],
        )
    )


def _sizes(objects: Sequence[ObjectRecord]) -> Markup | None:
    known = [o.row.diameter_um for o in objects if o.row.diameter_um is not None]
    if not known:
        return None
    width_um = nice_step(max(max(known) / 40, 1.0))
    edges = np.arange(0.0, max(known) + 2 * width_um, width_um)
    series = _stacks(objects, lambda o: o.row.diameter_um, edges)
    return Markup(
        histogram(
            edges,
            series,
            title="Sizes of the objects",
            x_label="diameter, µm",
            y_label="objects",
        )
    )


def _probabilities(objects: Sequence[ObjectRecord]) -> Markup | None:
    asked = [o for o in objects if o.row.p_unhealthy is not None]
    if not asked:
        return None
    p = np.array([o.row.p_unhealthy for o in asked], np.float64)
    collected = [o.row.p_unhealthy or 0.0 for o in asked if o.reason == "healthy"]
    edges = np.linspace(0.0, 1.0, 51)
    counts = np.histogram(p, edges)[0].astype(np.float64)
    marks = [Mark(max(collected), f"healthy up to {max(collected):.3f}")] if collected else []
    return Markup(
        histogram(
            edges,
            [Series("objects", "c-neutral", counts)],
            title="Voted probability of unhealthy",
            x_label="p (unhealthy), voted over views",
            log_y=True,
            marks=marks,
            y_label="objects",
        )
    )
