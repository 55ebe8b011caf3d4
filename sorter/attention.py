"""Which finds of a frame need an outline.

In a late frame (`sorter.lateness`) a find is only glimpsed where a body that is known well was
expected, and where it is as large as that one was. All else is outlined however late it is: who is
new, who has changed, what may be two, and where somebody may be who is not known well yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sorter.lateness import Lateness

_AS_LARGE_UM = 25.0  # what is as large as expected up to so much does not hide another body
# What comes when all have been found, to follow, judge and tell of them, takes so long for each.
_LATER_NS = 100_000

Box = tuple[int, int, int, int]
"""(x, y, width, height) in frame pixels."""


class Place(NamedTuple):
    """Where a body is expected, in frame pixels.

    Attributes:
        x_px, y_px: its centre.
        width_px, height_px: of its box, when it was outlined last.
        within_px: how far it may be from there along x, where it is not known well.
    """

    x_px: float
    y_px: float
    width_px: int
    height_px: int
    within_px: float | None = None

    def is_in(self, box: Box) -> bool:
        """Whether its centre may be in a box."""
        x, y, width, height = box
        off_px = self.within_px or 0.0
        along = x - off_px <= self.x_px <= x + width + off_px
        return along and y <= self.y_px <= y + height


class Attention(Protocol):
    """Paid to one frame."""

    def is_short(self, bodies: int) -> bool:
        """Whether there is no time for all of so many that were found."""
        ...

    def knows(self, box: Box) -> bool:
        """Whether a box is as large as the one that is known well and expected in it, or some."""
        ...

    def seeks(self, box: Box) -> bool:
        """Whether somebody who is not known well yet may be in a box."""
        ...


class Full:
    """To all that was found."""

    def is_short(self, bodies: int) -> bool:
        """See `Attention`."""
        return False

    def knows(self, box: Box) -> bool:
        """See `Attention`."""
        return False

    def seeks(self, box: Box) -> bool:
        """See `Attention`."""
        return True


class Divided:
    """To all until the frame is late, and then to what is not known.

    Args:
        lateness: of the frame.
        expected: where all that are followed are expected; asked once at most.
        pitch_um: µm per pixel.
    """

    def __init__(
        self, lateness: Lateness, expected: Callable[[], Sequence[Place]], pitch_um: float
    ) -> None:
        self._lateness = lateness
        self._expected = expected
        self._slack_px = _AS_LARGE_UM / pitch_um
        self._places: Sequence[Place] | None = None
        self._is_short = False

    def is_short(self, bodies: int) -> bool:
        """See `Attention`; once it is, it stays so."""
        self._is_short = self._is_short or self._lateness.is_late(bodies * _LATER_NS)
        return self._is_short

    def knows(self, box: Box) -> bool:
        """See `Attention`."""
        inside = self._expected_in(box)
        if not inside or any(place.within_px is not None for place in inside):
            return False
        left_px = min(place.x_px - place.width_px / 2 for place in inside)
        right_px = max(place.x_px + place.width_px / 2 for place in inside)
        top_px = min(place.y_px - place.height_px / 2 for place in inside)
        bottom_px = max(place.y_px + place.height_px / 2 for place in inside)
        off_px = max(abs(right_px - left_px - box[2]), abs(bottom_px - top_px - box[3]))
        return off_px <= self._slack_px

    def seeks(self, box: Box) -> bool:
        """See `Attention`."""
        return any(place.within_px is not None for place in self._expected_in(box))

    def _expected_in(self, box: Box) -> list[Place]:
        if self._places is None:
            self._places = self._expected()
        return [place for place in self._places if place.is_in(box)]
