"""Every fault has a name, a response that is safe, and advice."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sorter.faults import ADVICE, Fault, FaultKind, FaultSettings, Response


def test_every_fault_has_advice_and_a_setting() -> None:
    assert set(ADVICE) == set(FaultKind)
    assert set(FaultSettings.model_fields) == {kind.value for kind in FaultKind}


@pytest.mark.parametrize("kind", list(FaultKind))
def test_the_response_is_that_of_the_settings(kind: FaultKind) -> None:
    settings = FaultSettings.model_validate({kind.value: "stop"})
    assert settings.response_to(kind) is Response.STOP


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("link_lost", "warn"),
        ("link_lost", "recover"),
        ("device_reset", "warn"),
        ("emergency_stop", "hold"),
        ("pump_failed", "warn"),
        ("clock_unsure", "warn"),
        ("camera_stalled", "warn"),
        ("clogged", "warn"),
        ("misrouted", "warn"),
    ],
)
def test_nothing_milder_than_what_is_safe(kind: str, response: str) -> None:
    with pytest.raises(ValidationError, match=kind):
        FaultSettings.model_validate({kind: response})


def test_a_fault_says_what_to_do() -> None:
    fault = Fault(FaultKind.CLOGGED, 0, "an object has been in view for 4.0 s")
    assert fault.do == ADVICE[FaultKind.CLOGGED]


def test_the_page_of_faults_tells_each_with_its_response() -> None:
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    settings = FaultSettings()
    for kind in FaultKind:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{kind.value}` |"))
        assert row.split("|")[3].strip() == settings.response_to(kind).value
