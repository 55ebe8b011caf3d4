"""Who is seen where: stories with one answer, and what holds whatever happens."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ports import Passed
from sorter.junction import (
    Expected,
    JunctionWatch,
    JunctionWatchSettings,
    Lost,
    Seen,
    Unexpected,
    Verdict,
)
from sorter.junction_odds import Dark, log_odds
from sorter.track import Arrival

MS = 1_000_000
LATER_NS = 10_000 * MS
WATCH = JunctionWatchSettings()
COLLECT, WASTE = "collect", "waste"


def coming(
    object_id: int,
    at_ms: float,
    outlet: str = COLLECT,
    *,
    half_ms: float = 15.0,
    diameter_um: float = 200.0,
    speed_um_s: float = 20_000.0,
    counts: bool = True,
) -> Expected:
    """A body of 10 ms that arrives about then."""
    return Expected(
        object_id,
        outlet,
        Arrival(at_ms * MS, half_ms * MS),
        diameter_um,
        speed_um_s,
        counts=counts,
    )


def dark(middle_ms: float, outlet: str = COLLECT, *, ms: float = 10.0) -> Passed:
    """A passage of which the host hears at once."""
    begun_us, length_us = int((middle_ms - ms / 2) * 1_000), int(ms * 1_000)
    return Passed(1, outlet, begun_us, length_us, (begun_us + length_us) * 1_000)


def tell(watch: JunctionWatch, passed: Passed) -> None:
    """With a device whose clock is the host's, and a liquid that never jumps."""
    watch.passed(passed, lambda us: us * 1_000, float)


def ruled(
    objects: Sequence[Expected], darks: Sequence[Passed], at_ns: int = LATER_NS
) -> list[Verdict]:
    watch = JunctionWatch(WATCH)
    for one in objects:
        watch.expect(one)
    for passed in darks:
        tell(watch, passed)
    return watch.step(at_ns)


def told(verdicts: Sequence[Verdict]) -> list[str]:
    """``1 collect``, ``1 collect astray``, ``1 lost``, ``? waste``."""
    words = []
    for one in verdicts:
        if isinstance(one, Seen):
            more = " astray" * one.astray + " unsure" * (not one.sure) + " shared" * one.shared
            words.append(f"{one.object_id} {one.outlet}{more}")
        else:
            words.append(f"{one.object_id} lost" if isinstance(one, Lost) else f"? {one.outlet}")
    return sorted(words)


STORIES: dict[str, tuple[list[Expected], list[Passed], list[str]]] = {
    "on time": ([coming(1, 500)], [dark(502)], ["1 collect"]),
    "late, within what is possible": ([coming(1, 500)], [dark(515)], ["1 collect"]),
    "much too late": ([coming(1, 500)], [dark(600)], ["1 lost", "? collect"]),
    "nowhere": ([coming(1, 500)], [], ["1 lost"]),
    "nobody": ([], [dark(500, WASTE)], ["? waste"]),
    "in the wrong outlet": (
        [coming(1, 500, WASTE)],
        [dark(501, COLLECT)],
        ["1 collect astray"],
    ),
    "wrong, and far from its time": (
        [coming(1, 500, WASTE, half_ms=30.0)],
        [dark(527, COLLECT, ms=4.0)],
        ["1 lost", "? collect"],
    ),
    "wrong, or lost beside something else": (
        [coming(1, 500, WASTE, half_ms=30.0)],
        [dark(518, COLLECT, ms=6.0)],
        ["1 collect astray unsure"],
    ),
    "two, each by its outlet": (
        [coming(1, 500), coming(2, 505, WASTE)],
        [dark(504), dark(500, WASTE)],
        ["1 collect", "2 waste"],
    ),
    "two, each by its size": (
        [coming(1, 500), coming(2, 500, diameter_um=60.0, speed_um_s=12_000.0)],
        [dark(495, ms=5.0), dark(505)],
        ["1 collect", "2 collect"],
    ),
    "three in a row, one lost": (
        [coming(1, 500), coming(2, 530), coming(3, 560)],
        [dark(501), dark(561)],
        ["1 collect", "2 lost", "3 collect"],
    ),
    "two in one dark": (
        [coming(1, 500), coming(2, 508)],
        [dark(504, ms=18.0)],
        ["1 collect shared", "2 collect shared"],
    ),
    "a speck that is seen": (
        [coming(1, 500, counts=False, diameter_um=25.0)],
        [dark(500, COLLECT, ms=1.3)],
        ["1 collect"],
    ),
    "a speck that is not": ([coming(1, 500, counts=False, diameter_um=12.0)], [], []),
    "a speck does not take a body's passage": (
        [coming(1, 500), coming(2, 500, counts=False, diameter_um=30.0)],
        [dark(503)],
        ["1 collect"],
    ),
    "of unknown size and speed": (
        [coming(1, 500, diameter_um=math.nan, speed_um_s=0.0)],
        [dark(505)],
        ["1 collect"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    objects, darks, words = STORIES[story]
    for order in itertools.permutations(objects):
        assert told(ruled(order, darks)) == words
    assert told(ruled(objects, darks[::-1])) == words


def test_sizes_tell_two_apart() -> None:
    objects, darks, _ = STORIES["two, each by its size"]
    at_ms = {v.object_id: v.at_ns / MS for v in ruled(objects, darks) if isinstance(v, Seen)}
    assert at_ms == pytest.approx({1: 505.0, 2: 495.0})


def test_nothing_is_ruled_on_before_its_news_can_have_come() -> None:
    watch = JunctionWatch(JunctionWatchSettings(wait_ms=400.0))
    watch.expect(coming(1, 500))
    assert watch.under_way == 1
    for at_ms in range(0, 900, 5):
        if at_ms == 800:
            tell(watch, dark(505))
        assert watch.step(at_ms * MS) == []
    assert told(watch.step(1_000 * MS)) == ["1 collect"]
    assert watch.under_way == 0
    assert watch.step(LATER_NS) == []


def test_at_the_end_nothing_is_waited_for() -> None:
    watch = JunctionWatch(WATCH)
    for one in (coming(1, 500), coming(2, 505, WASTE), coming(3, 900)):
        watch.expect(one)
    tell(watch, dark(500))
    assert told(watch.step(600 * MS, final=True)) == ["1 collect", "2 lost"]
    assert watch.under_way == 1


def test_what_hangs_together_waits_for_each_other_but_not_for_ever() -> None:
    """Bodies so close that each could have made the next one's dark, without end."""
    watch = JunctionWatch(JunctionWatchSettings(wait_ms=100.0, patience_ms=500.0))
    verdicts: list[Verdict] = []
    for n in range(200):
        at_ms = 100 + 20 * n
        watch.expect(coming(n, at_ms, half_ms=30.0))
        tell(watch, dark(at_ms - 60))
        verdicts += watch.step((at_ms - 50) * MS)
        assert watch.under_way <= 40
    assert len(verdicts) > 150
    assert all(isinstance(one, Seen) for one in verdicts[5:])


def test_a_changed_decision_is_what_counts() -> None:
    watch = JunctionWatch(WATCH)
    watch.expect(coming(1, 500))
    watch.changed(1, WASTE)
    watch.changed(7, WASTE)
    tell(watch, dark(500, WASTE))
    (seen,) = watch.step(LATER_NS)
    assert isinstance(seen, Seen)
    assert not seen.astray


def test_where_the_liquid_runs_ahead_bodies_pass_early_and_fast() -> None:
    """While the gate opens, 20 ms of liquid time pass in 10 ms."""

    def liquid_ns(t_ns: int) -> float:
        return t_ns + float(min(max(t_ns - 450 * MS, 0), 100 * MS))

    watch = JunctionWatch(WATCH)
    watch.expect(coming(1, 560, half_ms=6.0))
    watch.expect(coming(2, 505, half_ms=6.0))
    watch.passed(dark(505, ms=5.0), lambda us: us * 1_000, liquid_ns)
    seen, lost = watch.step(LATER_NS)
    assert isinstance(lost, Lost)
    assert isinstance(seen, Seen)
    assert (seen.object_id, seen.at_ns) == (1, 505 * MS)
    assert seen.late_ns == pytest.approx(0.0)


def test_a_gate_further_down_is_reckoned_with() -> None:
    watch = JunctionWatch(JunctionWatchSettings(gate_after_um=1_000.0))
    watch.expect(coming(1, 500, speed_um_s=10_000.0))
    tell(watch, dark(600, ms=20.0))
    assert told(watch.step(LATER_NS)) == ["1 collect"]


BODIES = st.builds(
    coming,
    st.just(0),
    st.integers(0, 400).map(float),
    st.sampled_from([COLLECT, WASTE]),
    half_ms=st.sampled_from([5.0, 15.0, 60.0]),
    diameter_um=st.sampled_from([60.0, 200.0, 350.0, math.nan]),
    counts=st.booleans(),
)
DARKS = st.builds(
    dark,
    st.integers(0, 400).map(float),
    st.sampled_from([COLLECT, WASTE]),
    ms=st.sampled_from([2.0, 10.0, 25.0]),
)


def numbered(objects: Sequence[Expected]) -> list[Expected]:
    return [
        Expected(
            n, o.outlet, o.arrival, o.diameter_um, o.speed_um_s, counts=o.counts
        )
        for n, o in enumerate(objects, start=1)
    ]  # fmt: skip


def middle_ns(passed: Passed) -> int:
    return passed.begun_us * 1_000 + passed.length_us * 500


def as_dark(passed: Passed) -> Dark:
    begun_ns, end_ns = passed.begun_us * 1_000, (passed.begun_us + passed.length_us) * 1_000
    return Dark(passed.outlet, begun_ns, end_ns, float(begun_ns), float(end_ns))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(BODIES, max_size=12),
    st.lists(DARKS, max_size=12),
    st.lists(st.integers(0, 2_000), max_size=12),
    st.randoms(use_true_random=False),
)
def test_every_object_and_every_passage_once(
    bodies: list[Expected], darks: list[Passed], steps: list[int], random: object
) -> None:
    watch = JunctionWatch(JunctionWatchSettings(patience_ms=200.0))
    objects = numbered(bodies)
    news: list[Expected | Passed | int] = [*objects, *darks, *steps]
    random.shuffle(news)  # type: ignore[attr-defined]
    verdicts: list[Verdict] = []
    for one in news:
        if isinstance(one, Expected):
            watch.expect(one)
        elif isinstance(one, int):
            verdicts += watch.step(one * MS)
        else:
            tell(watch, one)
    verdicts += watch.step(LATER_NS)
    ids = Counter(v.object_id for v in verdicts if not isinstance(v, Unexpected))
    assert set(ids.values()) <= {1}
    assert {o.object_id for o in objects if o.counts} <= set(ids)
    seen_at = {(v.outlet, v.at_ns) for v in verdicts if not isinstance(v, Lost)}
    assert seen_at == {(p.outlet, middle_ns(p)) for p in darks}
    unexpected = sum(isinstance(v, Unexpected) for v in verdicts)
    alone = sum(isinstance(v, Seen) and not v.shared for v in verdicts)
    assert unexpected + alone <= len(darks)
    assert watch.under_way == 0


def best_of_all(objects: Sequence[Expected], darks: Sequence[Dark]) -> float:
    """The greatest sum of log odds, by going through every assignment."""
    best = -math.inf
    for choice in itertools.product([None, *range(len(darks))], repeat=len(objects)):
        taken: Counter[int] = Counter()
        gain = 0.0
        # The first of several in a dark explains it: which of them that is makes a difference.
        for order in itertools.permutations(range(len(objects))):
            taken.clear()
            gain = 0.0
            for i in order:
                d = choice[i]
                if d is None:
                    continue
                odds = log_odds(objects[i], darks[d], WATCH)
                gain += odds[taken[d]] if taken[d] < len(odds) else -math.inf
                taken[d] += 1
            best = max(best, gain)
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(BODIES, min_size=1, max_size=3), st.lists(DARKS, min_size=1, max_size=3))
def test_no_assignment_is_likelier(bodies: list[Expected], passages: list[Passed]) -> None:
    objects = numbered(bodies)
    darks = [as_dark(p) for p in passages]
    verdicts = ruled(objects, passages)
    taken: dict[tuple[str, int], list[Expected]] = {}
    for one in verdicts:
        if isinstance(one, Seen):
            taken.setdefault((one.outlet, one.at_ns), []).append(one.expected)
    if len({(d.outlet, d.middle_ns) for d in darks}) < len(darks):
        return  # which of two like ones it was makes a difference to their lengths only
    gain = 0.0
    for d in darks:
        theirs = taken.get((d.outlet, d.middle_ns), [])
        odds = [log_odds(o, d, WATCH) for o in theirs]
        gain += max(
            (sum(o[n] for n, o in enumerate(order)) for order in itertools.permutations(odds)),
            default=0.0,
        )
    assert gain == pytest.approx(best_of_all(objects, darks), abs=1e-9)
