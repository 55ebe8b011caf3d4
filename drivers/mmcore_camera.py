"""Frames from any Micro-Manager camera, through pymmcore-plus.

The core is a ``UniMMCore``, so that one driver runs on C++ adapters and on Python devices that a
configuration file names in ``#py pyDevice,...`` lines. Acquisition is
``startSequenceAcquisition(n, 0, True)`` with a large n: a *continuous* sequence throws the whole
queue away, silently, when it is full; this one stops, and the driver arms again and shows the
blind interval as a gap in `Frame.number`.
"""

from __future__ import annotations

import gc
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from pymmcore_plus import Metadata
from pymmcore_plus.experimental.unicore import UniMMCore

from drivers.exposure_clock import ExposureClock, TransferModel
from drivers.frame_numbers import FrameNumbers
from drivers.ports import CameraInfo, Clock, Frame, Pixels
from sorter.errors import CameraError

# More frames than a day at 1,000 frames/s; fits the core's 32-bit count.
_ENDLESS = 1_000_000_000
_MB = 1024 * 1024
_IMAGE_NUMBER = "ImageNumber"
_RECEIVED = "TimeReceivedByCore"
_CFG_FOLDER = "ConfigFolder"
# A wait in the core's queue longer than this is taken for a wall clock that was set.
_QUEUE_AT_MOST_NS = 10_000_000_000
_REARMS_WITHOUT_FRAME = 3
_CLOCK_READS = 3
_READ_AT_MOST_NS = 50_000


class MMCoreCameraSettings(BaseModel):
    """A camera behind Micro-Manager: its configuration file, and what it must turn out to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config_file: Path = Field(description="Micro-Manager .cfg that loads the camera")
    camera: str = Field("Camera", min_length=1, description="label of the camera in the .cfg")
    adapter_path: Path | None = Field(
        None, description="folder of device adapters; none: the one that pymmcore-plus finds"
    )
    pitch_um: float = Field(1.73, gt=0, description="size of a pixel in the object plane, µm")
    width_px: int = Field(1280, ge=16, description="frame width, pixels")
    height_px: int = Field(512, ge=16, description="frame height, pixels")
    bit_depth: int = Field(8, ge=8, le=16, description="significant bits of a pixel, 8 to 16")
    exposure_ms: float = Field(0.04, gt=0, description="exposure (strobe) time, ms")
    frame_rate_hz: float = Field(200.0, gt=0, description="frames per second of the camera")
    transfer_delay_ms: float = Field(
        8.0, ge=0, description="mean time from mid-exposure to the host's hands, ms"
    )
    transfer_jitter_ms: float = Field(
        3.0, ge=0, description="half width of the ordinary spread of that time, ms"
    )
    transfer_error_ms: float = Field(
        0.2, ge=0, description="half width of the uncertainty of the shortest transfer, ms"
    )
    elapsed_tag: str = Field(
        "ElapsedTime-ms", description="metadata tag with the camera's own elapsed time, ms"
    )
    gaps_by_elapsed: bool = Field(
        False,
        description="find lost frames by gaps in the elapsed time too; only for a camera whose "
        "elapsed time comes from its own clock, never for one stamped by software",
    )
    buffer_mb: int = Field(120, ge=1, description="image queue, MiB; rounded to whole frames")
    silent_after_ms: float = Field(
        3000.0, gt=0, description="no frame for so long is a fault of the camera, ms"
    )

    def transfer(self) -> TransferModel:
        """The calibrated transfer as the exposure clock wants it."""
        shortest_ms = max(0.0, self.transfer_delay_ms - self.transfer_jitter_ms)
        return TransferModel(
            minimum_ns=round(shortest_ms * 1e6),
            spread_ns=round(2 * self.transfer_jitter_ms * 1e6),
            minimum_error_ns=round(self.transfer_error_ms * 1e6),
        )


class MMCoreCamera:
    """`drivers.ports.Camera` on a Micro-Manager configuration file.

    Args:
        settings: which file, and what the camera must turn out to be.
        clock: host time.

    Raises:
        CameraError: the file is missing or doesn't load, the label isn't a camera, or frame size
            or bit depth differ from the settings.
    """

    def __init__(self, settings: MMCoreCameraSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._exposures = ExposureClock(settings.transfer())
        self._numbers = FrameNumbers(settings.frame_rate_hz, settings.gaps_by_elapsed)
        # A wall clock that ticks in milliseconds (Windows before Python 3.13) can't date frames.
        self._wall_is_fine = time.get_clock_info("time").resolution < 1e-4
        self._dtype: np.dtype[Any] = np.dtype(np.uint8 if settings.bit_depth == 8 else np.uint16)
        self._armed = False
        self._heard_ns = 0
        self._rearms = 0
        self._rearmed_since_frame = 0
        self._core: UniMMCore | None = None
        self._core = self._load()
        try:
            self._check_geometry(self._core)
        except BaseException:
            self.close()
            raise

    @property
    def rearms(self) -> int:
        """How often the queue overflowed and the camera had to be armed again."""
        return self._rearms

    def info(self) -> CameraInfo:
        """Label, frame size and bit depth, as checked against the settings."""
        s = self._settings
        return CameraInfo(s.camera, s.width_px, s.height_px, s.bit_depth)

    def start(self) -> None:
        """Start acquiring into an empty queue of whole frames; raises `CameraError`."""
        core = self._loaded()
        if self._armed:
            return
        try:
            core.setExposure(self._settings.camera, self._settings.exposure_ms)
            core.setCircularBufferMemoryFootprint(self._buffer_mb(core))  # type: ignore[arg-type]
        except Exception as error:
            raise self._error("the camera refused its settings", error) from error
        self._arm(core)
        self._armed = True

    def pop(self) -> Frame | None:
        """The oldest frame that waits, or None; never blocks.

        `Frame.number` counts on over gaps: frames that the core numbered but lost, frames that
        the camera's own clock shows to be missing (``gaps_by_elapsed``), and the blind interval
        while the camera was armed again after an overflow.

        Raises:
            CameraError: a frame of another size or depth; no frame for ``silent_after_ms``.
        """
        core = self._loaded()
        if core.getRemainingImageCount() == 0:
            self._answer_silence(core)
            return None
        metadata = Metadata()
        try:
            pixels = core.popNextImageMD(metadata)
        except (RuntimeError, IndexError):
            # The queue was emptied between the two calls (a device that was stopped).
            return None
        return self._frame(pixels, metadata, self._clock.now_ns())

    def waiting(self) -> int:
        """How many frames wait in the core."""
        return 0 if self._core is None else int(self._core.getRemainingImageCount())

    def stop(self) -> None:
        """Stop acquiring; frames that wait can still be popped."""
        if self._core is None or not self._armed:
            return
        self._armed = False
        try:
            self._core.stopSequenceAcquisition(self._settings.camera)
        except Exception as error:
            raise self._error("the camera would not stop", error) from error

    def close(self) -> None:
        """Release the camera; safe to call twice.

        Unloading alone makes the process abort at exit with C++ adapters; unloading, dropping
        the core and collecting it does not.
        """
        core, self._core = self._core, None
        if core is None:
            return
        self._armed = False
        try:
            if core.isSequenceRunning():
                core.stopSequenceAcquisition(self._settings.camera)
        finally:
            core.unloadAllDevices()
            del core
            gc.collect()

    # -- loading ------------------------------------------------------------------------------

    def _load(self) -> UniMMCore:
        path = self._settings.config_file
        if not path.is_file():
            raise CameraError(
                "the Micro-Manager configuration file is missing",
                on=path,
                do="Set camera.config_file to a .cfg that exists.",
            )
        adapters = self._settings.adapter_path
        if adapters is not None and not adapters.is_dir():
            raise CameraError(
                "the folder of device adapters is missing",
                on=adapters,
                do="Set camera.adapter_path to the folder, or leave it out.",
            )
        core = UniMMCore(mm_path=None if adapters is None else str(adapters))
        try:
            core.loadSystemConfiguration(path.resolve())
            self._tell_folder(core, path.resolve().parent)
        except Exception as error:
            core.unloadAllDevices()
            del core
            gc.collect()
            raise self._error("the Micro-Manager configuration doesn't load", error) from error
        return core

    def _tell_folder(self, core: UniMMCore, folder: Path) -> None:
        """A device with a property ``ConfigFolder`` resolves its relative paths against it."""
        label = self._settings.camera
        if label in core.getLoadedDevices() and core.hasProperty(label, _CFG_FOLDER):
            core.setProperty(label, _CFG_FOLDER, str(folder))

    def _check_geometry(self, core: UniMMCore) -> None:
        s = self._settings
        if s.camera not in core.getLoadedDevices():
            raise CameraError(
                f"the configuration has no device labelled {s.camera!r}",
                on=s.config_file,
                do=f"Set camera.camera to one of {', '.join(core.getLoadedDevices())}.",
            )
        try:
            core.setCameraDevice(s.camera)
            found = (core.getImageWidth(), core.getImageHeight())
            depth, container = core.getImageBitDepth(), core.getBytesPerPixel()
        except Exception as error:
            raise self._error("the camera doesn't say what its frames are like", error) from error
        if found != (s.width_px, s.height_px):
            raise CameraError(
                f"frames are {found[0]}×{found[1]} px, the settings say {s.width_px}×{s.height_px}",
                on=s.config_file,
                do="Set camera.width_px and camera.height_px, or the ROI in the .cfg.",
            )
        # A Python device only knows its container; a C++ adapter knows its significant bits.
        fits = container == self._dtype.itemsize and (
            core.isPyDevice(s.camera) or depth == s.bit_depth
        )
        if not fits:
            raise CameraError(
                f"pixels have {depth} bits in {container} bytes, the settings say "
                f"{s.bit_depth} bits",
                on=s.config_file,
                do="Set camera.bit_depth, or the pixel type in the .cfg.",
            )

    def _buffer_mb(self, core: UniMMCore) -> float:
        """Size of the image queue in MiB.

        The ring of Python devices discards waiting frames at each wrap unless it holds a whole
        number of frames. It takes fractions of a MiB, and frames divided by a power of two are
        exact in binary, so any frame size works; the signature says int for the C++ core.
        """
        s = self._settings
        if not core.isPyDevice(s.camera):
            return s.buffer_mb
        frame_bytes = s.width_px * s.height_px * self._dtype.itemsize
        frames = max(4, s.buffer_mb * _MB // frame_bytes)
        return frames * frame_bytes / _MB

    # -- acquiring ----------------------------------------------------------------------------

    def _arm(self, core: UniMMCore) -> None:
        try:
            core.startSequenceAcquisition(self._settings.camera, _ENDLESS, 0.0, True)
        except Exception as error:
            raise self._error("the camera doesn't start", error) from error
        self._heard_ns = self._clock.now_ns()
        self._numbers.armed()
        if not self._settings.gaps_by_elapsed:
            # Elapsed time that is stamped by software starts at zero with each sequence.
            self._exposures.reset()

    def _answer_silence(self, core: UniMMCore) -> None:
        if not self._armed:
            return
        now_ns = self._clock.now_ns()
        silent_ms = (now_ns - self._heard_ns) / 1e6
        if silent_ms > self._settings.silent_after_ms:
            raise CameraError(
                f"no frame for {silent_ms / 1e3:.1f} s",
                on=self._settings.camera,
                do="Check the camera's cable, power and trigger.",
            )
        if core.isSequenceRunning(self._settings.camera) or core.getRemainingImageCount():
            return
        if self._rearmed_since_frame >= _REARMS_WITHOUT_FRAME:
            raise CameraError(
                "the camera stopped by itself, and stops again when it is armed",
                on=self._settings.camera,
                do="Check the camera, then start the run again.",
            )
        # The queue overflowed and was drained. What flows past until the first new frame is
        # unseen, and shows as a gap in the numbers.
        self._rearms += 1
        self._rearmed_since_frame += 1
        heard_ns = self._heard_ns
        self._arm(core)
        self._heard_ns = heard_ns

    def _frame(self, pixels: Pixels, metadata: Metadata, now_ns: int) -> Frame:
        s = self._settings
        if pixels.shape != (s.height_px, s.width_px) or pixels.dtype != self._dtype:
            raise CameraError(
                f"a frame of {pixels.shape[1]}×{pixels.shape[0]} px {pixels.dtype} came, the "
                f"settings say {s.width_px}×{s.height_px} {self._dtype}",
                on=s.camera,
                do="Don't change the camera's ROI or pixel type during a run.",
            )
        self._rearmed_since_frame = 0
        self._heard_ns = now_ns
        received_ns = self._received_ns(metadata)
        try:
            elapsed_ns = round(float(metadata[s.elapsed_tag]) * 1e6)
            image_number = int(metadata[_IMAGE_NUMBER])
        except (KeyError, ValueError) as error:
            raise CameraError(
                f"a frame came without the tags {s.elapsed_tag!r} and {_IMAGE_NUMBER!r}",
                on=s.camera,
                do=f"Set camera.elapsed_tag to one of {', '.join(sorted(metadata))}.",
            ) from error
        number = self._numbers.next(image_number, elapsed_ns, received_ns)
        exposure = self._exposures.observe(elapsed_ns, received_ns)
        return Frame(pixels, number, exposure.exposed_ns, exposure.error_ns, received_ns)

    def _received_ns(self, metadata: Metadata) -> int:
        """Host time at which the core had the frame; at the latest now.

        The core dates frames by the wall clock, to the microsecond. The time that the frame has
        waited since is subtracted from now, so only a step of the wall clock meanwhile could
        mislead.
        """
        now_ns = self._clock.now_ns()
        if not self._wall_is_fine or not metadata.HasTag(_RECEIVED):
            return now_ns
        try:
            stamped = datetime.fromisoformat(metadata[_RECEIVED])
        except ValueError:
            return now_ns
        for _ in range(_CLOCK_READS):
            before_ns = self._clock.now_ns()
            # The tag is local time without a zone, so its difference must be taken to the same.
            waited = datetime.now() - stamped  # noqa: DTZ005
            now_ns = self._clock.now_ns()
            # A thread that lost the processor between the readings would date the frame early.
            if now_ns - before_ns < _READ_AT_MOST_NS:
                waited_ns = round(waited.total_seconds() * 1e9)
                return now_ns - waited_ns if 0 <= waited_ns <= _QUEUE_AT_MOST_NS else now_ns
        return now_ns

    def _loaded(self) -> UniMMCore:
        if self._core is None:
            raise CameraError("the camera is closed", on=self._settings.camera)
        return self._core

    def _error(self, what: str, error: Exception) -> CameraError:
        detail = " ".join(str(error).split())
        return CameraError(
            f"{what}: {detail}",
            on=self._settings.config_file,
            do="Open the file in Micro-Manager to test it, or run `sorter doctor`.",
        )
