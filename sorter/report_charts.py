"""Small charts as inline SVG for the report: histograms, and what happened when.

Colours are classes (``c-healthy``, ``c-late`` …) that the page's style sheet fills, so that the
charts follow its light and dark dress. Coordinates are in units of the view box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 16.0, 40.0


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of one kind, stacked on those before: (bins,) values, and a CSS class."""

    name: str
    css: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at ``x`` with a label."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One object in a lane of the timeline."""

    time_s: float
    lane: str
    css: str
    tip: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One object from its first view to the junction, in seconds of the run; None: not known."""

    first_view_s: float
    last_view_s: float
    decided_s: float
    arrival_s: float | None
    opening_s: tuple[float, float] | None
    css: str
    tip: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """Value to position."""

    low: float
    high: float
    start: float
    length: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, v = self.low, self.high, value
        if self.log:
            low, high, v = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return self.start + self.length * (v - low) / (high - low)

    def ticks(self) -> list[float]:
        return _log_ticks(self.low, self.high) if self.log else nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round values (1, 2, 5 times a power of ten) between ``low`` and ``high``."""
    step = nice_step((high - low) / about)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    values = [m * 10.0**d for d in decades for m in factors]
    return [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]


def number(value: float) -> str:
    """Short, without an exponent where that is readable."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.1e}"


def histogram(
    edges: NDArray[np.float64],
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    marks: Sequence[Mark] = (),
    size: tuple[float, float] = (470, 250),
) -> str:
    """Stacked bars over ``edges`` (bins + 1,); with ``log_y`` only one series makes sense."""
    width, height = size
    total = np.sum([s.values for s in series], axis=0) if series else np.zeros(len(edges) - 1)
    top = float(total.max(initial=0)) or 1.0
    x = _Axis(float(edges[0]), float(edges[-1]), _LEFT, width - _LEFT - _RIGHT, log_x)
    down = -(height - _TOP - _BOTTOM)
    y = _Axis(0.7, top * 1.5, height - _BOTTOM, down, True) if log_y else None
    y = y or _Axis(0.0, top * 1.06, height - _BOTTOM, down)
    parts = [_frame_y(y, width), _frame_x(x, height, x_label), _y_title(y_label)]
    base = np.zeros(len(edges) - 1)
    for s in series:
        for i in np.flatnonzero(s.values):
            low = y.low if log_y else float(base[i])
            box = (x.at(float(edges[i])), x.at(float(edges[i + 1])))
            tip = (
                f"{number(float(edges[i]))} to {number(float(edges[i + 1]))}: "
                f"{number(float(s.values[i]))} {s.name}"
            )
            parts.append(_bar(box, (y.at(float(base[i] + s.values[i])), y.at(low)), s.css, tip))
        base = base + s.values
    parts += [_mark(m, x, i, height) for i, m in enumerate(marks)]
    return _svg(width, height, parts, title)


def timeline(
    lanes: Sequence[str],
    ticks: Iterable[Tick],
    marks: Sequence[Mark],
    duration_s: float,
    *,
    title: str,
    width: float = 960,
) -> str:
    """Every object as a stroke in its outlet's lane; marks are events of the run."""
    lane_height, left = 34.0, 76.0
    height = _TOP + lane_height * len(lanes) + _BOTTOM
    x = _Axis(0.0, max(duration_s, 1e-3), left, width - left - _RIGHT)
    parts = [_frame_x(x, height, "time in the run, s")]
    top = {lane: _TOP + i * lane_height for i, lane in enumerate(lanes)}
    for lane, y in top.items():
        parts.append(
            f'<rect class="lane" x="{left}" y="{y + 3:.1f}" width="{x.length:.1f}" '
            f'height="{lane_height - 6:.1f}" rx="3"/>'
            f'<text class="lane-name" x="{left - 8}" y="{y + lane_height / 2 + 4:.1f}" '
            f'text-anchor="end">{escape(lane)}</text>'
        )
    for t in ticks:
        at, y = x.at(min(max(t.time_s, 0.0), x.high)), top[t.lane]
        parts.append(
            f'<path class="stroke {t.css}" d="M{at:.2f} {y + 6:.1f}v{lane_height - 12:.1f}">'
            f"<title>{escape(t.tip)}</title></path>"
        )
    parts += [_event(m, x, height) for m in marks if 0 <= m.x <= x.high]
    return _svg(width, height, parts, title)


def passages(
    rows: Sequence[Passage], span_s: tuple[float, float], *, title: str, width: float = 960
) -> str:
    """Objects from view over decision to junction, those at the same time below each other."""
    places = _packed(rows)
    pitch = 15.0
    height = _TOP + pitch * (max(places, default=0) + 1) + _BOTTOM
    x = _Axis(*span_s, _LEFT / 2, width - _LEFT / 2 - _RIGHT)

    def at(time_s: float) -> float:
        return x.at(min(max(time_s, x.low), x.high))

    parts = [_frame_x(x, height, "time in the run, s")]
    for row, place in zip(rows, places, strict=True):
        y = _TOP + pitch * (place + 0.5)
        end = row.decided_s if row.arrival_s is None else max(row.arrival_s, row.decided_s)
        drawn = [f'<path class="way" d="M{at(row.first_view_s):.2f} {y:.1f}H{at(end):.2f}"/>']
        if row.opening_s is not None:
            drawn.append(
                _box((at(row.opening_s[0]), at(row.opening_s[1])), (y - 6, y + 6), "opening", 2)
            )
        drawn.append(_box((at(row.first_view_s), at(row.last_view_s)), (y - 3, y + 3), row.css, 3))
        drawn.append(f'<circle class="decided" cx="{at(row.decided_s):.2f}" cy="{y:.1f}" r="2.6"/>')
        if row.arrival_s is not None:
            drawn.append(
                f'<path class="arrival {row.css}" d="M{at(row.arrival_s):.2f} {y - 6:.1f}v12"/>'
            )
        parts.append(f"<g>{''.join(drawn)}<title>{escape(row.tip)}</title></g>")
    return _svg(width, height, parts, title)


def _packed(rows: Sequence[Passage]) -> list[int]:
    """The first line in which each row is free of the ones before it."""
    free_s: list[float] = []
    places = []
    for row in rows:
        end = max(row.decided_s, row.arrival_s or 0.0, row.opening_s[1] if row.opening_s else 0.0)
        place = next((i for i, s in enumerate(free_s) if s <= row.first_view_s), len(free_s))
        if place == len(free_s):
            free_s.append(0.0)
        free_s[place] = end
        places.append(place)
    return places


def _svg(width: float, height: float, parts: Iterable[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _box(xs: tuple[float, float], ys: tuple[float, float], css: str, radius: float = 0) -> str:
    wide, high = max(xs[1] - xs[0], 0.8), max(ys[1] - ys[0], 0.8)
    return (
        f'<rect class="{css}" x="{xs[0]:.2f}" y="{ys[0]:.2f}" width="{wide:.2f}" '
        f'height="{high:.2f}" rx="{radius:g}"/>'
    )


def _bar(xs: tuple[float, float], ys: tuple[float, float], css: str, tip: str) -> str:
    gap = min(1.0, (xs[1] - xs[0]) * 0.15)
    wide = max(xs[1] - xs[0] - gap, 0.5)
    return (
        f'<rect class="{css}" x="{xs[0]:.2f}" y="{ys[0]:.2f}" width="{wide:.2f}" '
        f'height="{max(ys[1] - ys[0], 0.6):.2f}"><title>{escape(tip)}</title></rect>'
    )


def _frame_y(y: _Axis, width: float) -> str:
    def line(value: float) -> str:
        at = y.at(value)
        return (
            f'<path class="grid" d="M{_LEFT} {at:.1f}H{width - _RIGHT}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">'
            f"{number(value)}</text>"
        )

    return "".join(line(v) for v in y.ticks() if not y.log or v >= 1)


def _frame_x(x: _Axis, height: float, label: str) -> str:
    base = height - _BOTTOM
    end = x.start + x.length
    middle = x.start + x.length / 2

    def tick(value: float) -> str:
        at = x.at(value)
        return (
            f'<path class="axis" d="M{at:.1f} {base}v4"/>'
            f'<text class="tick" x="{at:.1f}" y="{base + 16}" text-anchor="middle">'
            f"{number(value)}</text>"
        )

    return (
        f'<path class="axis" d="M{x.start} {base}H{end}"/>'
        + "".join(tick(v) for v in x.ticks())
        + f'<text class="label" x="{middle:.1f}" y="{base + 34}" text-anchor="middle">'
        + f"{escape(label)}</text>"
    )


def _y_title(label: str) -> str:
    return f'<text class="label" x="2" y="10">{escape(label)}</text>'


def _mark(mark: Mark, x: _Axis, line: int, height: float) -> str:
    at = x.at(min(max(mark.x, x.low), x.high))
    before = at + 6.6 * len(mark.label) > x.start + x.length + 6
    text_x, anchor = (at - 4, "end") if before else (at + 4, "start")
    return (
        f'<path class="mark" d="M{at:.1f} {_TOP}V{height - _BOTTOM}"/>'
        f'<text class="mark-label" x="{text_x:.1f}" y="{_TOP + 11 + 14 * line}" '
        f'text-anchor="{anchor}">{escape(mark.label)}</text>'
    )


def _event(mark: Mark, x: _Axis, height: float) -> str:
    at = x.at(mark.x)
    return (
        f'<g class="event"><path d="M{at:.1f} {_TOP - 6}V{height - _BOTTOM}"/>'
        f'<path class="flag" d="M{at:.1f} {_TOP - 12}l7 4l-7 4z"/>'
        f"<title>{escape(mark.label)}</title></g>"
    )
