"""The mass balance in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from sorter.decide import OutletSettings
from sorter.errors import InputError
from sorter.junction import Expected, Lost, Seen, Unexpected
from sorter.mass_balance import Balance, BalanceSettings, MassBalance
from sorter.record import EventRow, Recorder
from sorter.report import write_report
from sorter.report_junction import balance_event, measured
from sorter.track import Arrival
from tests.sorter.record_samples import META, ORIGIN_NS


def balance_of(good: int, strays: int = 0, lost: int = 0) -> Balance:
    mass = MassBalance(OutletSettings(), BalanceSettings())
    for number in range(good + strays + lost):
        outlet = "waste" if good <= number < good + strays else "collect"
        one = Expected(number, outlet, Arrival(0.0, 1e6), 200.0, 2e4)
        mass.entered(number, outlet)
        if number < good + strays:
            mass.heard(Seen(number, "collect", ORIGIN_NS, 0.0, one, shared=False, sure=True))
        else:
            mass.heard(Lost(number, one))
    mass.heard(Unexpected("waste", ORIGIN_NS, 1e6))
    return mass.balance(ORIGIN_NS)


def test_the_last_balance_counts() -> None:
    events = [balance_event(balance_of(n, strays=1, lost=2), n) for n in (3, 8)]
    events.append(EventRow(9, "info", "stopped", "stopped"))
    found = measured(events)
    assert found is not None
    assert found.closes
    assert found.places == ("collect", "waste", "lost")
    assert dict(found.went) == {"collect": (8, 0, 2), "waste": (1, 0, 0)}
    shown = {name: value for name, value, _ in found.rows}
    assert shown["mass balance"] == "11 in = 9 collect + 0 waste + 2 lost + 0 under way"
    assert shown["sort efficiency, measured"].startswith("80.0 % of 10 [49.0, 94.3]")
    assert shown["astray"] == "1 surely, 0 likely"
    assert shown["unexpected passages"] == "1 in waste"
    assert shown["specks"] == "none"


def test_a_junction_that_was_not_watched() -> None:
    assert measured([EventRow(1, "info", "started", "started")]) is None


def test_nothing_seen_yet() -> None:
    found = measured([balance_event(balance_of(0), 1)])
    assert found is not None
    assert {name: value for name, value, _ in found.rows}["contamination"] == "–"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outlets": 3}'])
def test_no_balance(text: str) -> None:
    with pytest.raises(InputError, match="mass balance"):
        measured([EventRow(1, "info", "mass_balance", text)])


def test_the_page_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    recorder = Recorder.start(path, META)
    recorder.event(EventRow(ORIGIN_NS, "info", "started", "the run starts"))
    recorder.event(balance_event(balance_of(8, lost=2), ORIGIN_NS + 1_000_000))
    recorder.finish("done", 0, timeout_s=30)
    text = write_report(path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Measured at the junction" in text
    assert "10 in = 8 collect + 0 waste + 2 lost + 0 under way" in text
    assert "efficiency&#34;" not in text, "the event's own text is not shown"
