"""The dispenser that speaks drivers/PROTOCOL.md, over any link."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from drivers import protocol as wire
from drivers.clock_sync import ClockSync, RoundTrip
from drivers.command_book import CommandBook
from drivers.ports import Clock, Command, DispenserEvent, Link
from sorter.errors import DispenserError, LinkError

_MS = 1_000_000
_POLL_NS = 500_000
_DONE_WAIT_NS = 50 * _MS
_FIRST_PINGS = 8
_PINGS_KEPT = 16
_FAULTS_OF_OURS = ("FORMAT", "VERSION", "RANGE", "DUPLICATE")


class DispenserSettings(BaseModel):
    """How the host talks to the dispenser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    answer_ms: int = Field(
        2_000, ge=50, le=20_000, description="A command must be answered within this, ms"
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
    """What happened on the link since `SerialDispenser.connect`."""

    damaged_in: int = 0
    damaged_out: int = 0
    resent: int = 0
    pings: int = 0
    pongs: int = 0
    watchdog_trips: int = 0


class SerialDispenser:
    """`drivers.ports.Dispenser` over a link. No threads; `step` it often.

    Args:
        link: open link to the device.
        clock: host time.
        settings: times and limits.
        draw_session: gives a new 32-bit session nonce that is not 0; random unless a test or a
            simulation in virtual time wants the same every time.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        settings: DispenserSettings | None = None,
        *,
        draw_session: Callable[[], int] | None = None,
    ) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings or DispenserSettings()
        self._draw_session = draw_session or (lambda: 1 + secrets.randbelow(wire.MASK_32))
        self._session = 0
        self._ready: wire.Ready | None = None
        self._closed = False
        self._start_over()

    def _start_over(self) -> None:
        kept = self._settings
        self._tag = self._session & 0xFFFF
        self._ready = None
        self._buffer = b""
        self._sync = ClockSync(kept.max_drift_ppm, kept.max_wander_ppm_per_s)
        self._book = CommandBook(kept.resend_ms * _MS, kept.report_ms * _MS, kept.answer_ms * _MS)
        self._pings: dict[int, int] = {}
        self._ping_number = 0
        self._next_ping_ns = 0
        self._unanswered_ns: int | None = None
        self._done: list[int] = []
        self._done_ns = 0
        self._rest: tuple[int, bytes, int, int] | None = None
        self._rest_number = 0
        self._events: list[DispenserEvent] = []
        self._heard_any = False
        self._hello_refused = ""
        self.last_state: wire.State | None = None
        self.counters = DispenserCounters()

    # -- handshake ------------------------------------------------------------------------

    def connect(self) -> dict[str, Any]:
        """Handshake: new session, gate at rest, first clock estimate.

        Returns:
            What the device says of itself: name, version, outlets (the first is the rest
            outlet), queue, max_opening_us, max_ahead_us, watchdog_ms, cause (what ended before:
            BOOT, SESSION or WATCHDOG).

        Raises:
            LinkError: nothing answers. DispenserError: what answers does not speak the protocol.
        """
        deadline_ns = self._clock.now_ns() + self._settings.connect_ms * _MS
        self._link.read()
        self._say_hello(deadline_ns)
        while self._sync.samples < _FIRST_PINGS:
            self._pings.clear()
            self._ping()
            again_ns = self._clock.now_ns() + 200 * _MS
            if not self._poll_until(lambda: not self._pings, again_ns):
                self._fail_after(deadline_ns)
        self._next_ping_ns = self._clock.now_ns() + self._settings.ping_ms * _MS
        self._unanswered_ns = None
        if self._ready is None:
            raise DispenserError("the handshake was lost", do="Connect again")
        return asdict(self._ready)

    def _say_hello(self, deadline_ns: int) -> None:
        self._session = self._draw_session()
        self._start_over()
        while self._ready is None:
            hello = wire.Hello(self._session, wire.VERSION, self._settings.watchdog_ms)
            self._link.write(wire.encode(hello))
            again_ns = self._clock.now_ns() + 200 * _MS
            self._poll_until(lambda: self._ready is not None or bool(self._hello_refused), again_ns)
            if self._hello_refused == "SESSION":
                # The device remembers this nonce from before: draw another.
                self._session = self._draw_session()
                self._start_over()
            elif self._hello_refused:
                raise DispenserError(
                    f"the dispenser refuses the handshake: {self._hello_refused}",
                    do=f"Flash firmware that speaks version {wire.VERSION} of PROTOCOL.md",
                )
            elif self._ready is None:
                self._fail_after(deadline_ns)

    def _fail_after(self, deadline_ns: int) -> None:
        if self._clock.now_ns() < deadline_ns:
            return
        if self._heard_any:
            raise DispenserError(
                "what answers on this port does not speak the dispenser's protocol",
                do="Check the port's name, the baud rate and the firmware",
            )
        raise LinkError(
            f"no answer from the dispenser within {self._settings.connect_ms} ms",
            do="Check that it is switched on, that this is its port, and the baud rate",
        )

    def _poll_until(self, done: Callable[[], bool], deadline_ns: int) -> bool:
        # A link has no way to wait on: poll it, twice a millisecond, up to a deadline.
        while not done():
            now_ns = self._clock.now_ns()
            if now_ns >= deadline_ns:
                return False
            self._clock.wait_until(min(deadline_ns, now_ns + _POLL_NS))
            self._receive()
        return True

    # -- the device's clock ---------------------------------------------------------------

    @property
    def drift_ppm(self) -> float:
        """How much faster the device's clock runs than the host's, by the current estimate."""
        return self._sync.drift_ppm

    def to_device_us(self, host_ns: int) -> int:
        """Device time (unwrapped, µs) of a host time, by the current estimate."""
        return self._sync.device_us(host_ns)

    def to_host_ns(self, device_us: int) -> int:
        """Host time of an unwrapped device time, by the current estimate."""
        return self._sync.host_ns(device_us)

    def clock_bound_us(self, host_ns: int) -> int:
        """Half width of the interval around `to_device_us` that holds the true device time."""
        return self._sync.bound_us(host_ns)

    # -- commands -------------------------------------------------------------------------

    def send(self, command: Command, now_ns: int) -> None:
        """Write the command; returns after the last byte is handed to the port.

        Raises:
            DispenserError: not connected, an outlet that the device lacks, an id that is in
                use, or an opening that the wire can't carry. LinkError: the port is gone.
        """
        length_us = command.close_us - command.open_us
        if self._ready is None:
            raise DispenserError("not connected", do="Call connect first")
        if command.outlet not in self._ready.outlets[1:] or command.id in self._book:
            raise DispenserError(
                "no such outlet, or an id that is in use", on=command, do="Report this as a bug"
            )
        if not 0 < length_us <= self._ready.max_opening_us or not 0 < command.id <= wire.MASK_32:
            raise DispenserError("opening or id out of range", on=command, do="Shorten the opening")
        line = wire.encode(
            wire.Open(
                self._session,
                command.id,
                command.outlet,
                command.open_us & wire.MASK_32,
                length_us,
            )
        )
        self._write(line, now_ns)
        self._book.asked(command, line, now_ns)

    def cancel(self, command_id: int, now_ns: int) -> None:
        """Withdraw a queued command, or close an open one now; nothing for a settled one."""
        line = wire.encode(wire.Cancel(self._session, command_id))
        if self._book.withdraw(command_id, line, now_ns):
            self._write(line, now_ns)

    def rest(self, now_ns: int) -> None:
        """Gate to rest now, queue emptied."""
        self._rest_number = (self._rest_number + 1) & 0xFFFF
        line = wire.encode(wire.Rest(self._session, self._rest_number))
        self._write(line, now_ns)
        resend_ns = self._settings.resend_ms * _MS
        give_up_ns = now_ns + self._settings.answer_ms * _MS
        self._rest = (self._rest_number, line, now_ns + resend_ns, give_up_ns)
        # One that was lost on its way must not be sent again to act after the rest.
        for command_id in self._book.open_ids():
            cancel = wire.encode(wire.Cancel(self._session, command_id))
            self._book.withdraw(command_id, cancel, now_ns)

    def ask_state(self, now_ns: int) -> None:
        """Ask for the device's counters; the answer appears in ``last_state``."""
        self._write(wire.encode(wire.Status(self._session)), now_ns)

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """Read what arrived, resend what is due, keep the clock estimate; never blocks.

        Raises:
            LinkError: the port is gone, or the device has been silent for too long.
            DispenserError: the device lost its session, its clock jumped, or it does not settle
                a command.
        """
        self._receive()
        if self._unanswered_ns is not None:
            silent_ms = (now_ns - self._unanswered_ns) // _MS
            if silent_ms > self._settings.silent_ms:
                raise LinkError(
                    f"the dispenser has been silent for {silent_ms} ms",
                    do="Check its cable and power; it went to rest by itself",
                )
        for line in self._book.due(now_ns):
            self._write(line, now_ns)
            self.counters.resent += 1
        if self._done and (len(self._done) >= wire.MAX_DONE_IDS or now_ns >= self._done_ns):
            self._write_done(now_ns)
        if now_ns >= self._next_ping_ns:
            self._ping()
            self._next_ping_ns = now_ns + self._settings.ping_ms * _MS
            self._check_overdue(now_ns)
        self._repeat_rest(now_ns)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Gate to rest, then release the link; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._ready is not None:
                now_ns = self._clock.now_ns()
                self.rest(now_ns)
                self._poll_until(lambda: self._rest is None, now_ns + 200 * _MS)
        except (LinkError, DispenserError):
            # Nothing more can be said to it: its own watchdog takes the gate to rest.
            pass
        finally:
            self._ready = None
            self._link.close()

    # -- lines out ------------------------------------------------------------------------

    def _write(self, line: bytes, now_ns: int) -> None:
        self._link.write(line)
        if self._unanswered_ns is None:
            self._unanswered_ns = now_ns

    def _ping(self) -> None:
        self._ping_number = (self._ping_number + 1) & 0xFFFF
        line = wire.encode(wire.Ping(self._session, self._ping_number))
        # Read the clock as late as can be: what passes before the write widens the bound.
        sent_ns = self._clock.now_ns()
        self._write(line, sent_ns)
        self._pings[self._ping_number] = sent_ns
        if len(self._pings) > _PINGS_KEPT:
            del self._pings[next(iter(self._pings))]
        self.counters.pings += 1

    def _write_done(self, now_ns: int) -> None:
        some, self._done = self._done[: wire.MAX_DONE_IDS], self._done[wire.MAX_DONE_IDS :]
        # The only line that gets no answer, so it doesn't count as a question.
        self._link.write(wire.encode(wire.Done(self._session, tuple(some))))
        self._done_ns = now_ns + _DONE_WAIT_NS

    def _repeat_rest(self, now_ns: int) -> None:
        if self._rest is None:
            return
        number, line, due_ns, give_up_ns = self._rest
        if now_ns > give_up_ns:
            raise DispenserError("the dispenser does not go to rest", do="Cut its power")
        if now_ns >= due_ns:
            self._write(line, now_ns)
            self._rest = (number, line, now_ns + self._settings.resend_ms * _MS, give_up_ns)

    def _check_overdue(self, now_ns: int) -> None:
        command_id = self._book.overdue(now_ns)
        if command_id is not None:
            raise DispenserError(
                f"the dispenser neither refused nor reported command {command_id}",
                do="Check its firmware; the gate was sent to rest",
            )

    # -- lines in -------------------------------------------------------------------------

    def _receive(self) -> None:
        data = self._link.read()
        if not data:
            return
        # Read the clock after the read: a round trip must not look shorter than it was.
        read_ns = self._clock.now_ns()
        self._heard_any = True
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
            self._book.hurry(read_ns)
            return
        except wire.BadLine as error:
            if self._ready is None:
                return
            raise DispenserError(
                f"the dispenser says what PROTOCOL.md does not know: {error}",
                on=line.decode("ascii", "replace"),
                do="Check its firmware's version",
            ) from error
        if isinstance(message, wire.Ready):
            if message.session == self._session:
                self._ready = message
                self._unanswered_ns = None
        elif message.tag == self._tag or (isinstance(message, wire.Nak) and message.id == 0):
            self._unanswered_ns = None
            self._take(message, read_ns)

    def _take(self, message: wire.ToHost, read_ns: int) -> None:
        if isinstance(message, wire.Ack):
            command = self._book.command(message.id)
            if command is not None:
                close_ns = self._sync.host_ns(command.close_us)
                self._events += self._book.acknowledge(message.id, close_ns, read_ns)
        elif isinstance(message, wire.Exec):
            self._take_exec(message, read_ns)
        elif isinstance(message, wire.Nak):
            self._take_nak(message, read_ns)
        elif isinstance(message, wire.Pong):
            self._take_pong(message, read_ns)
        elif isinstance(message, wire.Rested):
            if self._rest is not None and self._rest[0] == message.number:
                self._rest = None
        elif isinstance(message, wire.State):
            self.last_state = message

    def _take_exec(self, message: wire.Exec, read_ns: int) -> None:
        command = self._book.command(message.id)
        if command is not None:
            opened_us = wire.unwrap_us(message.opened_us, command.open_us)
            closed_us = opened_us + message.length_us
            self._events += self._book.execute(message.id, opened_us, closed_us, read_ns)
        self._note_done(message.id, read_ns)

    def _take_nak(self, message: wire.Nak, read_ns: int) -> None:
        if message.reason == "CRC":
            self.counters.damaged_out += 1
            self._book.hurry(read_ns)
        elif self._ready is None:
            self._hello_refused = message.reason if message.tag == self._tag else ""
        elif message.tag != self._tag:
            return
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
            self._events += self._book.refuse(message.id, message.reason, read_ns)
            self._note_done(message.id, read_ns)

    def _take_pong(self, message: wire.Pong, read_ns: int) -> None:
        sent_ns = self._pings.pop(message.number, None)
        if sent_ns is None:
            return
        self.counters.pongs += 1
        self.counters.watchdog_trips = message.trips
        near_us = self._sync.device_us(read_ns) if self._sync.known else message.received_us
        received_us = wire.unwrap_us(message.received_us, near_us)
        per_byte_ns = self._settings.least_us_per_byte * 1e3
        trip = RoundTrip(
            sent_ns,
            received_us,
            wire.unwrap_us(message.sent_us, received_us),
            read_ns,
            int(per_byte_ns * len(wire.encode(wire.Ping(self._session, message.number)))),
            int(per_byte_ns * len(wire.encode(message))),
        )
        if not self._sync.add(trip):
            raise DispenserError(
                "host and dispenser clocks contradict each other: one of them jumped",
                do="Check the board's crystal, or raise max_drift_ppm if it has none; then "
                "connect again",
            )

    def _note_done(self, command_id: int, now_ns: int) -> None:
        if not self._done:
            self._done_ns = now_ns + _DONE_WAIT_NS
        if command_id not in self._done:
            self._done.append(command_id)
