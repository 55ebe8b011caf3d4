"""Bodies in the flow: when they come, where they are, and what becomes of them; no pictures.

A stage has no clock and no threads: it is moved from time to time. The same seed and the same
switches of the gate give the same motion to the bit. `hardware_sim.scene` adds what the bodies look
like; a rig that is simulated at the level of detections needs no more than this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from hardware_sim.body_spec import BodySpec
from hardware_sim.feed import Arrival, arrivals
from hardware_sim.flow import LiquidTravel
from hardware_sim.gate_log import Edge
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.travellers import Entry, Floats, Flock, Traveller, entries
from hardware_sim.truth_log import BodyTruth

# Bodies are made so long before they come into view, so that no frame waits for one.
_AHEAD_S = 3.0


class TruthSink(Protocol):
    """Where the truth about bodies goes as they leave."""

    def write(self, truth: BodyTruth) -> None:
        """One body."""
        ...

    def end(self, **counts: int) -> None:
        """No more will come."""
        ...


class Stage:
    """Bodies on their way through the view to the junction.

    Args:
        settings: all that the scene is.
        draw_spheroid: draws a spheroid, given the share of unhealthy ones.
        truth: told of each body as it leaves.
        origin_ns: host time of scene time zero; `begin` can still move it.
    """

    def __init__(
        self,
        settings: SceneSettings,
        draw_spheroid: Callable[[np.random.Generator, float], BodySpec],
        truth: TruthSink,
        origin_ns: int = 0,
    ) -> None:
        self._settings = settings
        self._feed = arrivals(settings.feed, settings.seed, draw_spheroid)
        self._next: Arrival | None = next(self._feed, None)
        self._flock = Flock(settings.flow)
        self._waiting: list[Traveller] = []
        self._count = 0
        self._groups = 0
        self._truth = truth
        self._junction_um = settings.junction_um
        self._mean_um_s = settings.flow.mean_mm_s * 1e3
        self._view_um = settings.camera.width_px * settings.optics.pitch_um
        self.begin(origin_ns)
        self._prepare(self._last_liquid_um)

    @property
    def settings(self) -> SceneSettings:
        """What it was made with."""
        return self._settings

    def begin(self, origin_ns: int) -> None:
        """Set the host time of scene time zero; only before the first frame."""
        self._origin_ns = self._last_ns = origin_ns
        self._travel = LiquidTravel(self._settings.flow, origin_ns)
        self._last_liquid_um = self._travel.at_um(origin_ns)

    @property
    def at_ns(self) -> int:
        """Host time that the bodies have been moved to."""
        return self._last_ns

    @property
    def travellers(self) -> list[Traveller]:
        """The bodies in the channel now, seen or not yet seen."""
        return list(self._flock.travellers)

    def skip(self, exposed_ns: int, new_edges: Sequence[Edge]) -> None:
        """Move to a time; nobody looks.

        Args:
            exposed_ns: host time, not before that of the last call.
            new_edges: switches of gate and pump that the stage hasn't been given yet, in order.
        """
        self._travel.add(new_edges)
        liquid_um = self._travel.at_um(exposed_ns)
        before_um = self._flock.x_um.copy()
        self._flock.move(liquid_um - self._last_liquid_um, (exposed_ns - self._last_ns) / 1e9)
        self._settle_fates(before_um, exposed_ns)
        self._last_ns, self._last_liquid_um = exposed_ns, liquid_um
        self._prepare(liquid_um)

    @property
    def moves(self) -> bool:
        """Whether the liquid moves, as far as the last `skip` can tell."""
        return self._travel.moves_at(self._last_ns)

    def end(self, **counts: int) -> None:
        """End the truth: bodies still in flight that were seen, then the last line."""
        for traveller in self._flock.travellers:
            self._leave(traveller, None, lost=False)
        self._truth.end(**counts)

    def _seconds(self, t_ns: int) -> float:
        return (t_ns - self._origin_ns) / 1e9

    # -- arrivals -----------------------------------------------------------------------------

    def _comes(self, entry: Entry) -> None:
        """A body will come into view soon."""

    def _gone(self, entry: Entry) -> None:
        """A body has left, one way or another."""

    def _prepare(self, liquid_um: float) -> None:
        """Make the bodies that come soon, and let in those whose time has come.

        Bodies upstream move with the liquid too, so they come by its travel, not by the clock.
        """
        now_s = liquid_um / self._mean_um_s
        while self._next is not None and self._next.t_s <= now_s + _AHEAD_S:
            self._expect(self._next)
            self._next = next(self._feed, None)
        while self._waiting and self._waiting[0].entered_s <= now_s:
            self._flock.add(self._waiting.pop(0))

    def _expect(self, arrival: Arrival) -> None:
        group = None
        if len(arrival.members) > 1:
            self._groups += 1
            group = self._groups
        made = entries(arrival, self._settings.flow, self._count + 1, group, self._view_um)
        self._count += len(made)
        for entry in made:
            self._comes(entry)
            self._waiting.append(Traveller(entry, arrival.t_s))

    # -- what becomes of them -----------------------------------------------------------------

    def _settle_fates(self, before_um: Floats, now_ns: int) -> None:
        """Bodies that passed the junction or got lost since the last call leave the scene."""
        x_um, lost_um = self._flock.x_um, self._flock.lost_um
        junction_um = self._junction_um
        ends_um = zip(x_um.tolist(), lost_um.tolist(), strict=True)
        if not any(x >= junction_um or x >= lost for x, lost in ends_um):
            return
        gone = x_um >= np.minimum(lost_um, junction_um)
        lost = x_um >= lost_um
        share = (junction_um - before_um) / np.maximum(x_um - before_um, 1e-9)
        times = self._last_ns + np.clip(share, 0.0, 1.0) * (now_ns - self._last_ns)
        fates = [(bool(lost[i]), int(times[i])) for i in np.flatnonzero(gone)]
        for traveller, (is_lost, t_ns) in zip(self._flock.remove(gone), fates, strict=True):
            self._leave(traveller, None if is_lost else t_ns, lost=is_lost)

    def _leave(self, traveller: Traveller, junction_ns: int | None, *, lost: bool) -> None:
        entry = traveller.entry
        self._gone(entry)
        if not traveller.positions and junction_ns is None:
            return
        spec = entry.spec
        self._truth.write(
            BodyTruth(
                body=entry.body,
                group=entry.group,
                kind=spec.kind,
                health=spec.health,
                phenotype=spec.phenotype,
                severity=round(spec.severity, 4),
                diameter_um=round(spec.diameter_um, 2),
                positions=traveller.positions,
                junction_ns=junction_ns,
                lost=lost,
            )
        )
