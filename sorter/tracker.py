"""Ties detections to tracks, frame by frame: each body once (see `sorter.track`)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from sorter.attention import Place
from sorter.crowd import Crowd
from sorter.detection import Detection
from sorter.entangled import came_late, is_large, moved_away_um, share_off
from sorter.foresight import Foresight
from sorter.gaps import LostViews
from sorter.matching import Expected, Seen, candidates, cheapest
from sorter.pulsation import PulsationEstimator
from sorter.sighting import Moment, Sighting
from sorter.speck import MATTERS_UM
from sorter.track import Arrival, Track, TrackSettings, either

# Frames without a detection after which a track of one view ends: nobody knows how fast it is, and
# a body that comes later would be taken for it.
_MAX_LONE = 2
_PUT_OFF = 8  # so many tracks may wait until there is leisure to learn from them


class Tracker:
    """Follows bodies from frame to frame.

    Args:
        settings: gates and limits.
        pitch_um: µm per pixel.
        width_px: width of the frame; x grows downstream.

    Attributes:
        steady_from_ns: host time of exposure from which the flow keeps its speed.
    """

    def __init__(self, settings: TrackSettings, *, pitch_um: float, width_px: int) -> None:
        self.settings = settings
        self.pitch_um = pitch_um
        self.width_px = width_px
        self.tracks: list[Track] = []
        self.steady_from_ns = 0
        self._to_learn: deque[Track] = deque()
        self._foresight = Foresight(width_px, MATTERS_UM)
        self.pulsation = self._unknown_beat()
        self._lost_views = LostViews(width_px * pitch_um / settings.max_speed_um_s * 1e9)
        self._crowd = Crowd(from_bodies=settings.crowded_from, over_s=settings.crowded_s)
        self._next_id = 1

    def update(
        self,
        detections: Sequence[Detection],
        *,
        frame: int,
        exposed_ns: int,
        exposed_error_ns: int,
        liquid_ns: float,
        unrest_ns: float = 0.0,
    ) -> tuple[list[tuple[Track, Detection]], list[Track]]:
        """Take one frame's detections; `unrest_ns`: how far off its liquid time may be.

        Returns:
            the whole views of this frame, each with its track, and the tracks that ended.
        """
        at = Moment(frame, exposed_ns, exposed_error_ns, liquid_ns, unrest_ns)
        self._lost_views.look(frame, exposed_ns)
        self._crowd.see(sum(is_large(t) for t in self.tracks if not t.ended), exposed_ns)
        seen = [d for d in detections if not (d.touches_border and self._enters(d))]
        pairs, merged = self._assign(seen, liquid_ns)
        views: list[tuple[Track, Detection]] = []
        matched: set[int] = set()
        for i, detection in enumerate(seen):
            track = pairs.get(i)
            if track is None:
                if i in merged:
                    continue
                track = self._begin(detection, at)
            matched.add(track.id)
            if self._see(track, detection, at):
                views.append((track, detection))
        coasting = {i for ids in merged.values() for i in ids} - matched
        for track in self.tracks:
            track.together += track.id in coasting
        matched |= coasting
        self._note_veiled(seen, matched, liquid_ns)
        ended = self._end(matched, liquid_ns)
        self._to_learn += ended
        self._foresight.look(
            (t for t in self.tracks if t.missed == 0 and t.n and not t.leaving), self.tracks
        )
        return views, ended

    def expected(self, liquid_ns: float) -> list[Place]:
        """Where all that are followed are expected."""
        places = []
        for track in self.tracks:
            if track.ended or track.leaving:
                continue
            x_um, gate_um = track.expected_um(liquid_ns)
            within_px = gate_um / self.pitch_um if track.n < self.settings.short_views else None
            x_px, y_px = x_um / self.pitch_um, track.last_y_um / self.pitch_um
            places.append(Place(x_px, y_px, *track.last.bbox[2:], within_px))
        return places

    def learn(self, *, at_leisure: bool = True) -> bool:
        """Look for the pump's beat in one track that ended; False when there is none.

        It takes about a millisecond, so it is left to a moment in which no frame waits, and
        `at_leisure`, in which none can come; and to one in which nobody is about to leave, whose
        arrival would have to be found anew. But too many tracks are not put off.
        """
        can_wait = not at_leisure or self._foresight.is_expecting
        if len(self._to_learn) <= (_PUT_OFF if can_wait else 0):
            return False
        track = self._to_learn.popleft()
        s = self.settings
        flows = track.n > 2 and s.min_speed_um_s <= track.speed_um_s <= s.max_speed_um_s
        if flows and not track.double and self.saw_steady_flow(track):
            self.pulsation.add(
                np.array(track.exposed_ns),
                np.array(track.liquid_ns),
                np.array(track.x_um),
                track.own_acceleration_um_s2(),
            )
        return True

    def arrival(
        self, track: Track, junction_um: float, *, ended: bool = False, may_hide: bool = False
    ) -> Arrival | None:
        """Arrival of a track; None when its views are too few, or their times wrong.

        A track seen only a few times moves like a body close to it: fragments and satellites come
        and go from view to view, and travel with their body. Where nobody knows which of several
        bodies was followed, the interval is wider.
        """
        if self._lost_views.untimely(track):
            return None
        is_short = track.n < self.settings.short_views
        companion = self._companion(track) if is_short or came_late(track) else None
        if is_short and companion is not None:
            arrival = self._arrival_beside(track, companion, junction_um)
        else:
            arrival = self._arrival_alone(track, junction_um, ended=ended and not is_short)
        if arrival is None:
            return None
        off = share_off(track, companion, in_crowd=may_hide and self._crowd.is_dense)
        way_ns = max(0.0, arrival.liquid_ns - track.last_liquid_ns)
        error_ns = arrival.error_ns + off * way_ns + self._members_ns(track)
        return Arrival(arrival.liquid_ns, error_ns)

    def _arrival_alone(self, track: Track, junction_um: float, *, ended: bool) -> Arrival | None:
        """Arrival of a track by itself; of one that ended it may have been found already."""
        beat, steady = self.pulsation.beat_at(track.last_exposed_ns), self.saw_steady_flow(track)
        if not ended:
            return track.arrival(junction_um, beat, steady=steady)
        if self._foresight.knows(track, beat, steady):
            return self._foresight.arrival(track)
        arrival = track.arrival(junction_um, beat, ended=True, steady=steady)
        return self._foresight.keep(track, beat, steady, arrival)

    def foresee(self, junction_um: float) -> None:
        """Find the arrival of a track that is about to end, if there is one.

        It changes nothing but when the time for it is spent.
        """
        track = self._foresight.due()
        if track is not None:
            self.arrival(track, junction_um, ended=True)

    def _members_ns(self, track: Track) -> float:
        """How much sooner or later than their clump its outermost members may arrive."""
        if not track.double:
            return 0.0
        left, _, width, _ = track.last.bbox
        reach_px = max(track.last.x_px - left, left + width - track.last.x_px)
        reach_um = reach_px * self.pitch_um - MATTERS_UM / 2
        speed_um_s = max(track.speed_um_s, self.settings.min_speed_um_s)
        return max(0.0, reach_um) / speed_um_s * 1e9

    def saw_steady_flow(self, track: Track) -> bool:
        """Whether the flow kept its speed all the while that a track was followed."""
        return track.first_exposed_ns >= self.steady_from_ns

    def _companion(self, track: Track) -> Track | None:
        """The body of several views that a track was beside when it was last seen."""
        known = (t for t in self.tracks if t is not track and t.n >= self.settings.short_views)
        near = [t for t in known if self._is_beside(track, t)]
        return min(near, key=lambda t: abs(t.last_y_um - track.last_y_um), default=None)

    def _arrival_beside(self, track: Track, companion: Track, junction_um: float) -> Arrival | None:
        """Arrival of a short track that travels with another body.

        Few views are no sign of a fragment where frames were lost, or where the track has moved
        away from the other body: it may be one that only happened to be close, and both arrivals
        are allowed for.
        """
        beat = self.pulsation.beat_at(track.last_exposed_ns)
        steady = self.saw_steady_flow(companion)
        theirs = companion.arrival(junction_um, beat, steady=steady)
        if theirs is None:
            return None
        at_um = companion.expected_um(track.last_liquid_ns)[0]
        shift_ns = (at_um - track.last_x_um) / companion.speed_um_s * 1e9
        gate_um = self.settings.gate_um
        drift_ns = gate_um / companion.speed_um_s * 1e9
        beside = Arrival(theirs.liquid_ns + shift_ns, theirs.error_ns + drift_ns)
        # What was only glimpsed came out of another's outline: of others there are views.
        if track.n == 0:
            return beside
        if not self.lost_views(track) and moved_away_um(track, companion) <= gate_um:
            return beside
        own = track.arrival(junction_um, beat, steady=self.saw_steady_flow(track))
        return None if own is None else either(own, beside)

    def doubt(self, number: int) -> None:
        """The times around a frame are wrong: see `LostViews.doubt`."""
        self._lost_views.doubt(number)

    def lost_views(self, track: Track) -> bool:
        """Whether frames were lost while the track's body may have been in view."""
        return self._lost_views.of(track)

    def seen_throughout(self, track: Track) -> bool:
        """Whether it was seen in each frame from its entry to its leaving, few as they may be."""
        first, last = track.sightings[0], track.sightings[-1]
        frames = last.frame - first.frame
        if frames == 0 or len(track.sightings) <= frames:
            return False
        step_px = (last.x_px - first.x_px) / frames
        return first.x_px < step_px and last.x_px + step_px > self.width_px

    def _is_beside(self, track: Track, other: Track) -> bool:
        """Whether the other's body was close when the track was last seen."""
        reach_um = other.last.diameter_um / 2 + track.last.diameter_um / 2 + self.settings.gate_um
        along_um = other.expected_um(track.last_liquid_ns)[0] - track.last_x_um
        return math.hypot(along_um, other.last_y_um - track.last_y_um) < reach_um

    def drain(self) -> list[Track]:
        """End all tracks: the run ends, or the flow is held.

        The pump's beat is forgotten with them: when the flow goes on, it begins anew.
        """
        ended = [track for track in self.tracks if not track.ended]
        self.tracks = []
        self._to_learn.clear()
        self.pulsation = self._unknown_beat()
        return ended

    def _unknown_beat(self) -> PulsationEstimator:
        return PulsationEstimator(self.settings.pulsation, unknown=self.settings.speed_tolerance)

    def _enters(self, detection: Detection) -> bool:
        """Cut off by the left edge: its size and place are not known yet."""
        return detection.touches_border and detection.bbox[0] <= 0 and not self._leaves(detection)

    def _leaves(self, detection: Detection) -> bool:
        x, _, w, _ = detection.bbox
        return detection.touches_border and x + w >= self.width_px

    def _begin(self, detection: Detection, at: Moment) -> Track:
        track = Track(
            id=self._next_id,
            origin_ns=at.liquid_ns,
            first_exposed_ns=at.exposed_ns,
            settings=self.settings,
            last=detection,
            last_x_um=detection.x_px * self.pitch_um,
            last_y_um=detection.y_px * self.pitch_um,
            last_liquid_ns=at.liquid_ns,
            last_exposed_ns=at.exposed_ns,
            exposed_error_ns=at.exposed_error_ns,
        )
        self._next_id += 1
        self.tracks.append(track)
        return track

    def _see(self, track: Track, detection: Detection, at: Moment) -> bool:
        """Whether the view is whole."""
        track.sightings.append(Sighting(at.frame, detection.x_px, detection.y_px))
        track.missed = 0
        if detection.touches_border and self._leaves(detection):
            track.leaving = True
        if track.leaving:
            return False
        x_um, y_um = detection.x_px * self.pitch_um, detection.y_px * self.pitch_um
        if detection.glimpsed:
            track.glimpse(x_um, y_um, at)
            return False
        track.add(detection, x_um, y_um, at)
        return True

    def _assign(
        self, detections: Sequence[Detection], liquid_ns: float
    ) -> tuple[dict[int, Track], dict[int, set[int]]]:
        """Detections to tracks, cheapest first; and which detections hide several tracks."""
        if not detections or not self.tracks:
            return {}, {}
        pitch_um = self.pitch_um
        expected = [
            Expected(*t.expected_um(liquid_ns), t.last_y_um, t.last.diameter_um)
            for t in self.tracks
        ]
        seen = [
            Seen(
                d.x_px * pitch_um,
                d.y_px * pitch_um,
                d.diameter_um,
                d.touches_border and self._leaves(d),
                d.glimpsed,
            )
            for d in detections
        ]
        merged = self._merged(detections, expected)
        near = candidates(expected, seen, lateral_gate_um=self.settings.lateral_gate_um)
        pairs = cheapest(near, without=merged)
        return {column: self.tracks[row] for column, row in pairs.items()}, merged

    def _merged(
        self, detections: Sequence[Detection], expected: Sequence[Expected]
    ) -> dict[int, set[int]]:
        """Detections that may be several bodies, marked double or only glimpsed, in which two or
        more known ones are expected: they coast."""
        merged: dict[int, set[int]] = {}
        for i, detection in enumerate(detections):
            if not (detection.double or detection.glimpsed):
                continue
            left, top, w, h = (v * self.pitch_um for v in detection.bbox)
            inside = {
                t.id
                for t, e in zip(self.tracks, expected, strict=True)
                if t.n >= 3 and left <= e.x_um <= left + w and top <= e.y_um <= top + h
            }
            if len(inside) >= 2:
                merged[i] = inside
        return merged

    def _note_veiled(self, seen: Sequence[Detection], matched: set[int], liquid_ns: float) -> None:
        """Count the frames in which a known body lies within the outline of a larger one."""
        for track in self.tracks:
            if track.id in matched or track.ended or track.n < 2:
                continue
            x_px = track.expected_um(liquid_ns)[0] / self.pitch_um
            y_px = track.last_y_um / self.pitch_um
            track.veiled += any(
                d.diameter_um > track.last.diameter_um
                and d.bbox[0] <= x_px <= d.bbox[0] + d.bbox[2]
                and d.bbox[1] <= y_px <= d.bbox[1] + d.bbox[3]
                for d in seen
            )

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
            most = s.max_hidden if track.n >= 4 else s.max_missed if track.n >= 2 else _MAX_LONE
            lost = track.missed > most
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
