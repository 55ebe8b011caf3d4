"""One session with the dispenser: lines in, lines and events out; no clock and no I/O inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers import protocol as wire
from drivers.clock_pings import ClockPings
from drivers.clock_sync import ClockSync
from drivers.command_book import CommandBook
from drivers.ports import Command, DispenserEvent
from sorter.errors import DispenserError

MS = 1_000_000
_DONE_WAIT_NS = 50 * MS
_FAULTS_OF_OURS = ("FORMAT", "VERSION", "RANGE", "DUPLICATE")


class DispenserSettings(BaseModel):
    """How the host talks to the dispenser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["protocol"] = Field(
        "protocol",
        description="What the dispenser speaks: drivers/PROTOCOL.md; 'text_valve' is a box that "
        "takes text commands, see docs/text_valve.md",
    )
    watchdog_ms: int = Field(
        1_000, ge=50, le=10_000, description="Device goes to rest when the host is silent, ms"
    )
    ping_ms: int = Field(200, ge=10, le=5_000, description="Time between clock questions, ms")
    resend_ms: int = Field(30, ge=5, le=1_000, description="First wait for an answer, ms")
    report_ms: int = Field(
        300, ge=10, le=5_000, description="Wait for a report after the gate closed, ms"
    )
    silent_ms: int = Field(
        800, ge=50, le=10_000, description="Device is gone when it is silent so long, ms"
    )
    most_tries: int = Field(
        20, ge=3, le=1_000, description="A command is asked about so often before it is a fault"
    )
    connect_ms: int = Field(3_000, ge=100, le=60_000, description="Longest handshake, ms")
    max_drift_ppm: float = Field(
        200.0, gt=0, le=10_000, description="Host and device clocks differ by at most this, ppm"
    )
    max_wander_ppm_per_s: float = Field(
        0.05, ge=0, le=100, description="That difference changes by at most this, ppm per second"
    )
    least_us_per_byte: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Time that a byte certainly takes on the wire, µs: 10 bits at the baud rate "
        "of a true UART (86.8 at 115,200), 0 for USB or when not known",
    )


@dataclass(slots=True)
class DispenserCounters:
    """What happened on the link in this session.

    Attributes:
        damaged_in: lines of the device that arrived damaged.
        damaged_out: lines of the host that the device says arrived damaged.
        resent: lines written again for want of an answer.
        watchdog_trips: how often the device's watchdog took the gate to rest, since power-up.
    """

    damaged_in: int = 0
    damaged_out: int = 0
    resent: int = 0
    watchdog_trips: int = 0


@dataclass(frozen=True, slots=True)
class _Resting:
    """A rest that the device has not confirmed."""

    number: int
    line: bytes
    due_ns: int
    tries: int


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
        self.state: wire.State | None = None
        self.counters = DispenserCounters()
        self._buffer = b""
        self._events: list[DispenserEvent] = []
        self._done: list[int] = []
        self._done_ns = 0
        self._resting: _Resting | None = None
        self._rests = 0

    @property
    def answered_hello(self) -> bool:
        """Whether the device has taken or refused the handshake."""
        return self.ready is not None or bool(self.refused)

    @property
    def at_rest(self) -> bool:
        """Whether every rest that was asked for is confirmed."""
        return self._resting is None

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
        self._rests = (self._rests + 1) & 0xFFFF
        line = wire.encode(wire.Rest(self.nonce, self._rests))
        self._resting = _Resting(self._rests, line, now_ns + self._settings.resend_ms * MS, 0)
        # One that was lost on its way must not be sent again to act after the rest.
        for command_id in self.book.open_ids():
            self.cancelling(command_id, now_ns)
        return line

    def lines_due(self, now_ns: int) -> list[bytes]:
        """Lines to write again now; raises `DispenserError` when that has gone on too long."""
        lines = self.book.due(now_ns)
        resting = self._resting
        if resting is not None and now_ns >= resting.due_ns:
            if resting.tries == self._settings.most_tries:
                raise DispenserError("the dispenser does not go to rest", do="Cut its power")
            lines.append(resting.line)
            due_ns = now_ns + self._settings.resend_ms * MS
            self._resting = _Resting(resting.number, resting.line, due_ns, resting.tries + 1)
        self.counters.resent += len(lines)
        return lines

    def done_line(self, now_ns: int) -> bytes:
        """The line that acknowledges reports, when enough of them or time have come together."""
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
                self.ready = message
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
            if self._resting is not None and self._resting.number == message.number:
                self._resting = None
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
            raise DispenserError(
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
            self._events += self.book.refuse(message.id, message.reason, read_ns)
            self._note_done(message.id, read_ns)

    def _take_pong(self, message: wire.Pong, read_ns: int) -> None:
        self.counters.watchdog_trips = message.trips
        if not self.pings.take(message, read_ns):
            raise DispenserError(
                "host and dispenser clocks contradict each other: one of them jumped",
                do="Check the board's crystal, or raise max_drift_ppm if it has none; then "
                "connect again",
            )

    def _note_done(self, command_id: int, now_ns: int) -> None:
        if not self._done:
            self._done_ns = now_ns + _DONE_WAIT_NS
        if command_id and command_id not in self._done:
            self._done.append(command_id)
