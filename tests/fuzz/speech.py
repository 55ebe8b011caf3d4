"""What a host may say, whatever the device says: nothing that its caller did not ask for.

The other half of "no act": bytes of a broken device must not make the driver open the gate, let
the pump run or clear the emergency stop. Read from PROTOCOL.md alone, as `oracle`.
"""

from __future__ import annotations

import re

from drivers.ports import Command
from tests.fuzz.oracle import Violation, checksum

_N = rb"(?:0|[1-9A-F][0-9A-F]{0,7})"
_ID = rb"[1-9A-F][0-9A-F]{0,7}"
_KINDS = {
    b"HELLO": rb"2 %b" % _N,
    b"O": rb"(%b) ([a-z0-9_]{1,12}) ([0-9A-F]{8}) ([0-9A-F]{6})" % _ID,
    b"D": rb"%b(?: %b)*" % (_ID, _ID),
    b"CANCEL": _ID,
    b"RESET": rb"[0-9A-F]{4} [01]",
    b"LINES": rb"[0-9A-F]{4} 0[0-7]",
    b"LED": rb"[0-9A-F]{4} [0-9A-F]{8} [0-9A-F]{6}",
    b"SEEN": _ID,
} | dict.fromkeys((b"REST", b"PING", b"HOLD", b"FLOW", b"STOP"), rb"[0-9A-F]{4}")


class Speech:
    """Told what the caller asks for, and then what the driver writes.

    Attributes:
        sent: ids of commands that the caller has sent.
        arms: whether the caller clears the emergency stop.
    """

    def __init__(self) -> None:
        self.sent: set[int] = set()
        self.arms = False
        self._nonce = b""
        self._open: dict[int, tuple[bytes, int, int]] = {}
        self._flows = False

    def wanted(self, command: Command) -> None:
        """The caller sends a command; the first of an id stands."""
        length_us = command.close_us - command.open_us
        self.sent.add(command.id)
        asked = (command.outlet.encode(), command.open_us % 2**32, length_us)
        self._open.setdefault(command.id, asked)

    def withdrawn(self, one: int) -> None:
        """It must not be said again."""
        self._open.pop(one, None)

    def ordered(self, verb: str) -> None:
        """The caller says hold, flow, stop or rest."""
        if verb in ("stop", "rest"):
            self._open.clear()
        if verb != "rest":
            self._flows = verb == "flow"

    def heard(self, data: bytes) -> None:
        """The driver has written this since the last call."""
        if data and not data.endswith(b"\n"):
            raise Violation(f"not whole lines: {data!r}")
        for line in data.split(b"\n")[:-1]:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if len(line) > 191 or line[-5:] != b"*%04X" % checksum(line[:-5]):
            raise Violation(f"not a line: {line!r}")
        verb, nonce, *rest = line[:-5].split(b" ", 2)
        if verb == b"STATUS" and not rest:
            return
        found = re.fullmatch(_KINDS.get(verb, b"$x"), b"".join(rest))
        if found is None:
            raise Violation(f"not a line of the page: {line!r}")
        if verb == b"HELLO":
            self._nonce = nonce
        elif nonce != self._nonce:
            raise Violation(f"not this session's: {line!r}")
        if verb == b"O":
            one, outlet, at, length = found.groups()
            if self._open.get(int(one, 16)) != (outlet, int(at, 16), int(length, 16)):
                raise Violation(f"nobody asks for this any more: {line!r}")
        elif (verb == b"FLOW" and not self._flows) or (verb == b"RESET" and not self.arms):
            raise Violation(f"nobody asked for this: {line!r}")
