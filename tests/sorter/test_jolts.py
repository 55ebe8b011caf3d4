"""Arrivals foretold while the valve's jitter moves the liquid, and the pump beats unknown."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from sorter.jolts import apart, jolted_ns
from sorter.liquid import Liquid, LiquidSettings, Opening
from sorter.track import TrackSettings
from sorter.tracker import Tracker
from tests.sorter.loop_parts import PITCH_UM, WIDTH_PX, detection

MS = 1_000_000
JITTER_NS = 3 * MS
LIQUID = Liquid(LiquidSettings(), JITTER_NS)
JUNCTION_UM, SPEED_UM_S = 8_200.0, 13_000.0
PUMP, PUMP_RAD_S = 0.03, math.tau * 1.3
# The body enters the view shortly after one opening, and another comes while it is in view.
PLANNED = (Opening("collect", -40 * MS, -10 * MS), Opening("collect", 70 * MS, 400 * MS))


def pumped_s(t_s: float, phase: float) -> float:
    """How long the pump has pushed, in s of full flow."""
    beat = math.cos(phase) - math.cos(PUMP_RAD_S * t_s + phase)
    return t_s + PUMP / PUMP_RAD_S * beat


def off_by(phase: float, late_ns: tuple[int, ...], *, unrest: bool) -> float:
    """Error of a body's foretold arrival over its half width.

    Args:
        late_ns: by how much the valve's four edges came late.
    """
    a, b, c, d = late_ns
    one, other = PLANNED
    real = (
        Opening("collect", one.open_ns + a, one.close_ns + b),
        Opening("collect", other.open_ns + c, other.close_ns + d),
    )

    def way_um(t_ns: int) -> float:
        moved_ns = LIQUID.at(t_ns, real) - t_ns
        return SPEED_UM_S * (pumped_s(t_ns * 1e-9, phase) + moved_ns * 1e-9)

    begin_um = way_um(0)
    tracker = Tracker(TrackSettings(), pitch_um=PITCH_UM, width_px=WIDTH_PX)
    ended = []
    for frame in range(60):
        t_ns = frame * 10 * MS
        x_um = way_um(t_ns) - begin_um + 100.0
        found = [detection(x_um, 500.0)] if x_um < WIDTH_PX * PITCH_UM - 200.0 else []
        _, gone = tracker.update(
            found,
            frame=frame,
            exposed_ns=t_ns,
            exposed_error_ns=0,
            liquid_ns=LIQUID.at(t_ns, PLANNED),
            unrest_ns=LIQUID.unrest_ns(t_ns, PLANNED) if unrest else 0.0,
        )
        ended += gone
    (track,) = ended
    found_arrival = tracker.arrival(track, JUNCTION_UM)
    assert found_arrival is not None
    times_ns = np.arange(0, 1_200 * MS, 4 * MS)
    ways_um = [way_um(int(t)) - begin_um + 100.0 for t in times_ns]
    passes_ns = int(np.interp(JUNCTION_UM, ways_um, times_ns))
    off_ns = LIQUID.at(passes_ns, real) - found_arrival.liquid_ns
    return abs(off_ns) / found_arrival.error_ns


def test_an_edge_leaves_liquid_time_unsure_by_its_jitter_and_that_dies_away() -> None:
    edge = (Opening("collect", 0),)
    at_once_ns = LIQUID.jump_ns * JITTER_NS / (100 * MS)
    assert LIQUID.unrest_ns(-1, edge) == 0.0
    assert LIQUID.unrest_ns(0, edge) == pytest.approx(at_once_ns)
    assert LIQUID.unrest_ns(100 * MS, edge) == pytest.approx(at_once_ns / math.e)
    both = (Opening("collect", 0, 100 * MS),)
    assert LIQUID.unrest_ns(100 * MS, both) == pytest.approx(
        at_once_ns * math.hypot(1.0, 1.0 / math.e)
    )
    assert Liquid(LiquidSettings()).unrest_ns(0, edge) == 0.0


def test_an_arrival_is_within_its_window_however_the_valve_jitters_and_the_pump_beats() -> None:
    cases = [
        (phase, late_ns)
        for phase in np.linspace(0.0, math.tau, 6, endpoint=False)
        for late_ns in product((-JITTER_NS, JITTER_NS), repeat=4)
    ]
    assert max(off_by(*case, unrest=True) for case in cases) <= 1.0
    assert max(off_by(*case, unrest=False) for case in cases) > 1.0


def test_after_each_switch_the_errors_are_others() -> None:
    rows = apart(np.array([3.0, 2.0, 5.0, 4.0, 0.5, 0.6]))
    assert rows.tolist() == [
        [3.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 5.0, 4.0, 0.5, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.6],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_line_is_off_by_what_each_switch_moves_it(seed: int) -> None:
    """Against NumPy's straight lines through the errors of each switch."""
    rng = np.random.default_rng(seed)
    t_ns = np.cumsum(rng.uniform(4, 6, 40)) * MS
    unrest_ns = rng.uniform(1, 3, 4).repeat(10) * np.tile(np.exp(-0.3 * np.arange(10)), 4) * MS
    at_ns = 600.0 * MS
    off_ns = [np.polyval(np.polyfit(t_ns - at_ns, row, 1), 0.0) for row in apart(unrest_ns)]
    assert jolted_ns(t_ns, unrest_ns, at_ns) == pytest.approx(np.hypot.reduce(off_ns), rel=1e-6)


def test_nothing_is_off_where_no_switch_was() -> None:
    assert jolted_ns(np.arange(6.0), np.zeros(6), 10.0) == 0.0
