from __future__ import annotations

import json
from typing import Any

import pytest

from hardware_sim.gate_log import GateEdge
from hardware_sim.truth_log import BodyTruth, Truth
from hardware_sim.verdict import TrackRow, judge

MS = 1_000_000
PITCH_UM = 2.0

# The gate leads to collect from 1000 to 1100 ms; the pin switched 20 ms before the valve.
EDGES = [
    GateEdge(0, "waste", 0),
    GateEdge(980 * MS, "collect", 1000 * MS),
    GateEdge(1080 * MS, "waste", 1100 * MS),
]
IN, OUT = 1050, 1500


def body(number: int, junction_ms: int | None, **values: Any) -> BodyTruth:
    """A healthy spheroid of 200 µm (100 px) at y = 100 · number, seen in frames 0 to 4."""
    values = {
        "group": None,
        "kind": "spheroid",
        "health": "healthy",
        "phenotype": "healthy",
        "severity": 0.1,
        "diameter_um": 200.0,
        "positions": [(f, 100.0 + 20 * f, 100.0 * number) for f in range(5)],
        "lost": False,
        **values,
    }
    junction_ns = None if junction_ms is None else junction_ms * MS
    return BodyTruth(body=number, junction_ns=junction_ns, **values)


def sick(number: int, junction_ms: int, phenotype: str = "hollow") -> BodyTruth:
    return body(number, junction_ms, health="unhealthy", phenotype=phenotype, severity=0.8)


def track(
    number: int, at: int, outlet: str, reason: str = "healthy", commanded: bool = True
) -> TrackRow:
    """A track that lies on body ``at``, a few pixels off."""
    sightings = [(f, 104.0 + 20 * f, 100.0 * at - 3.0) for f in range(4)]
    return TrackRow(number, sightings, outlet, reason, commanded)


def ask(bodies: list[BodyTruth], tracks: list[TrackRow], **more: Any) -> dict[str, Any]:
    found = judge(Truth(bodies), EDGES, tracks, pitch_um=PITCH_UM, **more)
    json.dumps(found)
    return found


def test_a_perfect_run() -> None:
    bodies = [body(1, IN), sick(2, OUT), body(3, OUT), body(4, None)]
    tracks = [
        track(1, 1, "collect"),
        track(2, 2, "waste", "unhealthy", commanded=False),
        track(3, 3, "waste", "conflict", commanded=False),
    ]
    found = ask(bodies, tracks)
    assert (found["objects"], found["healthy"], found["unhealthy"]) == (3, 2, 1)
    assert (found["purity"], found["yield"], found["unhealthy_recall"]) == (1.0, 0.5, 1.0)
    assert (found["healthy_loss"], found["unsafe"]) == (0.0, 0)
    assert (found["units"], found["seen_twice"], found["not_seen"]) == (3, 0, 0)
    assert [row["outlet"] for row in found["outlets"]] == ["collect", "waste", "waste"]
    assert found["outlets"][0]["object_ids"] == [1]


COLLECTED = track(1, 1, "collect")

# (bodies, tracks, what must come out)
CASES: dict[str, tuple[list[BodyTruth], list[TrackRow], dict[str, Any]]] = {
    "unhealthy collected on a decision": (
        [sick(1, IN), body(2, IN)],
        [COLLECTED, track(2, 2, "collect")],
        {"purity": 0.5, "unhealthy_recall": 0.0, "unsafe": 0},
    ),
    "in collect without any track": ([body(1, IN)], [], {"unsafe": 1, "not_seen": 1, "purity": 1}),
    "in collect though decided for waste": (
        [body(1, IN)],
        [track(1, 1, "waste", "conflict", commanded=False)],
        {"unsafe": 1, "unsafe_bodies": [1]},
    ),
    "in collect though the command was never sent": (
        [body(1, IN)],
        [track(1, 1, "collect", commanded=False)],
        {"unsafe": 1},
    ),
    "collected debris of 30 µm": (
        [body(1, IN, kind="debris", health=None, diameter_um=30.0)],
        [],
        {"unsafe": 1, "objects": 0, "not_seen": 0, "purity": None},
    ),
    "collected debris below 30 µm": (
        [body(1, IN, kind="debris", health=None, diameter_um=29.0)],
        [],
        {"unsafe": 0},
    ),
    "meant for collect, went to waste": (
        [body(1, OUT)],
        [COLLECTED],
        {"unsafe": 0, "yield": 0.0, "purity": None, "healthy_loss": 0.0},
    ),
    "healthy judged unhealthy": (
        [body(1, OUT), body(2, OUT), body(3, OUT), body(4, OUT)],
        [
            track(1, 1, "waste", "unhealthy"),
            track(2, 2, "waste", "unsure"),
            track(3, 3, "waste", "late"),
        ],
        {"healthy_loss": 2 / 3, "not_seen": 1},
    ),
    "a pair that passed for one": (
        [body(1, IN, group=1), body(2, IN, group=1)],
        [COLLECTED],
        {"doubles": 1, "doubles_unseen": 1, "unsafe": 0, "objects": 2, "not_seen": 0},
    ),
    "a pair that was split": (
        [body(1, IN, group=1), body(2, IN, group=1)],
        [COLLECTED, track(2, 2, "collect")],
        {"doubles": 1, "doubles_unseen": 0, "unsafe": 0, "seen_twice": 0, "units": 1},
    ),
    "a pair that was seen for one": (
        [body(1, OUT, group=1), body(2, OUT, group=1)],
        [track(1, 1, "waste", "double")],
        {"doubles": 1, "doubles_unseen": 0, "unsafe": 0, "healthy_loss": None},
    ),
    "a pair in collect that nobody decided on": (
        [body(1, IN, group=1), body(2, IN, group=1)],
        [],
        {"doubles": 1, "doubles_unseen": 0, "unsafe": 2, "not_seen": 1},
    ),
    "a clump that passed for one": (
        [body(n, IN, group=1) for n in (1, 2, 3)],
        [COLLECTED],
        {"doubles": 0, "doubles_unseen": 0, "unsafe": 2},
    ),
    "counted twice": (
        [body(1, IN)],
        [COLLECTED, track(2, 1, "collect")],
        {"seen_twice": 1, "not_seen": 0},
    ),
    "lost on the way": (
        [body(1, None, lost=True), body(2, OUT)],
        [track(1, 1, "waste"), track(2, 2, "waste")],
        {"lost": 1, "objects": 1, "healthy": 1, "units": 2},
    ),
    "still in flight": ([body(1, None)], [], {"objects": 0, "lost": 0, "units": 0, "yield": None}),
    "no truth about health": (
        [body(1, IN, health=None), body(2, OUT, health=None)],
        [COLLECTED, track(2, 2, "waste", "unhealthy")],
        {
            "objects": 2,
            "collected": 1,
            "healthy": None,
            "purity": None,
            "yield": None,
            "unhealthy_recall": None,
            "healthy_loss": None,
            "recall_by_phenotype": {},
            "unsafe": 0,
        },
    ),
    "nothing at all": ([], [], {"objects": 0, "purity": None, "doubles": 0, "units": 0}),
}


@pytest.mark.parametrize(("bodies", "tracks", "expected"), CASES.values(), ids=CASES)
def test_cases(bodies: list[BodyTruth], tracks: list[TrackRow], expected: dict[str, Any]) -> None:
    found = ask(bodies, tracks)
    assert {key: found[key] for key in expected} == expected


def test_recall_is_split_by_phenotype() -> None:
    bodies = [sick(1, OUT), sick(2, IN), sick(3, OUT, "collapsed")]
    assert ask(bodies, [])["recall_by_phenotype"] == {
        "collapsed": {"n": 1, "kept_out": 1},
        "hollow": {"n": 2, "kept_out": 1},
    }


def test_what_comes_after_the_end_of_the_run_is_not_counted_but_must_be_safe() -> None:
    found = ask([body(1, IN), body(2, OUT)], [COLLECTED], until_ns=1200 * MS)
    assert (found["objects"], found["yield"], found["not_seen"]) == (1, 1.0, 0)
    late = ask([body(1, IN)], [], until_ns=0)
    assert (late["objects"], late["unsafe"]) == (0, 1)


def test_a_track_goes_to_the_body_that_it_lies_on_most() -> None:
    """Two bodies pass each other; the track stays on the second."""
    crossing = [
        body(1, OUT, positions=[(f, 100.0 + 60 * f, 100.0) for f in range(6)]),
        body(2, IN, positions=[(f, 200.0 + 20 * f, 110.0) for f in range(6)]),
    ]
    on_second = TrackRow(7, [(f, 201.0 + 20 * f, 111.0) for f in range(6)], "collect", "x", True)
    found = ask(crossing, [on_second])
    assert (found["unsafe"], found["not_seen"]) == (0, 1)
    assert [row["object_ids"] for row in found["outlets"]] == [[], [7]]
