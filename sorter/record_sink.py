"""What the loop hands over to be written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    ObjectRow,
    ObjectUpdate,
)


class RecordSink(Protocol):
    """Takes what the loop hands over; `sorter.record.Recorder` is the one that writes a file."""

    def frame(self, row: FrameRow) -> None:
        """One frame's times."""

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """One decided object."""

    def update_object(self, row: ObjectUpdate) -> None:
        """A decision that was taken back."""

    def command(self, row: CommandRow) -> None:
        """A command that was sent."""

    def update_command(self, row: CommandUpdate) -> None:
        """News of a command."""

    def event(self, row: EventRow) -> None:
        """An event."""

    def journal(self, blob: bytes) -> None:
        """What a step got from outside."""

    def status(self, counters: dict[str, Any]) -> None:
        """The newest counters."""

    def flush(self) -> None:
        """Send on what waits; raises `RecordError`."""
