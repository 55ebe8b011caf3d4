"""What the host's lines allow the gate to do, read off the bytes that reached the device.

A second reading of drivers/PROTOCOL.md, beside firmware and driver: no state but sessions, ids,
openings, pump and emergency stop; no pins, no queue, no answers. It knows
what *may* happen, not what must: an opening that the device refuses for want of room is allowed
here all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers import protocol as wire
from hardware_sim.campaign_device import PUMP, Arrived, Booted, Jumped, Met, Pressed
from hardware_sim.campaign_scene import CampaignScene

_MAX_OPENING_US = 5_000_000
_MAX_AHEAD_US = 60_000_000
_PAST_SESSIONS = 4
_NEVER_FULL = 64
_NEVER_NS = 1 << 62
_IN_DOUBT_US = 3_000
_NUMBERS_KEPT_US = 598_000_000  # ten minutes, less what the device's whole seconds leave open


@dataclass(frozen=True, slots=True)
class Allowed:
    """An opening that was allowed, in the device's unwrapped time since a boot."""

    boot: int
    outlet: str
    from_us: int
    to_us: int


@dataclass(slots=True)
class Told:
    """What was allowed.

    Attributes:
        openings: cut short where they were withdrawn.
        flows: when the pump might run, with `PUMP` for an outlet.
        asked: (nonce, id, (outlet, open on the wire, length)) of openings in force, each once.
        refused: (host ns, reason) of each line that must be refused as it stands.
        ahead: (host ns, id) of new openings that lie well ahead: none of them is late.
        begun: (host ns, what had ended before) of each new session, where there is no doubt.
        stops: (host ns, whether the emergency stop is latched from then on), in order; one that
            the watchdog latches may be told later than it was.
        queued: (tag of the session, id, ids that the session asked for before and that no receipt
            had come for): of them, the device holds those that it has acknowledged.
    """

    openings: list[Allowed] = field(default_factory=list)
    flows: list[Allowed] = field(default_factory=list)
    asked: list[tuple[int, int, tuple[str, int, int]]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    ahead: list[tuple[int, int]] = field(default_factory=list)
    begun: list[tuple[int, str]] = field(default_factory=list)
    stops: list[tuple[int, bool]] = field(default_factory=list)
    queued: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class _Order:
    """The newest number of lines that set a level: one that stands before it came late."""

    number: int | None = None
    at_us: int = 0

    def overtakes(self, number: int, now_us: int) -> bool:
        """Whether a line with a later number came before this one, not too long ago."""
        fresh = self.number is not None and 0 <= now_us - self.at_us < _NUMBERS_KEPT_US
        if fresh and (number - (self.number or 0)) & 0xFFFF >= 0x8000:
            return True
        self.number, self.at_us = number, now_us
        return False


@dataclass(slots=True)
class _Reader:
    """State while the bytes are read."""

    outlets: tuple[str, ...]
    knows_conflicts: bool
    estop: bool = True
    low: bool = False
    pin: bool = False
    flowing_us: int | None = None
    pump_order: _Order = field(default_factory=lambda: _Order())
    stop_order: _Order = field(default_factory=lambda: _Order())
    boots: int = 0
    at_ns: int = 0
    told: Told = field(default_factory=Told)
    nonce: int = 0
    past: list[int] = field(default_factory=list)
    watchdog_us: int = 0
    heard_us: int = 0
    tripped: bool = False
    buffer: bytes = b""
    ids: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    alive: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    unreceipted: list[int] = field(default_factory=list)

    def boot(self, at_ns: int) -> None:
        """All is forgotten; what was alive ended when the board was reset, before this."""
        self.at_ns = at_ns
        self.latch(self.heard_us + self.watchdog_us)
        self.boots += 1
        self.nonce, self.past, self.buffer, self.tripped = 0, [], b"", False
        self.ids, self.cancelled, self.unreceipted = {}, set(), []

    def arrived(self, one: Arrived) -> None:
        """Some bytes more."""
        *lines, self.buffer = (self.buffer + one.data).split(b"\n")
        self.at_ns = one.at_ns
        for line in lines:
            try:
                message = wire.decode_from_host(line)
            except wire.Damaged:
                if line:
                    self.told.refused.append((one.at_ns, "CRC"))
            except (wire.BadLine, UnicodeDecodeError):
                continue
            else:
                self.take(message, one.device_us)

    def take(self, message: Any, now_us: int) -> None:
        """One line that came whole."""
        self.watch(now_us)
        if isinstance(message, wire.Hello):
            self.hello(message, now_us)
        elif isinstance(message, wire.Status) and not message.session:
            return  # a question at any time, and no sign of life
        elif message.session != self.nonce:
            self.told.refused.append((self.at_ns, "SESSION"))
        else:
            self.heard_us, self.tripped = now_us, False
            if isinstance(message, wire.Open):
                self.open(message, now_us)
            elif isinstance(message, wire.Cancel):
                self.cancelled.add(message.id)
                self.end(message.id, now_us)
            elif isinstance(message, wire.Rest):
                self.end_all(now_us)
            elif isinstance(message, wire.Done):
                self.unreceipted = [i for i in self.unreceipted if i not in message.ids]
            elif isinstance(message, (wire.Hold, wire.Flow, wire.Stop, wire.Reset)):
                self.order(message, now_us)

    def watch(self, now_us: int) -> None:
        """The watchdog: the host has been silent for too long."""
        if self.nonce and not self.tripped and now_us - self.heard_us >= self.watchdog_us:
            self.tripped = True
            self.latch(min(now_us, self.heard_us + self.watchdog_us))

    def jumped(self, jump: Jumped) -> None:
        """The counter shows another time; what lasts, lasts in both times.

        Silence is told by the counter: one that jumps back lets the watchdog wait for longer.
        """
        self.at_ns, before_us, after_us = jump.at_ns, jump.before_us, jump.after_us
        self.watch(before_us)
        for command_id, (outlet, begin, end) in list(self.alive.items()):
            if begin <= before_us:
                last_us = min(end, before_us)
                self.told.openings.append(Allowed(self.boots, outlet, begin, last_us))
                self.alive[command_id] = (outlet, min(begin, after_us), end)
                if end <= before_us:
                    del self.alive[command_id]
        if self.flowing_us is not None:
            self.flow_until(before_us)
            self.flowing_us = after_us
        self.watch(after_us)

    def pressed(self, button: Pressed) -> None:
        """The emergency stop's button."""
        self.at_ns, self.pin = button.at_ns, button.down
        if button.down:
            self.watch(button.device_us)
            self.latch(button.device_us)

    def order(self, message: wire.Hold | wire.Flow | wire.Stop | wire.Reset, now_us: int) -> None:
        """A level: of the pump, or of the emergency stop."""
        overtaken = self.pump_order.overtakes(message.number, now_us)
        if isinstance(message, (wire.Stop, wire.Reset)):
            overtaken = self.stop_order.overtakes(message.number, now_us)
        if isinstance(message, wire.Hold):
            self.hold(now_us)
        elif isinstance(message, wire.Stop):
            self.latch(now_us)
        elif overtaken:
            return
        elif isinstance(message, wire.Flow):
            if not self.estop and self.flowing_us is None:
                self.flowing_us = now_us
        elif message.level == 0:
            self.low = self.estop
        elif message.level == 1:
            if self.low and not self.pin and self.estop:
                self.estop = False
                self.told.stops.append((self.at_ns, False))
            self.low = False

    def hold(self, now_us: int) -> None:
        """The pump must be held from now on."""
        self.flow_until(now_us)
        self.flowing_us = None

    def flow_until(self, now_us: int) -> None:
        """The pump might run until now."""
        if self.flowing_us is not None and self.flowing_us < now_us:
            self.told.flows.append(Allowed(self.boots, PUMP, self.flowing_us, now_us))

    def latch(self, now_us: int) -> None:
        """The emergency stop is set, if not before."""
        self.hold(now_us)
        self.end_all(now_us)
        self.estop, self.low = True, False
        self.told.stops.append((self.at_ns, True))

    def hello(self, message: wire.Hello, now_us: int) -> None:
        """A session, unless its nonce was used before."""
        if message.version != wire.VERSION:
            return
        if message.session in self.past:
            self.told.refused.append((self.at_ns, "SESSION"))
            return
        if message.session != self.nonce:
            if self.flowing_us is not None:
                self.latch(now_us)
            # An opening that was alive latches too; whether one was, the device may know better.
            self.end_all(now_us)
            self.low = False
            self.pump_order, self.stop_order = _Order(), _Order()
            silent_us = now_us - self.heard_us
            if not self.nonce:
                self.told.begun.append((self.at_ns, "BOOT"))
            elif abs(silent_us - self.watchdog_us) > _IN_DOUBT_US:
                self.told.begun.append((self.at_ns, "WATCHDOG" if self.tripped else "SESSION"))
            if self.nonce:
                self.past = [*self.past, self.nonce][-_PAST_SESSIONS:]
            self.nonce = message.session
            self.watchdog_us = message.watchdog_ms * 1000
            self.ids, self.cancelled, self.unreceipted = {}, set(), []
        self.heard_us, self.tripped = now_us, False

    def open(self, message: wire.Open, now_us: int) -> None:
        """An opening, allowed when its id is new and it lies ahead."""
        content = (message.outlet, message.open_us, message.length_us)
        if message.id in self.ids or message.id in self.cancelled:
            return
        self.ids[message.id] = content
        self.told.asked.append((self.nonce, message.id, content))
        self.told.queued.append((self.nonce & 0xFFFF, message.id, tuple(self.unreceipted)))
        self.unreceipted.append(message.id)
        ahead_us = (message.open_us - now_us + (1 << 31)) % (1 << 32) - (1 << 31)
        fits = (
            not self.estop
            and 0 < ahead_us <= _MAX_AHEAD_US
            and 0 < message.length_us <= _MAX_OPENING_US
        )
        if not fits or message.outlet not in self.outlets[1:]:
            return
        if ahead_us > _IN_DOUBT_US:
            self.told.ahead.append((self.at_ns, message.id))
        begin = now_us + ahead_us
        end = begin + message.length_us
        for outlet, other_begin, other_end in self.alive.values():
            meet = outlet != message.outlet and begin < other_end and other_begin < end
            if meet and self.knows_conflicts:
                return
        self.alive[message.id] = (message.outlet, begin, end)
        if len(self.alive) > 128:
            self.retire(now_us)

    def retire(self, now_us: int) -> None:
        """Put away what is over."""
        for command_id in [i for i, one in self.alive.items() if one[2] < now_us]:
            self.end(command_id, now_us)

    def end(self, command_id: int, now_us: int) -> None:
        """An opening ends now, if not before."""
        one = self.alive.pop(command_id, None)
        if one is not None and one[1] <= now_us:
            self.told.openings.append(Allowed(self.boots, one[0], one[1], min(one[2], now_us)))

    def end_all(self, now_us: int) -> None:
        """All end now."""
        for command_id in list(self.alive):
            self.end(command_id, now_us)


def told_by(met: Sequence[Met], scene: CampaignScene) -> Told:
    """Read all that reached the device."""
    # A device that may have been full has not taken everything: what is in conflict then is open.
    reader = _Reader(scene.device.outlets, scene.device.queue >= _NEVER_FULL)
    for one in met:
        if isinstance(one, Booted):
            reader.boot(one.at_ns)
        elif isinstance(one, Jumped):
            reader.jumped(one)
        elif isinstance(one, Pressed):
            reader.pressed(one)
        else:
            reader.arrived(one)
    reader.at_ns = _NEVER_NS
    reader.latch(reader.heard_us + reader.watchdog_us)
    return reader.told
