"""The simulated camera as a Micro-Manager Python device.

It is loaded from a ``.cfg`` file like any camera::

    #py pyDevice,Camera,hardware_sim.camera,SimulatedCamera
    #py Property,Camera,SceneFile,scene.toml

Frames are rendered by another process and handed over as they come due. It is no kinder than real
adapters: no exposure time, only its own relative elapsed clock in the tag
``Camera-ElapsedTime-ms``, with a zero and a drift of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from pymmcore_plus.experimental.unicore import CameraDevice

from hardware_sim.frame_ring import DELIVERED, LOST, FrameRing, Slot
from hardware_sim.scene_process import SceneProcess, counts_of
from hardware_sim.scene_settings import SceneSettings, load_scene
from hardware_sim.transfer import elapsed_ms
from sorter.errors import CameraError

ELAPSED_TAG = "Camera-ElapsedTime-ms"
_WAIT_S = 0.25

GetBuffer = Callable[[Sequence[int], DTypeLike], np.ndarray]


class SimulatedCamera(CameraDevice):
    """Plays a `hardware_sim.scene` in real time.

    Properties: ``SceneFile`` (path of a scene file; a relative one is taken against
    ``ConfigFolder``, which the camera driver sets to the folder of the ``.cfg``),
    ``FramesRendered`` and ``FramesDropped`` (read-only counts).
    """

    def __init__(self) -> None:
        super().__init__()
        self._scene_file = ""
        self._folder = ""
        self._exposure_ms = 0.04
        self._scene: SceneSettings | None = None
        self._process: SceneProcess | None = None
        self._generation = 0
        cls = type(self)
        self.register_property(
            "SceneFile", property_type=str, getter=cls.scene_file, setter=cls.set_scene_file
        )
        self.register_property(
            "ConfigFolder", property_type=str, getter=cls.folder, setter=cls.set_folder
        )
        self.register_property(
            "FramesRendered", property_type=int, getter=cls.frames_rendered, is_read_only=True
        )
        self.register_property(
            "FramesDropped", property_type=int, getter=cls.frames_dropped, is_read_only=True
        )

    # -- properties ---------------------------------------------------------------------------

    def scene_file(self) -> str:
        """Path of the scene file."""
        return self._scene_file

    def set_scene_file(self, value: str) -> None:
        """Set it; only before the first frame."""
        self._refuse_when_running()
        self._scene_file, self._scene = value, None

    def folder(self) -> str:
        """Folder against which a relative scene file is taken."""
        return self._folder

    def set_folder(self, value: str) -> None:
        """Set it; only before the first frame."""
        self._refuse_when_running()
        self._folder, self._scene = value, None

    def frames_rendered(self) -> int:
        """Frames rendered so far, those in transit not counted."""
        return 0 if self._process is None else counts_of(self._process.ring).frames_rendered

    def frames_dropped(self) -> int:
        """Frames for which there was no room because the host took too long."""
        return 0 if self._process is None else counts_of(self._process.ring).frames_dropped

    def _refuse_when_running(self) -> None:
        if self._process is not None:
            raise CameraError("the scene already runs", on=self._scene_file, do="Load again.")

    # -- what a camera must do ----------------------------------------------------------------

    def get_exposure(self) -> float:
        """Exposure (strobe) time, ms; what the scene's optics use is in the scene file."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set it; has no effect on the picture."""
        self._exposure_ms = exposure

    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels; reads the scene file at the first call."""
        camera = self._settings().camera
        return (camera.height_px, camera.width_px)

    def dtype(self) -> DTypeLike:
        """uint8 for 8 bits, uint16 above."""
        return np.uint8 if self._settings().camera.bit_depth == 8 else np.uint16

    def start_sequence(self, n: int | None, get_buffer: GetBuffer) -> Iterator[Mapping[str, Any]]:
        """Frames as they come due; see `CameraDevice.start_sequence`."""
        process = self._running()
        self._generation += 1
        return self._frames(process, n, get_buffer)

    def shutdown(self) -> None:
        """End the rendering process."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    # -- frames -------------------------------------------------------------------------------

    def _settings(self) -> SceneSettings:
        if self._scene is None:
            self._scene = load_scene(Path(self._folder) / self._scene_file)
        return self._scene

    def _running(self) -> SceneProcess:
        if self._process is not None and not self._process.is_alive():
            raise CameraError(
                "the rendering process is gone", on=self._scene_file, do="Start again."
            )
        if self._process is None:
            self._process = SceneProcess(self._settings())
        return self._process

    def _frames(
        self, process: SceneProcess, n: int | None, get_buffer: GetBuffer
    ) -> Iterator[Mapping[str, Any]]:
        ring, camera = process.ring, self._settings().camera
        shape, dtype = self.shape(), self.dtype()
        generation, count = self._generation, 0
        process.arm(generation)
        try:
            while n is None or count < n:
                slot = ring.take(_WAIT_S)
                if slot is None:
                    # Ending the sequence is how an adapter tells that the camera is gone.
                    if not process.is_alive():
                        return
                    continue
                if slot.generation != generation:
                    ring.give_back()
                    continue
                if not _wait_until(slot.due_ns, ring):
                    return
                _hand_over(ring, slot, lambda: get_buffer(shape, dtype))
                count += 1
                yield {ELAPSED_TAG: f"{elapsed_ms(camera, slot.number):.2f}"}
        finally:
            if not ring.closed:
                process.disarm()


def _wait_until(due_ns: int, ring: FrameRing) -> bool:
    """Wait for a frame's time, in slices; False when the camera was shut down meanwhile."""
    while not ring.closed:
        left_s = (due_ns - time.perf_counter_ns()) / 1e9
        if left_s <= 0:
            return True
        time.sleep(min(left_s, _WAIT_S))
    return False


def _hand_over(ring: FrameRing, slot: Slot, get_buffer: Callable[[], np.ndarray]) -> None:
    """Copy a frame into the host's buffer; where that is full the frame is lost."""
    counter = LOST
    try:
        np.copyto(get_buffer(), ring.pixels(slot.index))
        counter = DELIVERED
    finally:
        ring.give_back()
        ring.control[counter] += 1
