from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.flow import (
    FlowSettings,
    LiquidTravel,
    displacement_um,
    height_at_view_um,
    liquid_share,
    settling_mm_s,
)
from hardware_sim.gate_log import GateEdge, PumpEdge

FLOW = FlowSettings()
MS = 1_000_000
S = 1_000_000_000


def edge(t_ms: int, outlet: str) -> GateEdge:
    return GateEdge(t_ms * MS - 20 * MS, outlet, t_ms * MS)


@pytest.mark.parametrize(
    ("diameter_um", "share_of_max"), [(100.0, 0.23), (200.0, 0.44), (400.0, 0.75)]
)
def test_bodies_on_the_floor_go_at_the_published_shares(
    diameter_um: float, share_of_max: float
) -> None:
    share = liquid_share(np.array([diameter_um / 2]), FLOW)[0] * FLOW.mean_mm_s / FLOW.max_mm_s
    assert share == pytest.approx(share_of_max, abs=0.005)


@pytest.mark.parametrize(
    ("diameter_um", "mm_s"), [(100.0, 0.24), (200.0, 0.94), (300.0, 2.0), (500.0, 4.8)]
)
def test_settling_speeds(diameter_um: float, mm_s: float) -> None:
    assert settling_mm_s(diameter_um, FLOW) == pytest.approx(mm_s, rel=0.02)


def test_small_bodies_settle_by_stokes_law() -> None:
    ratio = settling_mm_s(10.0, FLOW) / settling_mm_s(5.0, FLOW)
    assert ratio == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize(
    ("diameter_um", "entry_um", "height_um"), [(200.0, 400.0, 100.0), (20.0, 400.0, 385.3)]
)
def test_the_large_reach_the_floor_before_the_view(
    diameter_um: float, entry_um: float, height_um: float
) -> None:
    assert height_at_view_um(diameter_um, entry_um, FLOW) == pytest.approx(height_um, abs=1.0)


DISPLACED_UM = 1.5e9 / 800.0**2

# (switches, time in ms, share of the displaced length)
MOVES = {
    "before": ([edge(100, "collect")], 99, 0.0),
    "one time constant": ([edge(100, "collect")], 200, 1 - np.exp(-1)),
    "all of it": ([edge(100, "collect")], 3000, 1.0),
    "back at rest": ([edge(100, "collect"), edge(300, "waste")], 6000, 0.0),
    "on the way back": (
        [edge(100, "collect"), edge(300, "waste")],
        400,
        (1 - np.exp(-3)) - (1 - np.exp(-1)),
    ),
    "from outlet to outlet": ([edge(100, "collect"), edge(300, "recheck")], 3000, 1.0),
    "start line": ([GateEdge(0, "waste", 0), edge(100, "collect")], 3000, 1.0),
}


@pytest.mark.parametrize(("edges", "t_ms", "share"), MOVES.values(), ids=MOVES)
def test_displacement(edges: list[GateEdge], t_ms: int, share: float) -> None:
    moved = displacement_um(np.array([t_ms * MS]), edges, FLOW)
    assert moved.shape == (1,)
    assert moved[0] == pytest.approx(share * DISPLACED_UM, abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from(["collect", "waste", "recheck"]))),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=20),
)
def test_travel_is_steady_flow_plus_displacement(
    switches: list[tuple[int, str]], times_ms: list[int]
) -> None:
    """The step-by-step form agrees with the closed one, whenever the switches become known."""
    edges = [edge(t, outlet) for t, outlet in sorted(switches)]
    still = FLOW.model_copy(update={"pulsation": 0.0})
    travel, given_so_far = LiquidTravel(still, 0), 0
    for t_ms in sorted(times_ms):
        known = [e for e in edges if e.t_ns <= t_ms * MS]
        travel.add(known[given_so_far:])
        given_so_far = len(known)
        expected = 20_000.0 * t_ms / 1e3 + displacement_um(np.array([t_ms * MS]), edges, still)[0]
        assert travel.at_um(t_ms * MS) == pytest.approx(expected, abs=1e-4)


def test_pulsation_has_its_amplitude_and_frequency() -> None:
    travel = LiquidTravel(FLOW, 0)
    times = np.arange(0, 4 * S, MS)
    speed = np.diff([travel.at_um(int(t)) for t in times]) / 1e-3 / 20_000.0
    assert speed.mean() == pytest.approx(1.0, abs=0.01)
    assert speed.max() == pytest.approx(1.03, abs=1e-3)
    assert speed.min() == pytest.approx(0.97, abs=1e-3)
    rises = int(np.sum((speed[1:] > 1.0) & (speed[:-1] <= 1.0)))
    assert rises == pytest.approx(4 * 1.3, abs=1)


TAU_S = FLOW.run_down_ms * 1e-3
HELD, FLOWS = PumpEdge(500 * MS, True), PumpEdge(900 * MS, False)
# (what the pump's output did, time in ms, seconds of full flow until then)
PUMPED = {
    "nobody holds it": ([], 700, 0.7),
    "held from the start": ([PumpEdge(-MS, True)], 5_000, TAU_S),
    "held long before the start": ([PumpEdge(-10_000 * MS, True)], 5_000, 0.0),
    "still flowing": ([HELD], 400, 0.4),
    "running down": ([HELD], 560, 0.5 + TAU_S * (1 - np.exp(-0.06 / TAU_S))),
    "at a stand": ([HELD], 5_000, 0.5 + TAU_S),
    "going again": ([HELD, FLOWS], 5_000, 0.5 + TAU_S + 4.1 - TAU_S),
}


@pytest.mark.parametrize(("edges", "t_ms", "seconds"), PUMPED.values(), ids=PUMPED)
def test_the_flow_follows_the_output_that_holds_the_pump(
    edges: list[PumpEdge], t_ms: int, seconds: float
) -> None:
    still = FLOW.model_copy(update={"pulsation": 0.0})
    travel = LiquidTravel(still, 0)
    travel.add(edges)
    travelled = [travel.at_um(t * MS) for t in range(0, t_ms + 1, 10)]
    assert travelled[-1] == pytest.approx(20_000.0 * seconds, abs=0.5)
    assert all(b >= a for a, b in pairwise(travelled))
    assert travel.moves_at(t_ms * MS) is (not edges or edges[-1] is FLOWS or t_ms < 1_000)
