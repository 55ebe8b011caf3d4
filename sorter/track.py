"""Ties detections to tracks: each body once, with its own velocity and arrival.

Bodies travel at speeds that depend on their size and height, overtake each other, and jump when
the gate moves; so each track is a straight line of its own in *liquid time* (see `sorter.liquid`),
fitted by least squares to the views in which the body is whole. Once the pump's beat is known
(see `sorter.pulsation`), arrivals are predicted with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sorter.beat import Beat
from sorter.detection import Detection
from sorter.line import Line
from sorter.pulsation import PulsationSettings

_CURVED_VIEWS = 6
_CURVED_MARGIN = 1.25
_SINKING_AT_MOST = 0.2  # share of the flight; the profile of the flow allows no more


class TrackSettings(BaseModel):
    """How far a body may move between frames, and when a track ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_speed_um_s: float = Field(2_500.0, gt=0, description="slowest body that flows, µm/s")
    max_speed_um_s: float = Field(45_000.0, gt=0, description="fastest body that flows, µm/s")
    gate_um: float = Field(
        110.0,
        gt=0,
        description="how far a body may be from where its track expects it, µm; the valve's jitter "
        "alone makes 70 µm while the liquid jumps",
    )
    lateral_gate_um: float = Field(
        80.0, gt=0, description="how far a body may move across the flow between views, µm"
    )
    max_missed: int = Field(
        8, ge=1, description="frames without a detection after which a short track ends"
    )
    max_hidden: int = Field(
        60,
        ge=1,
        description="the same for a track of four whole views or more: its body may be hidden "
        "behind another one",
    )
    short_views: int = Field(
        6,
        ge=3,
        description="a track with fewer whole views takes its speed from a body beside it, if any",
    )
    speed_tolerance: float = Field(
        0.035,
        ge=0,
        le=0.5,
        description="share by which the flow may speed up or slow down later, while the pump's "
        "beat is not known",
    )
    unsettled_um: float = Field(
        120.0,
        ge=0,
        description="bodies smaller than this may still sink, and change their speed, µm",
    )
    position_error_um: float = Field(
        4.0, gt=0, description="error of one centroid, never believed to be smaller, µm"
    )
    pulsation: PulsationSettings = Field(default_factory=PulsationSettings)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A track's detection in one frame."""

    frame: int
    x_px: float
    y_px: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a body reaches the junction, in liquid time, with the half width of its interval."""

    liquid_ns: float
    error_ns: float


@dataclass(slots=True)
class Track:
    """One body, followed through the view.

    Positions are µm from the left edge of the frame, times are liquid ns counted from
    `origin_ns`.
    """

    id: int
    origin_ns: float
    first_exposed_ns: int
    settings: TrackSettings
    last: Detection
    last_x_um: float
    last_y_um: float
    last_liquid_ns: float
    last_exposed_ns: int
    exposed_error_ns: int
    sightings: list[Sighting] = field(default_factory=list)
    missed: int = 0
    leaving: bool = False
    ended: bool = False
    double: bool = False
    exposed_ns: list[int] = field(default_factory=list)
    liquid_ns: list[float] = field(default_factory=list)
    x_um: list[float] = field(default_factory=list)
    _line: Line = field(default_factory=Line)

    @property
    def n(self) -> int:
        """Number of whole views."""
        return self._line.n

    def add(
        self, detection: Detection, x_um: float, y_um: float, exposed_ns: int, liquid_ns: float
    ) -> None:
        """Take one whole view into the fit."""
        self._line.add((liquid_ns - self.origin_ns) * 1e-9, x_um)
        self.exposed_ns.append(exposed_ns)
        self.liquid_ns.append(liquid_ns)
        self.x_um.append(x_um)
        self.double |= detection.double
        self.last, self.last_x_um, self.last_y_um = detection, x_um, y_um
        self.last_liquid_ns, self.last_exposed_ns = liquid_ns, exposed_ns
        self.missed = 0

    def fit(self, line: Line | None = None) -> tuple[float, float, float, float]:
        """(x at the mean time in µm, mean time in s, speed in µm/s, standard error of the speed).

        The standard error is infinite with fewer than three views.
        """
        line, s = line or self._line, self.settings
        middle = 0.5 * (s.min_speed_um_s + s.max_speed_um_s)
        unknown = (line.x / line.n, line.t / line.n, middle, math.inf)
        return line.fit(least_error_um=s.position_error_um) or unknown

    def expected_um(self, liquid_ns: float) -> tuple[float, float]:
        """Expected position along the flow and the gate around it, both µm."""
        elapsed_s = (liquid_ns - self.last_liquid_ns) * 1e-9
        if self.n < 2:
            low = self.settings.min_speed_um_s * elapsed_s
            high = self.settings.max_speed_um_s * elapsed_s
            return self.last_x_um + (low + high) / 2, (high - low) / 2 + self.settings.gate_um
        x, t, speed, error = self.fit()  # n >= 2: the error is finite from three views on
        ahead_s = (liquid_ns - self.origin_ns) * 1e-9 - t
        slack = min(3 * error, self.settings.max_speed_um_s) * abs(ahead_s)
        return x + speed * ahead_s, self.settings.gate_um + min(slack, 4 * self.settings.gate_um)

    def arrival(self, junction_um: float, beat: Beat | None = None) -> Arrival | None:
        """When the body reaches `junction_um`; None before its second whole view.

        The interval is that of all speeds within three standard errors that a body can have,
        widened by what the flow itself may change on the way, which is less where the pump's
        beat is known.
        """
        if self.n < 2:
            return None
        s = self.settings
        x, t, speed, error = self.fit(self._line_with(beat) if beat else self._line)
        if self.n == 2:  # no residual to judge by
            elapsed_s = (self.last_liquid_ns - self.origin_ns) * 1e-9
            error = 4 * s.position_error_um / max(elapsed_s, 1e-3)
        slow = min(max(speed - 3 * error, s.min_speed_um_s), s.max_speed_um_s)
        fast = min(max(speed + 3 * error, s.min_speed_um_s), s.max_speed_um_s)
        first_s, last_s = t + (junction_um - x) / fast, t + (junction_um - x) / slow
        middle_ns = self.origin_ns + (first_s + last_s) / 2 * 1e9
        half_ns = (last_s - first_s) / 2 * 1e9 + self.exposed_error_ns
        if beat is None:
            later_ns = s.speed_tolerance * (middle_ns - self.last_liquid_ns)
        else:
            middle_ns, half_ns = beat.without(middle_ns, half_ns)
            later_ns = beat.error_ns(np.array(self.exposed_ns), middle_ns)
        sunk_ns, unsure_ns = self._sinking_ns((middle_ns - self.origin_ns) * 1e-9 - t, speed)
        half_ns += later_ns + abs(sunk_ns) / 2 + unsure_ns
        return Arrival(middle_ns - sunk_ns / 2, half_ns)

    def _sinking_ns(self, ahead_s: float, speed_um_s: float) -> tuple[float, float]:
        """How much earlier a small body may arrive as it sinks into faster liquid, and its error.

        Small bodies still sink as they pass, and those near the ceiling grow faster by a tenth and
        more until the junction. The view is too short to tell that from the pump's beat, so the
        interval holds both a steady body and one that goes on as it sped up in view.
        """
        if self.last.diameter_um >= self.settings.unsettled_um:
            return 0.0, 0.0
        most_s = _SINKING_AT_MOST * ahead_s
        if self.n < _CURVED_VIEWS:
            return 0.0, most_s * 1e9
        t_s = (np.array(self.liquid_ns) - self.liquid_ns[0]) * 1e-9
        acceleration_um_s2 = 2.0 * float(np.polyfit(t_s, self.x_um, 2)[0])
        gained_s2_um = ahead_s**2 / (2.0 * speed_um_s)
        earlier_s = _CURVED_MARGIN * acceleration_um_s2 * gained_s2_um
        # Standard error of twice the quadratic coefficient through n even points, for large n.
        unsure_um_s2 = self.settings.position_error_um * math.sqrt(720.0 / self.n) / t_s[-1] ** 2
        unsure_s = min(unsure_um_s2 * gained_s2_um, most_s)
        return min(max(earlier_s, -most_s), most_s) * 1e9, unsure_s * 1e9

    def _line_with(self, beat: Beat) -> Line:
        """The line in liquid time that the pump's beat is part of."""
        shifts_ns = beat.shift_ns(np.array(self.exposed_ns))
        times_s = (np.array(self.liquid_ns) - self.origin_ns + shifts_ns) * 1e-9
        return Line.through(times_s, np.array(self.x_um))

    @property
    def speed_um_s(self) -> float:
        """Speed along the flow, µm/s."""
        return self.fit()[2]
