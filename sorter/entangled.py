"""Whose track is it? Where bodies show as one, arrivals may be off by a share of the way."""

from __future__ import annotations

from sorter.track import Track


def share_off(track: Track, companion: Track | None, *, in_crowd: bool) -> float:
    """Share of its way to the junction by which a track's arrival may be off.

    Args:
        track: seen for the last time, or for now.
        companion: the body beside it, of several views, for a track that is short or came late.
        in_crowd: another body that nobody saw may lie behind it.
    """
    s = track.settings
    off = s.entangled_tolerance * _of_others(track, companion)
    if in_crowd and is_large(track):
        off = max(off, s.crowded_tolerance)
    if companion is not None and came_late(track) and track.n < s.short_views:
        off = max(off, _apart(track, companion))
    return off


def is_large(track: Track) -> bool:
    """Whether it can't have been too faint to be seen."""
    return track.last.diameter_um >= track.settings.entangled_from_um


def came_late(track: Track) -> bool:
    """Whether it was first seen in the midst of the view, though it is not faint, and only for a
    short while."""
    s = track.settings
    return is_large(track) and 0 < track.n < s.own_views and track.x_um[0] > s.enters_um


def moved_away_um(track: Track, companion: Track) -> float:
    """How much farther a track has come than its companion, or less far, while it was seen."""
    seen_s = (track.last_liquid_ns - track.origin_ns) * 1e-9
    return abs(track.speed_um_s - companion.speed_um_s) * seen_s


def _of_others(track: Track, companion: Track | None) -> float:
    """How much of it may be another body's track, 0 to 1.

    What shows late beside a body that was followed all the way came off that one.
    """
    if not came_late(track):
        return _as_one(track)
    if companion is None or came_late(companion):
        return 1.0
    return max(_as_one(track), _as_one(companion))


def _as_one(track: Track) -> float:
    """Share of the frames that showed it and another as one, doubled, at most 1. Nobody knows which
    of them was followed then."""
    return min(1.0, 2.0 * track.together / max(1, len(track.sightings) + track.together))


def _apart(track: Track, companion: Track) -> float:
    """Share by which the speeds of two can differ, one of which came out of the other's outline
    just now: both have come as far from the left edge in about the same time."""
    reach_um = (track.last.diameter_um + companion.last.diameter_um) / 2
    return reach_um / track.x_um[0]
