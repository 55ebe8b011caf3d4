"""The dispenser's wire: lines, sessions and the watchdog, as drivers/PROTOCOL.md says.

The same file runs under MicroPython on the board (board.py gives it pins and bytes) and under
CPython behind a simulated port. It never waits: the caller feeds bytes and steps it, often.

Device time is the board's microsecond counter extended to 32 unsigned bits. Two times are
compared by their difference modulo 2**32, so a wrap between them is not noticed.
"""

from drivers.firmware.openings import (
    DONE,
    MASK,
    MAX_AHEAD_US,
    MAX_OPENING_US,
    REFUSED,
    Gate,
    Openings,
    Slot,
    since,
)

VERSION = 1
MAX_LINE = 192
MIN_WATCHDOG_MS = 50
MAX_WATCHDOG_MS = 10000
PAST_SESSIONS = 4

# CRC-16/CCITT-FALSE a half byte at a time: 16 entries are cheap to keep in a microcontroller.
CRC_NIBBLES = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


class Hal(Gate):
    """What the core needs of a board. ``reset_cause`` is one word: POWER, WATCHDOG, SOFT …"""

    ticks_period_us = 1 << 30
    reset_cause = "POWER"

    def ticks_us(self) -> int:
        """The microsecond counter, from 0 to ``ticks_period_us`` - 1; the period is 2**n."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send bytes to the host; drop them rather than wait for a host that does not read."""
        raise NotImplementedError


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected."""
    crc = 0xFFFF
    for byte in data:
        crc = ((crc << 4) & 0xFFFF) ^ CRC_NIBBLES[(crc >> 12) ^ (byte >> 4)]
        crc = ((crc << 4) & 0xFFFF) ^ CRC_NIBBLES[(crc >> 12) ^ (byte & 15)]
    return crc


def number(text: bytes, width: int = 0) -> int:
    """Value of upper-case hex digits, or -1. Width 0: 1 to 8 digits without leading zeros."""
    length = len(text)
    if width == 0:
        if length < 1 or length > 8 or (length > 1 and text[0] == 48):
            return -1
    elif length != width:
        return -1
    value = 0
    for byte in text:
        if 48 <= byte <= 57:
            value = value * 16 + byte - 48
        elif 65 <= byte <= 70:
            value = value * 16 + byte - 55
        else:
            return -1
    return value


class Core:
    """The device: one session, one queue of openings, one gate.

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
        self._openings = Openings(hal, queue)
        self._line = bytearray(MAX_LINE)
        self._length = 0
        self._raw_us = hal.ticks_us()
        self._now_us = self._raw_us & MASK
        self._uptime_s = 0
        self._uptime_us = 0
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
        """Do what is due: gate edges first, then the watchdog, then reports."""
        now = self._tick()
        self._openings.edges(now)
        if not self._session or self._tripped:
            return
        if since(now, self._heard_us) >= self._watchdog_us:
            self._trip(now)
            return
        self._report_fresh(now)
        if self._openings.report_in_us(now) == 0:
            for slot in self._openings.overdue(now):
                slot.sent_us = now
                self._answer(slot)

    def due_in_us(self) -> int:
        """Microseconds until `step` has something to do, 0 when it has, -1 when it never will."""
        now = self._tick()
        due = self._openings.edge_in_us(now)
        if self._session and not self._tripped:
            watchdog = max(0, self._watchdog_us - since(now, self._heard_us))
            due = watchdog if due < 0 else min(due, watchdog)
            report = self._openings.report_in_us(now)
            if report >= 0:
                due = min(due, report)
        return due

    def _tick(self) -> int:
        raw = self._hal.ticks_us()
        passed = (raw - self._raw_us) & (self._hal.ticks_period_us - 1)
        self._raw_us = raw
        self._now_us = (self._now_us + passed) & MASK
        self._uptime_us += passed
        if self._uptime_us >= 1000000:
            self._uptime_s += self._uptime_us // 1000000
            self._uptime_us %= 1000000
        return self._now_us

    def _trip(self, now: int) -> None:
        self._tripped = True
        self._trips += 1
        self._openings.drop_all("WATCHDOG", now)
        # Nobody listens: the reports wait for the next contact.
        self._openings.fresh.clear()

    # -- lines in -------------------------------------------------------------------------

    def _receive(self, length: int) -> None:
        now = self._tick()
        self._openings.edges(now)
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
        self._report_fresh(now)

    def _obey(self, words: list[bytes], now: int) -> None:
        session = number(words[1], 8) if len(words) > 1 else -1
        if session <= 0:
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
            self._state(now)
        else:
            return False
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
        self._openings.drop_all("SESSION", now)
        self._openings.forget()
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
            length_us = min(since(slot.closed_us, slot.opened_us), 0xFFFFFF)
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

    def _ready(self, now: int) -> None:
        session = "%08X %X %s %X" % (self._session, VERSION, self._name, self._openings.queue)
        limits = "%X %X %X" % (MAX_OPENING_US, MAX_AHEAD_US, self._watchdog_us // 1000)
        self._say(
            "READY %s %s %08X %s %s" % (session, limits, now, ",".join(self._outlets), self._cause)
        )

    def _pong(self, ping: bytes, now: int) -> None:
        tag = self._session & 0xFFFF
        self._say(
            "PONG %04X %s %08X %08X %X" % (tag, ping.decode(), now, self._tick(), self._trips)
        )

    def _state(self, now: int) -> None:
        queue = self._openings
        gate = self._outlets[queue.at]
        waiting = "%X %X %X" % (len(queue.live), queue.unreported, queue.last_id)
        counts = "%X %X %X %X" % (queue.accepted, queue.executed, queue.refused, self._damaged)
        life = "%X %X %X %s" % (self._trips, queue.moves, self._uptime_s, self._hal.reset_cause)
        tag = self._session & 0xFFFF
        self._say("STATE %04X %08X %s %s %s %s" % (tag, now, gate, waiting, counts, life))
