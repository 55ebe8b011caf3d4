"""The process that renders a scene in real time, and its handle in the camera's process.

Frames are exposed on the scene's own time, whether or not the renderer is late: a late renderer
makes frames arrive late, never look different. They are drawn a little ahead of that time, so that
it is late more seldom. The process ends when it is told to, and by itself
when the process that started it is gone.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2

from hardware_sim.frame_ring import (
    DELIVERED,
    DROPPED,
    GENERATION,
    LOST,
    ORIGIN_NS,
    RENDERED,
    STOP,
    FrameRing,
    RingSpec,
)
from hardware_sim.gate_log import Edge, GateLogTail
from hardware_sim.optical_gates import PassageLog, optical_gates_of
from hardware_sim.own_core import keep_to_last_core
from hardware_sim.scene import Scene
from hardware_sim.scene_settings import SceneSettings
from hardware_sim.transfer import Transfers, exposed_ns
from hardware_sim.warm_up import warm_up
from sorter.processes import give_way

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_IDLE_S = 0.25
_PARENT_EVERY = 100
# The first exposure comes so long after arming: what starting costs must not delay it.
_FIRST_FRAME_NS = 50_000_000
# Frames are drawn so long before they are exposed. What the gate does until then is known: 12 ms
# and more pass before the liquid follows its pin, and the pin's switch is read within half of them.
_AHEAD_NS = 6_000_000


@dataclass(frozen=True, slots=True)
class SceneCounts:
    """What became of the frames.

    Attributes:
        frames_rendered: rendered and handed over, or refused by a host whose buffer was full.
        frames_dropped: not rendered, because the host had left no room for them.
        frames_in_transit: rendered, and on their way when the camera was stopped.
    """

    frames_rendered: int
    frames_dropped: int
    frames_in_transit: int


def counts_of(ring: FrameRing) -> SceneCounts:
    """Read the counters; while the camera runs, frames that wait are in transit."""
    control = ring.control
    in_transit = int(control[RENDERED] - control[DELIVERED] - control[LOST])
    return SceneCounts(int(control[RENDERED]) - in_transit, int(control[DROPPED]), in_transit)


class SceneProcess:
    """Starts the rendering process, and stops it. Not for several threads.

    Raises:
        RuntimeError: the process ended, or wasn't ready, before it could render.
    """

    def __init__(self, settings: SceneSettings) -> None:
        context = multiprocessing.get_context("spawn")
        camera = settings.camera
        dtype = "uint8" if camera.bit_depth == 8 else "uint16"
        self.ring = FrameRing.create((camera.height_px, camera.width_px), dtype, context)
        self._process = context.Process(
            target=run_scene, args=(settings, self.ring.spec), name="scene", daemon=True
        )
        self._process.start()
        try:
            self._await_ready()
        finally:
            self.ring.forget_name()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        # Waits on the semaphore; wakes now and then to see whether the process has died.
        while not self.ring.spec.ready.acquire(timeout=_IDLE_S):
            if not self._process.is_alive():
                raise RuntimeError(
                    f"the rendering process ended with code {self._process.exitcode}"
                )
            if time.monotonic() > deadline:
                self.close()
                raise RuntimeError("the rendering process didn't get ready")

    def is_alive(self) -> bool:
        """Whether it still renders."""
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Process id."""
        return self._process.pid

    def arm(self, generation: int) -> None:
        """Start exposing frames; they carry ``generation``, above zero."""
        self.ring.control[GENERATION] = generation
        self.ring.spec.wake.release()

    def disarm(self) -> None:
        """Stop exposing; the scene goes on."""
        self.ring.control[GENERATION] = 0

    def close(self) -> SceneCounts:
        """End the process and release the memory; safe to call once."""
        self.ring.control[STOP] = 1
        self.ring.spec.wake.release()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_STOP_TIMEOUT_S)
        counts = counts_of(self.ring)
        self.ring.close()
        return counts


def run_scene(settings: SceneSettings, spec: RingSpec) -> None:
    """Body of the rendering process."""
    # Ctrl-C goes to the whole group of processes; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    keep_to_last_core()
    give_way()  # its frames have 8 ms until they are due
    # Bodies are made on a second thread, which must not hold a frame up for long.
    sys.setswitchinterval(0.0005)
    ring = FrameRing.attach(spec)
    with ThreadPoolExecutor(1) as executor:
        try:
            _Renderer(settings, ring, executor).run()
        finally:
            executor.shutdown(cancel_futures=True)
            ring.close()


class _Renderer:
    """Renders at the pace of real time while the camera is armed."""

    def __init__(
        self, settings: SceneSettings, ring: FrameRing, executor: ThreadPoolExecutor
    ) -> None:
        self._settings = settings
        self._ring = ring
        self._executor = executor
        self._tail = GateLogTail(settings.gate_log) if settings.gate_log else None
        self._log = PassageLog(settings.passage_log) if settings.passage_log else None
        self._parent = multiprocessing.parent_process()

    def run(self) -> None:
        # Another scene is rendered first, so that the first frame finds everything warm.
        Scene(self._settings.model_copy(update={"truth_log": None})).advance(0, (), 0)
        warm_up()
        gates = None if self._log is None else optical_gates_of(self._settings, self._log.told)
        scene = Scene(self._settings, 0, self._executor, gates=gates)
        # What is there now stays: to look through it again would hold a frame up for tens of ms.
        gc.collect()
        gc.freeze()
        self._ring.spec.ready.release()
        if not self._await_arming():
            return
        origin_ns = time.perf_counter_ns() + _FIRST_FRAME_NS
        self._ring.control[ORIGIN_NS] = origin_ns
        scene.begin(origin_ns)
        try:
            self._render(scene, Transfers(self._settings.camera, origin_ns, self._settings.seed))
        finally:
            counts = counts_of(self._ring)
            scene.end(
                frames_rendered=counts.frames_rendered,
                frames_dropped=counts.frames_dropped,
                frames_in_transit=counts.frames_in_transit,
                t_ns=time.perf_counter_ns(),
            )
            if self._tail is not None:
                self._tail.close()
            if self._log is not None:
                self._log.close()

    def _await_arming(self) -> bool:
        while not self._ring.control[STOP] and self._has_parent():
            if self._ring.control[GENERATION]:
                return True
            self._ring.spec.wake.acquire(timeout=_IDLE_S)
        return False

    def _has_parent(self) -> bool:
        return self._parent is None or self._parent.is_alive()

    def _render(self, scene: Scene, transfers: Transfers) -> None:
        control, camera = self._ring.control, self._settings.camera
        origin_ns, number = int(control[ORIGIN_NS]), 0
        while not control[STOP]:
            at_ns = exposed_ns(camera, origin_ns, number)
            left_ns = at_ns - _AHEAD_NS - time.perf_counter_ns()
            if left_ns > 0:
                time.sleep(left_ns / 1e9)
            self._expose(scene, transfers, at_ns, number)
            number += 1
            if number % _PARENT_EVERY == 0 and not self._has_parent():
                return

    def _expose(self, scene: Scene, transfers: Transfers, at_ns: int, number: int) -> None:
        ring, edges = self._ring, self._edges()
        generation = int(ring.control[GENERATION])
        slot = ring.free() if generation else None
        if slot is None:
            scene.skip(at_ns, edges)
            if generation:
                ring.control[DROPPED] += 1
            return
        scene.advance(at_ns, edges, number, out=ring.pixels(slot))
        ring.publish(slot, number, generation, transfers.due_ns(at_ns))

    def _edges(self) -> list[Edge]:
        return [] if self._tail is None else self._tail.read()
