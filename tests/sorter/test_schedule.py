"""The schedule against a liquid and a gate that are moved exactly as commanded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sorter.decide import Decision, Reason
from sorter.liquid import FOREVER_NS, Liquid, LiquidSettings, Opening, merge
from sorter.opening_plan import Aim, JunctionSettings, plan_opening
from sorter.schedule import Scheduler
from sorter.track import Arrival
from sorter.under_way import Ruling
from tests.sorter.loop_parts import (
    MS,
    NotedDispenser,
    arrival,
    healthy,
    scheduler,
    unhealthy,
)

JUNCTION = JunctionSettings()
ON_NS, OFF_NS = int(JUNCTION.valve_on_ms * MS), int(JUNCTION.valve_off_ms * MS)


UNSEEN_MS = 250  # the camera sees every body so long before it can reach the junction


def turn(plan: Scheduler, from_ms: int, to_ms: int) -> list[Ruling]:
    """Plan every 5 ms, with a frame of that very moment."""
    rulings: list[Ruling] = []
    for now_ms in range(from_ms, to_ms, 5):
        plan.looked((now_ms + UNSEEN_MS) * MS)
        rulings += plan.plan(now_ms * MS)
        plan.prune(now_ms * MS)
    return rulings


def answer(
    plan: Scheduler, dispenser: NotedDispenser, now_ms: int, late_ms: int = 0
) -> list[Ruling]:
    """The device answers the withdrawals that it has heard by now, each so long after it was sent.

    An opening that has begun it cuts short; one that is over it knows as executed.
    """
    rulings: list[Ruling] = []
    for command in dispenser.sent:
        heard_ns = dispenser.cancelled.get(command.id, FOREVER_NS) + late_ms * MS
        if command.id in dispenser.answered or heard_ns > now_ms * MS:
            continue
        dispenser.answered.add(command.id)
        if heard_ns <= command.open_us * 1000:
            rulings += plan.refused(command.id, now_ms * MS)
        else:
            closed_us = min(command.close_us, heard_ns // 1000)
            rulings += plan.executed(command.id, closed_us, now_ms * MS)
    return rulings


def gate(dispenser: NotedDispenser, late_ms: int = 0) -> tuple[Opening, ...]:
    """What the gate does when it obeys: effective times; a withdrawn command closes at once, or
    when the device hears of it."""
    openings: list[Opening] = []
    for c in dispenser.sent:
        heard_ns = dispenser.cancelled.get(c.id, FOREVER_NS) + late_ms * MS
        close_ns = min(c.close_us * 1000, heard_ns)
        if close_ns > c.open_us * 1000:
            openings.append(Opening(c.outlet, c.open_us * 1000 + ON_NS, close_ns + OFF_NS))
    return merge(openings)


def outlet_of(body: Arrival, openings: tuple[Opening, ...], offset_ns: float = 0.0) -> str:
    """Where a body ends that really arrives `offset_ns` away from its prediction."""
    at_ns = Liquid(LiquidSettings()).first_passage_ns(body.liquid_ns + offset_ns, openings)
    inside = [o.outlet for o in openings if o.open_ns <= at_ns <= o.close_ns]
    return inside[0] if inside else "waste"


@pytest.mark.parametrize("offset", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_a_healthy_body_alone_is_collected(offset: float) -> None:
    dispenser = NotedDispenser(bound_us=1000)
    plan = scheduler(dispenser)
    body = arrival(1_000, 25)
    plan.decided(1, body, healthy(), 500 * MS)
    rulings = turn(plan, 500, 1_200)
    assert [r.command for r in rulings] == dispenser.sent
    assert outlet_of(body, gate(dispenser), offset * body.error_ns) == "collect"


def test_an_unhealthy_one_alone_gets_no_command() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), unhealthy(), 500 * MS)
    assert turn(plan, 500, 1_200) == []
    assert dispenser.sent == []


def test_a_neighbour_bound_elsewhere_is_a_conflict() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    plan.decided(2, arrival(1_030), unhealthy(), 500 * MS)
    (ruling,) = turn(plan, 500, 1_200)
    assert ruling.decision.reason is Reason.CONFLICT
    assert dispenser.sent == []


@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize(
    "others",
    {
        "one just behind": [(1_038, 5)],
        "one just before": [(967, 5)],
        "one on either side": [(961, 5), (1_062, 5)],
    }.items(),
    ids=lambda case: case[0] if isinstance(case, tuple) else None,
)
def test_beside_a_neighbour_the_gate_opens_for_where_the_body_likely_is(
    others: tuple[str, list[tuple[int, int]]], offset: float
) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    body, neighbours = arrival(1_000, 30), [arrival(*other) for other in others[1]]
    plan.decided(1, body, healthy(), 500 * MS)
    for i, neighbour in enumerate(neighbours, 2):
        plan.decided(i, neighbour, unhealthy(), 500 * MS)
    turn(plan, 500, 1_200)
    openings = gate(dispenser)
    assert outlet_of(body, openings, offset * body.error_ns) == "collect"
    for neighbour in neighbours:
        for their_offset in (-1.0, 1.0):
            assert outlet_of(neighbour, openings, their_offset * neighbour.error_ns) == "waste"


@pytest.mark.parametrize("offset", [-1.0, 0.0, 0.6])
def test_where_a_neighbour_may_come_at_the_same_time_the_gate_opens_for_what_is_left(
    offset: float,
) -> None:
    """The body may miss the opening; the neighbour may not meet it."""
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    body, neighbour = arrival(1_000, 30), arrival(975, 28)
    plan.decided(1, body, healthy(), 500 * MS)
    plan.decided(2, neighbour, unhealthy(), 500 * MS)
    turn(plan, 500, 1_200)
    openings = gate(dispenser)
    assert outlet_of(body, openings, 30 * MS) == "collect"
    assert outlet_of(body, openings, -30 * MS) == "waste"
    assert outlet_of(neighbour, openings, offset * neighbour.error_ns) == "waste"


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("at_ms", range(1_000, 1_120, 4))
def test_a_longer_beginning_keeps_the_dwell_at_rest_behind_the_opening_before(
    at_ms: int, share: float
) -> None:
    before = Opening("collect", 900 * MS, 960 * MS)
    liquid, aim = Liquid(LiquidSettings()), Aim(share, share, dwells_before=True)
    body = arrival(at_ms, 10)
    opening = plan_opening(body, "collect", (before,), liquid, JUNCTION, 0, aim)
    joined = opening.open_ns <= before.close_ns
    assert joined or opening.open_ns - before.close_ns >= JUNCTION.min_dwell_ns


def test_a_neighbour_that_nobody_has_decided_yet_is_a_conflict() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    plan.observe(2, arrival(1_020))
    (ruling,) = turn(plan, 500, 1_200)
    assert ruling.decision.reason is Reason.CONFLICT


def test_time_in_which_bodies_went_unseen_is_a_conflict() -> None:
    plan = scheduler(NotedDispenser())
    plan.blind(800 * MS, 1_400 * MS)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    (ruling,) = turn(plan, 500, 1_200)
    assert ruling.decision.reason is Reason.CONFLICT


def test_neighbours_for_the_same_outlet_share_one_opening() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    bodies = [arrival(1_000), arrival(1_060), arrival(1_110)]
    for i, body in enumerate(bodies, 1):
        plan.decided(i, body, healthy(), 500 * MS)
    turn(plan, 500, 1_500)
    openings = gate(dispenser)
    assert len(dispenser.sent) == 3
    assert len(openings) == 1
    assert all(outlet_of(body, openings) == "collect" for body in bodies)


def test_policy_single_refuses_company() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser, policy="single")
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    plan.decided(2, arrival(1_010), healthy(), 500 * MS)
    rulings = turn(plan, 500, 1_200)
    assert {r.decision.reason for r in rulings} == {Reason.CONFLICT}


def test_a_late_decision_is_never_sent() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 960 * MS)
    (ruling,) = plan.plan(960 * MS)
    assert ruling.decision.reason is Reason.LATE
    assert dispenser.sent == []


def test_nothing_is_opened_for_longer_than_was_looked_ahead() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    plan.looked(1_010 * MS)  # the loop lags: what entered the view since may arrive from then on
    rulings = [r for now_ms in range(500, 1_200, 5) for r in plan.plan(now_ms * MS)]
    assert dispenser.sent == []
    assert [r.decision.reason for r in rulings] == [Reason.LATE]


def test_what_comes_to_light_later_withdraws_the_command() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, 930)
    assert len(dispenser.sent) == 1
    plan.decided(2, arrival(1_000), unhealthy(), 930 * MS)
    assert list(dispenser.cancelled) == [dispenser.sent[0].id]
    rulings = answer(plan, dispenser, 930)
    assert [r.decision.reason for r in rulings] == [Reason.CONFLICT]


@pytest.mark.parametrize(
    ("at_ms", "reasons"),
    [(935, [Reason.CONFLICT]), (950, [Reason.CONFLICT]), (965, []), (985, [])],
    ids=["not told to open", "told, closes before it comes", "may slip in", "stands open"],
)
def test_a_body_that_may_go_in_before_the_gate_is_back_keeps_its_decision(
    at_ms: int, reasons: list[Reason]
) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, at_ms)
    plan.decided(2, arrival(1_000), unhealthy(), at_ms * MS)
    rulings = answer(plan, dispenser, at_ms)
    assert [r.decision.reason for r in rulings] == reasons


@pytest.mark.parametrize(
    ("late_ms", "reasons"),
    [(0, [Reason.CONFLICT]), (20, [Reason.CONFLICT]), (45, []), (500, [])],
    ids=["at once", "soon", "when it may have gone in", "when all is over"],
)
def test_a_withdrawal_counts_when_the_device_has_heard_of_it(
    late_ms: int, reasons: list[Reason]
) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, 930)
    plan.decided(2, arrival(1_000), unhealthy(), 930 * MS)
    before = turn(plan, 930, 930 + late_ms)
    assert [r.decision.reason for r in before] == []
    after = answer(plan, dispenser, 930 + late_ms, late_ms)
    assert [r.decision.reason for r in after + turn(plan, 930 + late_ms, 4_000)] == reasons


def test_who_is_to_be_looked_at_again_is_not_let_into_collect() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, 930)
    unsure = Decision("recheck", Reason.UNSURE, 0.5, 0.0)
    plan.decided(2, arrival(1_000), unsure, 930 * MS)
    assert set(dispenser.cancelled) == {dispenser.sent[0].id}
    rulings = answer(plan, dispenser, 930)
    assert [(r.object_id, r.decision.outlet) for r in rulings] == [(1, "waste")]


def test_the_clock_bound_widens_the_opening() -> None:
    liquid = Liquid(LiquidSettings())
    body = arrival(1_000, 60)  # so uncertain that the shortest dwell doesn't matter
    sure = plan_opening(body, "collect", (), liquid, JUNCTION, 0)
    unsure = plan_opening(body, "collect", (), liquid, JUNCTION, 5 * MS)
    assert unsure.open_ns < sure.open_ns
    assert unsure.close_ns > sure.close_ns


@settings(max_examples=60, deadline=None)
@given(
    bodies=st.lists(
        st.tuples(st.integers(700, 2_500), st.booleans(), st.floats(-1, 1)),
        min_size=1,
        max_size=7,
    ),
    rng=st.randoms(use_true_random=False),
)
def test_whatever_comes_nothing_unhealthy_is_collected_and_nothing_is_forgotten(
    bodies: list[tuple[int, bool, float]], rng: object
) -> None:
    dispenser = NotedDispenser(bound_us=500)
    plan = scheduler(dispenser)
    arrivals = [arrival(at, 15) for at, _, _ in bodies]
    for i, ((_, good, _), body) in enumerate(zip(bodies, arrivals, strict=True)):
        plan.decided(i, body, healthy() if good else unhealthy(), 400 * MS)
    rulings = turn(plan, 400, 3_200)
    openings = gate(dispenser)
    rested = {r.object_id for r in rulings if r.command is None}
    commanded = {r.object_id for r in rulings if r.command is not None} - rested
    for i, ((_, good, offset), body) in enumerate(zip(bodies, arrivals, strict=True)):
        went = outlet_of(body, openings, offset * body.error_ns)
        assert good == (i in rested or i in commanded)
        if i not in commanded:
            assert went == "waste"
        elif abs(offset) <= 0.3:  # the narrowest opening that is tried covers so much
            assert went == "collect"


@settings(max_examples=100, deadline=None)
@given(
    bodies=st.lists(
        st.tuples(st.integers(800, 2_000), st.booleans(), st.floats(-1, 1), st.integers(200, 500)),
        min_size=2,
        max_size=9,
    ),
    late_ms=st.sampled_from([0, 0, 15, 40]),
)
def test_decisions_that_come_one_after_another_undo_each_other_safely(
    bodies: list[tuple[int, bool, float, int]], late_ms: int
) -> None:
    dispenser = NotedDispenser(bound_us=500)
    plan = scheduler(dispenser)
    arrivals = [arrival(at, 15) for at, _, _, _ in bodies]
    rulings: list[Ruling] = []
    for now_ms in range(200, 3_000, 5):
        for i, (at, good, _, before) in enumerate(bodies):
            if now_ms <= at - before < now_ms + 5:
                decision = healthy() if good else unhealthy()
                plan.decided(i, arrivals[i], decision, now_ms * MS)
        rulings += turn(plan, now_ms, now_ms + 5)
        rulings += answer(plan, dispenser, now_ms, late_ms)
    openings = gate(dispenser, late_ms)
    rested = {r.object_id for r in rulings if r.command is None}
    for i, ((_, good, offset, _), body) in enumerate(zip(bodies, arrivals, strict=True)):
        if outlet_of(body, openings, offset * body.error_ns) == "collect":
            # What is heard too late lets in whom it was to keep out; the record says who came.
            assert good or late_ms
            assert i not in rested
            assert not good or [r.object_id for r in rulings if r.command is not None].count(i)
