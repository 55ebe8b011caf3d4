"""What optical gates see of bodies whose way is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_sim.flow import FlowSettings
from hardware_sim.gate_log import GateEdge
from hardware_sim.passages import Passage, PassageSettings, passages
from hardware_sim.truth_log import BodyTruth
from sorter.junction import Expected, JunctionWatch, JunctionWatchSettings, Seen, Unexpected
from sorter.liquid import Liquid, LiquidSettings, Opening
from sorter.track import Arrival

MS = 1_000_000
EXACT = PassageSettings(
    jitter_us=0.0, missed=0.0, false_per_min=0.0, pitch_um=1.0, frame_rate_hz=200.0, news_ms=5.0
)
COLLECT, WASTE = "collect", "waste"


def body(
    number: int,
    junction_ms: float | None,
    *,
    diameter_um: float = 200.0,
    speed_mm_s: float = 20.0,
    lost: bool = False,
    seen: bool = True,
) -> BodyTruth:
    """A body that crossed the view at that speed, in frames of 5 ms and pixels of 1 µm."""
    steps = range(20) if seen else ()
    return BodyTruth(
        body=number,
        group=None,
        kind="spheroid",
        health="healthy",
        phenotype="compact",
        severity=0.0,
        diameter_um=diameter_um,
        positions=[(n, n * speed_mm_s * 5.0, 100.0) for n in steps],
        junction_ns=None if junction_ms is None else int(junction_ms * MS),
        lost=lost,
    )


def opening(from_ms: float, to_ms: float) -> list[GateEdge]:
    return [
        GateEdge(int((from_ms - 25) * MS), COLLECT, int(from_ms * MS)),
        GateEdge(int((to_ms - 15) * MS), WASTE, int(to_ms * MS)),
    ]


def told(found: list[Passage]) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.outlet, one.bodies) for one in found]


STORIES = {
    "one": ([body(1, 500)], [(WASTE, (1,))]),
    "while the gate is open": ([body(1, 1_050)], [(COLLECT, (1,))]),
    "before and after": (
        [body(1, 900), body(2, 1_050), body(3, 1_200)],
        [(WASTE, (1,)), (COLLECT, (2,)), (WASTE, (3,))],
    ),
    "too small": ([body(1, 500, diameter_um=24.0)], []),
    "large enough": ([body(1, 500, diameter_um=26.0)], [(WASTE, (1,))]),
    "lost": ([body(1, None, lost=True)], []),
    "still in flight": ([body(1, None)], []),
    "two apart": ([body(1, 500), body(2, 511)], [(WASTE, (1,)), (WASTE, (2,))]),
    "two that overlap": ([body(1, 500), body(2, 509)], [(WASTE, (1, 2))]),
    "three in a row": ([body(1, 500), body(2, 509), body(3, 518)], [(WASTE, (1, 2, 3))]),
    "one inside the other": (
        [body(1, 500, diameter_um=300.0), body(2, 501, diameter_um=40.0)],
        [(WASTE, (1, 2))],
    ),
    "close, in two outlets": (
        [body(1, 998), body(2, 1_003)],
        [(WASTE, (1,)), (COLLECT, (2,))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_who_is_seen_where(story: str) -> None:
    bodies, expected = STORIES[story]
    found = passages(bodies, opening(1_000, 1_100), EXACT, seed=0)
    assert sorted(told(found), key=lambda one: one[1]) == expected
    assert [one.seq for one in found] == list(range(1, len(found) + 1))


def test_a_dark_is_as_long_as_the_body_takes() -> None:
    (one,) = passages([body(1, 500)], [], EXACT, seed=0)
    assert one.length_us == pytest.approx(10_000, abs=2)
    assert one.begun_ns == pytest.approx(495 * MS, abs=2_000)
    assert one.news_ns == pytest.approx(510 * MS, abs=2_000)
    passed = one.passed()
    assert (passed.outlet, passed.length_us) == (WASTE, one.length_us)
    assert passed.begun_us == one.begun_ns // 1_000
    assert passed.at_ns == one.news_ns


def test_a_gate_further_down_sees_it_later() -> None:
    after = EXACT.model_copy(update={"after_um": 1_000.0})
    (one,) = passages([body(1, 500)], [], after, seed=0)
    assert one.begun_ns == pytest.approx(545 * MS, abs=2_000)
    assert one.length_us == pytest.approx(10_000, abs=2)


def test_a_gate_that_opens_pulls_bodies_through() -> None:
    """An opening moves the liquid by 2.34 mm, at first at 23 mm/s on top of 20."""
    slow = EXACT.model_copy(update={"flow": FlowSettings(pulsation=0.0)})
    (one,) = passages([body(1, 1_010)], opening(1_000, 1_100), slow, seed=0)
    assert one.outlet == COLLECT
    assert 4_500 < one.length_us < 5_500


def test_a_body_that_was_not_seen_goes_as_its_size_does() -> None:
    (one,) = passages([body(1, 500, seen=False)], [], EXACT, seed=0)
    # 0.8 of the liquid's speed at 100 µm above the floor, which is 0.44 of 42 mm/s.
    assert one.length_us == pytest.approx(200 / (0.8 * 0.4375 * 42.0) * 1e3, rel=0.01)


def test_long_ago_openings_change_nothing() -> None:
    edges = [edge for n in range(30) for edge in opening(400 * n, 400 * n + 100)]
    bodies = [body(1, 20_000)]
    assert passages(bodies, edges, EXACT, seed=0) == passages(bodies, [], EXACT, seed=0)


def test_some_are_missed_and_some_are_false() -> None:
    rough = EXACT.model_copy(update={"missed": 0.2, "false_per_min": 30.0, "jitter_us": 100.0})
    bodies = [body(n, 100.0 * n) for n in range(1, 1_201)]
    found = passages(bodies, [], rough, seed=3)
    assert found == passages(bodies, [], rough, seed=3)
    assert found != passages(bodies, [], rough, seed=4)
    seen = [one for one in found if one.bodies]
    assert 0.75 < len(seen) / 1_200 < 0.85
    assert 35 < len(found) - len(seen) < 85
    lengths = [one.length_us for one in seen if len(one.bodies) == 1]
    assert 9_950 < sum(lengths) / len(lengths) < 10_100


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.floats(5.0, 500.0), st.floats(1.0, 40.0)), max_size=15
    ),
    st.lists(st.integers(0, 1_900), max_size=4, unique=True),
)
def test_every_body_that_can_be_seen_is_in_one_dark_of_its_own_outlet(
    drawn: list[tuple[int, float, float]], starts: list[int]
) -> None:
    bodies = [
        body(n, at_ms, diameter_um=diameter, speed_mm_s=speed)
        for n, (at_ms, diameter, speed) in enumerate(drawn, start=1)
    ]
    edges = [edge for start in sorted(starts) for edge in opening(start, start + 30)]
    found = passages(bodies, edges, EXACT, seed=0)
    seen = sorted(number for one in found for number in one.bodies)
    assert seen == [b.body for b in bodies if b.diameter_um >= EXACT.least_um]
    for outlet in (COLLECT, WASTE):
        theirs = sorted((p for p in found if p.outlet == outlet), key=lambda p: p.begun_ns)
        for one, after in pairwise(theirs):
            assert one.begun_ns + one.length_us * 1_000 < after.begun_ns
    shifted = [replace(b, body=b.body + 100) for b in bodies]
    assert [p.begun_ns for p in passages(shifted, edges, EXACT, seed=0)] == [
        p.begun_ns for p in found
    ]


def test_the_watch_finds_who_made_each() -> None:
    """Bodies that arrive as predicted, through a gate that moves the liquid."""
    rng = np.random.default_rng(5)
    arrives_ms = np.cumsum(rng.uniform(60.0, 700.0, 60)) + 1_000.0
    bodies = [
        body(n, float(ms), diameter_um=float(rng.uniform(120.0, 350.0)))
        for n, ms in enumerate(arrives_ms, start=1)
    ]
    edges = [e for ms in arrives_ms[::3] for e in opening(ms - 20.0, ms + 20.0)]
    openings = [
        Opening(COLLECT, a.effective_ns, b.effective_ns)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    liquid = Liquid(LiquidSettings(displaced_um=FlowSettings().displaced_um))
    watch = JunctionWatch(JunctionWatchSettings())
    for one in bodies:
        assert one.junction_ns is not None
        outlet = COLLECT if one.body % 3 == 1 else WASTE
        late_ns = float(rng.uniform(-12.0, 12.0)) * MS
        arrival = Arrival(liquid.at(one.junction_ns, openings) - late_ns, 15.0 * MS)
        watch.expect(Expected(one.body, outlet, arrival, one.diameter_um, 20_000.0))
    found = passages(bodies, edges, EXACT.model_copy(update={"jitter_us": 100.0}), seed=0)
    for passage in found:
        watch.passed(
            passage.passed(), lambda us: us * 1_000, lambda t_ns: liquid.at(t_ns, openings)
        )
    verdicts = watch.step(1_000_000 * MS)
    assert {v.object_id: v.outlet for v in verdicts if isinstance(v, Seen)} == {
        number: passage.outlet for passage in found for number in passage.bodies
    }
    assert not any(isinstance(v, Unexpected) for v in verdicts)
    alone = [v for v in verdicts if isinstance(v, Seen) and not v.shared]
    assert len(alone) > 50
    assert max(abs(v.late_ns) for v in alone) < 13.5 * MS
