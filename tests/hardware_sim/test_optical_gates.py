"""Darks told while a scene goes on, against those worked out from a run that is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.gate_log import GateEdge
from hardware_sim.optical_gates import OpticalGates, PassageLog, PassageTail
from hardware_sim.passages import PassageSettings, passages
from hardware_sim.truth_log import BodyTruth
from tests.hardware_sim.test_passages import EXACT, MS, body, opening

EDGES = [*opening(700, 900), *opening(1_500, 1_560)]


def live(
    bodies: list[BodyTruth], settings: PassageSettings, until_ms: int = 4_000
) -> list[tuple[str, int, int]]:
    """What is told when time goes on in frames of 5 ms."""
    told: list[tuple[str, int, int]] = []
    gates = OpticalGates(settings, seed=3, told=lambda *dark: told.append(dark))
    waiting, edges = list(bodies), list(EDGES)
    waiting.sort(key=lambda one: one.junction_ns or 0)
    for now_ns in range(0, until_ms * MS, 5 * MS):
        while waiting and (waiting[0].junction_ns or 0) <= now_ns:
            gates.passed(waiting.pop(0))
        new: list[GateEdge] = []
        while edges and edges[0].t_ns <= now_ns:
            new.append(edges.pop(0))
        gates.step(now_ns, new)
    return told


@given(
    st.lists(
        st.tuples(st.integers(300, 2_500), st.sampled_from([20.0, 40.0, 200.0, 350.0])),
        max_size=8,
    )
)
def test_the_same_darks_as_afterwards(drawn: list[tuple[int, float]]) -> None:
    bodies = [body(i, ms, diameter_um=um) for i, (ms, um) in enumerate(drawn, start=1)]
    afterwards = passages(bodies, EDGES, EXACT, seed=0)
    told = sorted(live(bodies, EXACT), key=lambda dark: (dark[1], dark[0]))
    assert [(outlet, begun, length // 1_000) for outlet, begun, length in told] == sorted(
        ((one.outlet, one.begun_ns, one.length_us) for one in afterwards),
        key=lambda one: (one[1], one[0]),
    )


def test_the_same_seed_misses_the_same() -> None:
    bodies = [body(i, 300 + 20 * i) for i in range(1, 60)]
    settings = PassageSettings(missed=0.3, pitch_um=1.0)
    once, again = live(bodies, settings), live(bodies, settings)
    assert once == again
    assert 20 < len(once) < 55


def test_false_darks_come_at_their_rate() -> None:
    settings = EXACT.model_copy(update={"false_per_min": 600.0})
    assert len(live([], settings, until_ms=60_000)) == pytest.approx(600, abs=100)


def test_what_is_logged_is_read_along(tmp_path: Path) -> None:
    tail = PassageTail(tmp_path / "passages.jsonl")
    assert tail.read() == []
    log = PassageLog(tmp_path / "passages.jsonl")
    log.told("waste", 5, 7)
    assert tail.read() == [("waste", 5, 7)]
    log.told("collect", 6, 8)
    log.told("waste", 7, 9)
    assert tail.read() == [("collect", 6, 8), ("waste", 7, 9)]
    log.close()
    assert tail.read() == []
    tail.close()
