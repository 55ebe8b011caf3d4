"""How well a passage at the junction fits an object that was expected there.

All figures are log odds in nats: how much likelier it is that the object made the passage than
that the object was not seen at all and the passage was made by something that nobody expected.
Their sum over pairs is what the most likely assignment has the most of (Reid 1979, section III,
without the branches: what is decided is not taken back).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sorter.opening_plan import Window
from sorter.track import Arrival

_REACH = 4.0  # standard deviations beyond which a passage is not the object's
_UNEXPECTED_SPAN = 3.0  # lengths of unexpected darks spread evenly over this many e-folds
_MERGED_SPAN = 1.4  # how much longer a dark is that several bodies make, e-folds
_SHORTER = 1.25  # a body that is hidden in a dark is at most so much longer than it
_MOST_AHEAD = 3.0  # what a body's speed is multiplied or divided by while the gate moves, at most
_LEAST_ODDS = 1e-3  # by how much sharing a passage is less likely than having it alone, at least


class JunctionWatchSettings(BaseModel):
    """The optical gates at the outlets, and how their passages are tied to objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate_after_um: float = Field(
        0.0, ge=0, description="junction to the optical gates in the outlets, µm"
    )
    window_sigmas: float = Field(
        2.5, gt=0, description="the half width of an arrival interval in standard deviations"
    )
    jitter_ms: float = Field(
        4.0,
        gt=0,
        description="standard deviation that comes on top: clock, valve, what the liquid does, ms",
    )
    size_spread: float = Field(
        0.3,
        gt=0,
        description="spread of the length of a dark around diameter / speed, e-folds",
    )
    seen_share: float = Field(
        0.97, gt=0, lt=1, description="share of objects that arrive and darken a gate"
    )
    speck_seen_share: float = Field(
        0.5, gt=0, lt=1, description="the same of specks, which may be too small for it"
    )
    wrong_share: float = Field(
        0.02, gt=0, lt=1, description="share of objects that enter another outlet than decided"
    )
    merged_share: float = Field(
        0.05, gt=0, lt=0.5, description="share of darks that several bodies make together"
    )
    odd_share: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="share of darks whose length tells nothing of the body: it stopped, or was "
        "measured wrongly",
    )
    edge_us: float = Field(
        200.0, ge=0, description="standard deviation of the length of a dark on top of that, µs"
    )
    unexpected_hz: float = Field(
        0.5, gt=0, description="passages that no object explains, per second"
    )
    sharing: int = Field(5, ge=1, description="so many objects can make one dark together")
    sure_nats: float = Field(
        3.0,
        ge=0,
        description="an object that went astray surely did when every explanation without that "
        "is less likely by so much, nats",
    )
    wait_ms: float = Field(
        400.0,
        ge=0,
        description="news of a passage comes within this time of its end, ms; the device says "
        "again every 250 ms what was not confirmed",
    )
    patience_ms: float = Field(
        3_000.0,
        gt=0,
        description="objects that overlap are ruled on together, but not later than this, ms",
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """An object that is decided and on its way to the junction.

    Attributes:
        object_id: its id.
        outlet: where it is meant to go, as decided last.
        arrival: predicted arrival at the junction, in liquid time, as used for the gate.
        window: the same in host time, with the openings that are known.
        diameter_um, speed_um_s: as measured; not finite or 0: unknown.
        flight_s: liquid time from its last view to the arrival.
        shift_ns: by how much the arrival was moved by `sorter.arrival_correction`.
        counts: False for specks: they may or may not darken the gate, and go anywhere.
    """

    object_id: int
    outlet: str
    arrival: Arrival
    window: Window
    diameter_um: float
    speed_um_s: float
    flight_s: float = 0.0
    shift_ns: float = 0.0
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Dark:
    """An optical gate that was dark: outlet, host time of its begin, and length."""

    outlet: str
    begun_ns: int
    length_ns: int

    @property
    def end_ns(self) -> int:
        """Host time at which it was light again."""
        return self.begun_ns + self.length_ns

    @property
    def middle_ns(self) -> int:
        """Host time at which the body's centre passed."""
        return self.begun_ns + self.length_ns // 2


@dataclass(frozen=True, slots=True)
class _Guess:
    """When an object should be at the optical gate, with a standard deviation, and for how long."""

    at_ns: float
    sd_ns: float
    length_ns: float | None


def _guess(expected: Expected, settings: JunctionWatchSettings) -> _Guess:
    early_ns, late_ns = expected.window.early_ns, expected.window.late_ns
    # While the gate opens the liquid runs ahead of the clock, and bodies with it: by as much as
    # the interval is shorter in host time than in liquid time.
    ahead = 2 * expected.arrival.error_ns / max(late_ns - early_ns, 1)
    speed = expected.speed_um_s * min(max(ahead, 1 / _MOST_AHEAD), _MOST_AHEAD)
    known = math.isfinite(speed) and speed > 0
    after_ns = settings.gate_after_um / speed * 1e9 if known else 0.0
    sized = known and math.isfinite(expected.diameter_um) and expected.diameter_um > 0
    return _Guess(
        (early_ns + late_ns) / 2 + after_ns,
        math.hypot((late_ns - early_ns) / 2 / settings.window_sigmas, settings.jitter_ms * 1e6),
        expected.diameter_um / speed * 1e9 if sized else None,
    )


def reach_ns(expected: Expected, settings: JunctionWatchSettings) -> tuple[float, float]:
    """Host times between which the middle of the object's own dark can lie."""
    guess = _guess(expected, settings)
    return guess.at_ns - _REACH * guess.sd_ns, guess.at_ns + _REACH * guess.sd_ns


def log_odds(expected: Expected, dark: Dark, settings: JunctionWatchSettings) -> list[float]:
    """What it gains when the object is the first, second … of those that made the dark, nats.

    Each is less than the one before; minus infinity where it can't be.
    """
    s = settings
    guess = _guess(expected, s)
    own_ns = dark.length_ns if guess.length_ns is None else guess.length_ns
    longer_ns = max(0.0, dark.length_ns - own_ns)
    off_ns = max(0.0, abs(dark.middle_ns - guess.at_ns) - longer_ns / 2)
    if off_ns > _REACH * guess.sd_ns:
        return [-math.inf] * s.sharing
    sd_s = guess.sd_ns * 1e-9
    per_s = -0.5 * (off_ns / guess.sd_ns) ** 2 - math.log(sd_s * math.sqrt(math.tau))
    seen = s.seen_share if expected.counts else s.speck_seen_share
    alike = math.log(seen / (1 - seen)) + per_s + _outlet(expected, dark, s)
    alone = alike + _length(guess.length_ns, dark.length_ns, s) - math.log(s.unexpected_hz)
    if own_ns > _SHORTER * dark.length_ns:
        return [alone] + [-math.inf] * (s.sharing - 1)
    # It passed while somebody else darkened the gate: that dark is explained already.
    hidden = alike + math.log((longer_ns + s.size_spread * own_ns) * 1e-9)
    return [alone] + [min(hidden, alone) - _LEAST_ODDS * n for n in range(1, s.sharing)]


def _outlet(expected: Expected, dark: Dark, settings: JunctionWatchSettings) -> float:
    if not expected.counts:
        return 0.0
    wrong = settings.wrong_share
    return math.log(1 - wrong if dark.outlet == expected.outlet else wrong)


def _length(own_ns: float | None, dark_ns: int, settings: JunctionWatchSettings) -> float:
    """Log ratio of the densities of the dark's length: made by the object, by anything."""
    if own_ns is None:
        return 0.0
    folds = math.log(max(dark_ns, 1_000) / own_ns)
    spread = math.hypot(settings.size_spread, settings.edge_us * 1e3 / own_ns)
    single = math.exp(-0.5 * (folds / spread) ** 2) / (spread * math.sqrt(math.tau))
    merged = 1.0 / _MERGED_SPAN if 0 <= folds <= _MERGED_SPAN else 0.0
    share, odd = settings.merged_share, settings.odd_share
    density = (1 - share - odd) * single + share * merged + odd / _UNEXPECTED_SPAN
    return math.log(density * _UNEXPECTED_SPAN)
