"""What the loop got from outside, step by step, so that a run can be replayed exactly.

The loop is a pure function of three things: the time of each step, what was taken from each frame
(detections and probabilities), and every answer of the dispenser's driver. The journal keeps these
(see `sorter.journal_step`), how a run ended, and nothing else; pixels are not kept. `sorter.replay`
feeds them back to the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.ports import Command, Dispenser, DispenserEvent, Frame, Guarantees
from sorter.attention import Attention
from sorter.detection import Detection
from sorter.journal_step import (
    LOOP,
    Call,
    FrameHead,
    Step,
    pack_command,
    pack_detection,
    pack_event,
)
from sorter.pipeline import Vision


class Door:
    """A way to the outside: in a ``with`` block, what raises in it is noted."""

    __slots__ = ("_journal", "_name")

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._journal.raised(self._name)


class Journal:
    """Collects one step at a time."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self.step = Step(0)
        self._begun = False
        self._drain_ns: int | None = None

    def begin(self, now_ns: int) -> None:
        """A new step."""
        drain_ns, self._drain_ns = self._drain_ns, None
        self.step = Step(now_ns, drain=drain_ns is not None, drain_ns=drain_ns or 0)
        self._begun = True

    def raised(self, what: str) -> None:
        """Something raised, see `Step.raised`."""
        self.step.raised = what

    def broken(self) -> bool:
        """Whether a step was begun and not brought to its end; it is noted as such."""
        if self._begun and not self.step.raised:
            self.raised(LOOP)
        return self._begun

    def closed(self, reason: str, now_ns: int) -> None:
        """In place of a step: the run ended, see `Step.closed`."""
        self.begin(now_ns)
        self.step.closed = reason

    def drained(self, now_ns: int) -> None:
        """The run was asked to drain; the next step begins with that."""
        self._drain_ns = now_ns

    def asked(self, state: str, by: str) -> None:
        """The step went to a state that somebody or something asked for."""
        self.step.asked.append((state, by))

    def flowing(self) -> None:
        """The flow was found to run."""
        self.step.flows = True

    def took(self, frame: Frame) -> None:
        """The step took a frame."""
        self.step.frame = FrameHead(
            frame.number, frame.exposed_ns, frame.exposed_error_ns, frame.received_ns
        )

    def crowded(self, crowded: bool) -> None:
        """Whether more frames waited, which was asked in the midst of the step."""
        self.step.crowded = crowded

    def learnt(self) -> None:
        """The step used a moment without a frame to learn."""
        self.step.learnt = True

    def told(self) -> None:
        """The step used a moment without a frame to tell of a body."""
        self.step.told = True

    def blob(self) -> bytes | None:
        """The step, which ends with that, encoded; None when it is idle."""
        self._begun = False
        return None if self.step.is_idle() else self._encoder.encode(self.step)


class JournalledVision:
    """A `Vision` that notes what it passes on."""

    def __init__(self, inner: Vision, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal
        doors = ("detect", "hides_body", "settle", "classify")
        self._detect, self._hides, self._settle, self._classify = (
            Door(journal, name) for name in doors
        )

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        """See `Vision.detect`."""
        with self._detect:
            detections = self._inner.detect(frame, attention)
        self._journal.step.detections = [pack_detection(d) for d in detections]
        return detections

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """See `Vision.hides_body`."""
        with self._hides:
            hides = self._inner.hides_body(crops, diameter_um)
        self._journal.step.hides.append(hides)
        return hides

    def settle(self) -> None:
        """See `Vision.settle`."""
        with self._settle:
            self._inner.settle()

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See `Vision.classify`."""
        with self._classify:
            probabilities, crops = self._inner.classify(frame, detections)
        self._journal.step.probabilities = probabilities.tobytes()
        self._journal.step.classes = probabilities.shape[1]
        return probabilities, crops


class JournalledDispenser:
    """A `Dispenser` that notes every call and its answer, from after `connect` on."""

    def __init__(self, inner: Dispenser, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal

    def _asks(self, method: str, arguments: list[Any]) -> Call:
        """Noted before it is asked, as one that raises until it has answered."""
        call = Call(method, arguments, raised=True)
        self._journal.step.calls.append(call)
        return call

    def guarantees(self) -> Guarantees:
        """See `Dispenser.guarantees`; not journalled: it is asked when a run is built."""
        return self._inner.guarantees()

    def connect(self) -> dict[str, Any]:
        """See `Dispenser.connect`; not journalled."""
        return self._inner.connect()

    def arm(self) -> None:
        """See `Dispenser.arm`."""
        call = self._asks("arm", [])
        self._inner.arm()
        call.answered(None)

    def to_device_us(self, host_ns: int) -> int:
        """See `Dispenser.to_device_us`."""
        return self._asks("to_device_us", [host_ns]).answered(self._inner.to_device_us(host_ns))

    def to_host_ns(self, device_us: int) -> int:
        """See `Dispenser.to_host_ns`."""
        return self._asks("to_host_ns", [device_us]).answered(self._inner.to_host_ns(device_us))

    def clock_bound_us(self, host_ns: int) -> int:
        """See `Dispenser.clock_bound_us`."""
        return self._asks("clock_bound_us", [host_ns]).answered(self._inner.clock_bound_us(host_ns))

    def send(self, command: Command, now_ns: int) -> None:
        """See `Dispenser.send`."""
        call = self._asks("send", pack_command(command))
        self._inner.send(command, now_ns)
        call.answered(None)

    def cancel(self, command_id: int, now_ns: int) -> None:
        """See `Dispenser.cancel`."""
        call = self._asks("cancel", [command_id])
        self._inner.cancel(command_id, now_ns)
        call.answered(None)

    def rest(self, now_ns: int) -> None:
        """See `Dispenser.rest`."""
        call = self._asks("rest", [])
        self._inner.rest(now_ns)
        call.answered(None)

    def hold(self, now_ns: int) -> None:
        """See `Dispenser.hold`."""
        call = self._asks("hold", [])
        self._inner.hold(now_ns)
        call.answered(None)

    def flow(self, now_ns: int) -> None:
        """See `Dispenser.flow`."""
        call = self._asks("flow", [])
        self._inner.flow(now_ns)
        call.answered(None)

    def stop(self, now_ns: int) -> None:
        """See `Dispenser.stop`."""
        call = self._asks("stop", [])
        self._inner.stop(now_ns)
        call.answered(None)

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """See `Dispenser.lines`."""
        call = self._asks("lines", [ready, hold, fault])
        self._inner.lines(ready=ready, hold=hold, fault=fault, now_ns=now_ns)
        call.answered(None)

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """See `Dispenser.step`."""
        call = self._asks("step", [])
        events = self._inner.step(now_ns)
        if events:
            call.answered([pack_event(e) for e in events])
        else:
            self._journal.step.calls.pop()
        return events

    def close(self) -> None:
        """See `Dispenser.close`; not journalled."""
        self._inner.close()
