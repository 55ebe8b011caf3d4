"""Labelled crops of simulated bodies, made the way the sorter makes them.

A frame is rendered around each body, segmented and cropped by the sorter's own code, so that
whatever segmentation does to centre, outline and background is in the crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.bodies import Body, Patch
from hardware_sim.flow import FlowSettings, height_at_view_um
from hardware_sim.optics import OpticsSettings, Sensor
from hardware_sim.spheroids import (
    SIZE_PRESETS,
    BodySpec,
    SizePreset,
    draw_bubble,
    draw_debris,
    draw_fibre,
    draw_spheroid,
    make_body,
)
from sorter.crop import CropSettings, crop
from sorter.detection import Detection
from sorter.errors import RunFault
from sorter.segment import Segmenter, SegmentSettings

RIG_PITCH_UM = 1.73
_FRAME_PX = 420
_FRAMES_PER_OBJECT = 24
_TRIES = 40
_NEAR_PX = 12.0
_WARM_UP_FRAMES = 8
_CHANNEL_HEIGHT_UM: dict[SizePreset, float] = {"50-150": 400.0, "150-400": 800.0, "300-600": 1200.0}
_OTHERS = ("bubble", "debris", "fibre", "double")
_OTHER_SHARES = (0.35, 0.25, 0.1, 0.3)

Label = Literal["healthy", "unhealthy", "other"]


@dataclass(frozen=True, slots=True)
class LabelledCrop:
    """A crop with its truth and with what the sorter measured of it."""

    pixels: NDArray[np.uint8]
    label: Label
    spec: BodySpec
    run: int
    object: int
    view: int
    detection: Detection


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run is to hold.

    Attributes:
        run: its number from 0.
        first_object: number of its first object.
        labels: of its objects, in order.
        views: crops of each object.
    """

    run: int
    first_object: int
    labels: tuple[Label, ...]
    views: tuple[int, ...]


def run_optics(seed: int, run: int) -> tuple[OpticsSettings, float]:
    """Optics of a run, and by how many µm its focal plane is set too high."""
    rng = np.random.default_rng([seed, 13, run])
    settings = OpticsSettings(
        brightness=float(rng.uniform(0.5, 0.72)),
        vignetting=float(rng.uniform(0.03, 0.15)),
        tilt=float(rng.uniform(0.0, 0.06)),
        full_well_e=float(rng.uniform(6_000, 15_000)),
        read_noise_e=float(rng.uniform(3.0, 10.0)),
        dust=int(rng.integers(0, 4)),
        typical_speed_mm_s=float(rng.uniform(6.0, 30.0)),
        depth_of_field_um=float(rng.uniform(70.0, 140.0)),
        pitch_um=RIG_PITCH_UM,
    )
    return settings, float(rng.normal(0.0, 15.0))


def crops_of_run(
    plan: RunPlan, *, seed: int, crop_settings: CropSettings, size: SizePreset = "150-400"
) -> Iterator[LabelledCrop]:
    """Render, segment and crop every object of a run.

    Raises:
        RunFault: an object can't be found by the sorter in `_TRIES` attempts.
    """
    optics, focus_um = run_optics(seed, plan.run)
    focus_um += SIZE_PRESETS[size][1] / 2
    rig = _Rig(optics, focus_um, seed=seed * 1009 + plan.run, crop_settings=crop_settings)
    for i, (label, views) in enumerate(zip(plan.labels, plan.views, strict=True)):
        rng = np.random.default_rng([seed, 17, plan.first_object + i])
        yield from rig.crops(rng, label, views, (plan.run, plan.first_object + i), size)


class _Rig:
    """One run's optics and segmentation."""

    def __init__(
        self, optics: OpticsSettings, focus_um: float, *, seed: int, crop_settings: CropSettings
    ) -> None:
        self._optics = optics
        self._focus_um = focus_um
        self._crop_settings = crop_settings
        self._sensor = Sensor(_FRAME_PX, _FRAME_PX, 8, optics, seed)
        self._segmenter = Segmenter(
            SegmentSettings(), pitch_um=RIG_PITCH_UM, shape=(_FRAME_PX, _FRAME_PX), bit_depth=8
        )
        self._time_s = 0.0
        for _ in range(_WARM_UP_FRAMES):
            self._segmenter.detect(self._expose([]))

    def _expose(self, patches: list[Patch]) -> NDArray[np.uint8]:
        self._time_s += 0.05
        return np.asarray(self._sensor.expose(patches, time_s=self._time_s), dtype=np.uint8)

    def crops(
        self,
        rng: np.random.Generator,
        label: Label,
        views: int,
        place: tuple[int, int],
        size: SizePreset,
    ) -> Iterator[LabelledCrop]:
        """All views of one new object; a body that the sorter can't find whole is drawn again."""
        other = str(rng.choice(_OTHERS, p=_OTHER_SHARES)) if label == "other" else ""
        for _ in range(_TRIES):
            specs = _draw(rng, label, other, size)
            depth_um = self._optics.depth_of_field_um
            bodies: list[Body] = [make_body(spec, depth_of_field_um=depth_um) for spec in specs]
            found = self._look(rng, bodies, views, size)
            if found is None:
                continue
            for view, (pixels, detection) in enumerate(found):
                yield LabelledCrop(
                    pixels, label, bodies[0].spec, place[0], place[1], view, detection
                )
            return
        raise RunFault(
            f"the sorter does not find a simulated body ({label}) in {_TRIES} attempts",
            do="Report this: simulator and segmentation do not fit each other.",
        )

    def _look(
        self, rng: np.random.Generator, bodies: list[Body], views: int, size: SizePreset
    ) -> list[tuple[NDArray[np.uint8], Detection]] | None:
        """Crops of the bodies (the first one, or a touching pair) in several attitudes."""
        attitudes = [random_rotation(rng) for _ in bodies]
        step = float(np.deg2rad(rng.uniform(15.0, 23.0))) * _FRAMES_PER_OBJECT / views
        heights = [height_um(rng, body.spec, size) for body in bodies]
        apart = _offsets(rng, bodies)
        specks = _specks(rng, self._optics.depth_of_field_um)
        found = []
        for view in range(views):
            roll = rolling(step * view + float(rng.uniform(-0.1, 0.1)))
            centre = _FRAME_PX / 2 + rng.uniform(-8.0, 8.0, 2)
            patches = [
                body.transmission(
                    roll @ attitude,
                    pitch_um=RIG_PITCH_UM,
                    defocus_um=height - self._focus_um,
                    centre_px=(float(centre[0] + dx), float(centre[1] + dy)),
                )
                for body, attitude, height, (dx, dy) in zip(
                    bodies, attitudes, heights, apart, strict=True
                )
            ]
            frame = self._expose(patches + specks)
            one = self._cut(
                frame, [(float(centre[0] + dx), float(centre[1] + dy)) for dx, dy in apart]
            )
            if one is None:
                return None
            found.append(one)
        return found

    def _cut(
        self, frame: NDArray[np.uint8], centres: list[tuple[float, float]]
    ) -> tuple[NDArray[np.uint8], Detection] | None:
        """The crop of the one detection that holds the body, or both of a pair; else None."""
        best: Detection | None = None
        for detection in self._segmenter.detect(frame):
            contour = detection.contour.astype(np.float32).reshape(-1, 1, 2)
            if any(cv2.pointPolygonTest(contour, one, True) < -_NEAR_PX for one in centres):
                continue
            if detection.touches_border or (len(centres) > 1 and detection.split):
                continue
            if best is None or detection.area_um2 > best.area_um2:
                best = detection
        if best is None:
            return None
        pixels = crop(
            frame,
            self._segmenter.background,
            best,
            pitch_um=RIG_PITCH_UM,
            settings=self._crop_settings,
        )
        return pixels, best


def height_um(rng: np.random.Generator, spec: BodySpec, size: SizePreset) -> float:
    """Height of a body's centre above the floor of the preset's channel when it is seen.

    What is heavy has settled on the way to the view, bubbles run along the ceiling, and fibres
    float anywhere.
    """
    flow = FlowSettings(channel_height_um=_CHANNEL_HEIGHT_UM[size])
    radius = spec.diameter_um / 2
    if spec.kind == "bubble":
        return flow.channel_height_um - radius
    if spec.kind == "fibre":
        return float(rng.uniform(0.1, 0.9)) * flow.channel_height_um
    entry_um = float(rng.uniform(radius, flow.channel_height_um - radius))
    return height_at_view_um(spec.diameter_um, entry_um, flow)


def random_rotation(rng: np.random.Generator) -> NDArray[np.float32]:
    """(3, 3) rotation, uniform over all attitudes."""
    w, x, y, z = (v := rng.standard_normal(4)) / np.linalg.norm(v)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        dtype=np.float32,
    )


def rolling(angle_rad: float) -> NDArray[np.float32]:
    """(3, 3) rotation about y, as a body rolls downstream along the floor."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=np.float32)


def _draw(rng: np.random.Generator, label: Label, other: str, size: SizePreset) -> list[BodySpec]:
    """One body of that label, or for ``other`` a bubble, debris, a fibre or a touching pair."""
    if label != "other":
        wanted = 1.0 if label == "unhealthy" else 0.0
        return [draw_spheroid(rng, unhealthy_fraction=wanted, size=size)]
    if other == "bubble":
        return [draw_bubble(rng)]
    if other == "fibre":
        return [draw_fibre(rng)]
    if other == "debris":
        # What is smaller than 30 µm never reaches the network: only large clumps are drawn.
        seed = draw_debris(rng).seed
        return [BodySpec("debris", float(rng.uniform(32.0, 110.0)), None, "debris", 0.0, seed)]
    return [draw_spheroid(rng, unhealthy_fraction=0.1, size=size) for _ in range(2)]


def _offsets(rng: np.random.Generator, bodies: list[Body]) -> list[tuple[float, float]]:
    """Pixels from the frame's middle to each body; a pair touches, one higher than the other."""
    if len(bodies) == 1:
        return [(0.0, 0.0)]
    tilt = float(np.cos(rng.uniform(0.0, np.deg2rad(60.0))))
    gap = sum(body.spec.diameter_um for body in bodies) / 2 * tilt / RIG_PITCH_UM
    turn = rng.uniform(0.0, 2 * np.pi)
    dx, dy = float(gap / 2 * np.cos(turn)), float(gap / 2 * np.sin(turn))
    return [(dx, dy), (-dx, -dy)]


def _specks(rng: np.random.Generator, depth_of_field_um: float) -> list[Patch]:
    """Now and then debris flows beside the body."""
    patches = []
    for _ in range(int(rng.poisson(0.25))):
        body = make_body(draw_debris(rng), depth_of_field_um=depth_of_field_um)
        x, y = rng.uniform(0.0, _FRAME_PX, 2)
        height = height_um(rng, body.spec, "150-400")
        patches.append(
            body.transmission(
                random_rotation(rng),
                pitch_um=RIG_PITCH_UM,
                defocus_um=height - SIZE_PRESETS["150-400"][1] / 2,
                centre_px=(float(x), float(y)),
            )
        )
    return patches
