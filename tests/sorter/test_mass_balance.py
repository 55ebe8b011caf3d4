"""What went in comes out, and what is wrong with it has a name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import wilson
from sorter.decide import OutletSettings
from sorter.junction import Expected, Lost, Seen, Unexpected, Verdict
from sorter.mass_balance import Balance, BalanceSettings, MassBalance, Severity, alarms
from sorter.track import Arrival

COLLECT, WASTE, RECHECK = "collect", "waste", "recheck"
OUTLETS = OutletSettings(recheck=RECHECK)
SETTINGS = BalanceSettings()
NOW_NS = 100_000_000_000


def expected(object_id: int, meant: str, *, counts: bool = True) -> Expected:
    return Expected(object_id, meant, Arrival(0.0, 1e6), 200.0, 2e4, counts=counts)


def seen(
    object_id: int, outlet: str, meant: str = COLLECT, *, sure: bool = True, counts: bool = True
) -> Seen:
    one = expected(object_id, meant, counts=counts)
    return Seen(object_id, outlet, NOW_NS, 0.0, one, shared=False, sure=sure)


def lost(object_id: int, meant: str = COLLECT, *, counts: bool = True) -> Lost:
    return Lost(object_id, expected(object_id, meant, counts=counts))


def counted(
    came: Sequence[tuple[str, str | None]],
    *,
    unexpected: Sequence[str] = (),
    sure: bool = True,
    kept: BalanceSettings = SETTINGS,
) -> Balance:
    """A balance of objects as (meant, seen); seen None: lost."""
    mass = MassBalance(OUTLETS, kept)
    for number, (meant, where) in enumerate(came):
        mass.entered(number, meant)
        mass.heard(lost(number, meant) if where is None else seen(number, where, meant, sure=sure))
    for outlet in unexpected:
        mass.heard(Unexpected(outlet, NOW_NS, 1e7))
    return mass.balance(NOW_NS)


def test_figures_of_a_small_run() -> None:
    mass = MassBalance(OUTLETS, SETTINGS)
    for number in range(10):
        mass.entered(number, COLLECT if number < 7 else WASTE)
    mass.entered(3, WASTE)  # goes in once only
    mass.changed(6, WASTE)
    mass.changed(77, WASTE)
    for number in (0, 1, 2, 3):
        mass.heard(seen(number, COLLECT))
    mass.heard(seen(4, WASTE))
    mass.heard(lost(5))
    mass.heard(seen(6, WASTE, WASTE))
    mass.heard(seen(7, COLLECT, WASTE))
    mass.heard(seen(8, RECHECK, WASTE))
    for again in (seen(0, WASTE), lost(1), seen(99, COLLECT)):
        mass.heard(again)
    mass.heard(seen(50, COLLECT, counts=False))
    mass.heard(lost(51, counts=False))
    balance = mass.balance(NOW_NS)
    assert balance.closes
    assert (balance.entered, balance.lost, balance.under_way) == (10, 1, 1)
    assert balance.outlets == {COLLECT: 5, WASTE: 2, RECHECK: 1}
    assert (balance.efficiency.value, balance.efficiency.n) == (4 / 6, 6)
    assert balance.efficiency.interval == wilson(4, 6)
    assert balance.contamination.value == 1 / 5
    assert balance.commanded.value == 6 / 7
    assert balance.lost_share.value == 1 / 9
    assert balance.specks == {COLLECT: 1}
    assert balance.went[COLLECT] == {COLLECT: 4, WASTE: 1, "lost": 1}
    told = json.loads(json.dumps(balance.to_dict()))
    assert told["closes"] is True
    assert told["efficiency"]["n"] == 6


def test_nothing_yet() -> None:
    balance = MassBalance(OutletSettings(), SETTINGS).balance(0)
    assert balance.closes
    assert math.isnan(balance.efficiency.value)
    assert balance.to_dict()["efficiency"]["value"] is None
    assert balance.outlets == {COLLECT: 0, WASTE: 0}
    assert alarms(balance, SETTINGS) == ()


GOOD = [(COLLECT, COLLECT)] * 60 + [(WASTE, WASTE)] * 20
ALARMS = {
    "all well": (counted(GOOD), []),
    "one in collect that was meant for waste": (
        counted([*GOOD, (WASTE, COLLECT)]), [("stray", Severity.STOP)],
    ),
    "likely, but not surely": (
        counted([*GOOD, (WASTE, COLLECT)], sure=False), [("unsure_stray", Severity.WARN)],
    ),
    "one in waste that was meant for collect": (counted([*GOOD, (COLLECT, WASTE)]), []),
    "a few too many go to waste": (
        counted([*GOOD, *[(COLLECT, WASTE)] * 30]), [("efficiency", Severity.WARN)],
    ),
    "too few objects to tell": (counted([(COLLECT, WASTE)] * 2), []),
    "most go to waste": (
        counted([*[(COLLECT, COLLECT)] * 20, *[(COLLECT, WASTE)] * 60]),
        [("efficiency", Severity.STOP)],
    ),
    "many get lost": (
        counted([*GOOD, *[(WASTE, None)] * 30]), [("lost", Severity.WARN)],
    ),
    "unknown ones in waste": (counted(GOOD, unexpected=[WASTE] * 10), []),
    "many unknown ones in waste": (
        counted(GOOD, unexpected=[WASTE] * 50), [("unexpected", Severity.WARN)],
    ),
    "unknown ones in collect": (
        counted(GOOD, unexpected=[COLLECT] * 6), [("unexpected_in_collect", Severity.STOP)],
    ),
    "all at once, the gravest first": (
        counted([(COLLECT, None)] * 50, unexpected=[COLLECT] * 50),
        [
            ("efficiency", Severity.STOP), ("unexpected_in_collect", Severity.STOP),
            ("lost", Severity.WARN), ("unexpected", Severity.WARN),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALARMS)
def test_alarms(case: str) -> None:
    balance, names = ALARMS[case]
    assert [(one.name, one.severity) for one in alarms(balance, SETTINGS)] == names


def test_a_stray_can_be_set_to_warn() -> None:
    kept = BalanceSettings(stray_stops=False)
    (alarm,) = alarms(counted([(WASTE, COLLECT)], kept=kept), kept)
    assert alarm.severity is Severity.WARN
    assert "entered collect" in alarm.text


def test_rates_forget() -> None:
    mass = MassBalance(OUTLETS, BalanceSettings(rate_window_s=60.0))
    for n in range(5):
        mass.heard(Unexpected(COLLECT, n * 10_000_000_000, 1e7))
    assert mass.balance(60_000_000_000).unexpected_per_min == {COLLECT: 5.0}
    assert mass.balance(85_000_000_000).unexpected_per_min == {COLLECT: 2.0}
    late = mass.balance(200_000_000_000)
    assert late.unexpected_per_min == {}
    assert late.unexpected == {COLLECT: 5}


IDS = st.integers(1, 6)
NAMES = st.sampled_from([COLLECT, WASTE, RECHECK, "elsewhere"])
EVENTS = st.one_of(
    st.tuples(st.just("entered"), IDS, NAMES),
    st.tuples(st.just("changed"), IDS, NAMES),
    st.builds(seen, IDS, NAMES, NAMES, sure=st.booleans(), counts=st.booleans()),
    st.builds(lost, IDS, NAMES, counts=st.booleans()),
    st.builds(Unexpected, NAMES, st.integers(0, NOW_NS), st.just(1e7)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_it_closes_whatever_happens(events: list[Verdict | tuple[str, int, str]]) -> None:
    mass = MassBalance(OUTLETS, SETTINGS)
    for event in events:
        if not isinstance(event, tuple):
            mass.heard(event)
        elif event[0] == "entered":
            mass.entered(*event[1:])
        else:
            mass.changed(*event[1:])
        balance = mass.balance(NOW_NS)
        assert balance.closes
        assert balance.strays + balance.unsure_strays <= balance.outlets[COLLECT]
        assert balance.under_way >= 0
    alarms(mass.balance(NOW_NS), SETTINGS)
