"""The optical gates in the outlets while a scene goes on: tells each dark soon after it ended.

The same geometry as `hardware_sim.passages`, which looks at a run that is over. A dark is told some
0.2 s after its begin: the gate's switches until its end must be known, and bodies that overlap
make one.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from hardware_sim.gate_log import Edge, GateEdge, outlet_at
from hardware_sim.passages import PassageSettings, dark_of
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.stage import TruthSink
from hardware_sim.truth_log import BodyTruth

# Half a dark at most, but of bodies that crawl: later switches change nothing of it.
_KNOWN_NS = 60_000_000
# So long after its end nobody can turn up any more who overlaps: half a dark of theirs, the wait
# until it is known, and a frame.
_MERGED_NS = 2 * _KNOWN_NS + 10_000_000
_REMEMBERED_NS = 10_000_000_000

Told = Callable[[str, int, int], None]
"""Takes an outlet, the host time at which its optical gate went dark, and for how long, ns."""


@dataclass(slots=True)
class _Dark:
    outlet: str
    begun_ns: int
    end_ns: int


class OpticalGates:
    """Turns bodies that pass the junction into darks. No clock: it is told the time.

    Args:
        settings: the optical gates.
        seed: of everything random here.
        told: takes each dark, once.
        outlets: all that have an optical gate, rest first.
    """

    def __init__(
        self,
        settings: PassageSettings,
        *,
        seed: int,
        told: Told,
        outlets: Sequence[str] = ("waste", "collect"),
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._told = told
        self._outlets = tuple(outlets)
        self._edges: deque[GateEdge] = deque()
        self._passed: list[tuple[int, BodyTruth]] = []
        self._darks: list[_Dark] = []
        self._false = np.random.default_rng([seed, 11])
        self._next_false_ns: int | None = None

    def passed(self, body: BodyTruth) -> None:
        """A body left the scene; those that got lost darken nothing."""
        if body.junction_ns is not None and body.diameter_um >= self._settings.least_um:
            self._passed.append((body.junction_ns, body))

    def step(self, now_ns: int, new_edges: Sequence[Edge]) -> None:
        """Tell what is over by host time ``now_ns``, given the switches since last time."""
        self._edges.extend(edge for edge in new_edges if isinstance(edge, GateEdge))
        if not (self._passed or self._darks or self._false_is_due(now_ns)):
            return
        self._make_false(now_ns)
        due = [one for one in self._passed if one[0] + _KNOWN_NS <= now_ns]
        if due:
            self._passed = [one for one in self._passed if one[0] + _KNOWN_NS > now_ns]
            for junction_ns, body in sorted(due, key=lambda one: (one[0], one[1].body)):
                self._darken(junction_ns, body)
        self._tell(now_ns)

    def _darken(self, junction_ns: int, body: BodyTruth) -> None:
        settings = self._settings
        rng = np.random.default_rng([self._seed, 7, body.body])
        missed = rng.uniform() < settings.missed
        off_us = rng.normal(0.0, 1.0, 2) * settings.jitter_us
        if missed:
            return
        while len(self._edges) > 1 and self._edges[1].effective_ns < junction_ns - _REMEMBERED_NS:
            self._edges.popleft()
        edges = list(self._edges)
        begun_ns, end_ns = dark_of(body, junction_ns, edges, settings)
        begun_ns, end_ns = begun_ns + int(off_us[0] * 1e3), end_ns + int(off_us[1] * 1e3)
        outlet = outlet_at(edges, junction_ns, self._outlets[0])
        self._put(_Dark(outlet, begun_ns, max(end_ns, begun_ns + 1_000)))

    def _put(self, new: _Dark) -> None:
        """Add a dark, made one with those that can't be told from it."""
        resolve_ns = self._settings.resolve_us * 1_000
        apart: list[_Dark] = []
        for one in self._darks:
            meets = (
                one.begun_ns <= new.end_ns + resolve_ns and new.begun_ns <= one.end_ns + resolve_ns
            )
            if one.outlet == new.outlet and meets:
                new.begun_ns, new.end_ns = (
                    min(new.begun_ns, one.begun_ns),
                    max(new.end_ns, one.end_ns),
                )
            else:
                apart.append(one)
        self._darks = [*apart, new]

    def _tell(self, now_ns: int) -> None:
        over = [one for one in self._darks if one.end_ns + _MERGED_NS <= now_ns]
        if over:
            self._darks = [one for one in self._darks if one.end_ns + _MERGED_NS > now_ns]
            for one in sorted(over, key=lambda dark: (dark.end_ns, dark.begun_ns)):
                self._told(one.outlet, one.begun_ns, one.end_ns - one.begun_ns)

    def _false_is_due(self, now_ns: int) -> bool:
        if self._next_false_ns is None:
            self._next_false_ns = self._after(now_ns)
        return self._next_false_ns <= now_ns

    def _make_false(self, now_ns: int) -> None:
        """Darks that nothing makes, of 0.5 to 20 ms, at random times."""
        while self._false_is_due(now_ns):
            assert self._next_false_ns is not None
            begun_ns = self._next_false_ns
            length_ns = int(np.exp(self._false.uniform(np.log(5e5), np.log(2e7))))
            outlet = str(self._false.choice(list(self._outlets)))
            self._put(_Dark(outlet, begun_ns, begun_ns + length_ns))
            self._next_false_ns = self._after(begun_ns)

    def _after(self, t_ns: int) -> int:
        per_min = self._settings.false_per_min
        if per_min == 0:
            return 1 << 62
        return t_ns + int(self._false.exponential(60e9 / per_min))


class GatesToo:
    """A `hardware_sim.stage.TruthSink` that has the optical gates see who leaves."""

    def __init__(self, inner: TruthSink, gates: OpticalGates) -> None:
        self._inner = inner
        self._gates = gates

    def write(self, truth: BodyTruth) -> None:
        """One body."""
        self._inner.write(truth)
        self._gates.passed(truth)

    def end(self, **counts: int) -> None:
        """No more will come."""
        self._inner.end(**counts)


def optical_gates_of(scene: SceneSettings, told: Told) -> OpticalGates:
    """The optical gates of a scene."""
    settings = scene.optical_gates.model_copy(
        update={
            "pitch_um": scene.optics.pitch_um,
            "frame_rate_hz": scene.camera.frame_rate_hz,
            "flow": scene.flow,
        }
    )
    return OpticalGates(settings, seed=scene.seed, told=told)


class PassageLog:
    """Appends darks to a file, a JSON object a line; a dispenser reads along."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="\n", buffering=1)

    def told(self, outlet: str, begun_ns: int, length_ns: int) -> None:
        """Append one; see `Told`."""
        row = {"outlet": outlet, "begun_ns": begun_ns, "length_ns": length_ns}
        self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._file.close()


class PassageTail:
    """Reads along: the darks since the last call. The file may not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> list[tuple[str, int, int]]:
        """New darks: outlet, begin, length, ns; a half-written last line waits for its rest."""
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        rows = [json.loads(line) for line in lines]
        return [(row["outlet"], row["begun_ns"], row["length_ns"]) for row in rows]

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
