"""What was measured at the junction, for the report: the mass balance and the sort efficiency.

The balance travels in the record as an event named `BALANCE_EVENT`, whose text is its JSON; the
last one of a run counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sorter.errors import InputError
from sorter.mass_balance import Balance
from sorter.record_rows import EventRow

BALANCE_EVENT = "mass_balance"


@dataclass(frozen=True, slots=True)
class Measured:
    """What the page and the terminal show.

    Attributes:
        rows: (name, value, meaning).
        places: outlets, and ``lost``.
        went: (meant outlet, objects by place) in the order of `places`.
        closes: in = out.
    """

    rows: tuple[tuple[str, str, str], ...]
    places: tuple[str, ...]
    went: tuple[tuple[str, tuple[int, ...]], ...]
    closes: bool


def balance_event(balance: Balance, at_ns: int) -> EventRow:
    """A balance as the event in which it is recorded."""
    return EventRow(at_ns, "info", BALANCE_EVENT, msgspec.json.encode(balance.to_dict()).decode())


def measured(events: Iterable[EventRow]) -> Measured | None:
    """The last balance of a run; None where the junction was not watched.

    Raises:
        InputError: the event holds no balance.
    """
    told = last_balance(events)
    return None if told is None else measured_of(told)


def last_balance(events: Iterable[EventRow]) -> dict[str, Any] | None:
    """The last balance of a run, as `Balance.to_dict` gives it; None where there is none.

    Raises:
        InputError: the event holds no balance.
    """
    texts = [event.text for event in events if event.name == BALANCE_EVENT]
    if not texts:
        return None
    try:
        told: dict[str, Any] = msgspec.json.decode(texts[-1], type=dict[str, Any])
        measured_of(told)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"an event {BALANCE_EVENT} holds no mass balance",
            on=texts[-1][:80],
            do="Was the record written by another version?",
        ) from error
    return told


def measured_of(told: Mapping[str, Any]) -> Measured:
    """What is shown of a balance, as `Balance.to_dict` gives it."""
    places = (*told["outlets"], "lost")
    went = tuple(
        (str(meant), tuple(int(came.get(place, 0)) for place in places))
        for meant, came in told["went"].items()
    )
    return Measured(tuple(_rows(told)), places, went, bool(told["closes"]))


def _rows(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    collect = told["collect"]
    parts = [f"{n:,} {name}" for name, n in told["outlets"].items()]
    parts += [f"{told['lost']:,} lost", f"{told['under_way']:,} under way"]
    parts += [f"{told['held']:,} held"] if told["held"] else []
    unexpected = ", ".join(f"{n:,} in {name}" for name, n in told["unexpected"].items())
    specks = ", ".join(f"{n:,} in {name}" for name, n in told["specks"].items())
    return [
        (
            "sort efficiency, measured",
            _rate(told["efficiency"]),
            f"seen to enter {collect}, of those meant for it in the end",
        ),
        (
            "commanded",
            _rate(told["commanded"]),
            f"still meant for {collect} in the end, of those first meant for it",
        ),
        (
            "contamination",
            _rate(told["contamination"]),
            f"meant for another outlet, of those seen to enter {collect}",
        ),
        ("mass balance", f"{told['entered']:,} in = {' + '.join(parts)}", "specks left out"),
        (
            "astray",
            f"{told['strays']:,} surely, {told['unsure_strays']:,} likely",
            f"entered {collect} and were not meant to",
        ),
        ("unexpected passages", unexpected or "none", "that no object explains"),
        ("specks", specks or "none", "seen by an optical gate"),
    ]


def _rate(rate: Mapping[str, Any]) -> str:
    if rate["value"] is None:
        return "–"
    low, high = rate["interval"]
    return f"{100 * rate['value']:.1f} % of {rate['n']:,} [{100 * low:.1f}, {100 * high:.1f}]"
