"""Bugs on purpose, each a switch: a campaign that can't find them finds nothing.

Each is a context manager that breaks one thing in firmware, driver or scheduler while it lasts, in
this process. The campaign knows nothing of them. For tests and bars only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from drivers import protocol as wire
from drivers.command_book import CommandBook
from drivers.firmware import core as core_module
from drivers.firmware import openings as openings_module
from drivers.firmware import wire as wire_module
from drivers.firmware.core import Core
from drivers.firmware.openings import DONE, REFUSED, Openings
from drivers.firmware.safety import Safety
from drivers.ports import DispenserEvent, Executed
from drivers.pump_output import DevicePump
from sorter.conflicts import Conflicts
from sorter.priming import Priming
from sorter.schedule import Scheduler
from sorter.view import ViewGeometry

Bug = Callable[[], AbstractContextManager[None]]


@contextmanager
def _instead(of: Any, name: str, other: Any) -> Iterator[None]:
    """Another attribute for a while."""
    kept = getattr(of, name)
    setattr(of, name, other)
    try:
        yield
    finally:
        setattr(of, name, kept)


def _without(reason: str) -> AbstractContextManager[None]:
    """The device never refuses for this reason."""
    checked = Openings._reason_against

    def unchecked(self: Openings, *words: int) -> str:
        found = checked(self, *words)
        return "" if found == reason else found

    return _instead(Openings, "_reason_against", unchecked)


def no_late_check() -> AbstractContextManager[None]:
    """The device takes an opening that has begun already."""
    return _without("LATE")


def queue_overflow() -> AbstractContextManager[None]:
    """The device takes more openings than it has room for."""
    return _without("FULL")


def duplicate_id_acts() -> AbstractContextManager[None]:
    """The device forgets an id as soon as it is over."""
    plain = Openings.open

    def forgetful(self: Openings, command_id: int, *words: int) -> str:
        slot = self._known.get(command_id)
        if slot is not None and slot.state in (DONE, REFUSED):
            self.done(command_id)
            self._finished.remove(slot)
            del self._known[command_id]
            self._free.append(slot)
        return plain(self, command_id, *words)

    return _instead(Openings, "open", forgetful)


def stale_nonce_accepted() -> AbstractContextManager[None]:
    """The device takes any session's lines for its own."""
    plain = Core._obey

    def gullible(self: Core, words: list[bytes], now: int) -> None:
        if len(words) > 1 and words[0] != b"HELLO" and self._session:
            words = [words[0], b"%08X" % self._session, *words[2:]]
        plain(self, words, now)

    return _instead(Core, "_obey", gullible)


def crc_skipped() -> AbstractContextManager[None]:
    """The device takes damaged lines, as long as they look like lines."""
    plain = Core._receive

    def trusting(self: Core, length: int) -> None:
        if length >= 6 and self._line[length - 5] == 42:
            right = b"%04X" % wire_module.crc16(bytes(self._line[: length - 5]))
            self._line[length - 4 : length] = right
        plain(self, length)

    return _instead(Core, "_receive", trusting)


@contextmanager
def wrap_compared_wrongly() -> Iterator[None]:
    """The device subtracts times as if its counter never wrapped."""

    def plain(later: int, earlier: int) -> int:
        return later - earlier

    with _instead(core_module, "since", plain), _instead(openings_module, "since", plain):
        yield


def watchdog_dead() -> AbstractContextManager[None]:
    """Silence of the host means nothing to the device."""

    def sleeps(self: Core, now: int) -> None:
        self._heard_us = now

    return _instead(Core, "_trip", sleeps)


def bound_not_added() -> AbstractContextManager[None]:
    """Openings are planned as if the clocks agreed."""
    return _instead(Scheduler, "_bound_ns", lambda self, now_ns: 0)


@contextmanager
def conflict_ignored() -> Iterator[None]:
    """Nobody looks who else passes while the gate is open."""

    def nobody(self: Conflicts, *others: object) -> Iterator[object]:
        return iter(())

    def nothing(self: Scheduler, *others: object) -> list[object]:
        return []

    with (
        _instead(Conflicts, "met", nobody),
        _instead(Scheduler, "_withdraw_for", nothing),
    ):
        yield


def resend_under_new_id() -> AbstractContextManager[None]:
    """What got no answer is said again as another command."""
    plain = CommandBook.due

    def renamed(self: CommandBook, now_ns: int) -> Sequence[bytes]:
        return [_renamed(line) for line in plain(self, now_ns)]

    return _instead(CommandBook, "due", renamed)


def _renamed(line: bytes) -> bytes:
    message = wire.decode_from_host(line.rstrip(b"\n"))
    if isinstance(message, wire.Open):
        return wire.encode(replace(message, id=message.id + 0x1000))
    return line


def estop_by_level() -> AbstractContextManager[None]:
    """The emergency stop clears by a level 1, whatever came before."""
    plain = Safety.reset

    def by_level(self: Safety, number: int, level: int, now_s: int) -> str:
        self._low = True
        return plain(self, number, level, now_s)

    return _instead(Safety, "reset", by_level)


def hold_not_sent() -> AbstractContextManager[None]:
    """The pump is never told to hold."""
    return _instead(DevicePump, "hold", lambda self, now_ns: None)


def start_unwatched() -> AbstractContextManager[None]:
    """A run takes the channel for empty when it starts."""
    plain = Priming.__init__

    def trusting(
        self: Priming, view: ViewGeometry, prime_ns: int, *, settles_ns: int, empty: bool
    ) -> None:
        plain(self, view, prime_ns, settles_ns=settles_ns, empty=True)

    return _instead(Priming, "__init__", trusting)


def report_forgotten() -> AbstractContextManager[None]:
    """The driver strikes a reported command off its list and tells nobody."""
    plain = CommandBook.execute

    def forgetful(self: CommandBook, *words: int) -> list[DispenserEvent]:
        return [event for event in plain(self, *words) if not isinstance(event, Executed)]

    return _instead(CommandBook, "execute", forgetful)


PLANTED: dict[str, Bug] = {
    "no late check": no_late_check,
    "duplicate id acts": duplicate_id_acts,
    "stale nonce accepted": stale_nonce_accepted,
    "CRC skipped": crc_skipped,
    "wrap compared wrongly": wrap_compared_wrongly,
    "watchdog dead": watchdog_dead,
    "e-stop level for edge": estop_by_level,
    "queue overflow": queue_overflow,
    "interval not widened by the clock's bound": bound_not_added,
    "conflict ignored": conflict_ignored,
    "resend under a new id": resend_under_new_id,
    "hold not sent": hold_not_sent,
    "start taken for an empty channel": start_unwatched,
    "report forgotten": report_forgotten,
}
"""Every bug, by the name that bars print."""
