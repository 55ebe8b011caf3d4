"""One self-contained page about a run: no script, no request, everything inside the file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from sorter.files import write_atomic
from sorter.record_reader import MetaRecord, ObjectRecord, RecordReader, open_record
from sorter.record_rows import EventRow
from sorter.report_figures import Figures, figures
from sorter.report_junction import BALANCE_EVENT, measured
from sorter.report_text import sort_report_text
from sorter.report_truth import ObjectTruth, truth_by_object, truth_rows, where_it_went
from sorter.report_words import UNVALIDATED, reason_class, reason_words
from sorter.summary import Summary, summarize

__all__ = ["sort_report_text", "write_report"]

GALLERY_LIMIT = 36
_COLLECT = "collect"  # the simulated rig's name for it; a real rig has no truth
_EVENT_LIMIT = 200
_LEVEL_ORDER = {"fault": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Card:
    """One object in the gallery: its crop as a data address, and what to say below it."""

    id: int
    image: str | None
    size: int
    p_unhealthy: float | None
    diameter_um: float | None
    tip: str
    truth: ObjectTruth | None


@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one outlet and reason, the most doubtful first."""

    outlet: str
    reason: str
    words: str
    css: str
    total: int
    sizes: str
    order: str
    cards: tuple[Card, ...]


def write_report(record: Path, out: Path, truth: Mapping[str, Any] | None = None) -> Path:
    """Write the report of ``record`` to the HTML file ``out``, whole or not at all.

    Args:
        record: a run record, finished or growing.
        out: the page; its folder must exist.
        truth: the simulator's verdict; None on a real rig.

    Raises:
        InputError: ``record`` is not a run record.
        UsageError: ``out`` can't be written there.
        RunFault: the disk is full.
    """
    with open_record(record) as reader, reader.snapshot():
        page = _render(reader, truth)
    write_atomic(Path(out), page)
    return Path(out)


def _render(reader: RecordReader, truth: Mapping[str, Any] | None) -> str:
    summary = summarize(reader)
    meta, objects, events = reader.meta(), reader.objects(), reader.events()
    told = [event for event in events if event.name != BALANCE_EVENT]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sorter", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "fixed": _fixed, "count": _count}
    known = {} if truth is None else truth_by_object(truth, _COLLECT)
    drawn: Figures = figures(meta, objects, reader.commands(), events, reader.latency_ms())
    return environment.get_template("report_template.html").render(
        s=summary,
        meta=meta,
        figures=drawn,
        groups=_groups(reader, objects, known),
        gallery_limit=GALLERY_LIMIT,
        reasons=[(r, reason_words(r), reason_class(r), n) for r, n in summary.reasons.items()],
        reason_css=reason_class,
        reason_words=reason_words,
        truth=None if truth is None else truth_rows(truth),
        went=None if truth is None else where_it_went(truth),
        junction=measured(events),
        events=_event_rows(told, meta),
        event_total=len(told),
        manifest=_pretty(meta.run.bundle_manifest),
        unvalidated=UNVALIDATED,
        ended_well=meta.end_reason == "done",
        rest_outlets=_rest_outlets(summary),
    )


def _rest_outlets(summary: Summary) -> frozenset[str]:
    """Outlets that no command opens: what happens there can't be told from the record."""
    return frozenset(name for name, o in summary.outlets.items() if not o.sent)


def _groups(
    reader: RecordReader, objects: Sequence[ObjectRecord], known: Mapping[int, ObjectTruth]
) -> list[Group]:
    by_fate: dict[tuple[str, str], list[ObjectRecord]] = {}
    for o in objects:
        by_fate.setdefault((o.outlet, o.reason), []).append(o)
    groups = []
    for (outlet, reason), members in sorted(
        by_fate.items(), key=lambda item: (item[0][0], -len(item[1]))
    ):
        ordered, order = _worst_first(reason, members, known)
        cards = [_card(reader, o, known.get(o.row.id)) for o in ordered[:GALLERY_LIMIT]]
        groups.append(
            Group(
                outlet,
                reason,
                reason_words(reason),
                reason_class(reason),
                len(members),
                _sizes(members),
                order,
                tuple(cards) if any(c.image for c in cards) else (),
            )
        )
    groups.sort(key=lambda g: not g.cards)
    return groups


def _sizes(members: Sequence[ObjectRecord]) -> str:
    known = [o.row.diameter_um for o in members if o.row.diameter_um is not None]
    return f"{min(known):.0f} to {max(known):.0f} µm" if known else "of unknown size"


def _worst_first(
    reason: str, members: Sequence[ObjectRecord], known: Mapping[int, ObjectTruth]
) -> tuple[list[ObjectRecord], str]:
    """What is wrong comes first, as far as that is known; then what most likely is.

    That is a high p among those called healthy, and a low one among the others.
    """
    sign = -1.0 if reason == "healthy" else 1.0

    def place(o: ObjectRecord) -> tuple[bool, float, int]:
        truth, p = known.get(o.row.id), o.row.p_unhealthy
        right = truth is None or not truth.wrong
        return (right, 2.0 if p is None else sign * p, o.row.id)

    if all(o.row.p_unhealthy is None for o in members):
        order = "in order of arrival"
    else:
        order = "highest p first" if sign < 0 else "lowest p first"
    if any(o.row.id in known and known[o.row.id].wrong for o in members):
        order = f"wrong ones first, then {order}"
    return sorted(members, key=place), order


def _card(reader: RecordReader, o: ObjectRecord, truth: ObjectTruth | None) -> Card:
    row = o.row
    crops = reader.crops(row.id)
    image = None
    if crops:
        image = "data:image/png;base64," + base64.b64encode(crops[0].png).decode()
    views = ", ".join(f"{p[-1]:.2f}" for p in o.view_probabilities)
    tip = (
        f"object {row.id}, {_fixed(row.diameter_um, 0)} µm, {row.n_views} views"
        f"{f' (last class: {views})' if views else ''}, "
        f"circularity {_fixed(row.circularity)}, {_fixed((row.velocity_um_s or 0) / 1e3, 1)} mm/s"
    )
    if o.changed_ns is not None:
        tip += f"; first decided: {row.outlet}, {row.reason}"
    if truth is not None:
        tip += f"; truth: {truth.what}, entered {' and '.join(truth.entered)}"
    if o.refused:
        tip += f"; command refused: {o.refused}"
    return Card(
        row.id,
        image,
        crops[0].width if crops else 0,
        row.p_unhealthy,
        row.diameter_um,
        tip,
        truth,
    )


def _event_rows(events: Sequence[EventRow], meta: MetaRecord) -> list[tuple[float, str, str, str]]:
    """(seconds, level, name, text); where there are too many, the graver ones stay."""
    kept = sorted(events, key=lambda e: _LEVEL_ORDER[e.level])[:_EVENT_LIMIT]
    kept.sort(key=lambda e: e.at_ns)
    return [((e.at_ns - meta.run.origin_ns) / 1e9, e.level, e.name, e.text) for e in kept]


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _fixed(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
