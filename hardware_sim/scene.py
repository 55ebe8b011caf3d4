"""A seeded scene: bodies in the flow, each with its truth, rendered frame by frame.

`Scene` has no clock and no threads of its own: it is advanced to exposure times and gives pixels.
The same seed, gate switches and exposure times give the same pixels to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Protocol

import numpy as np

from drivers.ports import Pixels
from hardware_sim.bodies import CloudBody
from hardware_sim.feed import Arrival, arrivals
from hardware_sim.flow import LiquidTravel
from hardware_sim.gate_log import GateEdge
from hardware_sim.optical_gates import OpticalGates
from hardware_sim.optics import Sensor
from hardware_sim.real_source import RealSource
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.specks import speck_or_body
from hardware_sim.spheroids import Body, BodySpec, Patch, draw_spheroid, make_body
from hardware_sim.travellers import Floats, Flock, Traveller, entries
from hardware_sim.truth_log import BodyTruth, TruthWriter
from sorter.errors import SettingsError

# Bodies are made so long before they come into view, so that no frame waits for one.
_AHEAD_S = 3.0


class Appearance(Protocol):
    """Where bodies and their looks come from."""

    def draw_spheroid(self, rng: np.random.Generator, unhealthy: float) -> BodySpec:
        """A spheroid, given the share of unhealthy ones."""
        ...

    def make_body(self, spec: BodySpec) -> Body:
        """What it looks like; called from a thread of its own where there is one."""
        ...


class Drawn:
    """Spheroids drawn by `hardware_sim.spheroids`."""

    def __init__(self, settings: SceneSettings) -> None:
        self._size = settings.feed.size
        self._depth_um = settings.optics.depth_of_field_um
        self._pitch_um = settings.optics.pitch_um

    def draw_spheroid(self, rng: np.random.Generator, unhealthy: float) -> BodySpec:
        """See `Appearance`."""
        return draw_spheroid(rng, unhealthy_fraction=unhealthy, size=self._size)

    def make_body(self, spec: BodySpec) -> Body:
        """See `Appearance`."""
        body = make_body(spec, depth_of_field_um=self._depth_um)
        body.prepare(self._pitch_um)
        return speck_or_body(body)


class Scene:
    """Bodies on their way through the view to the junction.

    Args:
        settings: all that the scene is.
        origin_ns: host time of scene time zero; `begin` can still move it.
        executor: makes bodies ahead of time; None makes them at once, on the calling thread.
        appearance: looks; None takes the source that the settings name.
        gates: the optical gates in the outlets, told of what passes the junction.
    """

    def __init__(
        self,
        settings: SceneSettings,
        origin_ns: int = 0,
        executor: Executor | None = None,
        appearance: Appearance | None = None,
        gates: OpticalGates | None = None,
    ) -> None:
        self._settings = settings
        self._gates = gates
        self._executor = executor
        self._looks = appearance or appearance_of(settings)
        camera = settings.camera
        self._sensor = Sensor(
            camera.width_px, camera.height_px, camera.bit_depth, settings.optics, settings.seed
        )
        self._feed = arrivals(settings.feed, settings.seed, self._looks.draw_spheroid)
        self._next: Arrival | None = next(self._feed, None)
        self._flock = Flock(settings.flow)
        self._waiting: list[Traveller] = []
        self._bodies: dict[int, Future[Body]] = {}
        self._count = 0
        self._groups = 0
        self._truth = TruthWriter(settings.truth_log)
        self._view_um = camera.width_px * settings.optics.pitch_um
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
    def travellers(self) -> list[Traveller]:
        """The bodies in the channel now, seen or not yet seen."""
        return list(self._flock.travellers)

    def advance(
        self,
        exposed_ns: int,
        new_edges: Sequence[GateEdge],
        number: int,
        out: Pixels | None = None,
    ) -> Pixels:
        """Move to an exposure time and render the frame.

        Args:
            exposed_ns: host time of mid-exposure, not before that of the last call.
            new_edges: switches of the gate that the scene hasn't been given yet, in order.
            number: the camera's number of the frame, for the truth.
            out: (height, width) array to render into, or None for a new one.
        """
        self.skip(exposed_ns, new_edges)
        seconds = self._seconds(exposed_ns)
        return self._sensor.expose(self._patches(seconds, number), time_s=seconds, out=out)

    def skip(self, exposed_ns: int, new_edges: Sequence[GateEdge]) -> None:
        """Move to a time without rendering: nobody looks."""
        self._travel.add(new_edges)
        liquid_um = self._travel.at_um(exposed_ns)
        before_um = self._flock.x_um.copy()
        self._flock.move(liquid_um - self._last_liquid_um, (exposed_ns - self._last_ns) / 1e9)
        self._settle_fates(before_um, exposed_ns)
        if self._gates is not None:
            self._gates.step(exposed_ns, new_edges)
        self._last_ns, self._last_liquid_um = exposed_ns, liquid_um
        self._prepare(liquid_um)

    def end(self, **counts: int) -> None:
        """End the truth: bodies still in flight that were seen, then the last line."""
        for traveller in self._flock.travellers:
            self._leave(traveller, None, lost=False)
        self._truth.end(**counts)

    def _seconds(self, t_ns: int) -> float:
        return (t_ns - self._origin_ns) / 1e9

    # -- arrivals -----------------------------------------------------------------------------

    def _prepare(self, liquid_um: float) -> None:
        """Make the bodies that come soon, and let in those whose time has come.

        Bodies upstream move with the liquid too, so they come by its travel, not by the clock.
        """
        now_s = liquid_um / (self._settings.flow.mean_mm_s * 1e3)
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
            self._bodies[entry.body] = self._submit(entry.spec)
            self._waiting.append(Traveller(entry, arrival.t_s))

    def _submit(self, spec: BodySpec) -> Future[Body]:
        if self._executor is not None:
            return self._executor.submit(self._looks.make_body, spec)
        future: Future[Body] = Future()
        future.set_result(self._looks.make_body(spec))
        return future

    # -- rendering ----------------------------------------------------------------------------

    def _patches(self, seconds: float, number: int) -> list[Patch]:
        settings, pitch_um = self._settings, self._settings.optics.pitch_um
        width_px = settings.camera.width_px
        middle_px = (settings.camera.height_px - 1) / 2
        flock = self._flock
        patches = []
        near = np.flatnonzero(flock.x_um < self._view_um + 400.0)
        places = zip(
            near.tolist(),
            flock.x_um[near].tolist(),
            flock.y_um[near].tolist(),
            flock.z_um[near].tolist(),
            strict=True,
        )
        for i, x_um, y_um, z_um in places:
            traveller = flock.travellers[i]
            body = self._bodies[traveller.entry.body].result()
            x_px, y_px = x_um / pitch_um, middle_px + y_um / pitch_um
            reach_px = body.radius_um / pitch_um
            if not -reach_px - 40 < x_px < width_px + reach_px + 40:
                continue
            defocus_um = z_um - settings.focus_um
            if isinstance(body, CloudBody):
                shown_px = body.reach_px(pitch_um, defocus_um)
                if not -shown_px < x_px < width_px + shown_px:
                    continue
            patch = body.transmission(
                traveller.rotation(seconds),
                pitch_um=pitch_um,
                defocus_um=defocus_um,
                centre_px=(x_px, y_px),
            )
            patches.append(patch)
            if -reach_px < x_px < width_px + reach_px:
                traveller.positions.append((number, round(x_px, 2), round(y_px, 2)))
        return patches

    # -- what becomes of them -----------------------------------------------------------------

    def _settle_fates(self, before_um: Floats, now_ns: int) -> None:
        """Bodies that passed the junction or got lost since the last call leave the scene."""
        x_um = self._flock.x_um
        if not len(x_um):
            return
        junction_um = self._settings.junction_um
        lost_at = np.array(
            [
                junction_um * 2 if t.entry.lost_um is None else t.entry.lost_um
                for t in self._flock.travellers
            ]
        )
        lost = x_um >= lost_at
        arrived = (x_um >= junction_um) & ~lost
        if not (lost | arrived).any():
            return
        share = (junction_um - before_um) / np.maximum(x_um - before_um, 1e-9)
        times = self._last_ns + np.clip(share, 0.0, 1.0) * (now_ns - self._last_ns)
        gone = lost | arrived
        fates = [(bool(lost[i]), int(times[i])) for i in np.flatnonzero(gone)]
        for traveller, (is_lost, t_ns) in zip(self._flock.remove(gone), fates, strict=True):
            self._leave(traveller, None if is_lost else t_ns, lost=is_lost)

    def _leave(self, traveller: Traveller, junction_ns: int | None, *, lost: bool) -> None:
        entry = traveller.entry
        self._bodies.pop(entry.body, None)
        if not traveller.positions and junction_ns is None:
            return
        spec = entry.spec
        truth = BodyTruth(
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
        self._truth.write(truth)
        if self._gates is not None:
            self._gates.passed(truth)


class Played:
    """Cut-outs of real images, through `hardware_sim.real_source`; nothing is known of health."""

    def __init__(self, settings: SceneSettings) -> None:
        if settings.real_images is None:
            raise SettingsError(
                "the scene has no folder of real images",
                on="real_images",
                do="Set real_images in the scene file to the folder that holds them.",
            )
        depth_um = settings.optics.depth_of_field_um
        self._source = RealSource(settings.real_images, depth_of_field_um=depth_um)
        self._drawn = Drawn(settings)

    def draw_spheroid(self, rng: np.random.Generator, unhealthy: float) -> BodySpec:
        """See `Appearance`; the share of unhealthy ones has no meaning here."""
        return self._source.draw_spheroid(rng)

    def make_body(self, spec: BodySpec) -> Body:
        """See `Appearance`; debris, bubbles and fibres are drawn."""
        return (self._source if spec.phenotype == "real" else self._drawn).make_body(spec)


def appearance_of(settings: SceneSettings) -> Appearance:
    """The looks that the settings name; raises `SettingsError` or `InputError`."""
    return Drawn(settings) if settings.source == "simulated" else Played(settings)
