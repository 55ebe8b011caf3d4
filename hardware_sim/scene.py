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
from hardware_sim.gate_log import Edge
from hardware_sim.optical_gates import GatesToo, OpticalGates
from hardware_sim.optics import Sensor
from hardware_sim.real_source import RealSource
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.specks import speck_or_body
from hardware_sim.spheroids import Body, BodySpec, Patch, draw_spheroid, make_body
from hardware_sim.stage import Stage, TruthSink
from hardware_sim.travellers import Entry
from hardware_sim.truth_log import TruthWriter
from sorter.errors import SettingsError


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


class Scene(Stage):
    """Bodies on their way through the view to the junction, and what they look like.

    Args:
        settings: all that the scene is.
        origin_ns: host time of scene time zero; `begin` can still move it.
        executor: makes bodies ahead of time; None makes them at once, on the calling thread.
        appearance: looks; None takes the source that the settings name.
        truth: told of each body as it leaves; None writes the log that the settings name.
        gates: the optical gates in the outlets, told of what passes the junction.
    """

    def __init__(
        self,
        settings: SceneSettings,
        origin_ns: int = 0,
        executor: Executor | None = None,
        appearance: Appearance | None = None,
        truth: TruthSink | None = None,
        gates: OpticalGates | None = None,
    ) -> None:
        self._gates = gates
        self._executor = executor
        self._looks = appearance or appearance_of(settings)
        camera = settings.camera
        self._sensor = Sensor(
            camera.width_px, camera.height_px, camera.bit_depth, settings.optics, settings.seed
        )
        self._bodies: dict[int, Future[Body]] = {}
        told = truth or TruthWriter(settings.truth_log)
        if gates is not None:
            told = GatesToo(told, gates)
        super().__init__(settings, self._looks.draw_spheroid, told, origin_ns)

    def advance(
        self,
        exposed_ns: int,
        new_edges: Sequence[Edge],
        number: int,
        out: Pixels | None = None,
    ) -> Pixels:
        """Move to an exposure time and render the frame.

        Args:
            exposed_ns: host time of mid-exposure, not before that of the last call.
            new_edges: switches of gate and pump that the scene hasn't been given yet, in order.
            number: the camera's number of the frame, for the truth.
            out: (height, width) array to render into, or None for a new one.
        """
        self.skip(exposed_ns, new_edges)
        return self.expose(number, out)

    def skip(self, exposed_ns: int, new_edges: Sequence[Edge]) -> None:
        """See `Stage.skip`; the optical gates see it too."""
        super().skip(exposed_ns, new_edges)
        if self._gates is not None:
            self._gates.step(exposed_ns, new_edges)

    def expose(self, number: int, out: Pixels | None = None) -> Pixels:
        """Render the frame of the time that it was moved to; arguments as in `advance`."""
        seconds = self._seconds(self.at_ns)
        return self._sensor.expose(self._patches(seconds, number), time_s=seconds, out=out)

    def _comes(self, entry: Entry) -> None:
        self._bodies[entry.body] = self._submit(entry.spec)

    def _gone(self, entry: Entry) -> None:
        self._bodies.pop(entry.body, None)

    def _submit(self, spec: BodySpec) -> Future[Body]:
        if self._executor is not None:
            return self._executor.submit(self._looks.make_body, spec)
        future: Future[Body] = Future()
        future.set_result(self._looks.make_body(spec))
        return future

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
