"""When a run may begin to collect."""

from __future__ import annotations

from sorter.liquid import FOREVER_NS
from sorter.priming import Priming
from sorter.view import ViewGeometry

S = 1_000_000_000
VIEW = ViewGeometry(2_000.0, 12_000.0, 2_000.0, 40_000.0, 5_000_000)
FLUSHED_NS = 6 * S


def primed(*, empty: bool, looks_ns: int | None = 0, flows_ns: int | None = 0) -> Priming:
    priming = Priming(VIEW, S, empty=empty)
    if looks_ns is not None:
        priming.looked(looks_ns)
    if flows_ns is not None:
        priming.flowing(flows_ns)
    return priming


def test_a_channel_that_may_hold_bodies_is_flushed_first() -> None:
    assert primed(empty=False).until_ns == FLUSHED_NS
    assert primed(empty=True).until_ns == S


def test_it_counts_from_when_the_flow_is_known_to_run_and_is_looked_at() -> None:
    assert primed(empty=True, looks_ns=None).until_ns == FOREVER_NS
    assert primed(empty=True, flows_ns=None).until_ns == FOREVER_NS
    assert primed(empty=True, looks_ns=3 * S, flows_ns=2 * S).until_ns == 4 * S
    assert primed(empty=True, looks_ns=2 * S, flows_ns=3 * S).until_ns == 4 * S


def test_only_the_first_frame_and_the_first_word_of_the_pump_count() -> None:
    priming = primed(empty=True)
    priming.looked(S)
    priming.flowing(S)
    assert priming.until_ns == S


def test_after_a_hold_the_channel_is_flushed_though_it_was_empty_at_the_start() -> None:
    priming = primed(empty=True)
    priming.again()
    assert not priming.flows
    assert priming.until_ns == FOREVER_NS
    priming.flowing(9 * S)
    assert priming.until_ns == FOREVER_NS  # nobody has looked since
    priming.looked(8 * S)
    assert priming.until_ns == 9 * S + FLUSHED_NS


def test_it_lasts_until_the_flow_has_come_to_its_speed() -> None:
    short, full = (Priming(VIEW, 0, settles_ns=S // 2, empty=empty) for empty in (True, False))
    for priming in (short, full):
        assert priming.steady_ns == FOREVER_NS
        priming.looked(0)
        priming.flowing(S)
        assert priming.steady_ns == S + S // 2
    assert short.until_ns == S + S // 2
    assert full.until_ns == S + S // 2 + FLUSHED_NS
    short.again()
    assert short.steady_ns == FOREVER_NS
