"""Truth × gate log × the controller's record: what was really sorted where. Pure functions.

A track is tied to the body that most of its sightings lie on. A body's outlet is where the valve
really led when its centre passed the junction. Bodies that were still in flight at the end are left
out; those that got lost on the way are counted apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.truth_log import BodyTruth, Truth

UNSAFE_FROM_UM = 30.0
COLLECT = "collect"
# Words of sorter.decide that don't count an object as a spheroid.
_FRAGMENTS = frozenset({"speck", "too_small", "unseen"})
# Those that a healthy spheroid gets only when it was judged wrongly.
_MISJUDGED = frozenset({"unhealthy", "unsure", "not_a_spheroid", "hidden"})
# A centroid may lie so far off the true centre: outline, defocus, satellites.
_REACH_PX = 6.0
_REACH_SHARE = 1.1


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One object of the run record.

    Attributes:
        object_id: its id.
        sightings: (frame number, x_px, y_px) of its detections.
        outlet: the outlet that was decided in the end.
        reason: why, a word of ``sorter.decide``.
        commanded: a command that serves it went out and wasn't refused.
    """

    object_id: int
    sightings: Sequence[tuple[int, float, float]]
    outlet: str
    reason: str
    commanded: bool


def match_tracks(
    bodies: Sequence[BodyTruth], tracks: Sequence[TrackRow], pitch_um: float
) -> dict[int, list[TrackRow]]:
    """Tracks of each body, by its number; a body that no track lies on is not in the result.

    Each sighting votes for the body in whose frame position it lies, nearest in units of the
    body's reach; the track goes to the body with the most votes.
    """
    places: dict[int, list[tuple[int, float, float, float]]] = defaultdict(list)
    for body in bodies:
        reach_px = _REACH_SHARE * body.diameter_um / 2 / pitch_um + _REACH_PX
        for frame, x_px, y_px in body.positions:
            places[frame].append((body.body, x_px, y_px, reach_px))
    matched: dict[int, list[TrackRow]] = defaultdict(list)
    for track in tracks:
        votes: Counter[int] = Counter()
        for frame, x_px, y_px in track.sightings:
            near = [
                (hypot(x - x_px, y - y_px) / reach_px, body)
                for body, x, y, reach_px in places.get(frame, ())
            ]
            if near and min(near)[0] <= 1.0:
                votes[min(near)[1]] += 1
        if votes:
            matched[votes.most_common(1)[0][0]].append(track)
    return dict(matched)


def judge(
    truth: Truth,
    edges: Sequence[GateEdge],
    tracks: Sequence[TrackRow],
    *,
    pitch_um: float = 1.73,
    until_ns: int | None = None,
) -> dict[str, Any]:
    """The verdict on a run, JSON-able.

    Counts are of spheroids; a touching group counts as its members. Figures about health are None
    where there is no truth about it (``--source real``), shares are None when nothing went into
    them.

    * ``objects``, ``healthy``, ``unhealthy``: spheroids that passed the junction; ``lost``: those
      that never did.
    * ``purity``: healthy share of the spheroids in collect. ``yield``: share of the healthy that
      is in collect. ``unhealthy_recall``: share of the unhealthy that is not;
      ``recall_by_phenotype`` splits it.
    * ``healthy_loss``: share of the healthy single spheroids that were seen and then judged
      unhealthy, unsure, no spheroid, or as hiding another body.
    * ``unsafe``: bodies of 30 µm or more in collect without a commanded decision of their own that
      says so; ``unsafe_bodies`` are their numbers. Members of a touching pair that passed for one
      body are ``doubles_unseen`` (counted in pairs) instead, of ``doubles`` touching pairs.
    * ``seen_twice``, ``not_seen``: of ``units`` (a single spheroid or a touching group) those with
      more tracks than members, and with none. Fragments and satellites of a falling-apart spheroid
      are objects of their own; only tracks that counted as a spheroid make it seen twice.
    * ``outlets``: one row per body that passed the junction.

    Args:
        truth: what passed.
        edges: the gate's log.
        tracks: the controller's objects.
        pitch_um: µm per pixel.
        until_ns: bodies that pass the junction after this host time are left out of everything
            but ``unsafe``: the run was being ended. So are those that came into view once the
            run was draining, and that the controller therefore sent to rest.
    """
    matched = match_tracks(truth.bodies, tracks, pitch_um)
    passed = [b for b in truth.bodies if b.junction_ns is not None]
    outlets = {b.body: outlet_at(edges, b.junction_ns or 0) for b in passed}
    unsafe, doubles_unseen = _unsafe(passed, outlets, matched)
    stopping = {
        number for number, theirs in matched.items() if any(t.reason == "stopping" for t in theirs)
    }
    counted = [b for b in truth.bodies if _counts(b, until_ns) and b.body not in stopping]
    spheroids = [b for b in counted if b.kind == "spheroid"]
    arrived = [b for b in spheroids if not b.lost]
    return {
        "objects": len(arrived),
        "lost": len(spheroids) - len(arrived),
        **_health(arrived, outlets),
        "healthy_loss": _healthy_loss(spheroids, matched),
        "unsafe": len(unsafe),
        "unsafe_bodies": unsafe,
        "doubles": sum(len(group) == 2 for group in _units(arrived)),
        "doubles_unseen": len(doubles_unseen),
        **_seen(spheroids, matched),
        "outlets": [_row(b, outlets, matched) for b in counted if not b.lost],
    }


def _counts(body: BodyTruth, until_ns: int | None) -> bool:
    if body.lost:
        return True
    if body.junction_ns is None:
        return False
    return until_ns is None or body.junction_ns <= until_ns


def _units(bodies: Sequence[BodyTruth]) -> list[list[BodyTruth]]:
    """Single bodies and touching groups."""
    groups: dict[tuple[str, int], list[BodyTruth]] = defaultdict(list)
    for body in bodies:
        key = ("body", body.body) if body.group is None else ("group", body.group)
        groups[key].append(body)
    return list(groups.values())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _health(arrived: Sequence[BodyTruth], outlets: Mapping[int, str]) -> dict[str, Any]:
    names = ("healthy", "unhealthy", "collected", "purity", "yield", "unhealthy_recall")
    collected = [b for b in arrived if outlets[b.body] == COLLECT]
    if any(b.health is None for b in arrived):
        nothing: dict[str, Any] = dict.fromkeys(names)
        return {**nothing, "collected": len(collected), "recall_by_phenotype": {}}
    healthy = [b for b in arrived if b.health == "healthy"]
    unhealthy = [b for b in arrived if b.health == "unhealthy"]
    kept = sum(b.health == "healthy" for b in collected)
    return {
        "healthy": len(healthy),
        "unhealthy": len(unhealthy),
        "collected": len(collected),
        "purity": _share(kept, len(collected)),
        "yield": _share(kept, len(healthy)),
        "unhealthy_recall": _share(
            len(unhealthy) - (len(collected) - kept),
            len(unhealthy),
        ),
        "recall_by_phenotype": _by_phenotype(unhealthy, outlets),
    }


def _by_phenotype(
    unhealthy: Sequence[BodyTruth], outlets: Mapping[int, str]
) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for body in unhealthy:
        row = table.setdefault(body.phenotype, {"n": 0, "kept_out": 0})
        row["n"] += 1
        row["kept_out"] += outlets[body.body] != COLLECT
    return dict(sorted(table.items()))


def _healthy_loss(
    spheroids: Sequence[BodyTruth], matched: Mapping[int, list[TrackRow]]
) -> float | None:
    singles = [
        b for b in spheroids if b.health == "healthy" and b.group is None and b.body in matched
    ]
    lost = sum(any(t.reason in _MISJUDGED for t in matched[b.body]) for b in singles)
    return _share(lost, len(singles))


def _unsafe(
    passed: Sequence[BodyTruth],
    outlets: Mapping[int, str],
    matched: Mapping[int, list[TrackRow]],
) -> tuple[list[int], list[int]]:
    """Numbers of the unsafe bodies, and of the touching pairs that passed for one body."""
    unsafe: list[int] = []
    unseen: list[int] = []
    for unit in _units(passed):
        inside = [b for b in unit if outlets[b.body] == COLLECT and b.diameter_um >= UNSAFE_FROM_UM]
        decided = [
            b.body
            for b in unit
            if any(t.outlet == COLLECT and t.commanded for t in matched.get(b.body, ()))
        ]
        alone = [b.body for b in inside if b.body not in decided]
        if len(unit) == 2 and decided and alone:
            unseen.append(unit[0].group or 0)
        else:
            unsafe += alone
    return sorted(unsafe), sorted(unseen)


def _seen(spheroids: Sequence[BodyTruth], matched: Mapping[int, list[TrackRow]]) -> dict[str, int]:
    units = _units(spheroids)
    tracks = [[t for b in unit for t in matched.get(b.body, ())] for unit in units]
    counted = [sum(t.reason not in _FRAGMENTS for t in theirs) for theirs in tracks]
    return {
        "units": len(units),
        "seen_twice": sum(n > len(unit) for n, unit in zip(counted, units, strict=True)),
        "not_seen": sum(not theirs for theirs in tracks),
    }


def _row(
    body: BodyTruth, outlets: Mapping[int, str], matched: Mapping[int, list[TrackRow]]
) -> dict[str, Any]:
    tracks = matched.get(body.body, [])
    return {
        "body": body.body,
        "group": body.group,
        "kind": body.kind,
        "health": body.health,
        "phenotype": body.phenotype,
        "severity": body.severity,
        "diameter_um": body.diameter_um,
        "outlet": outlets[body.body],
        "object_ids": [t.object_id for t in tracks],
        "reasons": [t.reason for t in tracks],
    }
