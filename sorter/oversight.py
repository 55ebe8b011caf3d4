"""What the loop tells somebody who looks for faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sorter.mass_balance import Alarm
from sorter.record_rows import FrameRow, ObjectRow
from sorter.track import Track


class Oversight(Protocol):
    """Somebody who looks for faults in what the loop does; `sorter.overseer.Overseer`."""

    def frame(self, row: FrameRow, lost: int, in_view: Sequence[Track]) -> None:
        """A frame is done; so many were lost before it."""

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """An object is decided; with some of its judged views."""

    def junction(self, alarms: Sequence[Alarm], now_ns: int) -> None:
        """What is newly wrong with where objects go."""
