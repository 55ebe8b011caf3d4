"""What a dispenser's log says of the time after its host's death."""

from __future__ import annotations

import pytest

from hardware_sim.aftermath import Aftermath, Recorded, aftermath
from hardware_sim.gate_log import Accepted, Edge, GateEdge, PumpEdge, StopEdge

MS = 1_000_000
DEATH = 1_000 * MS
BEFORE: tuple[Edge, ...] = (
    GateEdge(0, "waste", 0),
    PumpEdge(0, True),
    StopEdge(10 * MS, ""),
    PumpEdge(20 * MS, False),
    Accepted(900 * MS, 1),
    Accepted(950 * MS, 2),
    Accepted(960 * MS, 2),
)
TRIP: tuple[Edge, ...] = (PumpEdge(1_900 * MS, True), StopEdge(1_900 * MS, "WATCHDOG"))

CASES: dict[str, tuple[tuple[Edge, ...], Aftermath]] = {
    "at rest, then held": (
        (*BEFORE, *TRIP),
        Aftermath(False, 900 * MS, 0, ("WATCHDOG",), frozenset({1, 2})),
    ),
    "opened before, closed by the watchdog": (
        (*BEFORE, GateEdge(990 * MS, "collect", 0), *TRIP, GateEdge(1_901 * MS, "waste", 0)),
        Aftermath(True, 900 * MS, 901 * MS, ("WATCHDOG",), frozenset({1, 2})),
    ),
    "never held, never at rest": (
        (*BEFORE, GateEdge(1_500 * MS, "collect", 0)),
        Aftermath(True, None, None, (), frozenset({1, 2})),
    ),
}


@pytest.mark.parametrize(("edges", "expected"), CASES.values(), ids=CASES)
def test_aftermath(edges: tuple[Edge, ...], expected: Aftermath) -> None:
    assert aftermath(edges, DEATH) == expected


@pytest.mark.parametrize(
    ("found", "complete"),
    [
        (Recorded((), (), 0), True),
        (Recorded((), (7,), 1), True),
        (Recorded((), (7,), 0), False),
        (Recorded((3,), (), 5), False),
    ],
)
def test_a_record_is_complete_when_each_object_is_there(found: Recorded, complete: bool) -> None:
    assert found.complete == complete
