"""What the simulator knows and the controller does not: one JSON object per body, as it leaves.

Last comes ``{"end": true, "frames_rendered": n, "frames_dropped": n, "frames_in_transit": n,
"t_ns": ...}``. Frame numbers are the camera's, positions are pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from sorter.errors import InputError


@dataclass(frozen=True, slots=True)
class BodyTruth:
    """One body that came into view.

    Attributes:
        body: its number, from 1.
        group: number of the touching group that it travelled in, or None.
        kind: spheroid, debris, bubble or fibre.
        health: healthy or unhealthy; None where there is no truth about it.
        phenotype, severity: how it was drawn.
        diameter_um: its diameter.
        positions: (frame number, x_px, y_px) of its centre in each frame that showed it.
        junction_ns: host time at which its centre passed the junction; None when it was lost, or
            still in flight at the end.
        lost: it got lost or stuck on the way.
    """

    body: int
    group: int | None
    kind: str
    health: str | None
    phenotype: str
    severity: float
    diameter_um: float
    positions: Sequence[tuple[int, float, float]]
    junction_ns: int | None
    lost: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """A whole truth log; ``end`` is None when the simulator didn't end in an orderly way."""

    bodies: list[BodyTruth] = field(default_factory=list)
    end: dict[str, Any] | None = None


class TruthWriter:
    """Appends to a truth log and flushes each line; with ``path`` None it writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, truth: BodyTruth) -> None:
        """Append one body."""
        self._line(asdict(truth))

    def end(self, **counts: int) -> None:
        """Append the last line and close the file."""
        self._line({"end": True, **counts})
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, row: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()


def read_truth(path: Path) -> Truth:
    """Read a truth log; a half-written last line is left out.

    Raises:
        InputError: the file is missing or a line is none of a truth log.
    """
    if not path.is_file():
        raise InputError("the truth log is missing", on=path, do="Was the scene ever started?")
    text = path.read_text(encoding="utf-8")
    truth = Truth()
    end = None
    for line in text[: text.rfind("\n") + 1].splitlines():
        try:
            row = json.loads(line)
            if row.get("end"):
                end = row
                continue
            row["positions"] = [(int(n), float(x), float(y)) for n, x, y in row["positions"]]
            truth.bodies.append(BodyTruth(**row))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError("a line of the truth log can't be read", on=path) from error
    return Truth(truth.bodies, end)
