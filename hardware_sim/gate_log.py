"""What the gate did and when, as a log that grows: one JSON object per line.

The simulated dispenser appends and flushes a line whenever the firmware switches the valve's
pin; the scene and the verdict read it. The first line has ``"start": true``::

    {"start": true, "t_ns": 1000, "outlet": "waste"}
    {"t_ns": 5000, "outlet": "collect", "effective_ns": 30000}

``t_ns`` is the host time of the pin, ``effective_ns`` the host time at which the valve has really
switched (lag and jitter added).
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


def parse_line(line: str) -> GateEdge:
    """One line of the log; raises `InputError` when it is none."""
    try:
        row: dict[str, Any] = json.loads(line)
        t_ns = int(row["t_ns"])
        return GateEdge(t_ns, str(row["outlet"]), int(row.get("effective_ns", t_ns)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "a line of the gate log can't be read", on=line.strip()[:80], do="Run again."
        ) from error


def format_line(edge: GateEdge, *, start: bool = False) -> str:
    """The line of ``edge``, with its newline."""
    row: dict[str, Any] = {"t_ns": edge.t_ns, "outlet": edge.outlet}
    row = {"start": True, **row} if start else {**row, "effective_ns": edge.effective_ns}
    return json.dumps(row) + "\n"


def read_gate_log(path: Path) -> list[GateEdge]:
    """All whole lines of a finished log, in order; raises `InputError` when there is none."""
    if not path.is_file():
        raise InputError(
            "the gate log is missing", on=path, do="Was the simulated dispenser started?"
        )
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [parse_line(line) for line in whole.splitlines()]


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
    """Reads what was appended since the last call; cheap enough for once per frame.

    The file may not exist yet. A half-written last line waits for its rest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> list[GateEdge]:
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
