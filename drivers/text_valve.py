"""A dispenser that is a valve on a box with text commands: the host itself keeps time for it.

    queued ──its time──> told to open ──its end──> told to close ──answer──> surely closed
       └── come to late: refused                        └── again and again until then

The box has no clock, no watchdog, no emergency stop and no pump: see `TextValve.guarantees` and
docs/text_valve.md. Device time is host time in µs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.ports import (
    Acknowledged,
    Clock,
    Command,
    DispenserEvent,
    Executed,
    Guarantees,
    Link,
    Refused,
)
from drivers.text_valve_settings import TextOutlet, TextValveSettings
from drivers.valve_closing import MS
from drivers.valve_openings import MAX_AHEAD_US, MAX_OPENING_US, QUEUE, Opened, Turn, ValveOpenings
from drivers.valve_talk import ValveTalk
from sorter.errors import DispenserError, HardwareError, LinkError

__all__ = ["TextOutlet", "TextValve", "TextValveCounters", "TextValveSettings"]

_LAST_CLOSE_NS = 500 * MS
_MAX_ID = 0xFFFFFFFF


@dataclass(slots=True)
class TextValveCounters:
    """What happened since `TextValve.connect`.

    Attributes:
        opened: open strings written.
        late: openings refused because the host came to them too late.
        closed_late: close strings written later than ``timing_error_ms``: the gate stood open for
            longer than was planned for.
        worst_late_us: the latest close, µs after its time.
        repeats: close strings said again for want of an answer.
        strays: how often the box said that it was open when it had surely been closed.
        missed: how often it said that it was closed while it was to be open.
    """

    opened: int = 0
    late: int = 0
    closed_late: int = 0
    worst_late_us: int = 0
    repeats: int = 0
    strays: int = 0
    missed: int = 0


class TextValve:
    """`drivers.ports.Dispenser` over a link to a box with text commands. No threads.

    `step` it at least every few ms: it writes the strings when their time has come, and only then.
    It starts latched, as an emergency stop does: nothing opens before `arm`.

    Args:
        link: open link to the box.
        clock: host time.
        settings: the box's strings, times and limits.
        baud: of the port; what waits on the wire makes an opening late too.
    """

    def __init__(
        self, link: Link, clock: Clock, settings: TextValveSettings, *, baud: int = 9_600
    ) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings
        self._baud = baud
        self._names = tuple(one.name for one in settings.outlets)
        self._connected = False
        self._closed = False
        self._start_anew()

    def _start_anew(self) -> None:
        self._openings = ValveOpenings(round(self._settings.late_ms * 1_000))
        self._talk = ValveTalk(self._link, self._clock, self._settings, self._baud)
        self._closing = self._talk.closing
        self._events: list[DispenserEvent] = []
        self._counters = TextValveCounters()
        self._latched = True
        self._last_id = 0

    # -- handshake ------------------------------------------------------------------------

    def guarantees(self) -> Guarantees:
        """Nothing at all: the box is not even known to have done what it was told."""
        return Guarantees(
            device_clock=False, watchdog=False, estop=False, reports=False, holds_pump=False
        )

    def connect(self) -> dict[str, Any]:
        """Close every outlet and, where the box can be asked, wait until it says so; opens nothing.

        Takes ``settle_ms``, and where the box can be asked about ``silent_ms`` more: after so long
        without an answer it is asked once again, and must answer within half of that. Of a slower
        one the answer to one question could be taken for that to another.

        Returns:
            name, outlets (the first is the rest outlet), queue, max_opening_us, max_ahead_us,
            asks (whether the box can be asked for its state) and answer_us, how long it takes.

        Raises:
            LinkError: the box does not answer its query. DispenserError: it answers something
                else, too slowly, or that it is open.
        """
        self._start_anew()
        self._talk.listen(self._settings.settle_ms * MS)
        self._talk.receive()  # what was said before is no answer
        self._close(self._names)
        self._talk.wait_sure()
        if self._closing.asks:
            self._talk.measure_answer()
        self._connected = True
        return {
            "name": "text-valve",
            "outlets": (self._settings.rest, *self._names),
            "queue": QUEUE,
            "max_opening_us": MAX_OPENING_US,
            "max_ahead_us": MAX_AHEAD_US,
            "asks": self._closing.asks,
            "answer_us": self._closing.answer_ns // 1_000,
        }

    def arm(self) -> None:
        """Clear the latch that `stop` and `connect` set, once the box is surely closed.

        Raises:
            LinkError, DispenserError: it is not; the latch stays.
        """
        self._need_connection()
        self._talk.wait_sure()
        self._latched = False

    # -- the box's clock: there is none ---------------------------------------------------

    def to_device_us(self, host_ns: int) -> int:
        """Host time in µs: the host is this dispenser's clock."""
        return host_ns // 1_000

    def to_host_ns(self, device_us: int) -> int:
        """Host time of a time in µs."""
        return device_us * 1_000

    def clock_bound_us(self, host_ns: int) -> int:
        """How far from its time a string may take effect, µs: the setting ``timing_error_ms``."""
        return round(self._settings.timing_error_ms * 1_000)

    # -- commands -------------------------------------------------------------------------

    def send(self, command: Command, now_ns: int) -> None:
        """Queue the command; nothing is written before its time. The next step says whether.

        Raises:
            DispenserError: not connected, an outlet that the box lacks, an id that does not count
                upwards, or an opening of no length or of more than 5 s.
        """
        self._need_connection()
        if command.outlet not in self._names:
            raise DispenserError(
                f"the text valve has no outlet {command.outlet!r} to open",
                on=", ".join((self._settings.rest, *self._names)),
                do="Name the outlets in [outlets] as in [[dispenser.outlets]]",
            )
        if not self._last_id < command.id <= _MAX_ID:
            raise DispenserError("this id was used before", on=command, do="Count ids upwards")
        if not 0 < command.close_us - command.open_us <= MAX_OPENING_US:
            raise DispenserError(
                "opening out of range", on=command, do=f"Open for at most {MAX_OPENING_US} µs"
            )
        self._last_id = command.id
        # The clock itself, not the step's time: what passed since then makes it late too.
        now_ns = self._clock.now_ns()
        reason = (
            "ESTOP" if self._latched else self._openings.refusal(command, self.to_device_us(now_ns))
        )
        if reason:
            self._events.append(Refused(command.id, reason, now_ns))
        else:
            self._openings.add(command)
            self._events.append(Acknowledged(command.id, now_ns))

    def cancel(self, command_id: int, now_ns: int) -> None:
        """Withdraw a queued command, or close an open one now; nothing for a settled one."""
        self._carry_out(self._openings.cancel(command_id), "CANCELLED")

    def rest(self, now_ns: int) -> None:
        """Every outlet is told to close, now; the queue is emptied."""
        self._all_closed("RESTED")

    def stop(self, now_ns: int) -> None:
        """Every outlet is told to close, now, and nothing opens until `arm`.

        The latch is in this driver alone: it ends with this process, and holds no pump.
        """
        self._latched = True
        self._all_closed("ESTOP")

    def hold(self, now_ns: int) -> None:
        """Raises `DispenserError`: the box has no pump. Ask `guarantees` first."""
        raise self._no_pump()

    def flow(self, now_ns: int) -> None:
        """Raises `DispenserError`: the box has no pump. Ask `guarantees` first."""
        raise self._no_pump()

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """Nothing: the box has no lines to other machines."""

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """Write what is due, read what arrived; never blocks.

        `Executed` carries the host times, in µs, just before the open string and just after the
        close string was handed to the port. What the valve did, nobody knows.

        Raises:
            LinkError: the port is gone, or the box does not answer. DispenserError: it does not
                close.
        """
        if not self._connected:
            return self._take_events()
        # Edges first: reading costs time.
        now_us, wire_us = (
            self.to_device_us(ns) for ns in (self._clock.now_ns(), self._talk.wire_ns())
        )
        self._carry_out(self._openings.turn(now_us, wire_us), "LATE")
        self._talk.receive()
        self._keep_closed()
        self._talk.check()
        return self._take_events()

    def close(self) -> None:
        """Close every outlet, wait until that is sure, release the link; safe to call twice.

        Raises:
            LinkError, DispenserError: the box was connected and is not surely closed. It has no
                watchdog: nobody else will close it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._close_for_good()
        finally:
            self._connected = False
            self._link.close()

    # -- inside ---------------------------------------------------------------------------

    @property
    def counters(self) -> TextValveCounters:
        """What happened since `connect`."""
        self._counters.repeats = self._closing.repeats
        self._counters.strays = self._closing.strays
        self._counters.missed = self._closing.missed
        return self._counters

    @property
    def unsettled(self) -> int:
        """How many commands are queued or open."""
        return len(self._openings)

    @property
    def latched(self) -> bool:
        """Whether nothing opens until `arm`."""
        return self._latched

    def _carry_out(self, turn: Turn, reason: str) -> None:
        """Write what a turn says, closing first; then tell what became of its commands."""
        try:
            if turn.closes is not None:
                self._close((turn.closes,), ask=turn.opens is None)
        finally:
            self._report(turn, reason)
        if turn.opens is not None:
            self._open(turn.opens)

    def _open(self, name: str) -> None:
        begun_ns = self._clock.now_ns()
        self._counters.opened += 1
        self._talk.say(self._closing.open(name, begun_ns))
        took_us = self.to_device_us(self._clock.now_ns() - begun_ns)
        if took_us > self.clock_bound_us(begun_ns):
            # The port held it back: nobody knows when it opens, so it is not to stay open.
            self._carry_out(self._openings.end_standing(), "LATE")

    def _all_closed(self, reason: str) -> None:
        turn = self._openings.clear()
        try:
            # The one that stands open first: it must not wait for the others on the wire.
            self._close(sorted(self._names, key=lambda name: name != turn.closes))
        finally:
            self._report(turn, reason)

    def _close(self, names: Sequence[str], *, ask: bool = True) -> None:
        self._talk.say(self._closing.close(names, self._clock.now_ns(), ask=ask))

    def _report(self, turn: Turn, reason: str) -> None:
        now_ns = self._clock.now_ns()
        refused = [(one, "LATE") for one in turn.late] + [(one, reason) for one in turn.withdrawn]
        self._counters.late += len(turn.late)
        self._events += [Refused(one, why, now_ns) for one, why in refused]
        self._events += self._executed(turn.ended, now_ns)

    def _executed(self, ended: Sequence[Opened], now_ns: int) -> list[DispenserEvent]:
        closed_us = self.to_device_us(now_ns)
        bound_us = self.clock_bound_us(now_ns)
        for one in ended:
            late_us = closed_us - one.command.close_us
            self._counters.closed_late += late_us > bound_us
            self._counters.worst_late_us = max(self._counters.worst_late_us, late_us)
        return [Executed(one.command.id, one.opened_us, closed_us, now_ns) for one in ended]

    def _keep_closed(self) -> None:
        now_ns = self._clock.now_ns()
        next_us = self._openings.next_edge_us()
        soon_us = self.to_device_us(now_ns) + self.clock_bound_us(now_ns)
        calm = next_us is None or next_us > soon_us
        self._talk.say(self._closing.due(now_ns, self._openings.standing, calm=calm))

    def _close_for_good(self) -> None:
        if not self._connected:
            return  # nothing was opened, and `connect` told it to close for as long as it could
        try:
            self._all_closed("RESTED")
            self._talk.keep_closed(_LAST_CLOSE_NS)
        except HardwareError as error:
            raise LinkError(
                f"the valve could not be told to close at the end: {error.what}",
                on=error.on,
                do="Close it by hand: the box has no watchdog",
            ) from error
        if not self._closing.sure:
            raise DispenserError(
                "the valve box did not say at the end that it is closed",
                do="Close it by hand: the box has no watchdog",
            )

    def _take_events(self) -> list[DispenserEvent]:
        events, self._events = self._events, []
        return events

    def _need_connection(self) -> None:
        if not self._connected:
            raise DispenserError("not connected", do="Call connect first")

    def _no_pump(self) -> DispenserError:
        return DispenserError(
            "this dispenser holds no pump",
            do="Ask guarantees() first; use a pump that the host can hold by itself",
        )
