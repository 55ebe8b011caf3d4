"""What host and dispenser say to each other (drivers/PROTOCOL.md), one class a line.

Times are as on the wire, unsigned 32-bit microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

LINE_READY, LINE_HOLD, LINE_FAULT = 1, 2, 4
INPUT_PEDAL, INPUT_ESTOP = 1, 2


@dataclass(frozen=True, slots=True)
class Hello:
    """Host opens a session. ``session`` is its nonce, 1 to 2**32 - 1."""

    session: int
    version: int
    watchdog_ms: int


@dataclass(frozen=True, slots=True)
class Open:
    """Host asks for one opening, from ``open_us`` on, ``length_us`` long (24 bits)."""

    session: int
    id: int
    outlet: str
    open_us: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Done:
    """Host has the reports of these ids, 1 to `MAX_DONE_IDS` of them."""

    session: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Host withdraws a queued opening, or ends an open one now."""

    session: int
    id: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Host wants the gate at rest now and the queue empty; ``number`` is 16 bits."""

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Host wants the pump held now; ``number`` is 16 bits and not 0, here and below."""

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Host lets the pump run."""

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Host makes the emergency stop."""

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Host gives one half of the edge that clears the emergency stop: level 0, then level 1."""

    session: int
    number: int
    level: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Host sets the lines to other machines: `LINE_READY`, `LINE_HOLD`, `LINE_FAULT`."""

    session: int
    number: int
    mask: int


@dataclass(frozen=True, slots=True)
class Led:
    """Host wants light from ``at_us`` on, ``length_us`` long (24 bits)."""

    session: int
    number: int
    at_us: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Host has all passages up to ``seq``."""

    session: int
    seq: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Host asks the time; ``number`` is 16 bits."""

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Status:
    """Host asks for `State`; ``session`` may be 0, which the device answers at any time."""

    session: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Device's answer to `Hello`: what it is, its limits, its time, what ended before.

    ``estop`` is what latched the emergency stop, empty when it is not; ``held`` the pump.
    """

    session: int
    version: int
    name: str
    queue: int
    max_opening_us: int
    max_ahead_us: int
    watchdog_ms: int
    now_us: int
    outlets: tuple[str, ...]
    cause: str
    estop: str
    held: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """Device has queued the opening. ``tag`` is the session's low 16 bits, here and below."""

    tag: int
    id: int


@dataclass(frozen=True, slots=True)
class Nak:
    """Device will never act on this id, or (id 0) could not use a line; one reason word."""

    tag: int
    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exec:
    """Device opened at ``opened_us`` and closed ``length_us`` later, on its own clock."""

    tag: int
    id: int
    opened_us: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Device's time when the ping's last byte came and when the answer went out.

    ``pulses`` counts exposure pulses since power-up, modulo 2**32; the last came at ``last_us``.
    """

    tag: int
    number: int
    received_us: int
    sent_us: int
    trips: int
    pulses: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Rested:
    """Device went to rest and emptied its queue."""

    tag: int
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """Device's answer to a level, or with number 0 and no verdict its word that it changed.

    ``verdict`` is OK or why not; ``estop`` what latched the emergency stop, empty when it is not.
    """

    tag: int
    number: int
    verdict: str
    estop: str
    held: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """Device saw the optical gate of ``outlet`` dark from ``begun_us`` on for ``length_us``."""

    tag: int
    seq: int
    outlet: str
    begun_us: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """Device's inputs after a change: `INPUT_PEDAL`, `INPUT_ESTOP`, then the optical gates."""

    tag: int
    mask: int


@dataclass(frozen=True, slots=True)
class State:
    """Device's counters; all but ``last_id`` count since it was switched on.

    ``cycles`` counts the openings of each outlet's valve, the rest outlet left out.
    """

    tag: int
    now_us: int
    gate: str
    queued: int
    unreported: int
    last_id: int
    accepted: int
    executed: int
    refused: int
    damaged: int
    trips: int
    moves: int
    uptime_s: int
    cause: str
    estop: str
    held: bool
    pulses: int
    inputs: int
    cycles: tuple[int, ...]


ToDevice = (
    Hello
    | Open
    | Done
    | Cancel
    | Rest
    | Hold
    | Flow
    | Stop
    | Reset
    | Lines
    | Led
    | Seen
    | Ping
    | Status
)
ToHost = Ready | Ack | Nak | Exec | Pong | Rested | Said | Passage | Inputs | State
