"""What a device may do, read from PROTOCOL.md alone: shares no line with firmware or host driver.

A device that is told nonsense may refuse whatever it likes; it may never *act* on it. So the
oracle is told each line that reaches the device and each thing that comes out of it, and knows
at any time the most that is allowed: where the gate may stand, and whether the pump may flow.
Which of the openings that could be accepted was accepted it learns from the device's ``A``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

OUTLETS = (b"waste", b"collect", b"recheck")
_ID = rb"[1-9A-F][0-9A-F]{0,7}"
_N4 = rb"[0-9A-F]{4}"
_O = re.compile(rb"O [0-9A-F]{8} (%b) ([^ ]+) ([0-9A-F]{8}) ([0-9A-F]{6})" % _ID)
_HELLO = re.compile(rb"HELLO [0-9A-F]{8} 2 ([1-9A-F][0-9A-F]{0,7})")
_CANCEL = re.compile(rb"CANCEL [0-9A-F]{8} (%b)" % _ID)
_ORDER = re.compile(rb"(REST|HOLD|FLOW|STOP) [0-9A-F]{8} (%b)" % _N4)
_RESET = re.compile(rb"RESET [0-9A-F]{8} (%b) ([01])" % _N4)
_NONCE = re.compile(rb"[^ ]* ([0-9A-F]{8})(?: .*)?", re.DOTALL)


class Violation(AssertionError):
    """The device did what no line, clock or pin allows."""


def checksum(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, bit by bit as its definition says."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return crc


@dataclass(frozen=True)
class Opening:
    """One that was accepted, or could be: an outlet and an interval, µs since power-up."""

    outlet: bytes
    open_us: int
    close_us: int


@dataclass
class Oracle:
    """The device's allowance. Times are µs since power-up; ``start_us`` is its clock then."""

    start_us: int
    queue: int
    nonce: int = 0
    before: list[int] = field(default_factory=list)
    latched: bool = True
    low: bool = False
    held: bool = True
    pin: bool = False
    silent: bool = False
    watchdog_us: int = 0
    heard_us: int = 0
    alive: dict[int, Opening] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    could: tuple[int, Opening] | None = None
    newest: dict[str, int] = field(default_factory=dict)
    buffer: bytes = b""

    # -- what the world does --------------------------------------------------------------

    def time(self, now_us: int) -> None:
        """It is now; what has come of that by itself?"""
        if self.nonce and not self.silent and now_us - self.heard_us >= self.watchdog_us:
            self.silent = True
            self.latch()

    def due_us(self, now_us: int) -> int | None:
        """When the allowance changes next by itself, if it does."""
        due = [at for one in self.alive.values() for at in (one.open_us, one.close_us)]
        if self.nonce and not self.silent:
            due.append(self.heard_us + self.watchdog_us)
        return min((at for at in due if at > now_us), default=None)

    def press(self, pressed: bool) -> None:
        """The emergency stop's pin."""
        if pressed and not self.pin:
            self.latch()
        self.pin = pressed

    def latch(self) -> None:
        """Emergency stop."""
        self.latched = self.held = True
        self.low = False
        self._end(list(self.alive))

    def _end(self, ids: list[int]) -> None:
        self.ended.update(ids)
        for one in ids:
            self.alive.pop(one, None)

    def bytes_in(self, data: bytes, now_us: int) -> None:
        """Bytes reach the device."""
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            self.could = None
            if 6 <= len(line) < 192 and line[-5:] == b"*%04X" % checksum(line[:-5]):
                self._line(line[:-5], now_us)

    def _line(self, line: bytes, now_us: int) -> None:
        found = _NONCE.fullmatch(line)
        nonce = int(found[1], 16) if found else 0
        if found := _HELLO.fullmatch(line):
            self._hello(nonce, int(found[1], 16), now_us)
        elif nonce and nonce == self.nonce and not line.startswith(b"HELLO "):
            self.heard_us, self.silent = now_us, False
            self._obeyed(line, now_us)

    def _hello(self, nonce: int, watchdog_ms: int, now_us: int) -> None:
        if not nonce or nonce in self.before or not 50 <= watchdog_ms <= 10_000:
            return
        if nonce != self.nonce:
            if not self.held or any(one.close_us > now_us for one in self.alive.values()):
                self.latch()
            self.before = [*self.before, self.nonce][-4:] if self.nonce else []
            self.nonce, self.watchdog_us = nonce, watchdog_ms * 1_000
            self.low, self.held = False, True
            for kept in (self.alive, self.ended, self.newest):
                kept.clear()
        self.heard_us, self.silent = now_us, False

    def _obeyed(self, line: bytes, now_us: int) -> None:
        if found := _O.fullmatch(line):
            self._asked(int(found[1], 16), found[2], int(found[3], 16), int(found[4], 16), now_us)
        elif found := _CANCEL.fullmatch(line):
            self._end([int(found[1], 16)])
        elif found := _RESET.fullmatch(line):
            self._reset(int(found[1], 16), found[2] == b"1")
        elif found := _ORDER.fullmatch(line):
            self._order(found[1], int(found[2], 16))

    def _asked(self, one: int, outlet: bytes, at: int, length_us: int, now_us: int) -> None:
        ahead_us = (at - self.start_us - now_us + 2**31) % 2**32 - 2**31
        opening = Opening(outlet, now_us + ahead_us, now_us + ahead_us + length_us)
        alive = [other for other in self.alive.values() if other.close_us > now_us]
        if self.alive.get(one) == opening or (
            not self.latched
            and outlet in OUTLETS[1:]
            and 0 < length_us <= 5_000_000
            and 0 < ahead_us <= 60_000_000
            and one not in self.ended
            and one not in self.alive
            and len(alive) < self.queue
            and not any(
                other.outlet != outlet
                and other.open_us < opening.close_us
                and opening.open_us < other.close_us
                for other in alive
            )
        ):
            self.could = (one, opening)

    def _overtaken(self, by: str, number: int) -> bool:
        newest = self.newest.setdefault(by, number)
        old = (number - newest) % 2**16 >= 2**15
        if not old:
            self.newest[by] = number
        return old

    def _order(self, verb: bytes, number: int) -> None:
        if verb == b"REST":
            self._end(list(self.alive))
            return
        old = self._overtaken("pump", number)
        if verb == b"STOP":
            self._overtaken("stop", number)
            self.latch()
        elif verb == b"HOLD":
            self.held = True
        elif not old and not self.latched:
            self.held = False

    def _reset(self, number: int, high: bool) -> None:
        self._overtaken("pump", number)
        if self._overtaken("stop", number) or not self.latched:
            return
        rises = high and self.low and not self.pin
        self.low = not high
        if rises:
            self.latched = False

    # -- what comes out -------------------------------------------------------------------

    def stands_at(self, now_us: int, alive: dict[int, Opening]) -> str:
        """Where these openings want the gate at a time."""
        covering = {one.outlet for one in alive.values() if one.open_us <= now_us < one.close_us}
        if len(covering) > 1:
            raise Violation(f"{now_us}: openings of {covering} were accepted at once")
        return (covering.pop() if covering else OUTLETS[0]).decode()

    def said(self, line: bytes) -> None:
        """The device says a line, without its CRC."""
        words = line.split(b" ")
        if words[0] == b"S" and words[4] == b"-" and self.latched:
            raise Violation(f"says that its stop is clear: {line!r}")
        if words[0] not in (b"A", b"E", b"N") or int(words[1], 16) != self.nonce & 0xFFFF:
            return
        one = int(words[2], 16)
        if words[-1] in (b"SESSION", b"DUPLICATE"):
            # These refuse a line; what stands under the id goes on standing.
            return
        if words[0] == b"A":
            if self.could is None or self.could[0] != one or one in self.ended:
                raise Violation(f"acknowledges what it may not: {line!r}")
            self.alive[one] = self.could[1]
        elif one:
            self._end([one])
