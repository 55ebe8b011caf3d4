"""Arrivals of bodies that are about to leave the view, found while no frame waits.

An arrival is asked for in the frame after the one in which a body was seen for the last time. In
that frame there is much else to do; between the two there is time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sorter.beat import Beat
from sorter.track import Arrival, Track

_STEPS = 1.5  # so many of its last steps downstream, and a body may touch the edge


@dataclass(frozen=True, slots=True)
class _Found:
    """An arrival, and what it was found from."""

    views: int
    beat: Beat | None
    steady: bool
    arrival: Arrival | None


class Foresight:
    """Keeps arrivals that will be asked for soon.

    Args:
        width_px: width of the frame; x grows downstream.
        from_um: diameter of the smallest body; of smaller ones nobody asks for it.
    """

    def __init__(self, width_px: int, from_um: float) -> None:
        self._width_px, self._from_um = width_px, from_um
        self._due: list[Track] = []
        self._is_expecting = False
        self._found: dict[int, _Found] = {}

    def look(self, seen: Iterable[Track], followed: Iterable[Track]) -> None:
        """See who is about to leave, of the tracks that were seen in the last frame, wholly or
        glimpsed; forget who is followed no more."""
        if self._found:
            ids = {track.id for track in followed}
            self._found = {key: one for key, one in self._found.items() if key in ids}
        self._due = [track for track in seen if self._leaves_next(track)]
        self._is_expecting = bool(self._due)

    def due(self) -> Track | None:
        """One whose arrival will be asked for, each once."""
        return self._due.pop() if self._due else None

    @property
    def is_expecting(self) -> bool:
        """Whether anybody is about to leave, by the last frame: what arrivals are found from had
        better stay as it is. It tells nothing of what was found: a replay finds nothing ahead."""
        return self._is_expecting

    def keep(
        self, track: Track, beat: Beat | None, steady: bool, arrival: Arrival | None
    ) -> Arrival | None:
        """An arrival that was found, by the pump's beat and whether the flow was steady."""
        self._found[track.id] = _Found(track.n, beat, steady, arrival)
        return arrival

    def knows(self, track: Track, beat: Beat | None, steady: bool) -> bool:
        """Whether it was found, from all that is known now."""
        found = self._found.get(track.id)
        if found is None:
            return False
        return found.views == track.n and found.beat is beat and found.steady == steady

    def arrival(self, track: Track) -> Arrival | None:
        """What was found."""
        return self._found[track.id].arrival

    def _leaves_next(self, track: Track) -> bool:
        if len(track.sightings) < 2 or track.last.diameter_um < self._from_um:
            return False
        before, last = track.sightings[-2:]
        left, _, width, _ = track.last.bbox
        reach_px = left + width - track.last.x_px
        return last.x_px + reach_px + _STEPS * (last.x_px - before.x_px) >= self._width_px
