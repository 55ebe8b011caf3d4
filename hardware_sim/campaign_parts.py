"""The host of a campaign's rig: its clock, and what stands between controller, network and record.

Every look at the clock is a moment at which the controller can be killed, and every move of the
clock lets the faults strike whose time has come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.dispenser import SerialDispenser
from drivers.ports import Command, Frame
from hardware_sim.fault_acts import KINDS
from hardware_sim.faults import Fault, Injector
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_rig import Trace
from sorter.attention import Attention
from sorter.detection import Detection
from sorter.errors import RecordError
from sorter.pipeline import PixelVision, Vision
from sorter.record_rows import (
    CommandRow,
    CommandUpdate,
    EventRow,
    FrameRow,
    ObjectRow,
    ObjectUpdate,
)

_LOOKS_WITHOUT_TIME = 200_000


class Killed(BaseException):
    """The controller's process is gone; nothing of it runs any more, no ``finally`` counts."""


class Deadlocked(BaseException):
    """Time stands still while the controller works, or the run does not end."""


class RigClock(VirtualClock):
    """Virtual host time, on which faults strike.

    Args:
        now_ns: it begins there.
        wakes: host time at which there is something to do for an idle host, or None.
        idle_ns: without anything to do it sleeps so long.

    Attributes:
        ends_by_ns: the run must be over by then.
        held_up: (host ns, host ns) between which the host did something else, or waited.
    """

    def __init__(self, now_ns: int, wakes: Callable[[], int | None], idle_ns: int) -> None:
        super().__init__(now_ns)
        self._idle_ns = idle_ns
        self._wakes = wakes
        self._injector: Injector | None = None
        self._killed_in: int | None = None
        self._looks = 0
        self.ends_by_ns = Injector.NEVER
        self.held_up: list[tuple[int, int]] = []

    def meet(self, injector: Injector) -> None:
        """From now on these faults strike."""
        self._injector = injector

    def kill_in(self, looks: int) -> None:
        """The controller dies at one of its next looks at the clock."""
        self._killed_in = looks

    def revive(self) -> None:
        """Another process runs."""
        self._killed_in = None
        self._looks = 0

    def now_ns(self) -> int:
        """Virtual host time; raises `Killed` or `Deadlocked`."""
        self._looks += 1
        if self._killed_in is not None:
            self._killed_in -= 1
            if self._killed_in < 0:
                raise Killed
        if self._looks > _LOOKS_WITHOUT_TIME:
            raise Deadlocked(f"{self._looks} looks at the clock without time passing")
        return self._now_ns

    @property
    def time_ns(self) -> int:
        """The same, for those who are not the controller."""
        return self._now_ns

    def wait_until(self, deadline_ns: int) -> None:
        """At the deadline or later: when there is something to do, or when it has slept enough."""
        if deadline_ns <= self._now_ns:
            return
        wake_ns = self._wakes()
        latest_ns = deadline_ns + self._idle_ns
        if wake_ns is None or wake_ns <= self._now_ns:  # it does not wait for what has come
            self.pass_to(latest_ns)
        else:
            self.pass_to(min(max(wake_ns, deadline_ns), latest_ns))

    def hold(self, ns: int) -> None:
        """The host does nothing for so long."""
        began_ns = self._now_ns
        self.pass_to(began_ns + ns)
        self.held_up.append((began_ns, self._now_ns))

    def pass_to(self, t_ns: int) -> None:
        """Time passes; faults strike, each at its time, which may hold the host up."""
        injector = self._injector
        while injector is not None and injector.next_ns <= t_ns:
            self._now_ns = max(self._now_ns, injector.next_ns)
            injector.fire(self._now_ns)
        if t_ns > self._now_ns:
            self._now_ns = t_ns
        self._looks = 0
        if self._now_ns > self.ends_by_ns:
            raise Deadlocked("the run does not end")


class PixelEyes:
    """The shipped `PixelVision`; of pixels nobody can say which body a detection shows."""

    def __init__(self, inner: PixelVision) -> None:
        self.detect = inner.detect
        self.classify = inner.classify
        self.hides_body = inner.hides_body
        self.settle = inner.settle
        self.alone: Counter[int] = Counter()
        self.hidden: Counter[int] = Counter()


class CampaignVision:
    """`sorter.pipeline.Vision` whose network may be slow, or fail."""

    def __init__(self, inner: Vision, injector: Injector, clock: RigClock) -> None:
        self._inner = inner
        self._injector = injector
        self._clock = clock

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        """See `Vision.detect`."""
        return self._inner.detect(frame, attention)

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See `Vision.classify`."""
        fault = self._injector.take("inference", self._clock.time_ns)
        if fault is not None:
            KINDS[fault.kind].act(fault, self._clock)
        return self._inner.classify(frame, detections)

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """See `Vision.hides_body`."""
        return self._inner.hides_body(crops, diameter_um)

    def settle(self) -> None:
        """See `Vision.settle`."""
        self._inner.settle()


class CampaignRecord(Trace):
    """A `RecordSink` on a disk that may be slow or full, written by a recorder that may die."""

    def __init__(self, injector: Injector, clock: RigClock) -> None:
        super().__init__()
        self._injector = injector
        self._clock = clock
        self._broken: Fault | None = None
        self.decided_twice: list[int] = []
        self.settled: set[int] = set()

    @property
    def broken(self) -> bool:
        """Whether nothing can be written any more."""
        return self._broken is not None

    def _hand(self) -> None:
        """One row more; raises `RecordError` from the fault on that broke the record."""
        fault = self._injector.take("record", self._clock.time_ns)
        if fault is not None and self._broken is None:
            try:
                KINDS[fault.kind].act(fault, self._clock)
            except RecordError:
                self._broken = fault
                raise
        if self._broken is not None:
            KINDS[self._broken.kind].act(self._broken, self._clock)

    def frame(self, row: FrameRow) -> None:
        """A frame's times."""
        self._hand()
        super().frame(row)

    def object(self, row: ObjectRow, crops: Sequence[NDArray[np.uint8]]) -> None:
        """A decided object."""
        self._hand()
        if row.id in self.objects:
            self.decided_twice.append(row.id)
        super().object(row, crops)

    def update_object(self, row: ObjectUpdate) -> None:
        """A decision that was taken back."""
        self._hand()
        super().update_object(row)

    def command(self, row: CommandRow) -> None:
        """A command."""
        self._hand()
        super().command(row)

    def update_command(self, row: CommandUpdate) -> None:
        """News of a command."""
        self._hand()
        if row.refused is not None or row.executed_ns is not None:
            self.settled.add(row.id)
        super().update_command(row)

    def event(self, row: EventRow) -> None:
        """An event."""
        self._hand()
        super().event(row)

    def status(self, counters: dict[str, Any]) -> None:
        """Not part of the trace, but handed over like the rest."""
        self._hand()

    def flush(self) -> None:
        """Raises `RecordError` when the record is broken."""
        if self._broken is not None:
            self._hand()


@dataclass(frozen=True, slots=True)
class Sent:
    """A command as the driver was given it, and what the driver promised of the clock then.

    Attributes:
        at_ns, now_us: host time, and the device's by the driver's estimate.
        bound_us: how wrong that may be. off_us: how wrong it was.
    """

    command: Command
    at_ns: int
    now_us: int
    bound_us: int
    off_us: int


class NotedDispenser(SerialDispenser):
    """The shipped driver, with a note of each command, and of how wrong its clock was.

    Args:
        true_us: the device's clock, unwrapped, at a host time. Other arguments as in
            `SerialDispenser`.
    """

    def __init__(self, *args: Any, true_us: Callable[[int], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._true_us = true_us
        self.sent: list[Sent] = []

    @property
    def session_nonce(self) -> int:
        """The nonce of its session."""
        return self._session.nonce

    def send(self, command: Command, now_ns: int) -> None:
        """See `drivers.ports.Dispenser.send`."""
        now_us = self.to_device_us(now_ns)
        off_us = now_us - self._true_us(now_ns)
        self.sent.append(Sent(command, now_ns, now_us, self.clock_bound_us(now_ns), off_us))
        super().send(command, now_ns)
