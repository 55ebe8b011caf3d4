"""One session with the dispenser: lines in, lines and events out; no clock and no I/O inside."""

from __future__ import annotations

from dataclasses import dataclass

from drivers import protocol as wire
from drivers.clock_pings import ClockPings
from drivers.clock_sync import ClockSync
from drivers.command_book import CommandBook
from drivers.dispenser_settings import DispenserCounters, DispenserSettings
from drivers.levels import Kind, Levels
from drivers.passages import Passages
from drivers.ports import Command, DispenserEvent, Passed, Stopped
from drivers.stop_and_hold import StopAndHold
from sorter.errors import DeviceResetError, DispenserError

MS = 1_000_000
_DONE_WAIT_NS = 50 * MS
_FAULTS_OF_OURS = ("FORMAT", "VERSION", "RANGE", "DUPLICATE")
_DISOBEYED = {
    Kind.STOP: "does not stop",
    Kind.PUMP: "does not say whether it holds the pump",
    Kind.REST: "does not go to rest",
    Kind.RESET: "does not answer the reset of its emergency stop",
    Kind.LINES: "does not answer to its lines",
    Kind.LED: "does not answer to its light",
}


@dataclass(frozen=True, slots=True)
class ExposurePulses:
    """Exposure pulses of the camera, as the device counts them.

    Attributes:
        count: how many, on a long line that does not wrap.
        last_us: device time (unwrapped) of the last one; without meaning when ``count`` is 0.
        at_ns: host time at which this was read.
    """

    count: int
    last_us: int
    at_ns: int


class DispenserSession:
    """What this session's lines mean.

    Args:
        nonce: of the session, 1 to 2**32 - 1.
        settings: times and limits.

    Attributes:
        ready: what the device says of itself, once it has answered the handshake.
        refused: why it refused the handshake, a reason of PROTOCOL.md, or empty.
        heard: how many lines of this session, or of nobody's, have come.
        sync: the estimate of the device's clock. pings: questions that feed it.
        book: commands that are not settled.
        levels: what was asked for by number and is not answered.
        safety: emergency stop, pump, lines.
        exposures: what the device said of exposure pulses, once it has.
        state: the last answer to a status question.
    """

    def __init__(self, nonce: int, settings: DispenserSettings) -> None:
        self.nonce = nonce
        self._tag = nonce & 0xFFFF
        self._settings = settings
        self.ready: wire.Ready | None = None
        self.refused = ""
        self.heard = 0
        self.sync = ClockSync(settings.max_drift_ppm, settings.max_wander_ppm_per_s)
        self.pings = ClockPings(nonce, self.sync, settings.least_us_per_byte)
        self.book = CommandBook(
            settings.resend_ms * MS, settings.report_ms * MS, settings.most_tries
        )
        # So many that a device which says nothing at all is found silent first.
        tries = max(settings.most_tries, settings.silent_ms // settings.resend_ms + 2)
        self.levels = Levels(settings.resend_ms * MS, tries)
        self.safety = StopAndHold(nonce, self.levels)
        self.exposures: ExposurePulses | None = None
        self.state: wire.State | None = None
        self.counters = DispenserCounters()
        self._passages = Passages(nonce, _DONE_WAIT_NS)
        self._buffer = b""
        self._events: list[DispenserEvent] = []
        self._done: list[int] = []
        self._done_ns = 0

    @property
    def answered_hello(self) -> bool:
        """Whether the device has taken or refused the handshake."""
        return self.ready is not None or bool(self.refused)

    # -- lines out ------------------------------------------------------------------------

    def hello(self) -> bytes:
        """The line that opens the session."""
        return wire.encode(wire.Hello(self.nonce, wire.VERSION, self._settings.watchdog_ms))

    def opening(self, command: Command) -> bytes:
        """The line of a command; raises `DispenserError` for one that the device can't take."""
        length_us = command.close_us - command.open_us
        if self.ready is None:
            raise DispenserError("not connected", do="Call connect first")
        if command.outlet not in self.ready.outlets[1:]:
            raise DispenserError(
                f"the dispenser has no outlet {command.outlet!r} to open",
                on=", ".join(self.ready.outlets),
                do="Name the outlets in the settings as the device does",
            )
        if command.id in self.book:
            raise DispenserError("this id is in use", on=command, do="Count ids upwards")
        if not 0 < length_us <= self.ready.max_opening_us or not 0 < command.id <= wire.MASK_32:
            raise DispenserError(
                "opening or id out of range",
                on=command,
                do=f"Open for at most {self.ready.max_opening_us} µs",
            )
        open_us = command.open_us & wire.MASK_32
        return wire.encode(wire.Open(self.nonce, command.id, command.outlet, open_us, length_us))

    def cancelling(self, command_id: int, now_ns: int) -> bytes:
        """The line that withdraws a command; empty for one that is settled."""
        line = wire.encode(wire.Cancel(self.nonce, command_id))
        return line if self.book.withdraw(command_id, line, now_ns) else b""

    def resting(self, now_ns: int) -> bytes:
        """The line that takes the gate to rest."""
        number = self.levels.next_number()
        line = wire.encode(wire.Rest(self.nonce, number))
        self.levels.ask(Kind.REST, number, line, now_ns)
        self._withdraw_all(now_ns)
        return line

    def stopping(self, now_ns: int) -> bytes:
        """The line that makes the emergency stop."""
        line = self.safety.stop(now_ns)
        self._withdraw_all(now_ns)
        return line

    def _withdraw_all(self, now_ns: int) -> None:
        # One that was lost on its way must not be sent again to act after a rest or a stop.
        for command_id in self.book.open_ids():
            self.cancelling(command_id, now_ns)

    def lines_due(self, now_ns: int) -> list[bytes]:
        """Lines to write now; raises `DispenserError` when one is left unanswered for too long."""
        kind = self.levels.overdue()
        if kind is not None:
            raise DispenserError(f"the dispenser {_DISOBEYED[kind]}", do="Cut its power")
        again = [*self.levels.due(now_ns), *self.book.due(now_ns)]
        self.counters.resent += len(again)
        return again + self.safety.due(now_ns)

    def receipts(self, now_ns: int) -> list[bytes]:
        """The lines that have no answer: reports and passages have arrived."""
        return [line for line in (self._done_line(now_ns), self._passages.line(now_ns)) if line]

    def _done_line(self, now_ns: int) -> bytes:
        """When enough of them or time have come together."""
        if not self._done or (len(self._done) < wire.MAX_DONE_IDS and now_ns < self._done_ns):
            return b""
        some, self._done = self._done[: wire.MAX_DONE_IDS], self._done[wire.MAX_DONE_IDS :]
        self._done_ns = now_ns + _DONE_WAIT_NS
        return wire.encode(wire.Done(self.nonce, tuple(some)))

    def check_overdue(self) -> None:
        """Raises `DispenserError` when the device leaves a command unsettled."""
        command_id = self.book.overdue()
        if command_id is not None:
            raise DispenserError(
                f"the dispenser neither refused nor reported command {command_id}",
                do="Check its firmware, then connect again",
            )

    # -- lines in -------------------------------------------------------------------------

    def take_events(self) -> list[DispenserEvent]:
        """What has become of commands since the last call."""
        events, self._events = self._events, []
        return events

    def forget_stops(self) -> None:
        """Stops that have not been told are told no more: they have been cleared."""
        self._events = [event for event in self._events if not isinstance(event, Stopped)]

    def take(self, data: bytes, read_ns: int) -> None:
        """Bytes of the device, read not after host time ``read_ns``.

        Raises:
            DispenserError: it forgot the session, its clock jumped, or it says what PROTOCOL.md
                does not know.
        """
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > wire.MAX_LINE:
            self._buffer = b""
            self.counters.damaged_in += 1
        for line in lines:
            if line:
                self._take_line(line, read_ns)

    def _take_line(self, line: bytes, read_ns: int) -> None:
        try:
            message = wire.decode_from_device(line)
        except wire.Damaged:
            self.counters.damaged_in += 1
            self.book.hurry(read_ns)
            return
        except wire.BadLine as error:
            if self.ready is None:
                return
            raise DispenserError(
                f"the dispenser says what PROTOCOL.md does not know: {error}",
                on=line.decode("ascii", "replace"),
                do="Check its firmware's version",
            ) from error
        if isinstance(message, wire.Ready):
            if message.session == self.nonce:
                self.heard += 1
                if self.ready is None:
                    self.ready = message
                    self.safety.begin(message)
        elif isinstance(message, wire.Nak) and message.id == 0 and message.reason == "CRC":
            self.heard += 1
            self.counters.damaged_out += 1
            self.book.hurry(read_ns)
        elif message.tag == self._tag:
            self.heard += 1
            self._take_message(message, read_ns)

    def _take_message(self, message: wire.ToHost, read_ns: int) -> None:
        if isinstance(message, wire.Ack):
            command = self.book.command(message.id)
            if command is not None:
                close_ns = self.sync.host_ns(command.close_us)
                self._events += self.book.acknowledge(message.id, close_ns, read_ns)
        elif isinstance(message, wire.Exec):
            self._take_exec(message, read_ns)
        elif isinstance(message, wire.Nak):
            self._take_nak(message, read_ns)
        elif isinstance(message, wire.Pong):
            self._take_pong(message, read_ns)
        elif isinstance(message, wire.Rested):
            self.levels.answered(message.number)
        elif isinstance(message, wire.Said):
            self._take_said(message, read_ns)
        elif isinstance(message, wire.Passage):
            self._take_passage(message, read_ns)
        elif isinstance(message, wire.Inputs):
            self._events += self.safety.take_inputs(message, read_ns)
        elif isinstance(message, wire.State):
            self.state = message

    def _take_exec(self, message: wire.Exec, read_ns: int) -> None:
        command = self.book.command(message.id)
        if command is not None:
            opened_us = wire.unwrap_us(message.opened_us, command.open_us)
            closed_us = opened_us + message.length_us
            self._events += self.book.execute(message.id, opened_us, closed_us, read_ns)
        self._note_done(message.id, read_ns)

    def _take_nak(self, message: wire.Nak, read_ns: int) -> None:
        if self.ready is None:
            self.refused = message.reason
        elif message.reason == "SESSION":
            raise DeviceResetError(
                "the dispenser has forgotten this session: it was reset, or another host took it",
                do="Check its power and who else has its port, then connect again",
            )
        elif message.reason in _FAULTS_OF_OURS:
            raise DispenserError(
                f"the dispenser refuses a line of this driver: {message.reason}",
                on=f"command {message.id}",
                do="Check that driver and firmware speak the same version",
            )
        else:
            if message.reason in ("ESTOP", "WATCHDOG") and not self.safety.estop:
                self.safety.look_soon()
            self._events += self.book.refuse(message.id, message.reason, read_ns)
            self._note_done(message.id, read_ns)

    def _take_said(self, message: wire.Said, read_ns: int) -> None:
        news = self.safety.take(message, read_ns)
        self._events += news
        if news:
            self._withdraw_all(read_ns)

    def _take_passage(self, message: wire.Passage, read_ns: int) -> None:
        if self._passages.take(message.seq, read_ns):
            near_us = self.sync.device_us(read_ns) if self.sync.known else message.begun_us
            begun_us = wire.unwrap_us(message.begun_us, near_us)
            self._events.append(
                Passed(message.seq, message.outlet, begun_us, message.length_us, read_ns)
            )
        self.counters.passages_lost = self._passages.lost

    def _take_pong(self, message: wire.Pong, read_ns: int) -> None:
        if message.trips != self.counters.watchdog_trips:
            self.counters.watchdog_trips = message.trips
            self.safety.look_soon()
        if not self.pings.take(message, read_ns):
            raise DispenserError(
                "host and dispenser clocks contradict each other: one of them jumped",
                do="Check the board's crystal, or raise max_drift_ppm if it has none; then "
                "connect again",
            )
        near = self.exposures.count if self.exposures else message.pulses
        count = max(near, wire.unwrap_us(message.pulses, near))
        # An answer to a question that is forgotten by now may be the first to come.
        near_us = self.sync.device_us(read_ns) if self.sync.known else message.last_us
        last_us = wire.unwrap_us(message.last_us, near_us)
        self.exposures = ExposurePulses(count, last_us, read_ns)

    def _note_done(self, command_id: int, now_ns: int) -> None:
        if not self._done:
            self._done_ns = now_ns + _DONE_WAIT_NS
        if command_id and command_id not in self._done:
            self._done.append(command_id)
