"""Ties detections to tracks: each body once, with its own velocity and arrival.

Bodies travel at speeds that depend on their size and height, overtake each other, and jump when
the gate moves; so each track is a straight line of its own in *liquid time* (see `sorter.liquid`),
fitted by least squares to the views in which the body is whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sorter.detection import Detection


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
        0.035, ge=0, le=0.5, description="share by which the flow may speed up or slow down later"
    )
    position_error_um: float = Field(
        4.0, gt=0, description="error of one centroid, never believed to be smaller, µm"
    )


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
    `origin_ns`; sums are kept, not lists, so that a view costs the same however many came before.
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
    n: int = 0
    _t: float = 0.0
    _x: float = 0.0
    _tt: float = 0.0
    _tx: float = 0.0
    _xx: float = 0.0

    def add(self, detection: Detection, x_um: float, y_um: float, liquid_ns: float) -> None:
        """Take one whole view into the fit."""
        t = (liquid_ns - self.origin_ns) * 1e-9
        self.n += 1
        self._t += t
        self._x += x_um
        self._tt += t * t
        self._tx += t * x_um
        self._xx += x_um * x_um
        self.last, self.last_x_um, self.last_y_um = detection, x_um, y_um
        self.last_liquid_ns = liquid_ns
        self.missed = 0

    def fit(self) -> tuple[float, float, float, float]:
        """(x at the mean time in µm, mean time in s, speed in µm/s, standard error of the speed).

        The standard error is infinite with fewer than three views.
        """
        mean_t, mean_x = self._t / self.n, self._x / self.n
        spread = self._tt - self.n * mean_t * mean_t
        if self.n < 2 or spread <= 0:
            middle = 0.5 * (self.settings.min_speed_um_s + self.settings.max_speed_um_s)
            return mean_x, mean_t, middle, math.inf
        speed = (self._tx - self.n * mean_t * mean_x) / spread
        residual = max(0.0, self._xx - self.n * mean_x**2 - speed**2 * spread)
        sigma = math.sqrt(residual / (self.n - 2)) if self.n > 2 else math.inf
        sigma = max(self.settings.position_error_um, sigma)
        return mean_x, mean_t, speed, sigma / math.sqrt(spread)

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

    def arrival(self, junction_um: float) -> Arrival | None:
        """When the body reaches `junction_um`; None before its second whole view.

        The interval is that of all speeds within three standard errors that a body can have,
        widened by what the flow itself may change on the way.
        """
        if self.n < 2:
            return None
        s = self.settings
        x, t, speed, error = self.fit()
        if self.n == 2:  # no residual to judge by
            elapsed_s = (self.last_liquid_ns - self.origin_ns) * 1e-9
            error = 4 * s.position_error_um / max(elapsed_s, 1e-3)
        slow = min(max(speed - 3 * error, s.min_speed_um_s), s.max_speed_um_s)
        fast = min(max(speed + 3 * error, s.min_speed_um_s), s.max_speed_um_s)
        first_s, last_s = t + (junction_um - x) / fast, t + (junction_um - x) / slow
        seen_s = (self.last_liquid_ns - self.origin_ns) * 1e-9
        middle_s, half_s = (first_s + last_s) / 2, (last_s - first_s) / 2
        half_s += s.speed_tolerance * (middle_s - seen_s)
        return Arrival(self.origin_ns + middle_s * 1e9, half_s * 1e9 + self.exposed_error_ns)

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
        return views, self._end(matched, liquid_ns)

    def arrival(self, track: Track, junction_um: float) -> Arrival | None:
        """Arrival of a track; one seen only a few times moves like a body close to it.

        Fragments and satellites come and go from view to view, and travel with their body. Without
        such a companion a short track's own few views have to do; None when there are too few.
        """
        s = self.settings
        if track.n >= s.short_views:
            return track.arrival(junction_um)
        near = [t for t in self.tracks if t.n >= s.short_views and self._is_beside(track, t)]
        if not near:
            return track.arrival(junction_um)
        companion = min(near, key=lambda t: abs(t.last_y_um - track.last_y_um))
        theirs = companion.arrival(junction_um)
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
        track.last_exposed_ns, track.exposed_error_ns = exposed_ns, exposed_error_ns
        track.add(detection, x_um, y_um, liquid_ns)
        views.append((track, detection))

    def _assign(
        self, detections: Sequence[Detection], liquid_ns: float
    ) -> tuple[dict[int, Track], dict[int, set[int]]]:
        """Detections to tracks, cheapest first; and which detections hide several tracks."""
        if not detections or not self.tracks:
            return {}, {}
        expected = np.array([t.expected_um(liquid_ns) for t in self.tracks])
        lateral = np.array([t.last_y_um for t in self.tracks])
        merged = self._merged(detections, expected[:, 0], lateral)
        cost = self._cost(detections, expected, lateral)
        pairs: dict[int, Track] = {}
        free = np.ones(len(self.tracks), dtype=bool)
        for flat in np.argsort(cost, axis=None, kind="stable"):
            row, column = divmod(int(flat), cost.shape[1])
            if not math.isfinite(cost[row, column]):
                break
            if free[row] and column not in pairs and column not in merged:
                pairs[column] = self.tracks[row]
                free[row] = False
        return pairs, merged

    def _cost(
        self,
        detections: Sequence[Detection],
        expected: NDArray[np.float64],
        lateral: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(tracks, detections) squared distances in gates; infinite outside the gate."""
        x = np.array([d.x_px for d in detections]) * self.pitch_um
        y = np.array([d.y_px for d in detections]) * self.pitch_um
        size = np.log([d.diameter_um for d in detections])
        leaves = np.array([self._leaves(d) for d in detections])
        known = np.log([t.last.diameter_um for t in self.tracks])
        along = (x[None, :] - expected[:, :1]) / expected[:, 1:]
        # A body cut off by the right edge shows its centroid too far upstream, by up to a radius.
        radius = np.array([t.last.diameter_um / 2 for t in self.tracks])
        cut = (x[None, :] - expected[:, :1]) / (expected[:, 1:] + radius[:, None])
        along = np.where(leaves[None, :], cut, along)
        across = (y[None, :] - lateral[:, None]) / self.settings.lateral_gate_um
        growth = (size[None, :] - known[:, None]) / math.log(2.5)
        growth[:, leaves] = 0.0
        cost = along**2 + across**2 + 0.25 * growth**2
        outside = (np.abs(along) > 1) | (np.abs(across) > 1) | (np.abs(growth) > 1)
        return np.where(outside, np.inf, cost)

    def _merged(
        self,
        detections: Sequence[Detection],
        expected_um: NDArray[np.float64],
        lateral_um: NDArray[np.float64],
    ) -> dict[int, set[int]]:
        """Detections marked double in which two or more known bodies are expected: they coast."""
        merged: dict[int, set[int]] = {}
        for i, detection in enumerate(detections):
            if not detection.double:
                continue
            left, top, w, h = (v * self.pitch_um for v in detection.bbox)
            inside = {
                t.id
                for t, x, y in zip(self.tracks, expected_um, lateral_um, strict=True)
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
