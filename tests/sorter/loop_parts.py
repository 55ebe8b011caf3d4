"""Small builders for tests of the loop: detections, arrivals, and a dispenser that remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivers.ports import Command, DispenserEvent, Guarantees
from sorter.decide import Decision, OutletSettings, Reason
from sorter.detection import Detection
from sorter.liquid import Liquid, LiquidSettings
from sorter.opening_plan import JunctionSettings
from sorter.schedule import Scheduler
from sorter.schedule_settings import ScheduleSettings
from sorter.track import Arrival

MS = 1_000_000
PITCH_UM = 2.0
WIDTH_PX = 1000


def detection(
    x_um: float,
    y_um: float = 500.0,
    diameter_um: float = 200.0,
    *,
    double: bool = False,
    glimpsed: bool = False,
) -> Detection:
    """A round body in a frame of `WIDTH_PX`, cut off by the edge where it reaches out."""
    radius_px = diameter_um / PITCH_UM / 2
    x, y = x_um / PITCH_UM, y_um / PITCH_UM
    left, right = max(0, round(x - radius_px)), min(WIDTH_PX, round(x + radius_px))
    box = (left, round(y - radius_px), right - left, round(2 * radius_px))
    border = left <= 0 or right >= WIDTH_PX
    return Detection(
        x, y, np.pi * diameter_um**2 / 4, diameter_um, 0.95, 0.98, 0.9, box, border, False,
        double, np.empty((0, 2), np.int32), glimpsed=glimpsed,
    )  # fmt: skip


class NotedDispenser:
    """Host and device time are the same; commands and withdrawals are kept, and which of these were
    answered.

    It stands for the device's *driver* in tests of the schedule, which must not depend on a link;
    driver and firmware are tested on real ports elsewhere.
    """

    def __init__(self, bound_us: int = 0) -> None:
        self.sent: list[Command] = []
        self.cancelled: dict[int, int] = {}
        self.answered: set[int] = set()
        self.bound_us = bound_us

    def guarantees(self) -> Guarantees:
        return Guarantees(True, True, True, True, True)

    def connect(self) -> dict[str, Any]:
        return {"outlets": ["waste", "collect"]}

    def arm(self) -> None:
        """Nothing is latched."""

    def to_device_us(self, host_ns: int) -> int:
        return host_ns // 1000

    def to_host_ns(self, device_us: int) -> int:
        return device_us * 1000

    def clock_bound_us(self, host_ns: int) -> int:
        return self.bound_us

    def send(self, command: Command, now_ns: int) -> None:
        self.sent.append(command)

    def cancel(self, command_id: int, now_ns: int) -> None:
        self.cancelled[command_id] = now_ns

    def rest(self, now_ns: int) -> None:
        """Nothing to do."""

    def hold(self, now_ns: int) -> None:
        """Nothing to do."""

    def flow(self, now_ns: int) -> None:
        """Nothing to do."""

    def stop(self, now_ns: int) -> None:
        """Nothing to do."""

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """Nothing to do."""

    def step(self, now_ns: int) -> list[DispenserEvent]:
        return []

    def close(self) -> None:
        """Nothing to do."""


def scheduler(
    dispenser: NotedDispenser, *, policy: str = "purity", displaced_um: float = 2_340.0
) -> Scheduler:
    """A scheduler with the default junction."""
    return Scheduler(
        ScheduleSettings(),
        JunctionSettings(),
        OutletSettings(),
        Liquid(LiquidSettings(displaced_um=displaced_um)),
        dispenser,
        policy=policy,  # type: ignore[arg-type]
    )


def healthy() -> Decision:
    return Decision("collect", Reason.HEALTHY, 0.01, 0.0)


def unhealthy() -> Decision:
    return Decision("waste", Reason.UNHEALTHY, 0.99, 0.0)


def arrival(at_ms: float, error_ms: float = 20.0) -> Arrival:
    return Arrival(at_ms * MS, error_ms * MS)
