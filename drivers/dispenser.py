"""The dispenser that speaks drivers/PROTOCOL.md, over any link."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from drivers import protocol as wire
from drivers.dispenser_session import MS, DispenserSession, ExposurePulses
from drivers.dispenser_settings import DispenserCounters, DispenserSettings
from drivers.levels import Kind
from drivers.ports import Clock, Command, DispenserEvent, Guarantees, Link
from drivers.silence import Silence
from sorter.errors import DispenserError, LinkError

__all__ = ["DispenserCounters", "DispenserSettings", "ExposurePulses", "SerialDispenser"]

_POLL_NS = MS // 2
_HELLO_AGAIN_NS = 200 * MS
_PING_AGAIN_NS = 50 * MS
_CLOSE_NS = 200 * MS
_FIRST_PINGS = 8
_SOONER = 4
_WIDE_US = 1_000


class SerialDispenser:
    """`drivers.ports.Dispenser` over a link. No threads; `step` it often.

    Args:
        link: open link to the device.
        clock: host time.
        settings: times and limits.
        draw_session: gives a new session nonce, 1 to 2**32 - 1; random where none is given.
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
        self._session = DispenserSession(0, self._settings)
        self._next_ping_ns = 0
        self._silence = Silence(self._settings.silent_ms)
        self._heard = 0
        self._answered = 0
        self._closed = False
        self._failed: LinkError | DispenserError | None = None

    # -- handshake ------------------------------------------------------------------------

    def connect(self) -> dict[str, Any]:
        """Handshake: new session, gate at rest, pump held, first clock estimate.

        Returns:
            What the device says of itself: name, version, outlets (the first is the rest
            outlet), queue, max_opening_us, max_ahead_us, watchdog_ms, cause (what ended before:
            BOOT, SESSION or WATCHDOG), estop (what latched the emergency stop, or empty), held.

        Raises:
            LinkError: nothing answers. DispenserError: what answers does not speak the protocol.
        """
        deadline_ns = self._clock.now_ns() + self._settings.connect_ms * MS
        stale = self._link.read()
        ready = self._say_hello(deadline_ns, bool(stale))
        for wanted in range(1, _FIRST_PINGS + 1):
            self._first_ping(wanted, deadline_ns)
        self._next_ping_ns = self._clock.now_ns() + self._settings.ping_ms * MS
        self._silence.broken()
        return asdict(ready)

    def arm(self) -> None:
        """Clear the emergency stop by its edge, and wait until the device says that it is clear.

        Stops that had not been told yet are not told any more: this is the answer to them.

        Raises:
            LinkError: nothing answers. DispenserError: not connected, or the stop stays latched.
        """
        self._need_connection()
        safety = self._session.safety
        deadline_ns = self._clock.now_ns() + self._settings.connect_ms * MS
        while True:
            for level in (0, 1):
                self._write(safety.reset(level, self._clock.now_ns()), self._clock.now_ns())
                self._wait_for(Kind.RESET, deadline_ns)
            if not safety.estop:
                self._session.forget_stops()
                return
            if safety.verdicts.get(Kind.RESET) == "PIN":
                raise DispenserError(
                    f"the emergency stop stays latched ({safety.estop}): its button is pressed",
                    do="Release the emergency stop button and start again",
                )
            if self._clock.now_ns() >= deadline_ns:
                raise DispenserError(
                    f"the emergency stop stays latched ({safety.estop})",
                    do="Check the emergency stop's wiring and the firmware, then start again",
                )

    def _wait_for(self, kind: Kind, deadline_ns: int) -> None:
        """Say what is due until a level is answered; raises `LinkError` when it never is."""
        while kind in self._session.levels:
            if self._clock.now_ns() >= deadline_ns:
                raise LinkError(
                    f"no answer from the dispenser within {self._settings.connect_ms} ms",
                    do="Check its cable and power; its watchdog takes the gate to rest",
                )
            self._say_again_and_poll(lambda: kind not in self._session.levels)

    def _say_again_and_poll(self, done: Callable[[], bool]) -> None:
        now_ns = self._clock.now_ns()
        for line in self._session.levels.due(now_ns):
            self._write(line, now_ns)
        self._poll_until(done, self._settings.resend_ms * MS)

    def _need_connection(self) -> None:
        if self._session.ready is None:
            raise DispenserError("not connected", do="Call connect first")

    def _start_session(self) -> None:
        self._session = DispenserSession(self._draw_session(), self._settings)
        self._heard = 0
        self._answered = 0

    def _say_hello(self, deadline_ns: int, heard: bool) -> wire.Ready:
        self._start_session()
        while True:
            self._link.write(self._session.hello())
            heard = self._poll_until(lambda: self._session.answered_hello, _HELLO_AGAIN_NS) or heard
            if self._session.ready is not None:
                return self._session.ready
            if self._session.refused == "SESSION":
                # The device remembers this nonce from before: draw another.
                self._start_session()
            elif self._session.refused:
                raise DispenserError(
                    f"the dispenser refuses the handshake: {self._session.refused}",
                    do=f"Flash firmware that speaks version {wire.VERSION} of PROTOCOL.md",
                )
            self._fail_after(deadline_ns, heard)

    def _first_ping(self, wanted: int, deadline_ns: int) -> None:
        heard = False
        while self._session.pings.answered < wanted:
            self._ping()
            came = self._poll_until(lambda: self._session.pings.answered >= wanted, _PING_AGAIN_NS)
            heard = heard or came
            self._fail_after(deadline_ns, heard)

    def _fail_after(self, deadline_ns: int, heard: bool) -> None:
        if self._clock.now_ns() < deadline_ns:
            return
        if heard:
            raise DispenserError(
                "what answers on this port does not speak the dispenser's protocol",
                do="Check the port's name, the baud rate and the firmware",
            )
        raise LinkError(
            f"no answer from the dispenser within {self._settings.connect_ms} ms",
            do="Check that it is switched on, that this is its port, and the baud rate",
        )

    def _poll_until(self, done: Callable[[], bool], longest_ns: int) -> bool:
        """Take what comes until ``done``; whether any byte came."""
        # A link has nothing to wait on: poll it, twice a millisecond, up to a deadline.
        came = False
        deadline_ns = self._clock.now_ns() + longest_ns
        while not done() and (now_ns := self._clock.now_ns()) < deadline_ns:
            self._clock.wait_until(min(deadline_ns, now_ns + _POLL_NS))
            came = self._receive() or came
        return came

    # -- the device's clock ---------------------------------------------------------------

    @property
    def drift_ppm(self) -> float:
        """How much faster the device's clock runs than the host's, by the current estimate."""
        return self._session.sync.drift_ppm

    def to_device_us(self, host_ns: int) -> int:
        """Device time (unwrapped, µs) of a host time, by the current estimate."""
        return self._session.sync.device_us(host_ns)

    def to_host_ns(self, device_us: int) -> int:
        """Host time of an unwrapped device time, by the current estimate."""
        return self._session.sync.host_ns(device_us)

    def clock_bound_us(self, host_ns: int) -> int:
        """Half width of the interval around `to_device_us` that holds the true device time."""
        return self._session.sync.bound_us(host_ns)

    # -- stop and hold --------------------------------------------------------------------

    def guarantees(self) -> Guarantees:
        """What a device that speaks the protocol promises: everything."""
        return Guarantees(
            device_clock=True, watchdog=True, estop=True, reports=True, holds_pump=True
        )

    @property
    def estop(self) -> str:
        """What latched the emergency stop, as far as is known; empty when it is clear."""
        return self._session.safety.estop

    @property
    def held(self) -> bool:
        """Whether the device holds the pump, as far as is known."""
        return self._session.safety.held

    @property
    def exposures(self) -> ExposurePulses | None:
        """What the device last said of the camera's exposure pulses."""
        return self._session.exposures

    def hold(self, now_ns: int) -> None:
        """Hold the pump now; said again until the device confirms it."""
        self._need_connection()
        self._write(self._session.safety.hold(now_ns), now_ns)

    def flow(self, now_ns: int) -> None:
        """Let the pump run; raises `DispenserError` when the emergency stop was never cleared."""
        self._need_connection()
        self._write(self._session.safety.flow(now_ns), now_ns)

    def stop(self, now_ns: int) -> None:
        """Emergency stop: pump held, gate to rest, commands withdrawn, all latched until `arm`."""
        self._need_connection()
        self._write(self._session.stopping(now_ns), now_ns)

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """Tell upstream and downstream machines how this one is."""
        self._need_connection()
        mask = wire.LINE_READY * ready | wire.LINE_HOLD * hold | wire.LINE_FAULT * fault
        self._write(self._session.safety.lines(mask, now_ns), now_ns)

    def light(self, at_us: int, length_us: int, now_ns: int) -> None:
        """Light from device time ``at_us`` on, for ``length_us``; a later one replaces it.

        Whether the device took it appears in `light_verdict`.
        """
        self._need_connection()
        line = self._session.safety.led(at_us & wire.MASK_32, length_us, now_ns)
        self._write(line, now_ns)

    @property
    def light_verdict(self) -> str:
        """The device's answer to the last `light`: OK or RANGE; empty until it has come."""
        return self._session.safety.verdicts.get(Kind.LED, "")

    # -- commands -------------------------------------------------------------------------

    def send(self, command: Command, now_ns: int) -> None:
        """Write the command; returns after the last byte is handed to the port.

        One that can't come in time (``LATE``), or find a place (``FULL``), is only told by `step`.

        Raises:
            DispenserError: not connected, an outlet that the device lacks, an id that is in
                use, or an opening that the wire can't carry. LinkError: the port is gone.
        """
        lines = self._session.opening(command, now_ns)
        for line in lines:
            self._write(line, now_ns)
        if lines:
            self._session.book.asked(command, lines[-1], now_ns)

    def cancel(self, command_id: int, now_ns: int) -> None:
        """Withdraw a queued command, or close an open one now; nothing for a settled one."""
        line = self._session.cancelling(command_id, now_ns)
        for _ in range(2 if line else 0):  # a line may get lost, and this one keeps somebody out
            self._write(line, now_ns)

    def rest(self, now_ns: int) -> None:
        """Gate to rest now, queue emptied; commands not yet settled are withdrawn."""
        self._need_connection()
        self._write(self._session.resting(now_ns), now_ns)

    def ask_state(self, now_ns: int) -> None:
        """Ask for the device's counters; the answer appears in ``last_state``."""
        self._write(wire.encode(wire.Status(self._session.nonce)), now_ns)

    @property
    def last_state(self) -> wire.State | None:
        """The device's last answer to `ask_state`."""
        return self._session.state

    @property
    def counters(self) -> DispenserCounters:
        """What happened on the link since `connect`."""
        return self._session.counters

    @property
    def unsettled(self) -> int:
        """How many commands the device has neither refused nor reported."""
        return len(self._session.book)

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """Read what arrived, resend what is due, keep the clock estimate; never blocks.

        What came before a failure is told first: then the next call raises it.

        Raises:
            LinkError: the port is gone, or the device has been silent for too long.
            DispenserError: the device lost its session, its clock jumped, or it does not settle
                a command.
        """
        if self._failed is None:
            try:
                self._turn(now_ns)
            except (LinkError, DispenserError) as error:
                self._failed = error
        events = self._session.take_events()
        if self._failed is not None and not events:
            failed, self._failed = self._failed, None
            raise failed
        return events

    def _turn(self, now_ns: int) -> None:
        self._receive()
        self._silence.check(now_ns)
        for line in self._session.lines_due(now_ns):
            self._write(line, now_ns)
        for line in self._session.receipts(now_ns):
            # They get no answer, so they don't count as questions.
            self._link.write(line)
        if now_ns >= self._next_ping_ns:
            self._session.check_overdue()
            self._ping()
            # Sooner when this one finds no answer, so that a lossy link is not taken for silence.
            self._next_ping_ns = now_ns + self._settings.ping_ms * MS // _SOONER

    def close(self) -> None:
        """Pump held, then gate to rest, then release the link; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._session.ready is not None:
                self._hold_and_rest()
        except (LinkError, DispenserError):
            # Nothing more can be said to it: its own watchdog holds the pump and rests the gate.
            pass
        finally:
            self._session.ready = None
            self._link.close()

    def _hold_and_rest(self) -> None:
        now_ns = self._clock.now_ns()
        self.hold(now_ns)
        self.rest(now_ns)
        levels = self._session.levels
        deadline_ns = now_ns + _CLOSE_NS
        while (Kind.PUMP in levels or Kind.REST in levels) and self._clock.now_ns() < deadline_ns:
            self._say_again_and_poll(lambda: Kind.PUMP not in levels and Kind.REST not in levels)

    def _write(self, line: bytes, now_ns: int) -> None:
        self._link.write(line)
        self._session.wire_time.written(len(line), now_ns)
        self._silence.asked(now_ns)

    def _ping(self) -> None:
        line = self._session.pings.next_line()
        # Read the clock as late as can be: what passes before the write widens the bound.
        sent_ns = self._clock.now_ns()
        self._session.pings.sent(line, sent_ns)
        self._write(line, sent_ns)

    def _receive(self) -> bool:
        """Take what has arrived; whether anything has."""
        data = self._link.read()
        if not data:
            return False
        # Read the clock after the read: a round trip must not look shorter than it was.
        session = self._session
        now_ns = self._clock.now_ns()
        session.take(data, now_ns)
        if session.heard != self._heard:
            self._heard = session.heard
            self._silence.broken()
            if session.pings.answered != self._answered:
                self._answered = session.pings.answered
                self._next_ping_ns = now_ns + self._ping_wait_ns(now_ns)
        return True

    def _ping_wait_ns(self, now_ns: int) -> int:
        """Until the next question: half as long while the answers leave the clock uncertain."""
        wait_ns = self._settings.ping_ms * MS
        return wait_ns // 2 if self._session.sync.bound_us(now_ns) > _WIDE_US else wait_ns
