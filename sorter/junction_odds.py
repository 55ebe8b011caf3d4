"""How well a passage at the junction fits an object that was expected there.

All figures are log odds in nats: how much likelier it is that the object made the passage than
that the object was not seen at all and the passage was made by something that nobody expected.
Their sum over pairs is what the most likely assignment has the most of (Reid 1979, section III,
without the branches: what is decided is not taken back).

Everything is compared in liquid time (`sorter.liquid`), in which arrivals are predicted: there a
body passes at its own steady speed, whatever the gate does to the liquid meanwhile, and a passage
has one liquid time, while an arrival near a switch of the gate may have several host times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sorter.track import Arrival

# A passage is not the object's beyond so many standard deviations, or so far outside its interval.
_REACH = 6.0
_OUTSIDE_NS = 60e6
_ODDLY = 3.0  # by how much the arrivals spread more that were predicted wrongly
_UNEXPECTED_SPAN = 3.0  # lengths of unexpected darks spread evenly over this many e-folds
_MERGED_SPAN = 1.4  # how much longer a dark is that several bodies make, e-folds
_SHORTER = 1.25  # a body that is hidden in a dark is at most so much longer than it
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
        description="share of darks whose length tells nothing of the body, and of arrivals that "
        "spread three times as wide",
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
        1_000.0,
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
        diameter_um, speed_um_s: as measured; not finite or 0: unknown.
        flight_s: liquid time from its last view to the arrival.
        shift_ns: by how much the arrival was moved by `sorter.arrival_correction`.
        counts: False for specks: they may or may not darken the gate, and go anywhere.
    """

    object_id: int
    outlet: str
    arrival: Arrival
    diameter_um: float
    speed_um_s: float
    flight_s: float = 0.0
    shift_ns: float = 0.0
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Dark:
    """An optical gate that was dark.

    Attributes:
        outlet: whose.
        begun_ns, end_ns: from when to when, in host time.
        liquid_begun_ns, liquid_end_ns: the same in liquid time.
    """

    outlet: str
    begun_ns: int
    end_ns: int
    liquid_begun_ns: float
    liquid_end_ns: float

    @property
    def middle_ns(self) -> int:
        """Host time at which the body's centre passed."""
        return (self.begun_ns + self.end_ns) // 2

    @property
    def liquid_ns(self) -> float:
        """The same in liquid time."""
        return (self.liquid_begun_ns + self.liquid_end_ns) / 2

    @property
    def length_ns(self) -> float:
        """How long it was dark, in liquid time, a microsecond at least."""
        return max(self.liquid_end_ns - self.liquid_begun_ns, 1e3)


@dataclass(frozen=True, slots=True)
class _Guess:
    """When an object should be at the optical gate, with a standard deviation, how far off it can
    be, and for how long it is there. All in liquid time."""

    at_ns: float
    sd_ns: float
    reach_ns: float
    length_ns: float | None


def _guess(expected: Expected, settings: JunctionWatchSettings) -> _Guess:
    arrival, speed = expected.arrival, expected.speed_um_s
    known = math.isfinite(speed) and speed > 0
    after_ns = settings.gate_after_um / speed * 1e9 if known else 0.0
    sized = known and math.isfinite(expected.diameter_um) and expected.diameter_um > 0
    sd_ns = math.hypot(arrival.error_ns / settings.window_sigmas, settings.jitter_ms * 1e6)
    return _Guess(
        arrival.liquid_ns + after_ns,
        sd_ns,
        min(_REACH * sd_ns, arrival.error_ns + _OUTSIDE_NS),
        expected.diameter_um / speed * 1e9 if sized else None,
    )


def guess_ns(expected: Expected, settings: JunctionWatchSettings) -> float:
    """Liquid time at which the object's centre should pass the optical gate."""
    return _guess(expected, settings).at_ns


def latest_ns(expected: Expected, settings: JunctionWatchSettings) -> float:
    """Liquid time up to which the object can darken a gate.

    Host time is never ahead of liquid time, so it is over then in host time, too.
    """
    guess = _guess(expected, settings)
    return guess.at_ns + guess.reach_ns + (guess.length_ns or 0.0) / 2


def log_odds(expected: Expected, dark: Dark, settings: JunctionWatchSettings) -> list[float]:
    """What it gains when the object is the first, second … of those that made the dark, nats.

    Each is less than the one before; what can't be is left out.
    """
    s = settings
    guess = _guess(expected, s)
    own_ns = dark.length_ns if guess.length_ns is None else guess.length_ns
    longer_ns = max(0.0, dark.length_ns - own_ns)
    off_ns = max(0.0, abs(dark.liquid_ns - guess.at_ns) - longer_ns / 2)
    if off_ns > guess.reach_ns:
        return []
    per_s = math.log(_density(off_ns / guess.sd_ns, s.odd_share) / (guess.sd_ns * 1e-9))
    seen = s.seen_share if expected.counts else s.speck_seen_share
    alike = math.log(seen / (1 - seen)) + per_s + _outlet(expected, dark, s)
    alone = alike + _length(guess.length_ns, dark.length_ns, s) - math.log(s.unexpected_hz)
    if own_ns > _SHORTER * dark.length_ns:
        return [alone]
    # It passed while somebody else darkened the gate: that dark is explained already.
    hidden = alike + math.log((longer_ns + s.size_spread * own_ns) * 1e-9)
    return [alone] + [min(hidden, alone) - _LEAST_ODDS * n for n in range(1, s.sharing)]


def _density(sigmas: float, odd_share: float) -> float:
    """Normal, and for an odd share of objects so many times as wide."""
    usual = (1 - odd_share) * math.exp(-0.5 * sigmas**2)
    oddly = odd_share / _ODDLY * math.exp(-0.5 * (sigmas / _ODDLY) ** 2)
    return (usual + oddly) / math.sqrt(math.tau)


def _outlet(expected: Expected, dark: Dark, settings: JunctionWatchSettings) -> float:
    if not expected.counts:
        return 0.0
    wrong = settings.wrong_share
    return math.log(1 - wrong if dark.outlet == expected.outlet else wrong)


def _length(own_ns: float | None, dark_ns: float, settings: JunctionWatchSettings) -> float:
    """Log ratio of the densities of the dark's length: made by the object, by anything."""
    if own_ns is None:
        return 0.0
    folds = math.log(dark_ns / own_ns)
    spread = math.hypot(settings.size_spread, settings.edge_us * 1e3 / own_ns)
    single = math.exp(-0.5 * (folds / spread) ** 2) / (spread * math.sqrt(math.tau))
    merged = 1.0 / _MERGED_SPAN if 0 <= folds <= _MERGED_SPAN else 0.0
    share, odd = settings.merged_share, settings.odd_share
    density = (1 - share - odd) * single + share * merged + odd / _UNEXPECTED_SPAN
    return math.log(density * _UNEXPECTED_SPAN)
