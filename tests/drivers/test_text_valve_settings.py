"""Strings that a box could mistake, or an answer that proves nothing, are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.text_valve import TextValveSettings

ONE = {"name": "collect", "open": "O1", "close": "C1"}
TWO = {"name": "recheck", "open": "O2", "close": "C2"}
ASKED = {"query": "?", "closed": "0", "opened": "1"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no outlet": ({"outlets": []}, "at least 1"),
    "a query without answers": ({"outlets": [ONE | {"query": "?"}]}, "belong together"),
    "answers that don't differ": ({"outlets": [ONE | ASKED | {"opened": "0"}]}, "must differ"),
    "a name twice": ({"outlets": [ONE, TWO | {"name": "collect"}]}, "same name"),
    "the rest outlet opens": ({"outlets": [ONE | {"name": "waste"}]}, "same name"),
    "an open string twice": ({"outlets": [ONE, TWO | {"open": "O1"}]}, "mean nothing else"),
    "open is close": ({"outlets": [ONE | {"close": "O1"}]}, "mean nothing else"),
    "open is another's close": ({"outlets": [ONE, TWO | {"close": "O1"}]}, "mean nothing else"),
    "open is the query": ({"outlets": [ONE | ASKED | {"query": "O1"}]}, "mean nothing else"),
    "close is the query": ({"outlets": [ONE | ASKED | {"query": "C1"}]}, "what closes"),
    "an echo looks like an answer": ({"outlets": [ONE | ASKED | {"closed": "C1"}]}, "read like"),
    "an answer like another's query": (
        {"outlets": [ONE | ASKED, TWO | ASKED | {"query": "1"}]},
        "read like",
    ),
    "the terminator in a string": ({"outlets": [ONE], "terminator": "1"}, "of the terminator"),
    "beginnings without a terminator": (
        {"outlets": [ONE | {"open": "C1x"}], "terminator": ""},
        "begin with another",
    ),
    "a line feed": ({"outlets": [ONE | {"open": "O\n1"}]}, "printable ASCII"),
    "not ASCII": ({"outlets": [ONE | {"open": "Ö1"}]}, "printable ASCII"),
    "spaces at the end": ({"outlets": [ONE | ASKED | {"closed": "0 "}]}, "printable ASCII"),
    "a terminator that isn't ASCII": ({"outlets": [ONE], "terminator": "§"}, "only ASCII"),
    "later than it may be": ({"outlets": [ONE], "late_ms": 16.0}, "must not exceed"),
}


@pytest.mark.parametrize(("values", "says"), WRONG.values(), ids=WRONG)
def test_wrong(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TextValveSettings.model_validate(values)


RIGHT: dict[str, dict[str, Any]] = {
    "one that can't be asked": {"outlets": [ONE]},
    "two that share query and answers": {"outlets": [ONE | ASKED, TWO | ASKED]},
    "a selector": {"outlets": [ONE | {"close": "W"}, TWO | {"close": "W"}]},
    "words with spaces": {"outlets": [ONE | {"open": "valve 1 on", "close": "valve 1 off"}]},
    "no terminator": {"outlets": [ONE, TWO], "terminator": ""},
}


@pytest.mark.parametrize("values", RIGHT.values(), ids=RIGHT)
def test_right(values: dict[str, Any]) -> None:
    assert TextValveSettings.model_validate(values).kind == "text_valve"
