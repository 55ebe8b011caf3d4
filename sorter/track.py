"""Ties detections to tracks: each body once, with its own velocity and arrival.

Bodies travel at speeds that depend on their size and height, overtake each other, and jump when
the gate moves; so each track is a straight line of its own in *liquid time* (see `sorter.liquid`),
fitted by least squares to the views in which the body is whole. Once the pump's beat is known
(see `sorter.pulsation`), arrivals are predicted with it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.beat import Beat
from sorter.descent import diameters_seen_um, passage_of_descents_s
from sorter.detection import Detection
from sorter.jolts import jolted_ns
from sorter.line import Line
from sorter.motion import SIGMAS, Motion, fit_motion
from sorter.pulsation import PulsationSettings
from sorter.sighting import Moment, Sighting
from sorter.sinking import ChannelSettings, passage_s, sinks_as_um

_FITTED_VIEWS = 6  # with fewer, residuals tell nothing
_SPREAD = 1 / math.sqrt(3.0)  # standard deviation over half width, of what is spread evenly
_BEAT_LEFT = 0.14  # of its largest shift in the view, at the worst frequency


class TrackSettings(BaseModel):
    """How far a body may move between frames, and when a track ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_speed_um_s: float = Field(1_800.0, gt=0, description="slowest body that flows, µm/s")
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
        0.043,
        ge=0,
        le=0.5,
        description="share by which the flow may speed up or slow down later, while the pump's "
        "beat is not known",
    )
    enters_um: float = Field(
        700.0,
        gt=0,
        description="where a body that is first seen further downstream must have come out of "
        "another's outline, from the left edge of the frame, µm",
    )
    entangled_from_um: float = Field(
        60.0, ge=0, description="smaller ones may as well have been too faint until then, µm"
    )
    own_views: int = Field(
        12,
        ge=1,
        description="a body that came out of another's outline and was seen so often "
        "since then is known by itself",
    )
    entangled_tolerance: float = Field(
        0.15,
        ge=0,
        description="share of the way by which the arrival of such a body may be off, and of one "
        "that was one with another known body in half of the frames; less in fewer of them",
    )
    crowded_from: float = Field(
        0.6,
        gt=0,
        description="mean number of large bodies in the view from which any that is not collected "
        "may have hidden another one all the way",
    )
    crowded_tolerance: float = Field(
        0.25,
        ge=0,
        description="share of the way by which the arrival of such a body may be off then: three "
        "that pass one another can hide a fourth that is slower by so much",
    )
    crowded_s: float = Field(2.0, gt=0, description="time constant of that mean, s")
    position_error_um: float = Field(
        4.0,
        gt=0,
        description="error of a centroid, for following and short tracks, µm",
    )
    noise_um: float = Field(
        1.0,
        gt=0,
        description="least standard deviation of a centroid, for arrivals, µm",
    )
    roll_um: float = Field(
        2.0,
        gt=0,
        description="least standard deviation of a small body's centroid as it rolls, µm",
    )
    roll_s: float = Field(
        0.1, gt=0, description="how long a rolling body's centroid is off the same way, s"
    )
    recent_s: float = Field(
        0.4, gt=0, description="arrivals are predicted from the last so many seconds in view, s"
    )
    channel: ChannelSettings = Field(default_factory=ChannelSettings)
    pulsation: PulsationSettings = Field(default_factory=PulsationSettings)


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a body reaches the junction, in liquid time, with the half width of its interval."""

    liquid_ns: float
    error_ns: float


def either(one: Arrival, other: Arrival) -> Arrival:
    """The interval that holds both."""
    first_ns = min(a.liquid_ns - a.error_ns for a in (one, other))
    last_ns = max(a.liquid_ns + a.error_ns for a in (one, other))
    return Arrival((first_ns + last_ns) / 2, (last_ns - first_ns) / 2)


@dataclass(slots=True)
class Track:
    """One body, followed through the view.

    Positions are µm from the left edge of the frame, times are liquid ns counted from
    `origin_ns`. `together` counts the frames that showed it and another known body as one, `veiled`
    those in which it was missing where a larger one was, `glimpses` those that were too late for
    more than its place.
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
    together: int = 0
    veiled: int = 0
    glimpses: int = 0
    leaving: bool = False
    ended: bool = False
    double: bool = False
    exposed_ns: list[int] = field(default_factory=list)
    liquid_ns: list[float] = field(default_factory=list)
    unrest_ns: list[float] = field(default_factory=list)
    x_um: list[float] = field(default_factory=list)
    _line: Line = field(default_factory=Line)
    _diameters_um: list[float] = field(default_factory=list)
    _circularities: list[float] = field(default_factory=list)
    _deficits_um2: list[float] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Number of whole views."""
        return self._line.n

    def add(self, detection: Detection, x_um: float, y_um: float, at: Moment) -> None:
        """Take one whole view into the fit."""
        self._line.add((at.liquid_ns - self.origin_ns) * 1e-9, x_um)
        self.exposed_ns.append(at.exposed_ns)
        self.liquid_ns.append(at.liquid_ns)
        self.unrest_ns.append(at.unrest_ns)
        self.x_um.append(x_um)
        self._diameters_um.append(detection.diameter_um)
        self._circularities.append(detection.circularity)
        self._deficits_um2.append(detection.deficit_um2)
        self.double |= detection.double
        self.last, self.last_x_um, self.last_y_um = detection, x_um, y_um
        self.last_liquid_ns, self.last_exposed_ns = at.liquid_ns, at.exposed_ns
        self.exposed_error_ns = at.exposed_error_ns
        self.missed = 0

    def glimpse(self, x_um: float, y_um: float, at: Moment) -> None:
        """It was seen about there, and no more; once it was seen twice, the fit knows better."""
        self.glimpses += 1
        if self.n < 2:
            self.last_x_um, self.last_y_um = x_um, y_um
            self.last_liquid_ns, self.last_exposed_ns = at.liquid_ns, at.exposed_ns

    def fit(self) -> tuple[float, float, float, float]:
        """(x at the mean time in µm, mean time in s, speed in µm/s, standard error of the speed).

        The standard error is infinite with fewer than three views.
        """
        line, s = self._line, self.settings
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

    def arrival(
        self,
        junction_um: float,
        beat: Beat | None = None,
        *,
        ended: bool = False,
        steady: bool = True,
    ) -> Arrival | None:
        """When the body reaches `junction_um`; None before its second whole view.

        The interval is that of all motions within three standard errors that a body of its size can
        have (`sorter.sinking`), widened by what the flow itself may change on the way, which is
        less where the pump's beat is known. Once the track has `ended`, a small body's whole
        descent is gone through (`sorter.descent`): narrower, and too slow to be done in each frame.

        Where the flow was not `steady` it may have been speeding up: the body was slower than it
        will be, and what it did while it was seen is no acceleration of its own.
        """
        if self.n < 2:
            return None
        passage_s = self._descent_s(junction_um, beat) if ended and steady else None
        early_s, late_s = passage_s or self._passage_s(junction_um, beat, steady=steady)
        if not steady:
            early_s = min(early_s, self._soonest_s(junction_um))
        s = self.settings
        middle_ns = self.origin_ns + (early_s + late_s) / 2 * 1e9
        half_ns = (late_s - early_s) / 2 * 1e9
        # The descents have been fitted with it.
        of_valve_ns = self._jolted_ns(middle_ns) if passage_s is None else 0.0
        if beat is None:
            half_ns += s.speed_tolerance * (middle_ns - self.last_liquid_ns) + of_valve_ns
        else:
            middle_ns, half_ns = beat.without(middle_ns, half_ns)
            of_beat_ns = beat.error_ns(np.array(self.exposed_ns), middle_ns)
            half_ns = math.hypot(half_ns, of_beat_ns, of_valve_ns)
        return Arrival(middle_ns, half_ns + self.exposed_error_ns)

    def _jolted_ns(self, at_ns: float) -> float:
        first = self._first_recent()
        t_ns, unrest_ns = np.array([self.liquid_ns[first:], self.unrest_ns[first:]], np.float64)
        return jolted_ns(t_ns, unrest_ns, at_ns)

    def _first_recent(self) -> int:
        """Index of the first view from which arrivals are predicted."""
        since_ns = self.exposed_ns[-1] - self.settings.recent_s * 1e9
        return max(0, min(bisect_left(self.exposed_ns, since_ns), self.n - _FITTED_VIEWS))

    def _soonest_s(self, junction_um: float) -> float:
        """When the fastest body would be at the junction that is now where this one was last."""
        last_s = (self.last_liquid_ns - self.origin_ns) * 1e-9
        return last_s + (junction_um - self.last_x_um) / self.settings.max_speed_um_s

    def _passage_s(
        self, junction_um: float, beat: Beat | None, *, steady: bool
    ) -> tuple[float, float]:
        """Earliest and latest time at the junction, from the motion of the last views."""
        s = self.settings
        motion = self._motion(beat) if steady else self._mean_motion()
        early_s, late_s = passage_s(
            motion,
            junction_um - motion.x_um,
            self._sinks_as_um,
            s.channel,
            min_speed_um_s=s.min_speed_um_s,
            max_speed_um_s=s.max_speed_um_s,
        )
        return motion.at_s + early_s, motion.at_s + late_s

    def _descent_s(self, junction_um: float, beat: Beat | None) -> tuple[float, float] | None:
        """The same from all descents that a grain can have made; None for others."""
        s = self.settings
        diameter_um = median(self._diameters_um)
        is_grain = self._sinks_as_um == diameter_um < s.channel.settled_um
        if not is_grain or self.n < _FITTED_VIEWS:
            return None
        times_s = self._times_s(0, beat)
        span_s = float(times_s[-1] - times_s[0])
        unsure = s.speed_tolerance
        if beat is not None:
            unsure = 0.5 * beat.tolerance_at(self.last_exposed_ns)
        of_pump_um = _BEAT_LEFT * unsure * self.speed_um_s * span_s
        return passage_of_descents_s(
            times_s,
            np.array(self.x_um),
            junction_um,
            diameters_um=diameters_seen_um(diameter_um, self._deficit_um2()),
            looks_um=diameter_um,
            channel=s.channel,
            noise_um=s.roll_um,
            pump_um=of_pump_um,
            valve_um=np.array(self.unrest_ns) * (_SPREAD * 1e-9 * self.speed_um_s),
        )

    def _times_s(self, first: int, beat: Beat | None) -> NDArray[np.float64]:
        """Times of the views from `first` on, in liquid time since `origin_ns`, the beat's shift
        added where it is known."""
        times_ns = np.array(self.liquid_ns[first:], np.float64) - self.origin_ns
        if beat is not None:
            times_ns += beat.shift_ns(np.array(self.exposed_ns[first:]))
        return times_ns * 1e-9

    def _motion(self, beat: Beat | None) -> Motion:
        """How the body moves, by what was seen of it last."""
        s = self.settings
        if self.n < _FITTED_VIEWS:
            return self._mean_motion()
        first = self._first_recent()
        times_s = self._times_s(first, beat)
        motion = fit_motion(
            times_s,
            np.array(self.x_um[first:]),
            noise_um=s.noise_um,
            roll_s=s.roll_s,
        )
        if beat is not None:
            return motion
        # An unknown beat of amplitude A looks like an acceleration of up to A v w in a view that is
        # short against it, and of some 8 A v / span in a long one.
        rate_hz = min(math.tau * s.pulsation.max_hz, 8.0 / float(times_s[-1] - times_s[0]))
        of_pump = s.speed_tolerance * motion.speed_um_s * rate_hz
        return replace(
            motion,
            acceleration_error_um_s2=math.hypot(motion.acceleration_error_um_s2, of_pump),
        )

    def _mean_motion(self) -> Motion:
        """The same by a straight line through all views; nothing is told of its acceleration."""
        x, t, speed, error = self.fit()
        if self.n == 2:  # no residual to judge by
            elapsed_s = (self.last_liquid_ns - self.origin_ns) * 1e-9
            error = 4 * self.settings.position_error_um / max(elapsed_s, 1e-3)
        return Motion(t, x, speed, SIGMAS * error)

    def own_acceleration_um_s2(self) -> float:
        """How much a body like this speeds up or slows down as it sinks (standard deviation)."""
        channel, diameter_um = self.settings.channel, self._sinks_as_um
        if diameter_um >= channel.settled_um:
            return 0.0
        low_um, high_um = diameters_seen_um(diameter_um, self._deficit_um2())
        likely_um = min(diameter_um, (low_um + high_um) / 2)
        most = channel.most_acceleration_um_s2(self.speed_um_s, likely_um / channel.looks_smaller)
        return 0.5 * most

    @property
    def _sinks_as_um(self) -> float:
        diameter_um = median(self._diameters_um)
        if diameter_um >= self.settings.channel.settled_um:
            return diameter_um
        return sinks_as_um(diameter_um, median(self._circularities))

    def _deficit_um2(self) -> float:
        """Median over the views in which it stood alone; NaN without any."""
        return median([d for d in self._deficits_um2 if math.isfinite(d)] or [math.nan])

    @property
    def speed_um_s(self) -> float:
        """Speed along the flow, µm/s."""
        return self.fit()[2]
