"""Frames from the rendering process to the camera device, through shared memory.

One writer and one reader. A semaphore counts the frames that wait, so the reader blocks without
polling; two counters say how full the ring is. The memory's name is removed as soon as both sides
have it open, so nothing is left behind however either process ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Semaphore

import numpy as np
from numpy.typing import NDArray

from drivers.ports import Pixels

_WORDS = 16
_SLOT_WORDS = 4
_RING_BYTES = 40 * 1024 * 1024
_FEWEST, _MOST = 8, 64

# Words of the control block.
GENERATION, STOP, ORIGIN_NS, WRITTEN, READ = range(5)
RENDERED, DROPPED, DELIVERED, LOST = range(5, 9)


@dataclass(frozen=True, slots=True)
class RingSpec:
    """All that the other process needs to open the ring; pickles into a spawned process."""

    name: str
    shape: tuple[int, int]
    dtype: str
    slots: int
    frames: Semaphore
    wake: Semaphore
    ready: Semaphore


@dataclass(frozen=True, slots=True)
class Slot:
    """One frame in the ring.

    Attributes:
        number: the camera's number.
        generation: which arming of the camera it belongs to.
        due_ns: host time at which it may be handed over.
        index: of the slot, whose `FrameRing.pixels` are valid until it is given back.
    """

    number: int
    generation: int
    due_ns: int
    index: int


class FrameRing:
    """The ring, as seen from one of its two sides."""

    def __init__(self, spec: RingSpec, memory: SharedMemory) -> None:
        self.spec = spec
        self._memory: SharedMemory | None = memory
        head = 8 * (_WORDS + spec.slots * _SLOT_WORDS)
        words = np.ndarray(head // 8, np.int64, buffer=memory.buf)
        self.control: NDArray[np.int64] = words[:_WORDS]
        self._slots = words[_WORDS:].reshape(spec.slots, _SLOT_WORDS)
        self._pixels: Pixels = np.ndarray(
            (spec.slots, *spec.shape), np.dtype(spec.dtype), buffer=memory.buf, offset=head
        )

    @classmethod
    def create(cls, shape: tuple[int, int], dtype: str, context: SpawnContext) -> FrameRing:
        """Make the ring; raises `OSError` when there isn't the memory for it."""
        frame_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
        slots = min(_MOST, max(_FEWEST, _RING_BYTES // frame_bytes))
        size = 8 * (_WORDS + slots * _SLOT_WORDS) + slots * frame_bytes
        memory = SharedMemory(create=True, size=size)
        spec = RingSpec(
            memory.name, shape, dtype, slots,
            context.Semaphore(0), context.Semaphore(0), context.Semaphore(0),
        )  # fmt: skip
        ring = cls(spec, memory)
        ring.control[:] = 0
        return ring

    @classmethod
    def attach(cls, spec: RingSpec) -> FrameRing:
        """Open it from the other process."""
        return cls(spec, SharedMemory(name=spec.name))

    def forget_name(self) -> None:
        """Remove the memory's name; both sides keep what they have open."""
        if self._memory is not None:
            self._memory.unlink()

    @property
    def closed(self) -> bool:
        """Whether the memory was released."""
        return self._memory is None

    def close(self) -> None:
        """Release the memory; safe to call twice."""
        memory, self._memory = self._memory, None
        if memory is None:
            return
        # The views hold the buffer open.
        del self.control, self._slots, self._pixels
        memory.close()

    # -- the writer's side --------------------------------------------------------------------

    def free(self) -> int | None:
        """Index of a slot to render into, or None when the ring is full."""
        written = int(self.control[WRITTEN])
        if written - int(self.control[READ]) >= self.spec.slots:
            return None
        return written % self.spec.slots

    def pixels(self, slot: int) -> Pixels:
        """(height, width) of that slot."""
        pixels: Pixels = self._pixels[slot]
        return pixels

    def publish(self, slot: int, number: int, generation: int, due_ns: int) -> None:
        """Hand a rendered slot to the reader."""
        self._slots[slot] = (number, generation, due_ns, 0)
        self.control[RENDERED] += 1
        self.control[WRITTEN] += 1
        self.spec.frames.release()

    # -- the reader's side --------------------------------------------------------------------

    def take(self, timeout_s: float) -> Slot | None:
        """Wait for the oldest frame; None when none came in time."""
        if not self.spec.frames.acquire(timeout=timeout_s):
            return None
        index = int(self.control[READ]) % self.spec.slots
        number, generation, due_ns, _ = (int(v) for v in self._slots[index])
        return Slot(number, generation, due_ns, index)

    def give_back(self) -> None:
        """The slot that was taken may be rendered into again."""
        self.control[READ] += 1

    def waiting_due_ns(self) -> list[int]:
        """Due times of the frames that wait, oldest first."""
        first, last = int(self.control[READ]), int(self.control[WRITTEN])
        return [int(self._slots[i % self.spec.slots, 2]) for i in range(first, last)]
