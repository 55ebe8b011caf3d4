"""MMCore's pumps: the demo adapter's volumetric and pressure pump, on the real C++ core.

They take every order and pump nothing; what only a pump that moves liquid would show is not
tested here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.clock import MonotonicClock
from drivers.mmcore_camera import MMCoreCamera
from drivers.mmcore_pump import MMCorePump, MMCorePumpSettings
from drivers.ports import Pump, PumpAbilities, PumpState
from sorter.errors import PumpError
from tests.drivers.cameras import demo_cfg, settings_for
from tests.drivers.virtual_time import MS, START_NS

HELD, RUNNING, STOPPED, UNKNOWN = (
    PumpState.HELD,
    PumpState.RUNNING,
    PumpState.STOPPED,
    PumpState.UNKNOWN,
)
POLL_NS = 500 * MS


def pump_cfg(folder: Path, device: str) -> Path:
    path = folder / "pump.cfg"
    lines = [
        "Property,Core,Initialize,0",
        f"Device,Pump,DemoCamera,{device}",
        "Property,Core,Initialize,1",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(cfg: Path, **changes: Any) -> MMCorePumpSettings:
    return MMCorePumpSettings(config_file=cfg, **changes)


@pytest.fixture
def volumetric(tmp_path: Path) -> Iterator[MMCorePump]:
    with closing(MMCorePump(settings(pump_cfg(tmp_path, "DVolumetricPump")))) as pump:
        yield pump


@pytest.fixture
def pressure(tmp_path: Path) -> Iterator[MMCorePump]:
    with closing(MMCorePump(settings(pump_cfg(tmp_path, "DPressurePump")))) as pump:
        yield pump


def held(pump: MMCorePump) -> int:
    """Step until the first hold is confirmed; the time then."""
    pump.step(START_NS)
    assert pump.status().state is UNKNOWN
    pump.step(START_NS + POLL_NS - 1)
    assert pump.status().state is UNKNOWN
    pump.step(START_NS + POLL_NS)
    assert pump.status().state is HELD
    return START_NS + POLL_NS


def test_a_volumetric_pump_has_rate_and_volume(volumetric: MMCorePump) -> None:
    pump: Pump = volumetric
    assert pump.abilities() == PumpAbilities(rate=True, volume=True, reverse=False)
    assert pump.status().rate_ul_s == 12.8
    assert pump.status().volume_ul == 0.0


def test_a_pressure_pump_has_neither(pressure: MMCorePump) -> None:
    assert pressure.abilities() == PumpAbilities(rate=False, volume=False, reverse=False)
    assert math.isnan(pressure.status().rate_ul_s)
    assert math.isnan(pressure.status().volume_ul)
    with pytest.raises(PumpError, match="pressure, and no rate"):
        pressure.set_rate_ul_s(5.0, START_NS)


@pytest.mark.parametrize("which", ["volumetric", "pressure"])
def test_it_is_held_first_and_does_as_it_is_told(
    which: str, request: pytest.FixtureRequest
) -> None:
    pump: MMCorePump = request.getfixturevalue(which)
    now_ns = held(pump)
    pump.start(now_ns)
    assert pump.status().state is RUNNING
    pump.hold(now_ns)
    assert pump.status().state is UNKNOWN
    pump.step(now_ns + POLL_NS)
    assert pump.status().state is HELD
    assert pump.status().at_ns == now_ns + POLL_NS
    pump.resume(now_ns + POLL_NS)
    pump.stop(now_ns + POLL_NS)
    pump.step(now_ns + 2 * POLL_NS)
    assert pump.status().state is STOPPED


def test_the_rate_reaches_the_device(tmp_path: Path) -> None:
    with closing(MMCorePump(settings(pump_cfg(tmp_path, "DVolumetricPump")))) as pump:
        pump.set_rate_ul_s(5.0, START_NS)
        pump.start(START_NS)
        assert pump.status().rate_ul_s == 5.0
        assert core_of(pump).getPumpFlowrate("Pump") == 5.0


def test_the_pressure_comes_and_goes(tmp_path: Path) -> None:
    cfg = pump_cfg(tmp_path, "DPressurePump")
    with closing(MMCorePump(settings(cfg, pressure_kpa=30.0))) as pump:
        pump.start(START_NS)
        assert core_of(pump).getPumpPressureKPa("Pump") == 30.0
        pump.hold(START_NS)
        assert core_of(pump).getPumpPressureKPa("Pump") == 0.0


def core_of(pump: MMCorePump) -> Any:
    return pump._core


def test_what_leaves_the_pump_is_its_volume(tmp_path: Path) -> None:
    """The demo pump's volume is moved by hand, as a pump that runs would."""
    with closing(MMCorePump(settings(pump_cfg(tmp_path, "DVolumetricPump")))) as pump:
        core = core_of(pump)
        core.setPumpVolume("Pump", 150.0)
        now_ns = held(pump)
        pump.start(now_ns)
        for volume_ul, infused_ul in [(120.0, 30.0), (190.0, 30.0), (180.0, 40.0)]:
            core.setPumpVolume("Pump", volume_ul)
            now_ns += POLL_NS
            pump.step(now_ns)
            assert pump.status().volume_ul == pytest.approx(infused_ul)


@pytest.mark.parametrize("device", ["DVolumetricPump", "DPressurePump"])
def test_a_pump_that_moves_while_it_is_held_is_a_fault(device: str, tmp_path: Path) -> None:
    with closing(MMCorePump(settings(pump_cfg(tmp_path, device)))) as pump:
        core = core_of(pump)
        now_ns = held(pump)
        if device == "DPressurePump":
            core.setPumpPressureKPa("Pump", 20.0)
        else:
            core.setPumpVolume("Pump", 100.0)
        with pytest.raises(PumpError, match="moves though it is held"):
            pump.step(now_ns + POLL_NS)
        assert pump.status().state is UNKNOWN
        # It was told again, and now stands.
        pump.step(now_ns + 2 * POLL_NS)
        assert pump.status().state is HELD


def test_a_hold_in_vain_is_a_fault_once(tmp_path: Path) -> None:
    cfg = pump_cfg(tmp_path, "DVolumetricPump")
    with closing(MMCorePump(settings(cfg, tries=3))) as pump:
        pump.hold(START_NS)
        faults = []
        for poll in range(1, 6):
            core_of(pump).setPumpVolume("Pump", 100.0 + 10 * poll)
            try:
                pump.step(START_NS + poll * POLL_NS)
            except PumpError:
                faults.append(poll)
            assert pump.status().state is UNKNOWN
        assert faults == [3]


def test_it_lacks_a_pulse_backwards(volumetric: MMCorePump) -> None:
    with pytest.raises(PumpError, match="backwards"):
        volumetric.reverse(5.0, START_NS)


@pytest.mark.parametrize("rate_ul_s", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_rate_is_refused(rate_ul_s: float, volumetric: MMCorePump) -> None:
    with pytest.raises(PumpError, match="no rate"):
        volumetric.set_rate_ul_s(rate_ul_s, START_NS)


def test_errors_of_the_core_are_pump_errors_and_the_state_unknown(tmp_path: Path) -> None:
    pump = MMCorePump(settings(pump_cfg(tmp_path, "DVolumetricPump")))
    now_ns = held(pump)
    core_of(pump).unloadAllDevices()
    with pytest.raises(PumpError, match="No device with label"):
        pump.step(now_ns + POLL_NS)
    assert pump.status().state is UNKNOWN
    with pytest.raises(PumpError, match="No device with label"):
        pump.start(now_ns)
    with pytest.raises(PumpError, match="No device with label"):
        pump.close()
    pump.close()
    pump.step(now_ns)
    with pytest.raises(PumpError, match="closed"):
        pump.hold(now_ns)


UNLOADABLE = [
    pytest.param("", "missing", id="no such file"),
    pytest.param("Device,Pump,NoSuchAdapter,Nothing", "Micro-Manager reports", id="no adapter"),
    pytest.param("Device,Pump,DemoCamera,DCam", "no pump labelled", id="no pump"),
    pytest.param("Device,Other,DemoCamera,DPressurePump", "Use one of: Other", id="other label"),
]


@pytest.mark.parametrize(("line", "words"), UNLOADABLE)
def test_what_is_no_pump_is_said_so(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pump.cfg"
    if line:
        path.write_text(f"Property,Core,Initialize,0\n{line}\nProperty,Core,Initialize,1\n")
    with pytest.raises(PumpError, match=words):
        MMCorePump(settings(path))


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        MMCorePumpSettings.model_validate({"config_file": "a.cfg", "rate_ul_s": 0})
    with pytest.raises(ValidationError):
        MMCorePumpSettings.model_validate({"config_file": "a.cfg", "port": "COM3"})


def test_closing_the_camera_leaves_the_pump_loaded(tmp_path: Path) -> None:
    cfg = pump_cfg(tmp_path, "DVolumetricPump")
    camera = MMCoreCamera(settings_for("demo", demo_cfg(tmp_path)), MonotonicClock())
    with closing(MMCorePump(settings(cfg))) as pump:
        pump.start(START_NS)
        camera.close()
        pump.hold(START_NS)
        pump.step(START_NS + POLL_NS)
        assert pump.status().state is HELD
