"""Ties detections to tracks: each body once, with its own velocity and arrival.

Bodies travel at speeds that depend on their size and height, overtake each other, and jump when
the gate moves; so each track is a straight line of its own in *liquid time* (see `sorter.liquid`),
fitted by least squares to the views in which the body is whole. Once the pump's beat is known
(see `sorter.pulsation`), arrivals are predicted with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sorter.beat import Beat
from sorter.detection import Detection
from sorter.line import Line
from sorter.matching import Expected, Seen, cheapest, costs
from sorter.pulsation import PulsationEstimator, PulsationSettings


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
        return Arrival(middle_ns, half_ns + later_ns)

    def _line_with(self, beat: Beat) -> Line:
        """The line in liquid time that the pump's beat is part of."""
        shifts_ns = beat.shift_ns(np.array(self.exposed_ns))
        times_s = (np.array(self.liquid_ns) - self.origin_ns + shifts_ns) * 1e-9
        return Line.through(times_s, np.array(self.x_um))

    @property
    def speed_um_s(self) -> float:
        """Speed along the flow, µm/s."""
        return self.fit()[2]


class Tracker:
    """Follows bodies from frame to frame.

    Args:
        settings: gates and limits.
        pitch_um: µm per pixel.
        width_px: width of the frame; x grows downstream.
    """

    def __init__(self, settings: TrackSettings, *, pitch_um: float, width_px: int) -> None:
        self.settings = settings
        self.pitch_um = pitch_um
        self.width_px = width_px
        self.tracks: list[Track] = []
        self.pulsation = PulsationEstimator(settings.pulsation, unknown=settings.speed_tolerance)
        self._next_id = 1

    def update(
        self,
        detections: Sequence[Detection],
        *,
        frame: int,
        exposed_ns: int,
        exposed_error_ns: int,
        liquid_ns: float,
    ) -> tuple[list[tuple[Track, Detection]], list[Track]]:
        """Take one frame's detections.

        Returns:
            the whole views of this frame, each with its track, and the tracks that ended.
        """
        seen = [d for d in detections if not self._enters(d)]
        pairs, merged = self._assign(seen, liquid_ns)
        views: list[tuple[Track, Detection]] = []
        matched: set[int] = set()
        for i, detection in enumerate(seen):
            track = pairs.get(i)
            if track is None:
                if i in merged:
                    continue
                track = self._begin(detection, exposed_ns, exposed_error_ns, liquid_ns)
            matched.add(track.id)
            self._see(track, detection, frame, exposed_ns, exposed_error_ns, liquid_ns, views)
        for ids in merged.values():
            matched |= ids
        ended = self._end(matched, liquid_ns)
        for track in ended:
            self._learn(track)
        return views, ended

    def _learn(self, track: Track) -> None:
        """Look for the pump's beat in a track that ended."""
        s = self.settings
        flows = track.n > 2 and s.min_speed_um_s <= track.speed_um_s <= s.max_speed_um_s
        if flows and not track.double:
            self.pulsation.add(
                np.array(track.exposed_ns), np.array(track.liquid_ns), np.array(track.x_um)
            )

    def arrival(self, track: Track, junction_um: float) -> Arrival | None:
        """Arrival of a track; one seen only a few times moves like a body close to it.

        Fragments and satellites come and go from view to view, and travel with their body. Without
        such a companion a short track's own few views have to do; None when there are too few.
        """
        s = self.settings
        beat = self.pulsation.beat_at(track.last_exposed_ns)
        if track.n >= s.short_views:
            return track.arrival(junction_um, beat)
        near = [t for t in self.tracks if t.n >= s.short_views and self._is_beside(track, t)]
        if not near:
            return track.arrival(junction_um, beat)
        companion = min(near, key=lambda t: abs(t.last_y_um - track.last_y_um))
        theirs = companion.arrival(junction_um, beat)
        if theirs is None:
            return None
        at_um = companion.expected_um(track.last_liquid_ns)[0]
        shift_ns = (at_um - track.last_x_um) / companion.speed_um_s * 1e9
        drift_ns = s.gate_um / companion.speed_um_s * 1e9
        return Arrival(theirs.liquid_ns + shift_ns, theirs.error_ns + drift_ns)

    def _is_beside(self, track: Track, other: Track) -> bool:
        """Whether the other's body was close when the track was last seen."""
        reach_um = other.last.diameter_um / 2 + track.last.diameter_um / 2 + self.settings.gate_um
        along_um = other.expected_um(track.last_liquid_ns)[0] - track.last_x_um
        return math.hypot(along_um, other.last_y_um - track.last_y_um) < reach_um

    def drain(self) -> list[Track]:
        """End all tracks, for the end of a run."""
        ended = [track for track in self.tracks if not track.ended]
        self.tracks = []
        return ended

    def _enters(self, detection: Detection) -> bool:
        """Cut off by the left edge: its size and place are not known yet."""
        return detection.touches_border and detection.bbox[0] <= 0 and not self._leaves(detection)

    def _leaves(self, detection: Detection) -> bool:
        x, _, w, _ = detection.bbox
        return detection.touches_border and x + w >= self.width_px

    def _begin(
        self, detection: Detection, exposed_ns: int, exposed_error_ns: int, liquid_ns: float
    ) -> Track:
        track = Track(
            id=self._next_id,
            origin_ns=liquid_ns,
            first_exposed_ns=exposed_ns,
            settings=self.settings,
            last=detection,
            last_x_um=detection.x_px * self.pitch_um,
            last_y_um=detection.y_px * self.pitch_um,
            last_liquid_ns=liquid_ns,
            last_exposed_ns=exposed_ns,
            exposed_error_ns=exposed_error_ns,
        )
        self._next_id += 1
        self.tracks.append(track)
        return track

    def _see(
        self,
        track: Track,
        detection: Detection,
        frame: int,
        exposed_ns: int,
        exposed_error_ns: int,
        liquid_ns: float,
        views: list[tuple[Track, Detection]],
    ) -> None:
        track.sightings.append(Sighting(frame, detection.x_px, detection.y_px))
        track.missed = 0
        if self._leaves(detection):
            track.leaving = True
        if track.leaving:
            return
        x_um, y_um = detection.x_px * self.pitch_um, detection.y_px * self.pitch_um
        track.exposed_error_ns = exposed_error_ns
        track.add(detection, x_um, y_um, exposed_ns, liquid_ns)
        views.append((track, detection))

    def _assign(
        self, detections: Sequence[Detection], liquid_ns: float
    ) -> tuple[dict[int, Track], dict[int, set[int]]]:
        """Detections to tracks, cheapest first; and which detections hide several tracks."""
        if not detections or not self.tracks:
            return {}, {}
        ahead = np.array([t.expected_um(liquid_ns) for t in self.tracks])
        expected = Expected(
            x_um=ahead[:, 0],
            gate_um=ahead[:, 1],
            y_um=np.array([t.last_y_um for t in self.tracks]),
            diameter_um=np.array([t.last.diameter_um for t in self.tracks]),
        )
        seen = Seen(
            x_um=np.array([d.x_px for d in detections]) * self.pitch_um,
            y_um=np.array([d.y_px for d in detections]) * self.pitch_um,
            diameter_um=np.array([d.diameter_um for d in detections]),
            leaves=np.array([self._leaves(d) for d in detections]),
        )
        merged = self._merged(detections, expected)
        cost = costs(expected, seen, lateral_gate_um=self.settings.lateral_gate_um)
        pairs = cheapest(cost, without=merged)
        return {column: self.tracks[row] for column, row in pairs.items()}, merged

    def _merged(self, detections: Sequence[Detection], expected: Expected) -> dict[int, set[int]]:
        """Detections marked double in which two or more known bodies are expected: they coast."""
        merged: dict[int, set[int]] = {}
        for i, detection in enumerate(detections):
            if not detection.double:
                continue
            left, top, w, h = (v * self.pitch_um for v in detection.bbox)
            inside = {
                t.id
                for t, x, y in zip(self.tracks, expected.x_um, expected.y_um, strict=True)
                if t.n >= 3 and left <= x <= left + w and top <= y <= top + h
            }
            if len(inside) >= 2:
                merged[i] = inside
        return merged

    def _end(self, matched: set[int], liquid_ns: float) -> list[Track]:
        """End what leaves the view or was not seen for too long, each once.

        A track that has ended is kept for as long as its body may still show at the right edge,
        so that the body is not taken for a new one.
        """
        s = self.settings
        newly: list[Track] = []
        kept: list[Track] = []
        for track in self.tracks:
            if track.id not in matched:
                track.missed += 1
            lost = track.missed > (s.max_hidden if track.n >= 4 else s.max_missed)
            if not track.ended and (lost or track.leaving or self._has_left(track, liquid_ns)):
                track.ended = True
                newly.append(track)
            if not lost and not (track.ended and track.missed > s.max_missed):
                kept.append(track)
        self.tracks = kept
        return newly

    def _has_left(self, track: Track, liquid_ns: float) -> bool:
        """Not seen in this frame, and expected to touch the right edge or to be past it."""
        if track.missed == 0 or track.n < 2:
            return False
        edge_um = track.expected_um(liquid_ns)[0] + track.last.diameter_um / 2
        return edge_um > self.width_px * self.pitch_um
