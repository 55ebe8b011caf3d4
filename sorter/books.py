"""What the loop does, written down: rows for the record, and the counters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Acknowledged, Clock, DispenserEvent, Executed, Refused
from sorter.decide import Decision
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    Level,
    ObjectRow,
    ObjectUpdate,
)
from sorter.record_sink import RecordSink
from sorter.status import Counters
from sorter.under_way import Ruling
from sorter.whereabouts import Whereabouts


class Books:
    """Hands rows to a record, and counts along.

    Args:
        record: takes the rows.
        clock: tells when a command went out.
        whereabouts: hears of decisions that are taken back, where the junction is watched.

    Attributes:
        counters: what has been seen, decided and sent so far.
    """

    def __init__(
        self, record: RecordSink, clock: Clock, whereabouts: Whereabouts | None = None
    ) -> None:
        self._record = record
        self._clock = clock
        self._whereabouts = whereabouts
        self.counters = Counters()

    def frame(self, row: FrameRow) -> None:
        """A frame is done."""
        self.counters.frame(row)
        self._record.frame(row)

    def object(
        self, row: ObjectRow, decision: Decision, crops: Sequence[NDArray[np.uint8]]
    ) -> None:
        """An object is decided."""
        self.counters.decided(decision)
        self._record.object(row, crops)

    def rulings(self, rulings: Sequence[Ruling], now_ns: int) -> None:
        """What became of objects: a command, or another outlet than decided."""
        for ruling in rulings:
            if ruling.command is not None:
                self._command(ruling)
                continue
            self.counters.changed(ruling.before, ruling.decision)
            if self._whereabouts is not None:
                self._whereabouts.changed(ruling.object_id, ruling.decision.outlet)
            self._record.update_object(
                ObjectUpdate(
                    id=ruling.object_id,
                    changed_ns=now_ns,
                    changed_outlet=ruling.decision.outlet,
                    changed_reason=ruling.decision.reason.value,
                )
            )

    def _command(self, ruling: Ruling) -> None:
        assert ruling.command is not None
        command = ruling.command
        self.counters.commands += 1
        self._record.command(
            CommandRow(
                id=command.id,
                object_id=ruling.object_id,
                outlet=command.outlet,
                open_us=command.open_us,
                close_us=command.close_us,
                sent_ns=self._clock.now_ns(),
            )
        )

    def news(self, event: DispenserEvent, now_ns: int) -> None:
        """What the dispenser says of a command."""
        if isinstance(event, Acknowledged):
            self._record.update_command(CommandUpdate(event.id, acked_ns=event.at_ns))
        elif isinstance(event, Refused):
            self._record.update_command(CommandUpdate(event.id, refused=event.reason))
            self.event(now_ns, "warning", "refused", f"command {event.id}: {event.reason}")
        elif isinstance(event, Executed):
            self.counters.executed += 1
            self._record.update_command(
                CommandUpdate(
                    event.id,
                    opened_us=event.opened_us,
                    closed_us=event.closed_us,
                    executed_ns=event.at_ns,
                )
            )

    def event(self, at_ns: int, level: Level, name: str, text: str) -> None:
        """Something that a person wants to know."""
        self._record.event(EventRow(at_ns, level, name, text))

    def ended(self, now_ns: int) -> None:
        """The run is over: where everything went, where that was watched."""
        if self._whereabouts is not None:
            self._record.event(self._whereabouts.ended(now_ns))

    def journal(self, blob: bytes) -> None:
        """What a step got from outside."""
        self._record.journal(blob)

    def status(self, state: str, waiting: int) -> None:
        """The newest counters, and all that waits is sent on."""
        self._record.status(self.counters.snapshot(state, waiting))
        self._record.flush()
