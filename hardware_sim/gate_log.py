"""What the dispenser's outputs did and when, as a log that grows: one JSON object per line.

The simulated dispenser appends and flushes a line whenever the firmware switches the valve's
pin or the pump's, and whenever its emergency stop is latched or cleared; scene and verdict read
what the gate did. The first two lines have ``"start": true``::

    {"start": true, "t_ns": 1000, "outlet": "waste"}
    {"start": true, "t_ns": 1000, "held": true}
    {"t_ns": 2000, "estop": ""}
    {"t_ns": 3000, "held": false}
    {"t_ns": 4000, "accepted": 7}
    {"t_ns": 5000, "outlet": "collect", "effective_ns": 30000}

``t_ns`` is the host time of the pin, ``effective_ns`` the host time at which the valve has really
switched (lag and jitter added). ``estop`` is what latched it, empty when it was cleared.
``accepted`` is the id of a command that the firmware acknowledges, each time that it does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sorter.errors import InputError


@dataclass(frozen=True, slots=True)
class GateEdge:
    """From ``effective_ns`` on, the valve leads to ``outlet``.

    Attributes:
        t_ns: host time at which the firmware switched the pin.
        outlet: ``collect``, ``waste`` or ``recheck``.
        effective_ns: host time at which the valve has really switched.
    """

    t_ns: int
    outlet: str
    effective_ns: int


@dataclass(frozen=True, slots=True)
class PumpEdge:
    """From host time ``t_ns`` on, the output holds the pump or lets it run."""

    t_ns: int
    held: bool


@dataclass(frozen=True, slots=True)
class StopEdge:
    """At host time ``t_ns`` the emergency stop was latched, or with no cause cleared."""

    t_ns: int
    cause: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """At host time ``t_ns`` the firmware acknowledged a command, perhaps not for the first time."""

    t_ns: int
    command_id: int


Edge = GateEdge | PumpEdge | StopEdge | Accepted


def parse_line(line: str) -> Edge:
    """One line of the log; raises `InputError` when it is none."""
    try:
        row: dict[str, Any] = json.loads(line)
        t_ns = int(row["t_ns"])
        if "held" in row:
            return PumpEdge(t_ns, bool(row["held"]))
        if "estop" in row:
            return StopEdge(t_ns, str(row["estop"]))
        if "accepted" in row:
            return Accepted(t_ns, int(row["accepted"]))
        return GateEdge(t_ns, str(row["outlet"]), int(row.get("effective_ns", t_ns)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "a line of the gate log can't be read", on=line.strip()[:80], do="Run again."
        ) from error


def format_line(edge: Edge, *, start: bool = False) -> str:
    """The line of ``edge``, with its newline."""
    row: dict[str, Any] = {"start": True} if start else {}
    row["t_ns"] = edge.t_ns
    if isinstance(edge, PumpEdge):
        row["held"] = edge.held
    elif isinstance(edge, StopEdge):
        row["estop"] = edge.cause
    elif isinstance(edge, Accepted):
        row["accepted"] = edge.command_id
    else:
        row["outlet"] = edge.outlet
        if not start:
            row["effective_ns"] = edge.effective_ns
    return json.dumps(row) + "\n"


def read_log(path: Path) -> list[Edge]:
    """All whole lines of a finished log, in order; raises `InputError` when there is none."""
    if not path.is_file():
        raise InputError(
            "the gate log is missing", on=path, do="Was the simulated dispenser started?"
        )
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [parse_line(line) for line in whole.splitlines()]


def read_gate_log(path: Path) -> list[GateEdge]:
    """What the gate did, see `read_log`."""
    return [edge for edge in read_log(path) if isinstance(edge, GateEdge)]


def read_pump_log(path: Path) -> list[PumpEdge]:
    """What the pump's output did, see `read_log`."""
    return [edge for edge in read_log(path) if isinstance(edge, PumpEdge)]


def outlet_at(edges: Sequence[GateEdge], t_ns: int, rest: str = "waste") -> str:
    """Where the valve leads at host time ``t_ns``: the last effective edge, else ``rest``.

    Edges are taken in the order of the log: jitter can't let an earlier switch win over a later
    one, as a valve follows its pin.
    """
    outlet = rest
    for edge in edges:
        if edge.effective_ns <= t_ns:
            outlet = edge.outlet
    return outlet


class GateLogTail:
    """Reads what gate and pump did since the last call; cheap enough for once per frame.

    The file may not exist yet. A half-written last line waits for its rest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> list[Edge]:
        """New edges in the order of the log."""
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open("rb")
        data = self._file.read()
        if not data:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [parse_line(line.decode("utf-8")) for line in lines]

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
