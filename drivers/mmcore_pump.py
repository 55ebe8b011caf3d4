"""A pump behind Micro-Manager: MMCore's interface to volumetric and to pressure pumps.

The pump has a core of its own, with a configuration file of its own: the camera's core unloads
all its devices when the camera is closed or loaded again, and the flow must not go unwatched
meanwhile.

Run here on the DemoCamera adapter's two pumps, which take every order and pump nothing: this was
never run against a pump that moves liquid. MMCore has no calls that don't block, so an order
lasts as long as the adapter takes, and `MMCorePump.step` asks the device only every ``poll_ms``.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pymmcore_plus import CMMCorePlus, DeviceType

from drivers.ports import PumpAbilities, PumpState, PumpStatus
from sorter.errors import PumpError

MS = 1_000_000


class MMCorePumpSettings(BaseModel):
    """A pump behind Micro-Manager; whether it is volumetric or a pressure pump, it says itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config_file: Path = Field(
        description="Micro-Manager .cfg that loads the pump, and not the camera"
    )
    pump: str = Field("Pump", min_length=1, description="label of the pump in the .cfg")
    adapter_path: Path | None = Field(
        None, description="folder of device adapters; none: the one that pymmcore-plus finds"
    )
    rate_ul_s: float = Field(12.8, gt=0, description="rate of a volumetric pump, µL/s")
    pressure_kpa: float = Field(20.0, gt=0, description="pressure of a pressure pump, kPa")
    rest_kpa: float = Field(
        0.5, gt=0, description="a pressure pump counts as held at or below this pressure, kPa"
    )
    still_ul: float = Field(
        0.5, gt=0, description="a volumetric pump that moves more than this was not held, µL"
    )
    poll_ms: int = Field(500, ge=50, le=10_000, description="the pump is asked this often, ms")
    tries: int = Field(
        4, ge=1, le=20, description="holds in vain, one for each poll, until it is a fault"
    )


class MMCorePump:
    """`drivers.ports.Pump` on a volumetric or a pressure pump of MMCore.

    A hold is confirmed by what the device says later: a volumetric pump that is not busy and
    whose volume stands between two polls, a pressure pump whose pressure has gone. Until then
    the state is `PumpState.UNKNOWN`, and the hold is said again at each poll. Adapters differ in
    what they call busy; one that is busy for as long as it pumps is what is hoped for.

    Args:
        settings: which file, which pump, and how fast.

    Raises:
        PumpError: the file is missing or doesn't load, or the label is no pump.
    """

    def __init__(self, settings: MMCorePumpSettings) -> None:
        self._settings = settings
        self._rate_ul_s = settings.rate_ul_s
        self._goal = PumpState.HELD
        self._state = PumpState.UNKNOWN
        self._next_poll_ns: int | None = None
        self._misses = 0
        self._at_ns = 0
        self._pumped_ul = 0.0
        self._last_ul: float | None = None
        self._core: CMMCorePlus | None = self._load()
        try:
            self._volumetric = self._is_volumetric(self._core)
        except BaseException:
            self._unload()
            raise

    def abilities(self) -> PumpAbilities:
        """Rate and volume for a volumetric pump. No pulse backwards: MMCore can invert a
        direction, but the demo pump refuses that, so it could not be tried.
        """
        return PumpAbilities(rate=self._volumetric, volume=self._volumetric, reverse=False)

    def start(self, now_ns: int) -> None:
        """Flow at the set rate or pressure."""
        core, label = self._loaded(), self._settings.pump
        self._goal, self._state = PumpState.RUNNING, PumpState.UNKNOWN
        if self._volumetric:
            self._call(core.setPumpFlowrate, label, self._rate_ul_s)
            self._call(core.pumpStart, label)
        else:
            self._call(core.setPumpPressureKPa, label, self._settings.pressure_kpa)
        # MMCore has no word for a pump that runs: it was told to, and raised nothing.
        self._state = PumpState.RUNNING
        self._misses, self._at_ns = 0, now_ns

    def resume(self, now_ns: int) -> None:
        """Let a held flow go on."""
        self.start(now_ns)

    def stop(self, now_ns: int) -> None:
        """End the flow now."""
        self._stand(PumpState.STOPPED, now_ns)

    def hold(self, now_ns: int) -> None:
        """Hold the flow now."""
        self._stand(PumpState.HELD, now_ns)

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """Not possible: raises `PumpError`."""
        raise self._lacks("can't push backwards")

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Set the rate of a volumetric pump, µL/s; raises `PumpError` for a pressure pump."""
        core = self._loaded()
        if not self._volumetric:
            raise self._lacks("has a pressure, and no rate")
        if not 0 < rate_ul_s < math.inf:
            raise PumpError(
                f"{rate_ul_s:g} µL/s is no rate", on=self._settings.pump, do="Set one above 0"
            )
        self._call(core.setPumpFlowrate, self._settings.pump, rate_ul_s)
        self._rate_ul_s = rate_ul_s

    def status(self) -> PumpStatus:
        """As of the last poll; rate and volume are NaN for a pressure pump."""
        rate_ul_s, volume_ul = self._rate_ul_s, self._pumped_ul
        if not self._volumetric:
            rate_ul_s = volume_ul = math.nan
        return PumpStatus(self._state, rate_ul_s, volume_ul, self._at_ns)

    def step(self, now_ns: int) -> None:
        """Ask the pump when that is due, and say a hold again that is not confirmed.

        Raises:
            PumpError: the core or the device reports an error, a hold is in vain, or the pump
                moves though it was held.
        """
        core = self._core
        if core is None:
            return
        if self._next_poll_ns is None:
            # The first step: whatever it did before this program came, it is held.
            self.hold(now_ns)
        elif now_ns >= self._next_poll_ns:
            self._next_poll_ns = now_ns + self._settings.poll_ms * MS
            self._poll(core, now_ns)

    def close(self) -> None:
        """Stop the pump, and release it; safe to call twice. Raises `PumpError` when it would
        not be stopped; it is released all the same.
        """
        core = self._core
        if core is None:
            return
        try:
            self._say_stop(core)
        finally:
            self._unload()

    # -- asking -------------------------------------------------------------------------------

    def _stand(self, goal: PumpState, now_ns: int) -> None:
        core = self._loaded()
        self._goal, self._state, self._misses = goal, PumpState.UNKNOWN, 0
        self._next_poll_ns = now_ns + self._settings.poll_ms * MS
        self._say_stop(core)
        if self._volumetric:
            self._count(self._call(core.getPumpVolume, self._settings.pump))

    def _say_stop(self, core: CMMCorePlus) -> None:
        stop = core.volumetricPumpStop if self._volumetric else core.pressurePumpStop
        self._call(stop, self._settings.pump)

    def _poll(self, core: CMMCorePlus, now_ns: int) -> None:
        try:
            stands = self._stands(core)
        except PumpError:
            self._state = PumpState.UNKNOWN
            raise
        self._at_ns = now_ns
        if self._goal is PumpState.RUNNING:
            return
        if stands:
            self._state, self._misses = self._goal, 0
            return
        was_held, self._state = self._state is self._goal, PumpState.UNKNOWN
        self._misses += 1
        self._say_stop(core)
        if was_held or self._misses == self._settings.tries:
            raise PumpError(
                "the pump moves though it is held",
                on=self._settings.pump,
                do="Stop it by hand; it goes on being told",
            )

    def _stands(self, core: CMMCorePlus) -> bool:
        label = self._settings.pump
        if not self._volumetric:
            pressure_kpa: float = self._call(core.getPumpPressureKPa, label)
            return pressure_kpa <= self._settings.rest_kpa
        moved_ul = self._count(self._call(core.getPumpVolume, label))
        busy: bool = self._call(core.deviceBusy, label)
        return moved_ul <= self._settings.still_ul and not busy

    def _count(self, volume_ul: float) -> float:
        """Add up what has left the pump; how much its volume has changed since the last look."""
        last_ul, self._last_ul = self._last_ul, volume_ul
        if last_ul is None:
            return 0.0
        # A volume that rises was filled up, and is no part of what was infused.
        self._pumped_ul += max(0.0, last_ul - volume_ul)
        return abs(last_ul - volume_ul)

    # -- loading ------------------------------------------------------------------------------

    def _load(self) -> CMMCorePlus:
        s = self._settings
        if not s.config_file.is_file():
            raise PumpError(
                "the Micro-Manager configuration file of the pump is missing",
                on=s.config_file,
                do="Set config_file to a .cfg that exists",
            )
        core = CMMCorePlus(mm_path=None if s.adapter_path is None else str(s.adapter_path))
        try:
            core.loadSystemConfiguration(s.config_file.resolve())
        except Exception as error:
            core.unloadAllDevices()
            del core
            gc.collect()
            raise self._error(error) from error
        return core

    def _is_volumetric(self, core: CMMCorePlus) -> bool:
        label = self._settings.pump
        pumps = (DeviceType.VolumetricPump, DeviceType.PressurePump)
        if label in core.getLoadedDevices() and core.getDeviceType(label) in pumps:
            return core.getDeviceType(label) == DeviceType.VolumetricPump
        there = [one for one in core.getLoadedDevices() if core.getDeviceType(one) in pumps]
        raise PumpError(
            f"the configuration has no pump labelled {label!r}",
            on=self._settings.config_file,
            do=f"Use one of: {', '.join(there)}" if there else "It has no pump at all",
        )

    def _unload(self) -> None:
        """Unloading alone makes the process abort at exit with C++ adapters."""
        core, self._core = self._core, None
        if core is not None:
            core.unloadAllDevices()
            del core
            gc.collect()

    def _loaded(self) -> CMMCorePlus:
        if self._core is None:
            raise PumpError("the pump is closed", on=self._settings.pump, do="Load it again")
        return self._core

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> PumpError:
        return PumpError(
            f"Micro-Manager reports: {' '.join(str(error).split())}",
            on=self._settings.pump,
            do="Try the pump in Micro-Manager with the same configuration file",
        )

    def _lacks(self, what: str) -> PumpError:
        return PumpError(
            f"the pump {what}", on=self._settings.pump, do="Use another pump, or do it by hand"
        )
