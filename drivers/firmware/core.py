"""The dispenser's wire: lines, sessions and the watchdog, as drivers/PROTOCOL.md says.

The same file runs under MicroPython on the board (board.py gives it pins and bytes) and under
CPython behind a simulated port. It never waits: the caller feeds bytes and steps it, often.

Device time is the board's microsecond counter extended to 32 unsigned bits. Two times are
compared by their difference modulo 2**32, so a wrap between them is not noticed.
"""

from drivers.firmware.alarm import Plan
from drivers.firmware.counter import Counter
from drivers.firmware.hal import Hal
from drivers.firmware.inputs import Inputs, Led, Passage
from drivers.firmware.openings import (
    DONE,
    MASK,
    MAX_AHEAD_US,
    MAX_OPENING_US,
    REFUSED,
    Openings,
    Slot,
    since,
)
from drivers.firmware.safety import Safety
from drivers.firmware.wire import crc16, number, sooner

__all__ = ["Core", "Hal"]

VERSION = 2
MAX_LINE = 192
MIN_WATCHDOG_MS = 50
MAX_WATCHDOG_MS = 10000
PAST_SESSIONS = 4


class Core:
    """The device: one session, one queue of openings, one gate, one pump that it can hold.

    Args:
        hal: the board.
        outlets: names of 1 to 12 of a-z, 0-9 and _, at most 8; the first is the rest outlet.
        name: what the device calls itself, 1 to 24 letters, digits, dots and dashes.
        queue: how many commands it holds at once, those not yet reported included.
    """

    def __init__(
        self,
        hal: Hal,
        outlets: tuple[str, ...] = ("waste", "collect"),
        name: str = "spheroid-dispenser",
        queue: int = 64,
    ) -> None:
        self._hal = hal
        self._outlets = outlets
        self._outlet_bytes = [outlet.encode() for outlet in outlets]
        self._name = name
        # Hold before rest, always.
        hal.set_pump(True)
        self._openings = Openings(hal, queue, len(outlets))
        self._plan = Plan(hal, self._openings)
        self._safety = Safety(hal, self._openings)
        self._inputs = Inputs()
        self._led = Led(hal)
        self._line = bytearray(MAX_LINE)
        self._length = 0
        self._counter = Counter(hal)
        self._session = 0
        self._past = [0] * PAST_SESSIONS
        self._watchdog_us = 0
        self._heard_us = 0
        self._tripped = False
        self._cause = "BOOT"
        self._damaged = 0
        self._trips = 0

    # -- stepped by the board -------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take bytes from the host, in the order in which they came."""
        for byte in data:
            if byte == 10:
                length = self._length
                self._length = 0
                if length:
                    self._receive(length)
            elif self._length < MAX_LINE:
                self._line[self._length] = byte
                self._length += 1

    def step(self) -> None:
        """Do what is due: emergency stop, watchdog, gate edges, LED, then what is to be told."""
        self._plan.begin(self.device_us)
        now = self._counter.tick()
        self._urgent(now)
        until = (self._heard_us + self._watchdog_us) & MASK
        self._plan.end(now, self._counter.raw_us, until)
        if not self._session or self._tripped:
            return
        self._tell(now)
        if self._openings.report_in_us(now) == 0:
            for slot in self._openings.overdue(now):
                slot.sent_us = now
                self._answer(slot)
        if self._inputs.passages.due_in_us(now) == 0:
            for passage in self._inputs.passages.due(now):
                self._passage(passage)

    def due_in_us(self) -> int:
        """Microseconds until `step` has something to do, 0 when it has, -1 when it never will.

        Pins are not looked at: step after one of them has changed.
        """
        now = self._counter.tick()
        if self._counter.went_back:
            return 0
        due = sooner(self.edge_in_us(), self._led.due_in_us(now))
        if self._session and not self._tripped:
            due = sooner(due, max(0, self._watchdog_us - since(now, self._heard_us)))
            due = sooner(due, self._openings.report_in_us(now))
            due = sooner(due, self._inputs.due_in_us(now))
            if self._safety.untold:
                due = 0
        return due

    def edge_in_us(self) -> int:
        """Microseconds until the gate may have to move, 0 when it is due, -1 when it never will."""
        return self._openings.edge_in_us(self._counter.tick())

    def device_us(self, ticks_us: int) -> int:
        """Device time of a reading of the board's counter, less than half its period ago."""
        return self._counter.at(ticks_us)

    def pulse(self, at_us: int) -> None:
        """The camera exposed, at this device time."""
        self._inputs.pulse(at_us)

    def dark(self, outlet: int, began_us: int, length_us: int) -> None:
        """The optical gate of an outlet, by its index, was dark from this device time on."""
        if self._session:
            self._inputs.passages.add(outlet, began_us & MASK, length_us)

    @property
    def estop(self) -> str:
        """What latched the emergency stop; empty when it is clear."""
        return self._safety.cause

    def _urgent(self, now: int) -> None:
        # A stop that is due with an edge comes first: the gate then does not move at all.
        self._safety.watch(now)
        self._inputs.switches.mask = int(self._hal.pedal()) | 2 * int(self._safety.pin)
        if self._session and not self._tripped and since(now, self._heard_us) >= self._watchdog_us:
            self._trip(now)
        if self._counter.went_back:
            # How long the gate has been open, and when what is queued is due, nobody can tell.
            self._counter.went_back = False
            self._openings.drop_all("MISSED", now)
        self._openings.edges(now)
        self._led.edges(now)

    def _trip(self, now: int) -> None:
        self._tripped = True
        self._trips += 1
        self._safety.latch("WATCHDOG", "WATCHDOG", now)
        # Nobody listens: the reports wait for the next contact.
        self._openings.fresh.clear()

    # -- lines in -------------------------------------------------------------------------

    def _receive(self, length: int) -> None:
        self._plan.begin(self.device_us)
        now = self._counter.tick()
        self._urgent(now)
        # What is planned may not be so any more after this line.
        self._hal.drop_plan()
        line = bytes(self._line[:length])
        if (
            length == MAX_LINE
            or length < 6
            or line[length - 5] != 42
            or number(line[length - 4 :], 4) != crc16(line[: length - 5])
        ):
            self._damaged += 1
            self._nak(self._session, 0, "CRC")
            return
        self._obey(line[: length - 5].split(b" "), now)
        if self._session and not self._tripped:
            self._tell(now)

    def _obey(self, words: list[bytes], now: int) -> None:
        session = number(words[1], 8) if len(words) > 1 else -1
        if session == 0 and words[0] == b"STATUS" and len(words) == 2:
            self._state(0, now)
        elif session <= 0:
            self._nak(self._session, 0, "FORMAT")
        elif words[0] == b"HELLO":
            self._hello(session, words, now)
        elif session != self._session:
            self._nak(session, self._id_of(words), "SESSION")
        else:
            self._heard(now)
            if not self._act(words[0], words, now):
                self._nak(session, 0, "FORMAT")

    def _act(self, verb: bytes, words: list[bytes], now: int) -> bool:
        count = len(words)
        if verb == b"O" and count == 6:
            return self._open(words, now)
        if verb == b"D" and count >= 3:
            return self._done(words)
        if verb == b"PING" and count == 3 and number(words[2], 4) >= 0:
            self._pong(words[2], now)
        elif verb == b"CANCEL" and count == 3 and number(words[2]) > 0:
            command_id = number(words[2])
            self._reply(command_id, self._openings.cancel(command_id, now))
        elif verb == b"REST" and count == 3 and number(words[2], 4) >= 0:
            self._openings.drop_all("RESTED", now)
            self._report_fresh(now)
            self._say("RESTED %04X %s" % (self._session & 0xFFFF, words[2].decode()))
        elif verb == b"STATUS" and count == 2:
            self._state(self._session, now)
        else:
            return self._order(verb, words, now)
        return True

    def _order(self, verb: bytes, words: list[bytes], now: int) -> bool:
        """The verbs that `S` answers, and `SEEN`."""
        count = len(words)
        told = number(words[2], 4) if count > 2 else -1
        last = words[count - 1]
        if verb == b"SEEN" and count == 3 and number(last) > 0:
            self._inputs.passages.seen(number(last))
            return True
        if told < 0:
            return False
        if verb == b"HOLD" and count == 3:
            verdict = self._safety.hold(told, self._counter.uptime_s)
        elif verb == b"FLOW" and count == 3:
            verdict = self._safety.flow(told, self._counter.uptime_s)
        elif verb == b"STOP" and count == 3:
            verdict = self._safety.stop(told, self._counter.uptime_s, now)
        elif verb == b"RESET" and count == 4 and number(last, 1) >= 0:
            verdict = self._safety.reset(told, number(last, 1), self._counter.uptime_s)
        elif verb == b"LINES" and count == 4 and number(last, 2) >= 0:
            verdict = self._safety.lines(told, number(last, 2), self._counter.uptime_s)
        elif verb == b"LED" and count == 5 and number(words[3], 8) >= 0 and number(last, 6) >= 0:
            verdict = self._led.schedule(told, number(words[3], 8), number(last, 6), now)
        else:
            return False
        self._report_fresh(now)
        self._stands(told, verdict)
        return True

    def _id_of(self, words: list[bytes]) -> int:
        if words[0] in (b"O", b"CANCEL") and len(words) > 2:
            return max(0, number(words[2]))
        return 0

    def _heard(self, now: int) -> None:
        self._heard_us = now
        if self._tripped:
            self._tripped = False
            self._openings.report_at(now)
            self._inputs.wake(now)

    def _hello(self, session: int, words: list[bytes], now: int) -> None:
        version = number(words[2]) if len(words) == 4 else -1
        watchdog_ms = number(words[3]) if len(words) == 4 else -1
        if version < 0 or watchdog_ms < 0:
            self._nak(session, 0, "FORMAT")
        elif version != VERSION:
            self._nak(session, 0, "VERSION")
        elif session in self._past:
            self._nak(session, 0, "SESSION")
        elif not MIN_WATCHDOG_MS <= watchdog_ms <= MAX_WATCHDOG_MS:
            self._nak(session, 0, "RANGE")
        else:
            if session != self._session:
                self._begin(session, watchdog_ms, now)
            self._heard(now)
            self._ready(now)

    def _begin(self, session: int, watchdog_ms: int, now: int) -> None:
        self._safety.begin(now)
        self._openings.forget()
        self._inputs.forget()
        self._led.forget()
        if self._session:
            self._cause = "WATCHDOG" if self._tripped else "SESSION"
            self._past.pop(0)
            self._past.append(self._session)
        self._session = session
        self._watchdog_us = watchdog_ms * 1000

    def _open(self, words: list[bytes], now: int) -> bool:
        command_id = number(words[2])
        open_us = number(words[4], 8)
        length_us = number(words[5], 6)
        if command_id <= 0 or open_us < 0 or length_us < 0 or not words[3]:
            return False
        outlet = self._outlet_bytes.index(words[3]) if words[3] in self._outlet_bytes else -1
        self._reply(command_id, self._openings.open(command_id, outlet, open_us, length_us, now))
        return True

    def _done(self, words: list[bytes]) -> bool:
        for word in words[2:]:
            if number(word) <= 0:
                return False
        for word in words[2:]:
            self._openings.done(number(word))
        return True

    # -- lines out ------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._hal.write(("%s*%04X\n" % (text, crc16(text.encode()))).encode())

    def _nak(self, session: int, command_id: int, reason: str) -> None:
        self._say("N %04X %X %s" % (session & 0xFFFF, command_id, reason))

    def _reply(self, command_id: int, reason: str) -> None:
        """Refuse for a reason that is not remembered, or say what is remembered."""
        if reason:
            self._nak(self._session, command_id, reason)
            return
        slot = self._openings.known(command_id)
        if slot not in self._openings.fresh:
            self._answer(slot)

    def _answer(self, slot: Slot) -> None:
        """Say what became of a command, as often as it is asked."""
        tag = self._session & 0xFFFF
        if slot.state == DONE:
            # A counter that jumps back makes it negative, which no line can carry.
            length_us = max(0, min(since(slot.closed_us, slot.opened_us), 0xFFFFFF))
            self._say("E %04X %X %08X %06X" % (tag, slot.id, slot.opened_us, length_us))
        elif slot.state == REFUSED:
            self._nak(tag, slot.id, slot.reason)
        else:
            self._say("A %04X %X" % (tag, slot.id))

    def _report_fresh(self, now: int) -> None:
        for slot in self._openings.fresh:
            slot.sent_us = now
            self._answer(slot)
        self._openings.fresh.clear()

    def _tell(self, now: int) -> None:
        """What happened by itself since the host was told."""
        self._report_fresh(now)
        if self._safety.untold:
            self._safety.untold = False
            self._stands(0, "-")
        if self._inputs.switches.is_due(now):
            self._say("I %04X %02X" % (self._session & 0xFFFF, self._levels()))

    def _passage(self, passage: Passage) -> None:
        where = "%04X %X %s" % (self._session & 0xFFFF, passage.seq, self._outlets[passage.outlet])
        self._say("G %s %08X %06X" % (where, passage.began_us, passage.length_us))

    def _stop_and_hold(self) -> str:
        return "%s %d" % (self._safety.cause or "-", self._safety.held)

    def _stands(self, told: int, verdict: str) -> None:
        tag = self._session & 0xFFFF
        self._say("S %04X %04X %s %s" % (tag, told, verdict, self._stop_and_hold()))

    def _levels(self) -> int:
        return (self._inputs.switches.mask | self._hal.dark() << 2) & 0xFF

    def _ready(self, now: int) -> None:
        session = "%08X %X %s %X" % (self._session, VERSION, self._name, self._openings.queue)
        limits = "%X %X %X" % (MAX_OPENING_US, MAX_AHEAD_US, self._watchdog_us // 1000)
        cause = "%s %s" % (self._cause, self._stop_and_hold())
        self._say("READY %s %s %08X %s %s" % (session, limits, now, ",".join(self._outlets), cause))

    def _pong(self, ping: bytes, now: int) -> None:
        tag = self._session & 0xFFFF
        pulses = "%08X %08X" % (self._inputs.pulses, self._inputs.last_us)
        times = "%08X %08X %X" % (now, self._counter.tick(), self._trips)
        self._say("PONG %04X %s %s %s" % (tag, ping.decode(), times, pulses))

    def _state(self, session: int, now: int) -> None:
        queue = self._openings
        gate = self._outlets[queue.at]
        waiting = "%X %X %X" % (len(queue.live), queue.unreported, queue.last_id)
        counts = "%X %X %X %X" % (queue.accepted, queue.executed, queue.refused, self._damaged)
        life = "%X %X %X %s" % (
            self._trips,
            queue.moves,
            self._counter.uptime_s,
            self._hal.reset_cause,
        )
        cycles = ",".join(["%X" % count for count in queue.cycles[1:]])
        inputs = "%08X %02X" % (self._inputs.pulses, self._levels())
        pins = "%s %s %s" % (self._stop_and_hold(), inputs, cycles)
        stands = "%08X %s %s" % (now, gate, waiting)
        self._say("STATE %04X %s %s %s %s" % (session & 0xFFFF, stands, counts, life, pins))
