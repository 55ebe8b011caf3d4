"""Which pump a rig file chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.clock import MonotonicClock
from drivers.mmcore_pump import MMCorePump
from drivers.ne1000 import NE1000Pump
from drivers.ports import Link, Pump
from drivers.pump_output import DevicePump
from drivers.pump_pair import PumpPair
from drivers.serial_link import SerialLinkSettings
from hardware_sim.ne1000 import SimNE1000Settings, VirtualNE1000
from hardware_sim.virtual_camera import VirtualClock
from sorter.errors import SettingsError
from sorter.pumps import make_pump
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from sorter.settings_io import parse_toml
from tests.drivers.test_mmcore_pump import pump_cfg

RIG = "[camera]\nconfig_file = 'camera.cfg'\n[port]\nport = 'COM5'\n"
NE1000 = "[pump]\nkind = 'ne1000'\n[pump.port]\nport = 'COM6'\n[pump.syringe]\nrate_ul_s = 5.0\n"


def rig(text: str) -> RigSettings:
    return parse_toml(RIG + text, RigSettings, on="rig.toml")


class Output:
    def hold(self, now_ns: int) -> None:
        """It is a contact."""

    def flow(self, now_ns: int) -> None:
        """It is a contact."""


def made(settings: RigSettings, output: Pump | None) -> tuple[Pump | None, list[Any]]:
    """The pump, and the ports that were opened for it."""
    opened: list[Any] = []
    clock = VirtualClock(1)

    def open_link(port: SerialLinkSettings) -> Link:
        opened.append(port)
        return VirtualNE1000(SimNE1000Settings(), clock).link

    return make_pump(settings.pump, output, open_link, clock), opened


@pytest.fixture
def output() -> DevicePump:
    return DevicePump(Output(), MonotonicClock())


def test_the_output_alone_by_default(output: DevicePump) -> None:
    assert made(rig(""), output) == (output, [])
    assert made(rig("[pump]\nkind = 'output'\n"), output) == (output, [])


def test_a_dispenser_without_an_output_has_no_pump() -> None:
    assert made(rig(""), None) == (None, [])


def test_a_syringe_pump_beside_the_output(output: DevicePump) -> None:
    pump, opened = made(rig(NE1000), output)
    assert isinstance(pump, PumpPair)
    assert pump.status().rate_ul_s == 5.0
    assert [(one.port, one.baud) for one in opened] == [("COM6", 19_200)]


def test_a_syringe_pump_alone() -> None:
    assert isinstance(made(rig(NE1000), None)[0], NE1000Pump)


def test_a_pump_of_micro_manager(tmp_path: Path) -> None:
    file = pump_cfg(tmp_path, "DVolumetricPump")
    text = f"[pump]\nkind = 'mmcore'\n[pump.device]\nconfig_file = '{file.as_posix()}'\n"
    pump, _ = made(rig(text), None)
    assert isinstance(pump, MMCorePump)
    pump.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pump]\nkind = 'hose'\n", "'output', 'ne1000' or 'mmcore'"),
        ("[pump]\nkind = 'ne1000'\n", "port"),
        ("[pump]\nrate_ul_s = 3.0\n", "rate_ul_s"),
    ],
    ids=["another kind", "no port", "a key of another kind"],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        rig(text)


@pytest.mark.parametrize("text", ["", NE1000], ids=["output", "ne1000"])
def test_a_file_that_was_written_is_read_again(text: str) -> None:
    settings = rig(text)
    assert parse_toml(dump_commented_toml(RigSettings, settings), RigSettings, on="x") == settings
