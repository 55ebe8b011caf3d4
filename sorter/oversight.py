"""Who looks for faults in what the loop does, as the loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sorter.record_rows import FrameRow, ObjectRow
from sorter.track import Track


class Oversight(Protocol):
    """Somebody who looks for faults in what the loop does; `sorter.overseer.Overseer`."""

    def frame(self, row: FrameRow, lost: int, in_view: Sequence[Track]) -> None:
        """A frame is done; so many were lost before it."""

    def object(self, row: ObjectRow) -> None:
        """An object is decided."""
