"""The diagram of a run's life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sorter.life
from sorter.errors import RunFault
from sorter.life import NEXT, Life, RunState, Transition

STATES = list(RunState)


def test_every_state_is_in_the_diagram_and_the_docstring_shows_it() -> None:
    assert set(NEXT) == set(RunState)
    assert sorter.life.__doc__ is not None
    assert all(state.value in sorter.life.__doc__ for state in RunState)


def test_a_usual_run() -> None:
    life = Life()
    way = [RunState.READY, RunState.PRIMING, RunState.RUNNING, RunState.DRAINING, RunState.STOPPED]
    for at_ns, state in enumerate(way):
        before = life.state
        moved = life.move(state, at_ns, by="run", why="as usual")
        assert moved == Transition(at_ns, before, state, "run", "as usual")
    assert life.state is RunState.STOPPED


@given(st.lists(st.sampled_from(STATES), max_size=12))
def test_only_what_the_diagram_allows_happens(wishes: list[RunState]) -> None:
    life = Life()
    for wish in wishes:
        before = life.state
        if wish in NEXT[before]:
            assert life.may(wish)
            life.move(wish, 0, by="operator", why="test")
            assert life.state is wish
        else:
            with pytest.raises(RunFault, match=before.value):
                life.move(wish, 0, by="operator", why="test")
            assert life.state is before


def test_sorting_begins_only_after_priming() -> None:
    """Whatever came before, what lies between view and junction was not seen."""
    assert [s for s in STATES if RunState.RUNNING in NEXT[s]] == [RunState.PRIMING]


def test_every_state_in_which_liquid_flows_can_fault() -> None:
    flows = (RunState.PRIMING, RunState.RUNNING, RunState.DRAINING)
    assert all(RunState.FAULTED in NEXT[state] for state in flows)


def test_a_stopped_run_stays_stopped() -> None:
    assert not NEXT[RunState.STOPPED]
