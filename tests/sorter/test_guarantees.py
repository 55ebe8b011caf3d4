"""What a dispenser lacks is said plainly, and refused where nobody stands by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import Guarantees
from drivers.serial_link import SerialLinkSettings
from drivers.text_valve import TextValve, TextValveSettings
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_link import VirtualDispenser
from sorter.build import build_dispenser
from sorter.errors import SettingsError
from sorter.guarantees import describe, guarantees_of, hold, refuse_unattended
from sorter.runner import run_rig
from sorter.settings import RigSettings, RunSettings
from sorter.settings_dump import dump_commented_toml
from sorter.settings_io import parse_toml
from tests.drivers.virtual_time import SteppedClock
from tests.sorter.loop_parts import NotedDispenser

ALL = Guarantees(True, True, True, True, True)
NONE = Guarantees(False, False, False, False, False)

REFUSED = {
    "watchdog": (replace(ALL, watchdog=False), "a watchdog"),
    "emergency stop": (replace(ALL, estop=False), "an emergency stop"),
    "flow": (replace(ALL, holds_pump=False), "holds the pump"),
    "all": (NONE, "a watchdog .*; an emergency stop .*; an output that holds the pump"),
}


@pytest.mark.parametrize(("promised", "says"), REFUSED.values(), ids=REFUSED)
def test_unattended_runs_are_refused_by_name(promised: Guarantees, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        refuse_unattended(promised, True)
    assert caught.value.exit_code == 2
    assert "run.unattended = false" in caught.value.do
    refuse_unattended(promised, False)


@pytest.mark.parametrize(
    "promised", [ALL, replace(ALL, device_clock=False), replace(ALL, reports=False)]
)
def test_what_an_unattended_run_can_do_without(promised: Guarantees) -> None:
    refuse_unattended(promised, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("device_clock", "The host times the gate"),
        ("watchdog", "an open gate stays open"),
        ("estop", "no emergency stop"),
        ("reports", "doesn't tell what it did"),
        ("holds_pump", "can't hold the flow"),
    ],
)
def test_what_is_missing_is_said(name: str, says: str) -> None:
    (line,) = describe(replace(ALL, **{name: False}))
    assert says in line


def test_nothing_is_said_where_nothing_is_missing() -> None:
    assert describe(ALL) == []
    assert len(describe(NONE)) == 5


# -- the settings' choice -----------------------------------------------------------------

RIG = "[camera]\nconfig_file = 'camera.cfg'\n[port]\nport = 'COM5'\nbaud = 9600\n"
VALVE = """[dispenser]
kind = "text_valve"
terminator = "\\r\\n"
[[dispenser.outlets]]
name = "collect"
open = "O1"
close = "C1"
"""


def _rig(text: str) -> RigSettings:
    return parse_toml(RIG + text, RigSettings, on="test")


CHOICES = {
    "nothing said": ("", DispenserSettings),
    "no kind said": ("[dispenser]\nping_ms = 100\n", DispenserSettings),
    "protocol": ("[dispenser]\nkind = 'protocol'\n", DispenserSettings),
    "text valve": (VALVE, TextValveSettings),
}


@pytest.mark.parametrize(("text", "model"), CHOICES.values(), ids=CHOICES)
def test_the_kind_chooses(text: str, model: type) -> None:
    rig = _rig(text)
    assert type(rig.dispenser) is model
    assert parse_toml(dump_commented_toml(RigSettings, rig), RigSettings, on="test") == rig


WRONG = {
    "kind": ("[dispenser]\nkind = 'text'\n", "kind must be 'protocol' or 'text_valve'"),
    "key": (
        VALVE.replace("terminator", "terminatr"),
        "`dispenser.terminatr` is unknown; did you mean `terminator`",
    ),
    "key of the other kind": (
        "[dispenser]\nkind = 'protocol'\nterminator = ''\n",
        "`dispenser.terminator` is unknown",
    ),
    "key of an outlet": (
        VALVE.replace("close =", "shut ="),
        "`dispenser.outlets[0].shut` is unknown",
    ),
    "missing": ("[dispenser]\nkind = 'text_valve'\n", "`dispenser.outlets` is missing"),
    "two that can't be told apart": (
        VALVE.replace("C1", "O1"),
        "`dispenser`: what opens an outlet must mean nothing else",
    ),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_by_its_key(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _rig(text)
    assert says in caught.value.message


@pytest.mark.parametrize(("text", "kind"), [("", SerialDispenser), (VALVE, TextValve)])
def test_the_settings_dispenser_is_built(text: str, kind: type) -> None:
    clock = SteppedClock()
    link = VirtualDispenser(SimDispenserSettings(), clock).link
    dispenser = build_dispenser(_rig(text), link, clock)
    assert type(dispenser) is kind
    assert dispenser.guarantees() == guarantees_of(_rig(text))


def test_an_unattended_run_with_a_text_valve_is_refused_before_anything_is_opened() -> None:
    rig = _rig(VALVE).model_copy(update={"run": RunSettings(unattended=True)})
    with pytest.raises(SettingsError, match="not for unattended runs"):
        run_rig(rig, "", lambda: None, lambda _: None)


class Held(NotedDispenser):
    """Notes what its pump is told."""

    def __init__(self, promised: Guarantees) -> None:
        super().__init__()
        self.promised = promised
        self.told: list[str] = []

    def guarantees(self) -> Guarantees:
        return self.promised

    def hold(self, now_ns: int) -> None:
        self.told.append("hold")


@pytest.mark.parametrize(("promised", "told"), [(ALL, ["hold"]), (NONE, [])])
def test_a_pump_is_told_only_where_there_is_one(promised: Guarantees, told: list[str]) -> None:
    dispenser = Held(promised)
    hold(dispenser, 0)
    assert dispenser.told == told


def test_a_rig_made_in_python_chooses_too() -> None:
    camera = MMCoreCameraSettings(config_file=Path("camera.cfg"))
    port = SerialLinkSettings(port="COM5")
    for chosen in (DispenserSettings(), _rig(VALVE).dispenser):
        rig = RigSettings(camera=camera, port=port, dispenser=chosen)
        assert rig.dispenser == chosen
