"""Frames that did not come, and who may have passed unseen or seen too rarely meanwhile."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from drivers.ports import Frame
from sorter.track import Track
from sorter.view import ViewGeometry

_KEPT = 16
_FRAMES_IN_VIEW = 12  # of the fastest body, and some


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames that were lost between two that came.

    Attributes:
        missing: how many.
        unseen: first and last liquid time, ns, at which a body may arrive that nobody saw; None
            where the gap was too short for one.
    """

    missing: int
    unseen: tuple[float, float] | None

    def words(self, number: int) -> str:
        """For people; ``number`` is of the frame after the gap."""
        fate = "what may have passed unseen goes to rest"
        then = fate if self.unseen else "no body can have passed"
        return f"{self.missing} frames lost before frame {number}; {then}"


class Gaps:
    """Finds the gaps in a row of frames.

    Args:
        view: how long a body is in view, and when it arrives.
    """

    def __init__(self, view: ViewGeometry) -> None:
        self._view = view
        self._last: Frame | None = None
        self._before: Frame | None = None
        self._recent: deque[tuple[int, int]] = deque(maxlen=_FRAMES_IN_VIEW)

    def passed_over(self, frame: Frame) -> None:
        """A frame that nobody looks at, and that is missed by nobody."""
        self._before, self._last = self._last, frame
        self._recent.append((frame.number, frame.exposed_ns))

    @property
    def is_ahead(self) -> bool:
        """Whether the last frame says a later time than its number allows, by those before it."""
        last = self._last
        if self._before is None or last is None:
            return True  # nobody can tell
        period_ns = self._view.frame_period_ns
        return any(
            last.exposed_ns - exposed_ns > (last.number - number + 0.5) * period_ns
            for number, exposed_ns in self._recent
        )

    def before(self, frame: Frame, liquid_ns: float) -> Gap | None:
        """The gap before a frame, or None.

        Args:
            frame: the next one that is looked at, later than all before it.
            liquid_ns: its liquid time.
        """
        before, last = self._before, self._last
        self._before, self._last = last, frame
        self._recent.append((frame.number, frame.exposed_ns))
        if last is None or frame.number <= last.number + 1:
            return None
        missing = frame.number - last.number - 1
        # By the times and by the numbers: a camera's times may be wrong just then. A body must
        # show twice: the one frame between two gaps is no help.
        period_ns = self._view.frame_period_ns
        spans_ns = [frame.exposed_ns - last.exposed_ns, (missing + 1) * period_ns]
        if before is not None:
            spans_ns.append(frame.exposed_ns - before.exposed_ns - period_ns)
            spans_ns.append((frame.number - before.number - 1) * period_ns)
        return Gap(missing, self._view.unseen(max(spans_ns) * 1e-9, liquid_ns))


class LostViews:
    """Which tracks may lack views that their bodies could have shown, or have views at wrong times.

    Gaps are found by times and by numbers: where a camera's times go back, those before are wrong.

    Args:
        shown_ns: how long the fastest body is in view.
    """

    def __init__(self, shown_ns: float) -> None:
        self._shown_ns = shown_ns
        self._last: tuple[int, int] | None = None
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._numbers: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._doubted: deque[int] = deque(maxlen=_KEPT)

    def look(self, number: int, exposed_ns: int) -> None:
        """A frame was looked at."""
        if self._last is not None and number > self._last[0] + 1:
            self._gaps.append((self._last[1], exposed_ns))
            self._numbers.append((self._last[0], number))
        self._last = number, exposed_ns

    def of(self, track: Track) -> bool:
        """Whether frames were lost while the track's body may have been in view."""
        from_ns = track.first_exposed_ns - self._shown_ns
        until_ns = track.last_exposed_ns + self._shown_ns
        if any(first <= until_ns and last >= from_ns for first, last in self._gaps):
            return True
        first_number, last_number = _shown_in(track)
        return any(a <= last_number and b >= first_number for a, b in self._numbers)

    def doubt(self, number: int) -> None:
        """The time of a frame can't be right, or that of the one after it."""
        if not self._doubted or self._doubted[-1] != number:
            self._doubted.append(number)

    def untimely(self, track: Track) -> bool:
        """Whether a track has views whose times may be wrong: nobody knows when its body comes."""
        first_number, last_number = _shown_in(track)
        return any(first_number <= number <= last_number for number in self._doubted)


def _shown_in(track: Track) -> tuple[int, int]:
    """First and last number of the frames in which its body may have shown."""
    return track.sightings[0].frame - _FRAMES_IN_VIEW, track.sightings[-1].frame + _FRAMES_IN_VIEW
