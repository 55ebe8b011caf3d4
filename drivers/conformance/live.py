"""The conformance table held with a real device, over its port and in its own time.

A real device was not switched on for each case, calls itself something, counts since it was
powered, and is reached with delay. So each case begins by stopping it in a session of its own;
nonces, outlets, the cause of the stop and the clock are put into the case's lines as the device
has them; counters are compared by what was added; times within what a link may take. Cases that
need pins, a clock at a certain time, or microseconds are not held.

Unless told otherwise it plays no case that asks for an opening or for flow, or clears the
emergency stop: a valve may be attached. It leaves the device stopped, held and at rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from drivers import protocol as wire
from drivers.conformance import CASES
from drivers.conformance.dialogue import START_US, Dialogue
from drivers.ports import Clock, Link
from sorter.errors import DispenserError, LinkError

MS = 1_000_000
_WATCHDOG_MS = 1_000
_POLL_NS = MS
_ANSWER_NS = 300 * MS
_TRIES = 10
# What comes so soon after a case is its own; what is lacking may take longer.
_SOON_NS = 30 * MS
_GRACE_NS = 500 * MS
_NEAR_US = 60_000
_EDGE_US = 5_000
_QUEUE = 4
_NONCE = re.compile(r"\b5EED000([123])\b")
_OPENING = re.compile(r"> O \w+ (\w+) \w+ \S+ (\w+)")
_OUTLET = re.compile(r"\b(waste|collect|recheck)\b")


@dataclass(frozen=True, slots=True)
class LiveResult:
    """How one case went.

    Attributes:
        case: its name.
        verdict: ``passed``, ``failed``, or ``skipped``.
        expected: the line that should have come, or why the case was skipped.
        heard: the line that came in its place; empty when none did.
    """

    case: str
    verdict: Literal["passed", "failed", "skipped"]
    expected: str = ""
    heard: str = ""


@dataclass(frozen=True, slots=True)
class _Start:
    """How the device stood when a case began, and how the case's words are said to it.

    Attributes:
        at_ns: host time at which it begins.
        base_us: device time at which what the host says then arrives.
        own: nonce of the session that was before it.
    """

    state: wire.State
    ready: wire.Ready
    at_ns: int
    base_us: int
    nonces: tuple[int, int, int]
    own: int

    def line(self, text: str) -> str:
        """A line of the case in the device's own words."""
        spoken = _NONCE.sub(lambda found: f"{self.nonces[int(found[1]) - 1]:08X}", text)
        names = dict(zip(("waste", "collect", "recheck"), self.ready.outlets, strict=False))
        return _OUTLET.sub(lambda found: names.get(found[1], found[1]), spoken)

    def answer(self, text: str) -> wire.ToHost:
        """What the case expects, as this device would say it."""
        verb, tag, *rest = text.split(" ")
        if re.fullmatch(r"000[123]", tag):
            tag = f"{self.nonces[int(tag) - 1] & 0xFFFF:04X}"
        elif (verb, tag) == ("N", "0000"):
            # Where a device just switched on has no session, this one has the last.
            tag = f"{self.own & 0xFFFF:04X}"
        return wire.decode_from_device(wire.frame(self.line(" ".join([verb, tag, *rest])))[:-1])


def check_device(
    link: Link, clock: Clock, *, move_gate: bool, draw_nonce: Callable[[], int]
) -> Iterator[LiveResult]:
    """Hold the table with a device, case by case.

    Args:
        link: an open port.
        clock: host time.
        move_gate: play cases that open the gate and let the pump run, too.
        draw_nonce: gives a random number from 1 to 2**32 - 1.

    Raises:
        LinkError: nothing answers, or the port is gone. DispenserError: what answers does not
            speak the protocol at all, or its emergency stop is pressed and ``move_gate`` is given.
    """
    host = _Host(link, clock, draw_nonce)
    try:
        for case in CASES:
            start = host.start()
            if move_gate and start.state.inputs & wire.INPUT_ESTOP:
                raise DispenserError(
                    "the emergency stop button is pressed",
                    do="Release it and start again, or leave out --move-gate",
                )
            why_not = _why_not(case, start.ready, move_gate=move_gate)
            yield LiveResult(case.name, "skipped", why_not) if why_not else host.play(case, start)
    finally:
        host.leave()


def _why_not(case: Dialogue, ready: wire.Ready, *, move_gate: bool) -> str:
    """Why a case can't be played with this device; empty when it can."""
    text = case.text
    if case.needs():
        return "needs its pins"
    if case.start_us != START_US or case.exact:
        return "needs its clock, to the microsecond"
    if re.search(r"\brecheck\b", text) and len(ready.outlets) < 3:
        return "needs a third outlet"
    if " FULL" in text and ready.queue != _QUEUE:
        return f"needs a queue of {_QUEUE}, this device has {ready.queue}"
    if case.asks_to_move() and not move_gate:
        return "moves gate or pump, or clears the stop: only with --move-gate"
    return ""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A line of the device, what it means, and when the host had it."""

    line: bytes
    message: wire.ToHost | None
    at_ns: int


_OF_THE_WORLD = (wire.Inputs, wire.Passage)


class _Host:
    """The host's side of the cases."""

    def __init__(self, link: Link, clock: Clock, draw_nonce: Callable[[], int]) -> None:
        self._link = link
        self._clock = clock
        self._draw = draw_nonce
        self._buffer = b""

    # -- before and after a case ------------------------------------------------------------

    def start(self) -> _Start:
        """Stop the device in a session of its own, and see how it stands."""
        nonces = self._nonces(4)
        self._link.write(b"\n")
        self._heard()
        ready = self._ask(wire.Hello(nonces[3], wire.VERSION, _WATCHDOG_MS), wire.Ready, nonces[3])
        self._ask(wire.Stop(nonces[3], 1), wire.Said, nonces[3])
        asked_ns = self._clock.now_ns()
        state = self._ask(wire.Status(0), wire.State, 0)
        at_ns = self._clock.now_ns()
        # What the host says at this moment reaches the device a round trip after its answer left.
        base_us = (state.now_us + (at_ns - asked_ns) // 1_000) & wire.MASK_32
        return _Start(state, ready, at_ns, base_us, nonces[:3], nonces[3])

    def leave(self) -> None:
        """Stop it, as far as it still listens; its watchdog does the same."""
        nonce = self._nonces(1)[0]
        try:
            self._link.write(wire.encode(wire.Hello(nonce, wire.VERSION, _WATCHDOG_MS)))
            self._link.write(wire.encode(wire.Stop(nonce, 1)))
        except LinkError:
            return

    def _nonces(self, n: int) -> Any:
        """So many whose tags differ."""
        found: dict[int, int] = {}
        while len(found) < n:
            nonce = self._draw()
            found.setdefault(nonce & 0xFFFF, nonce)
        return tuple(found.values())

    def _ask(self, question: wire.ToDevice, kind: type[Any], nonce: int) -> Any:
        """Ask until an answer of this kind and session comes."""
        heard = False
        for _ in range(_TRIES):
            self._link.write(wire.encode(question))
            until_ns = self._clock.now_ns() + _ANSWER_NS
            while self._clock.now_ns() < until_ns:
                for line in self._heard():
                    heard = True
                    message = _read(line)
                    mine = getattr(message, "session", getattr(message, "tag", None))
                    if isinstance(message, kind) and mine in (nonce, nonce & 0xFFFF):
                        return message
                self._clock.wait_until(self._clock.now_ns() + _POLL_NS)
        if heard:
            raise DispenserError(
                "what answers on this port does not speak the dispenser's protocol",
                do="Check the port's name, the baud rate and the firmware",
            )
        raise LinkError(
            "no answer from the dispenser",
            do="Check that it is switched on, that this is its port, and the baud rate",
        )

    def _heard(self) -> list[bytes]:
        *lines, self._buffer = (self._buffer + self._link.read()).split(b"\n")
        return [line for line in lines if line]

    # -- a case -----------------------------------------------------------------------------

    def play(self, case: Dialogue, start: _Start) -> LiveResult:
        """Say the host's lines at their times, and compare what comes back."""
        heard: list[_Heard] = []
        expected: list[str] = []
        last_ns = start.at_ns
        for line in case.at(start.base_us).lines():
            time_us, kind, rest = [*line.split(" ", 2), ""][:3]
            last_ns = start.at_ns + int(time_us) * 1_000
            if kind in (">", "raw"):
                heard += self._listen(last_ns)
                if rest.startswith(("D ", "SEEN ")):
                    # A receipt is not said before what it is for has come.
                    heard += self._wait_for(len(expected) - len(heard), _GRACE_NS)
                spoken = start.line(rest)
                self._link.write(
                    wire.frame(spoken) if kind == ">" else spoken.encode("ascii") + b"\n"
                )
            elif kind == "<":
                expected.append(rest)
        end_ns = max(last_ns, self._clock.now_ns())
        heard += self._listen(end_ns + _SOON_NS)
        heard += self._wait_for(len(expected) - len(heard), _GRACE_NS)
        return _compared(case, expected, heard, start)

    def _wait_for(self, lacking: int, longest_ns: int) -> list[_Heard]:
        found: list[_Heard] = []
        until_ns = self._clock.now_ns() + longest_ns
        while len(found) < lacking and self._clock.now_ns() < until_ns:
            found += self._listen(self._clock.now_ns() + _POLL_NS)
        return found

    def _listen(self, until_ns: int) -> list[_Heard]:
        """The lines that come until a host time; what happens at the inputs is the world's."""
        found: list[_Heard] = []
        while True:
            lines, now_ns = self._heard(), self._clock.now_ns()
            found += [_Heard(line, _read(line), now_ns) for line in lines]
            if now_ns >= until_ns:
                return [one for one in found if not isinstance(one.message, _OF_THE_WORLD)]
            self._clock.wait_until(min(until_ns, now_ns + _POLL_NS))


def _read(line: bytes) -> wire.ToHost | None:
    """The message of a line; None for what is none."""
    try:
        return wire.decode_from_device(line)
    except wire.BadLine:
        return None


def _asked(case: Dialogue) -> frozenset[tuple[int, int]]:
    """Openings that the case asks for: id and length, µs."""
    return frozenset((int(one, 16), int(length, 16)) for one, length in _OPENING.findall(case.text))


def _compared(
    case: Dialogue, expected: list[str], heard: list[_Heard], start: _Start
) -> LiveResult:
    """The first line that is not as it should be, or that all are."""
    asked = _asked(case)
    for place in range(max(len(expected), len(heard))):
        came = heard[place] if place < len(heard) else None
        line = came.line.decode("ascii", "replace") if came else ""
        if place >= len(expected):
            return LiveResult(case.name, "failed", "nothing more", line)
        wanted = start.answer(expected[place])
        if came is None or not _agree(wanted, came, start, asked):
            return LiveResult(
                case.name, "failed", wire.encode(wanted).decode("ascii").strip(), line
            )
    return LiveResult(case.name, "passed")


# Fields that are this device's own, that count since power-up, and that are times.
_ANY = {
    wire.Ready: {"name", "queue", "max_opening_us", "max_ahead_us", "outlets"},
    wire.Pong: {"pulses", "last_us"},
    wire.State: {"uptime_s", "cause", "pulses", "inputs"},
}
_COUNTED = {"trips", "accepted", "executed", "refused", "damaged", "moves"}
# Device times of the host's lines: not before the host said them, nor after it heard the answer.
_WHEN_SAID = {"now_us", "received_us", "sent_us"}


def _agree(
    wanted: wire.ToHost, came: _Heard, start: _Start, asked: frozenset[tuple[int, int]]
) -> bool:
    """Whether the device may say this where the case says ``wanted``."""
    if type(wanted) is not type(came.message):
        return False
    latest_us = start.state.now_us + (came.at_ns - start.at_ns) // 1_000 + _NEAR_US
    for field in fields(wanted):
        a, b = getattr(wanted, field.name), getattr(came.message, field.name)
        if field.name in _ANY.get(type(wanted), ()):
            continue
        if field.name in _WHEN_SAID:
            if not a - _NEAR_US <= wire.unwrap_us(b, a) <= wire.unwrap_us(latest_us, a):
                return False
        elif field.name == "length_us":
            # How long one is that a line cuts depends on when the line comes.
            whole = (getattr(wanted, "id", 0), a) in asked
            if abs(a - b) > (_EDGE_US if whole else _NEAR_US):
                return False
        elif not _field_agrees(field.name, a, b, start.state):
            return False
    return True


def _field_agrees(name: str, a: Any, b: Any, before: wire.State) -> bool:
    if name == "opened_us":
        return bool(abs(wire.unwrap_us(b, a) - a) <= _EDGE_US)
    if name in _COUNTED:
        return bool(b == (a + getattr(before, name)) & wire.MASK_32)
    if name == "cycles":
        return all(one == more + was for one, more, was in zip(b, a, before.cycles))  # noqa: B905
    if name == "estop" and a == "POWER":
        # The first cause stays, and a device that runs has one of its own.
        return bool(b == before.estop)
    return bool(a == b or (name == "cause" and a == "BOOT"))
