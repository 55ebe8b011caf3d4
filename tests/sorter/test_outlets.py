"""The dispenser's outlets against those that the settings name."""

from __future__ import annotations

import pytest

from sorter.decide import OutletSettings
from sorter.errors import SettingsError
from sorter.outlets import check_outlets

TWO = OutletSettings()
THREE = OutletSettings(recheck="again")


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (TWO, ("waste", "collect")),
        (TWO, ["waste", "spare", "collect"]),
        (THREE, ("waste", "again", "collect")),
        (OutletSettings(collect="waste", rest="keep"), ("keep", "waste")),
    ],
)
def test_those_that_fit(wanted: OutletSettings, has: object) -> None:
    assert check_outlets(wanted, {"outlets": has}) == list(has)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("wanted", "has", "says"),
    [
        (TWO, ("collect", "waste"), "rests at collect, where the settings say waste"),
        (TWO, ("spare", "waste", "collect"), "rests at spare"),
        (THREE, ("again", "waste", "collect"), "rests at again"),
        (THREE, ("waste", "collect"), "no outlet again; it has waste, collect"),
        (TWO, ("waste", "keep"), "no outlet collect"),
        (TWO, (), "no outlet collect, waste; it has none"),
        (TWO, None, "no outlet collect, waste; it has none"),
    ],
)
def test_those_that_do_not(wanted: OutletSettings, has: object, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        check_outlets(wanted, {"outlets": has})
    assert caught.value.exit_code == 2
    assert "[outlets]" in caught.value.do
