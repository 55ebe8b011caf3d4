"""The simulator's verdict for the page: figures, where each kind went, and what each object was.

The verdict is a plain mapping (``hardware_sim.verdict.judge``), as it also stands in the JSON of
``sorter demo``; what is not in it is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sorter.report_words import TRUTH_WORDS


@dataclass(frozen=True, slots=True)
class WhereItWent:
    """Bodies by kind and the outlet that they entered: one row of counts for each kind."""

    outlets: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """What an object of the record was.

    Attributes:
        what: its phenotype or kind, or several where it stands for more bodies.
        entered: outlets that its bodies entered.
        wrong: an unhealthy one entered collect, or a healthy one did not.
    """

    what: str
    entered: tuple[str, ...]
    wrong: bool


def truth_rows(truth: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value, meaning) in the order of `TRUTH_WORDS`, then other plain values."""
    names = [n for n in TRUTH_WORDS if n in truth] + [n for n in truth if n not in TRUTH_WORDS]
    rows: list[tuple[str, str, str]] = []
    for name in names:
        value = truth[name]
        if isinstance(value, Mapping):
            rows += [
                (f"{name}: {k}", truth_value(v), "kept out of collect" if _is_share(v) else "")
                for k, v in value.items()
            ]
        elif not isinstance(value, list | tuple):
            rows.append((name, truth_value(value), TRUTH_WORDS.get(name, "")))
        elif value and not isinstance(value[0], Mapping):
            rows.append((name, ", ".join(str(v) for v in value), TRUTH_WORDS.get(name, "")))
    return rows


def truth_value(value: object) -> str:
    """A count, a share as percent, or "k of n"."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        if _is_share(value):
            return f"{value['kept_out']} of {value['n']}"
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{100 * value:.2f} %" if 0 <= value <= 1 else f"{value:.4g}"


def _is_share(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"n", "kept_out"}


def where_it_went(truth: Mapping[str, Any]) -> WhereItWent | None:
    """Bodies that passed the junction by kind; None when the verdict doesn't list them."""
    bodies = _bodies(truth)
    if not bodies:
        return None
    counts = Counter((_what(b), str(b["outlet"])) for b in bodies)
    outlets = tuple(sorted({outlet for _, outlet in counts}))
    kinds = Counter(_what(b) for b in bodies)
    order = sorted(kinds, key=lambda k: _place(k, kinds[k]))
    return WhereItWent(outlets, tuple((k, tuple(counts[k, o] for o in outlets)) for k in order))


def truth_by_object(truth: Mapping[str, Any], collect: str) -> dict[int, ObjectTruth]:
    """Object id -> what it was; ids that match no body are left out."""
    members: dict[int, list[Mapping[str, Any]]] = {}
    for body in _bodies(truth):
        for object_id in body.get("object_ids", ()):
            members.setdefault(int(object_id), []).append(body)
    return {object_id: _object(bodies, collect) for object_id, bodies in members.items()}


def _object(bodies: Sequence[Mapping[str, Any]], collect: str) -> ObjectTruth:
    wrong = any(
        b.get("health") is not None and (b["health"] == "healthy") != (b["outlet"] == collect)
        for b in bodies
    )
    entered = tuple(dict.fromkeys(str(b["outlet"]) for b in bodies))
    return ObjectTruth(" + ".join(_what(b) for b in bodies), entered, wrong)


def _bodies(truth: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = truth.get("outlets")
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, Mapping) and "outlet" in row]


def _what(body: Mapping[str, Any]) -> str:
    """``healthy``, ``unhealthy, fragmented``, or the kind of a body that is no spheroid."""
    if body.get("kind", "spheroid") != "spheroid":
        return str(body["kind"])
    health, phenotype = body.get("health"), str(body.get("phenotype") or "")
    if health is None:
        return phenotype.replace("_", " ") or "spheroid"
    more = "" if phenotype in ("", health) else f", {phenotype.replace('_', ' ')}"
    return f"{health}{more}"


def _place(kind: str, n: int) -> tuple[int, int, str]:
    """Healthy ones first, then unhealthy ones, then the rest; the many before the few."""
    rank = next((i for i, h in enumerate(("healthy", "unhealthy")) if kind.startswith(h)), 2)
    return (rank, -n, kind)
