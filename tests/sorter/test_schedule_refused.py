"""What the schedule makes of commands that the device refuses."""

from __future__ import annotations

import pytest

from sorter.decide import Reason
from sorter.schedule import Scheduler
from tests.sorter.loop_parts import MS, NotedDispenser, arrival, healthy, scheduler, unhealthy
from tests.sorter.test_schedule import answer, turn


@pytest.mark.parametrize("heard_ms", [935, 1_900], ids=["before it comes", "when it has passed"])
def test_a_refused_command_sends_its_object_to_rest(heard_ms: int) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, heard_ms - 5)
    (ruling,) = plan.refused(dispenser.sent[0].id, heard_ms * MS)
    assert (ruling.object_id, ruling.decision.outlet) == (1, "waste")
    assert plan.openings == ()


def two_in_one_opening(at_ms: int) -> tuple[Scheduler, NotedDispenser]:
    """Two healthy bodies at 1.0 and 1.04 s, each with its command, and the time is `at_ms`."""
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    plan.decided(2, arrival(1_040), healthy(), 500 * MS)
    turn(plan, 500, at_ms)
    assert [c.outlet for c in dispenser.sent] == ["collect", "collect"]
    return plan, dispenser


@pytest.mark.parametrize("at_ms", [950, 1_000, 1_200])
def test_a_refused_body_that_the_opening_of_another_lets_in_keeps_its_decision(at_ms: int) -> None:
    plan, dispenser = two_in_one_opening(at_ms)
    assert plan.refused(dispenser.sent[1].id, at_ms * MS) == []
    assert turn(plan, at_ms + 5, 4_000) == []
    assert dispenser.cancelled == {}


@pytest.mark.parametrize("at_ms", [950, 1_000, 1_200])
def test_a_pause_leaves_whom_the_opening_of_another_may_have_let_in(at_ms: int) -> None:
    plan, dispenser = two_in_one_opening(at_ms)
    assert plan.refused(dispenser.sent[1].id, at_ms * MS) == []
    assert plan.hold(at_ms * MS) == []


@pytest.mark.parametrize("at_ms", [950, 1_200])
def test_where_both_are_refused_both_go_to_rest(at_ms: int) -> None:
    plan, dispenser = two_in_one_opening(at_ms)
    assert plan.refused(dispenser.sent[1].id, at_ms * MS) == []
    rulings = plan.refused(dispenser.sent[0].id, (at_ms + 5) * MS)
    assert {(r.object_id, r.decision.outlet) for r in rulings} == {(1, "waste"), (2, "waste")}


@pytest.mark.parametrize(
    ("at_ms", "now_ms", "outlet"),
    [(1_012, 1_500, "collect"), (1_012, 1_005, "collect"), (1_300, 1_500, "waste")],
    ids=["has passed", "may be passing", "another time"],
)
def test_what_has_passed_while_the_host_was_held_up_keeps_its_decision_where_it_may_be_in(
    at_ms: int, now_ms: int, outlet: str
) -> None:
    """Nothing was looked at from when the first one's command went out until `now_ms`."""
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000, 20), healthy(), 500 * MS)
    plan.decided(2, arrival(at_ms, 20), healthy(), 500 * MS)
    for since_ms in range(500, 1_000):
        if not dispenser.sent:
            turn(plan, since_ms, since_ms + 1)
    assert len(dispenser.sent) == 1
    rulings = plan.plan(now_ms * MS)
    assert dispenser.cancelled == {}
    assert [(r.object_id, r.decision.outlet) for r in rulings] == (
        [] if outlet == "collect" else [(2, "waste")]
    )


@pytest.mark.parametrize("at_ms", [945, 955])
def test_whom_an_opening_may_let_in_that_is_perhaps_withdrawn_too_late_keeps_its_decision(
    at_ms: int,
) -> None:
    plan, dispenser = two_in_one_opening(at_ms)
    plan.decided(3, arrival(1_000), unhealthy(), at_ms * MS)
    first, second = dispenser.sent
    assert set(dispenser.cancelled) == {first.id, second.id}
    assert plan.refused(second.id, at_ms * MS) == []
    assert turn(plan, at_ms, 2_000) == []
    assert plan.executed(first.id, first.close_us, 2_000 * MS) == []


def test_whom_an_opening_would_have_let_in_goes_to_rest_once_its_withdrawal_is_confirmed() -> None:
    plan, dispenser = two_in_one_opening(945)
    plan.decided(3, arrival(1_000), unhealthy(), 945 * MS)
    first, second = dispenser.sent
    assert plan.refused(second.id, 945 * MS) == []
    rulings = plan.refused(first.id, 950 * MS)
    assert {(r.object_id, r.decision.outlet) for r in rulings} == {(1, "waste"), (2, "waste")}


@pytest.mark.parametrize(("second_ms", "ruled"), [(1_040, []), (1_400, [2])])
def test_after_a_fault_whom_a_sent_opening_may_let_in_keeps_its_decision(
    second_ms: int, ruled: list[int]
) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000, 40), healthy(), 500 * MS)
    for now_ms in range(500, 1_000):
        if not dispenser.sent:
            turn(plan, now_ms, now_ms + 1)
    plan.decided(2, arrival(second_ms), healthy(), 900 * MS)
    assert [r.object_id for r in plan.abandon(Reason.FAULT)] == ruled


@pytest.mark.parametrize(
    ("told", "at_ms", "knows"),
    [
        ("nothing", 900, True),
        ("nothing", 990, False),
        ("it is queued", 990, True),
        ("it is queued", 1_200, True),
        ("it is refused", 990, True),
    ],
)
def test_what_the_gate_did_is_known_when_the_device_has_confirmed_what_should_have_begun(
    told: str, at_ms: int, knows: bool
) -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, 950)
    (command,) = dispenser.sent
    if told == "it is queued":
        plan.acknowledged(command.id)
    elif told == "it is refused":
        plan.refused(command.id, 950 * MS)
    assert plan.knows_gate(at_ms * MS) == knows


def test_a_withdrawal_of_which_nothing_is_heard_leaves_what_the_gate_did_unknown() -> None:
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000), healthy(), 500 * MS)
    turn(plan, 500, 950)
    (command,) = dispenser.sent
    plan.acknowledged(command.id)
    plan.decided(2, arrival(1_000), unhealthy(), 955 * MS)
    assert set(dispenser.cancelled) == {command.id}
    assert plan.knows_gate(1_000 * MS)
    assert not plan.knows_gate(1_200 * MS)
    plan.refused(command.id, 1_200 * MS)
    assert plan.knows_gate(1_200 * MS)


def carried_past() -> tuple[Scheduler, NotedDispenser]:
    """The jump of the first one's opening, which is sent, carries the unhealthy second past that of
    the third."""
    dispenser = NotedDispenser()
    plan = scheduler(dispenser)
    plan.decided(1, arrival(1_000, 40), healthy(), 500 * MS)
    plan.decided(2, arrival(1_106, 1), unhealthy(), 500 * MS)
    plan.decided(3, arrival(1_130, 1), healthy(), 500 * MS)
    turn(plan, 500, 950)
    return plan, dispenser


def test_an_opening_that_falls_away_no_longer_carries_others_past_the_next_one() -> None:
    plan, dispenser = carried_past()
    plan.acknowledged(dispenser.sent[0].id)
    turn(plan, 950, 1_055)
    first, second = dispenser.sent
    rulings = plan.refused(first.id, 1_055 * MS)
    assert [r.object_id for r in rulings] == [1]
    assert set(dispenser.cancelled) == {second.id}
    assert [r.object_id for r in answer(plan, dispenser, 1_055)] == [3]


@pytest.mark.parametrize("confirmed", [False, True])
def test_nobody_relies_on_the_jump_of_an_opening_that_may_be_refused(confirmed: bool) -> None:
    plan, dispenser = carried_past()
    if confirmed:
        plan.acknowledged(dispenser.sent[0].id)
    rulings = turn(plan, 950, 1_055)
    third = [r.decision.reason for r in rulings if r.object_id == 3]
    assert third == [Reason.HEALTHY if confirmed else Reason.CONFLICT]
