"""What an NE-1000 remembers: syringe, phases, units; and how it writes and reads numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

# µL/s in one unit of rate; µL in one unit of volume.
RATES = {"UM": 1 / 60, "UH": 1 / 3600, "MM": 1000 / 60, "MH": 1000 / 3600}
VOLUMES = {"UL": 1.0, "ML": 1000.0}
# The plunger's slowest and fastest speed: 0.004205 cm/h, 5.1005 cm/min.
_SLOWEST_MM_S, _FASTEST_MM_S = 0.04205 / 3600, 51.005 / 60
_FLOAT = re.compile(r"[0-9]*\.?[0-9]*")
_RATE = re.compile(r"([0-9.]+)(UM|UH|MM|MH)?")


class RefusedError(Exception):
    """A command that can't be done; ``code`` is what stands behind the question mark."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_float(text: str) -> float:
    """A number of at most 4 digits, at most 3 behind the point; raises `RefusedError`."""
    digits = sum(one.isdigit() for one in text)
    if not _FLOAT.fullmatch(text) or not digits:
        raise RefusedError("")
    if digits > 4 or len(text.partition(".")[2]) > 3:
        raise RefusedError("OOR")
    return float(text)


def show_float(value: float) -> str:
    """4 digits and a point, from 0 again after 9,999: ``0.000``, ``46.08``, ``1234.``."""
    value = min(value % 10_000, 9_999)
    behind = 3 if value < 9.9995 else 2 if value < 99.995 else 1 if value < 999.95 else 0
    text = f"{value:.{behind}f}"
    return text if "." in text else text + "."


@dataclass
class Phase:
    """One step of the pumping program."""

    function: str
    rate: float
    rate_unit: str
    volume: float
    direction: str


@dataclass
class Memory:
    """Survives the loss of power. What somebody stored there before must not matter."""

    diameter_mm: float = 14.43
    volume_unit: str = "ML"
    power_fail: bool = True
    phases: dict[int, Phase] = field(
        default_factory=lambda: {
            1: Phase("RAT", 1.0, "MM", 0.5, "WDR"),
            2: Phase("RAT", 2.0, "MM", 0.0, "INF"),
        }
    )

    def phase(self, number: int) -> Phase:
        """The phase of that number; one that was never set ends the program."""
        return self.phases.setdefault(number, Phase("STP", 0.0, "MH", 0.0, "INF"))

    def rate_ul_s(self, phase: Phase) -> float:
        """Its rate, µL/s, without its direction."""
        return phase.rate * RATES[phase.rate_unit]

    def volume_ul(self, phase: Phase) -> float:
        """The volume after which it ends, µL; 0 for never."""
        return phase.volume * VOLUMES[self.volume_unit]

    def set_diameter(self, text: str) -> None:
        """The syringe; the unit of volume follows from it."""
        diameter_mm = read_float(text)
        if not 0.1 <= diameter_mm <= 50:
            raise RefusedError("OOR")
        self.diameter_mm = diameter_mm
        self.volume_unit = "UL" if diameter_mm <= 14 else "ML"

    def read_rate(self, text: str, unit: str) -> tuple[float, str]:
        """A rate that this syringe can do; raises `RefusedError`."""
        match = _RATE.fullmatch(text)
        if match is None:
            raise RefusedError("")
        rate, unit = read_float(match[1]), match[2] or unit
        area_mm2 = math.pi / 4 * self.diameter_mm**2
        if not area_mm2 * _SLOWEST_MM_S <= rate * RATES[unit] <= area_mm2 * _FASTEST_MM_S:
            raise RefusedError("OOR")
        return rate, unit
