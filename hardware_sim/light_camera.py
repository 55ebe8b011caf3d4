"""A camera for campaigns: runs come and go, bodies flow on, and frames mostly carry no picture.

With a `LightStage`, whoever looks at a frame asks the camera which bodies it shows; with a
`PixelStage` it has pixels. Below `LightCamera`, which numbers and dates frames with the very parts
that the shipped driver uses, stands `FrameSource`: the sensor and the core's frame queue, which go
on from run to run and where frames get lost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drivers.exposure_clock import ExposureClock
from drivers.frame_numbers import FrameNumbers
from drivers.mmcore_camera import MMCoreCameraSettings
from drivers.ports import CameraInfo, Clock, Frame, Pixels
from hardware_sim.detections import InView
from hardware_sim.gate_log import Edge
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.spheroids import draw_spheroid
from hardware_sim.stage import Stage, TruthSink
from hardware_sim.transfer import Transfers, elapsed_ms, exposed_ns
from sorter.errors import CameraError

_MARGIN_UM = 400.0
_LARGEST_UM = 450.0
_GIVES_WAY_UM = 40.0
_KEPT = 256
_STEP_NS = 10_000_000
_NO_PIXELS = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a frame shows: bodies without a picture, or a picture."""

    bodies: tuple[InView, ...]
    pixels: Pixels


class LightStage(Stage):
    """Bodies in the flow, and which of them a frame shows.

    Bodies that run into each other are pushed aside; a scene with pixels, which is meant for lower
    rates, lets them through each other.

    Args:
        settings: the scene.
        truth: told of each body as it leaves.
    """

    def __init__(self, settings: SceneSettings, truth: TruthSink, origin_ns: int) -> None:
        size = settings.feed.size
        super().__init__(
            settings,
            lambda rng, unhealthy: draw_spheroid(rng, unhealthy_fraction=unhealthy, size=size),
            truth,
            origin_ns,
        )
        self._middle_px = (settings.camera.height_px - 1) / 2

    def skip(self, exposed_ns: int, new_edges: Sequence[Edge]) -> None:
        """Move to a time; whoever touches another then gives way sideways."""
        super().skip(exposed_ns, new_edges)
        x_um = self._flock.x_um.tolist()
        order = sorted(range(len(x_um)), key=x_um.__getitem__)
        for k, i in enumerate(order):
            reach_um = x_um[i] + _LARGEST_UM
            for m in range(k + 1, len(order)):
                if x_um[order[m]] > reach_um:
                    break
                self._push_apart(i, order[m])

    def _push_apart(self, i: int, j: int) -> None:
        flock = self._flock
        one, other = flock.travellers[i].entry, flock.travellers[j].entry
        if one.group is not None and one.group == other.group:
            return
        reach_um = (one.spec.diameter_um + other.spec.diameter_um) / 2
        if "fibre" in (one.spec.kind, other.spec.kind):
            return  # thin, whatever its length
        along_um = float(flock.x_um[j] - flock.x_um[i])
        up_um = float(flock.z_um[j] - flock.z_um[i])
        room_um2 = reach_um**2 - along_um**2 - up_um**2
        across_um = float(flock.y_um[j] - flock.y_um[i])
        if room_um2 <= across_um**2:
            return
        # They give way gradually: nothing jumps aside from one frame to the next.
        gap_um = min(math.sqrt(room_um2) - abs(across_um), _GIVES_WAY_UM)
        push_um = math.copysign(gap_um, across_um) / 2
        wall_um = self._settings.flow.channel_width_um / 2
        for which, entry, by_um in ((i, one, -push_um), (j, other, push_um)):
            most_um = max(wall_um - entry.spec.diameter_um / 2, abs(float(flock.y_um[which])))
            y_um = float(flock.y_um[which]) + by_um
            flock.y_um[which] = min(max(y_um, -most_um), most_um)

    def look(self, index: int) -> Shown:
        """The bodies in view now, in the frame with that index; the truth remembers them."""
        settings = self._settings
        pitch_um, width_px = settings.optics.pitch_um, settings.camera.width_px
        seconds, flock = self._seconds(self.at_ns), self._flock
        seen: list[InView] = []
        places = zip(flock.x_um.tolist(), flock.y_um.tolist(), flock.z_um.tolist(), strict=True)
        for traveller, (x_um, y_um, z_um) in zip(flock.travellers, places, strict=True):
            if x_um >= self._view_um + _MARGIN_UM:
                continue
            entry = traveller.entry
            x_px = x_um / pitch_um
            y_px = self._middle_px + y_um / pitch_um
            reach_px = entry.spec.diameter_um / 2 / pitch_um
            if not -reach_px < x_px < width_px + reach_px:
                continue
            traveller.positions.append((index, round(x_px, 2), round(y_px, 2)))
            angle = entry.rolling_rad_s * (seconds - traveller.entered_s)
            defocus_um = z_um - settings.focus_um
            seen.append(InView(entry.body, entry.group, entry.spec, x_px, y_px, defocus_um, angle))
        return Shown(tuple(seen), _NO_PIXELS)


class PixelStage(Scene):
    """Bodies in the flow, and the picture that a frame shows of them."""

    def look(self, index: int) -> Shown:
        """The picture with that index; the truth remembers who is in it."""
        return Shown((), self.expose(index))


@dataclass(frozen=True, slots=True)
class RawFrame:
    """What the core's queue holds of a frame.

    Attributes:
        index: number of the exposure, over all runs; the truth's.
        image_number: the core's count since the camera was armed.
        elapsed_ns: the camera's own time of it.
        received_ns: host time at which it had arrived.
        shown: what is on it.
    """

    index: int
    image_number: int
    elapsed_ns: int
    received_ns: int
    shown: Shown


OnFrame = Callable[["FrameSource", RawFrame], Sequence[RawFrame]]


def as_they_are(source: FrameSource, raw: RawFrame) -> Sequence[RawFrame]:
    """Nothing happens to a frame on its way."""
    return (raw,)


class FrameSource:
    """Sensor, transfer and frame queue; runs come and go, bodies flow on.

    Args:
        stage: the bodies; its time zero is ``origin_ns``.
        origin_ns: host time of exposure 0.
        edges: all switches of gate and pump so far, in order.
        on_frame: what becomes of each frame on its way to the queue; frames that it gives out may
            be none, or several.

    Attributes:
        held_until_ns: nothing arrives before this host time (a stall).
    """

    def __init__(
        self,
        stage: LightStage | PixelStage,
        origin_ns: int,
        edges: Callable[[], Sequence[Edge]],
        on_frame: OnFrame = as_they_are,
    ) -> None:
        self._stage = stage
        self._camera = stage.settings.camera
        self._origin_ns = origin_ns
        self._edges = edges
        self._edges_given = 0
        self._on_frame = on_frame
        self._transfers = Transfers(self._camera, origin_ns, stage.settings.seed)
        self._next = 0
        self._planned: tuple[int, int] | None = None
        self._queue: deque[RawFrame] = deque()
        self._images = 0
        self._armed = False
        self._until_ns: int | None = None
        self._stamp: int | None = None
        self._behind: RawFrame | None = None
        self.held_until_ns = 0

    def arm(self, now_ns: int) -> None:
        """Start a sequence with the next exposure."""
        self._armed, self._until_ns = True, None
        self._queue.clear()
        self._planned = None
        self._images = 0
        self._stamp = self._behind = None
        period_ns = self._camera.period_ns
        self._next = max(self._next, int((now_ns - self._origin_ns) / period_ns) + 1)

    def disarm(self, now_ns: int) -> None:
        """Expose no more; what was exposed before still arrives."""
        if self._armed and self._until_ns is None:
            self._until_ns = now_ns

    def let_flow(self, now_ns: int) -> None:
        """Nobody looks: let the bodies move on to a time."""
        self._planned = None
        self._queue.clear()
        step_ns = _STEP_NS  # what switched meanwhile is known after the first step
        while self._stage.at_ns < now_ns:
            self._skip(min(self._stage.at_ns + step_ns, now_ns))
            step_ns = _STEP_NS if self._stage.moves else now_ns

    def elapsed_ns(self, index: int) -> int:
        """What the camera's clock shows at an exposure."""
        return round(elapsed_ms(self._camera, index) * 1e6)

    def due_ns(self) -> int | None:
        """Host time at which the next frame can be taken; None when none will come."""
        if self._queue:
            return self._queue[0].received_ns
        if self._planned is None and self._armed:
            at_ns = exposed_ns(self._camera, self._origin_ns, self._next)
            if self._until_ns is not None and at_ns > self._until_ns:
                return None
            due_ns = max(self._transfers.due_ns(at_ns), self.held_until_ns)
            if self._until_ns is not None and due_ns > self._until_ns:
                return None  # as in a real queue: what is still under way then is not waited for
            self._planned = self._next, due_ns
            self._next += 1
        return None if self._planned is None else max(self._planned[1], self.held_until_ns)

    def take(self, now_ns: int) -> RawFrame | None:
        """The oldest frame that has arrived by now."""
        while (due_ns := self.due_ns()) is not None and due_ns <= now_ns:
            if self._queue:
                return self._queue.popleft()
            assert self._planned is not None
            index = self._planned[0]
            self._planned = None
            at_ns = exposed_ns(self._camera, self._origin_ns, index)
            self._skip(at_ns)
            shown = self._stage.look(index)
            stamp, self._stamp = self._stamp, None
            elapsed_ns = self.elapsed_ns(index) if stamp is None else stamp
            raw = RawFrame(index, self._images, elapsed_ns, due_ns, shown)
            self._images += 1
            behind, self._behind = self._behind, None
            self._queue.extend(self._on_frame(self, raw))
            if behind is not None:
                self._queue.append(replace(behind, received_ns=due_ns))
        return None

    def uncount(self) -> None:
        """The camera itself lost a frame: the core never counts it."""
        self._images -= 1

    def count_again(self) -> None:
        """The core counted a frame twice."""
        self._images += 1

    def exchange_times(self, raw: RawFrame) -> RawFrame:
        """This frame gets the camera's time of the next, and the next gets this one's."""
        self._stamp = raw.elapsed_ns
        return replace(raw, elapsed_ns=self.elapsed_ns(raw.index + 1))

    def put_behind_next(self, raw: RawFrame) -> None:
        """This frame comes after the next one."""
        self._behind = raw

    def _skip(self, to_ns: int) -> None:
        edges = self._edges()
        if to_ns > self._stage.at_ns:
            self._stage.skip(to_ns, edges[self._edges_given :])
            self._edges_given = len(edges)


class LightCamera:
    """`drivers.ports.Camera` on a `FrameSource`: one run's driver.

    Attributes:
        index_of: frame number as the controller knows it -> index of the exposure.
        stopped_ns: when it was last told to stop, 0 before.
    """

    def __init__(self, source: FrameSource, settings: MMCoreCameraSettings, clock: Clock) -> None:
        self._source = source
        self._settings = settings
        self._clock = clock
        self._numbers = FrameNumbers(settings.frame_rate_hz, settings.gaps_by_elapsed)
        self._exposures = ExposureClock(settings.transfer())
        self._heard_ns = 0
        self._running = False
        self.stopped_ns = 0
        self._seen: dict[int, tuple[InView, ...]] = {}
        self.index_of: dict[int, int] = {}

    def info(self) -> CameraInfo:
        """Label, frame size and bit depth."""
        s = self._settings
        return CameraInfo(s.camera, s.width_px, s.height_px, s.bit_depth)

    def start(self) -> None:
        """Arm the camera."""
        self._heard_ns = self._clock.now_ns()
        self._running = True
        self._numbers.armed()
        self._source.arm(self._heard_ns)

    def pop(self) -> Frame | None:
        """The oldest frame that has arrived by now, or None; raises `CameraError` after silence."""
        now_ns = self._clock.now_ns()
        raw = self._source.take(now_ns)
        if raw is None:
            silent_ms = (now_ns - self._heard_ns) / 1e6
            if self._running and silent_ms > self._settings.silent_after_ms:
                raise CameraError(
                    f"no frame for {silent_ms / 1e3:.1f} s",
                    on=self._settings.camera,
                    do="Check the camera's cable, power and trigger.",
                )
            return None
        self._heard_ns = now_ns
        number = self._numbers.next(raw.image_number, raw.elapsed_ns, raw.received_ns)
        exposure = self._exposures.observe(raw.elapsed_ns, raw.received_ns)
        self.index_of[number] = raw.index
        self._seen[number] = raw.shown.bodies
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]
        pixels, error_ns = raw.shown.pixels, exposure.error_ns
        return Frame(pixels, number, exposure.exposed_ns, error_ns, raw.received_ns)

    def seen_in(self, frame: Frame) -> tuple[InView, ...]:
        """The bodies that one of the last frames shows."""
        return self._seen[frame.number]

    def waiting(self) -> int:
        """Whether another frame has arrived by now."""
        due_ns = self._source.due_ns()
        return int(due_ns is not None and due_ns <= self._clock.now_ns())

    def stop(self) -> None:
        """Expose no more."""
        if self._running:
            self.stopped_ns = self._clock.now_ns()
        self._running = False
        self._source.disarm(self._clock.now_ns())

    def close(self) -> None:
        """Nothing is held."""
        self.stop()
