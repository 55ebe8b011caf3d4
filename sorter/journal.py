"""What the loop got from outside, step by step, so that a run can be replayed exactly.

The loop is a pure function of three things: the time of each step, what was taken from each frame
(detections and probabilities), and every answer of the dispenser's driver. The journal keeps these
and nothing else; pixels are not kept. `sorter.replay` feeds them back to the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.ports import (
    Acknowledged,
    Command,
    Dispenser,
    DispenserEvent,
    Executed,
    Frame,
    Guarantees,
    LinkBack,
    LinkLost,
    Passed,
    Pedal,
    Refused,
    Stopped,
)
from sorter.detection import Detection
from sorter.pipeline import Vision

_NO_CONTOUR = np.empty((0, 2), np.int32)
_EVENTS: dict[str, type[DispenserEvent]] = {
    "a": Acknowledged,
    "r": Refused,
    "x": Executed,
    "g": Passed,
    "s": Stopped,
    "p": Pedal,
    "l": LinkLost,
    "b": LinkBack,
}
_LETTERS = {kind: letter for letter, kind in _EVENTS.items()}


class FrameHead(msgspec.Struct, frozen=True, array_like=True):
    """A frame without its pixels."""

    number: int
    exposed_ns: int
    exposed_error_ns: int
    received_ns: int


class Step(msgspec.Struct, array_like=True):
    """One step of the loop.

    Attributes:
        now_ns: time of the step.
        frame: the frame that was taken, if any.
        detections: each detection's fields but its contour, in order.
        probabilities: what the network said of the judged ones, float32 (n, classes) as bytes.
        classes: number of classes.
        calls: (method, arguments, answer) of the dispenser's driver, in order.
        drain: the run was asked to drain just before this step.
        crowded: more frames waited when the frame was taken.
        hides: for each object that would be collected, whether another body hides in it.
        learnt: the step had no frame, and used the moment to learn from a track.
        asked: states that the run went to at the begin of the step as it was asked, and by whom.
        flows: since this step the flow is known to run.
    """

    now_ns: int
    frame: FrameHead | None = None
    detections: list[tuple[Any, ...]] = msgspec.field(default_factory=list)
    probabilities: bytes = b""
    classes: int = 0
    calls: list[tuple[str, list[Any], Any]] = msgspec.field(default_factory=list)
    drain: bool = False
    learnt: bool = False
    crowded: bool = False
    hides: list[bool] = msgspec.field(default_factory=list)
    asked: list[tuple[str, str]] = msgspec.field(default_factory=list)
    flows: bool = False

    def is_idle(self) -> bool:
        """Nothing came from outside and nothing was asked: a replay can leave the step out."""
        told = self.calls or self.drain or self.learnt or self.asked or self.flows
        return self.frame is None and not told


class Journal:
    """Collects one step at a time."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self.step = Step(0)
        self._drain = False

    def begin(self, now_ns: int) -> None:
        """A new step."""
        self.step = Step(now_ns, drain=self._drain)
        self._drain = False

    def drained(self) -> None:
        """The run was asked to drain; the next step begins with that."""
        self._drain = True

    def asked(self, state: str, by: str) -> None:
        """The step went to a state that somebody or something asked for."""
        self.step.asked.append((state, by))

    def flowing(self) -> None:
        """The flow was found to run."""
        self.step.flows = True

    def took(self, frame: Frame, *, crowded: bool) -> None:
        """The step took a frame, while more of them waited or not."""
        self.step.crowded = crowded
        self.step.frame = FrameHead(
            frame.number, frame.exposed_ns, frame.exposed_error_ns, frame.received_ns
        )

    def learnt(self) -> None:
        """The step used a moment without a frame to learn."""
        self.step.learnt = True

    def blob(self) -> bytes | None:
        """The step, encoded; None when it is idle."""
        return None if self.step.is_idle() else self._encoder.encode(self.step)


class JournalledVision:
    """A `Vision` that notes what it passes on."""

    def __init__(self, inner: Vision, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal

    def detect(self, frame: Frame) -> Sequence[Detection]:
        """See `Vision.detect`."""
        detections = self._inner.detect(frame)
        self._journal.step.detections = [pack_detection(d) for d in detections]
        return detections

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """See `Vision.hides_body`."""
        hides = self._inner.hides_body(crops, diameter_um)
        self._journal.step.hides.append(hides)
        return hides

    def settle(self) -> None:
        """See `Vision.settle`."""
        self._inner.settle()

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See `Vision.classify`."""
        probabilities, crops = self._inner.classify(frame, detections)
        self._journal.step.probabilities = probabilities.tobytes()
        self._journal.step.classes = probabilities.shape[1]
        return probabilities, crops


class JournalledDispenser:
    """A `Dispenser` that notes every call and its answer, from after `connect` on."""

    def __init__(self, inner: Dispenser, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal

    def _note(self, method: str, arguments: list[Any], answer: Any) -> None:
        self._journal.step.calls.append((method, arguments, answer))

    def guarantees(self) -> Guarantees:
        """See `Dispenser.guarantees`; not journalled: it is asked when a run is built."""
        return self._inner.guarantees()

    def connect(self) -> dict[str, Any]:
        """See `Dispenser.connect`; not journalled."""
        return self._inner.connect()

    def arm(self) -> None:
        """See `Dispenser.arm`; noted where it succeeds."""
        self._inner.arm()
        self._note("arm", [], None)

    def to_device_us(self, host_ns: int) -> int:
        """See `Dispenser.to_device_us`."""
        answer = self._inner.to_device_us(host_ns)
        self._note("to_device_us", [host_ns], answer)
        return answer

    def to_host_ns(self, device_us: int) -> int:
        """See `Dispenser.to_host_ns`."""
        answer = self._inner.to_host_ns(device_us)
        self._note("to_host_ns", [device_us], answer)
        return answer

    def clock_bound_us(self, host_ns: int) -> int:
        """See `Dispenser.clock_bound_us`."""
        answer = self._inner.clock_bound_us(host_ns)
        self._note("clock_bound_us", [host_ns], answer)
        return answer

    def send(self, command: Command, now_ns: int) -> None:
        """See `Dispenser.send`."""
        self._inner.send(command, now_ns)
        self._note("send", pack_command(command), None)

    def cancel(self, command_id: int, now_ns: int) -> None:
        """See `Dispenser.cancel`."""
        self._inner.cancel(command_id, now_ns)
        self._note("cancel", [command_id], None)

    def rest(self, now_ns: int) -> None:
        """See `Dispenser.rest`."""
        self._inner.rest(now_ns)
        self._note("rest", [], None)

    def hold(self, now_ns: int) -> None:
        """See `Dispenser.hold`."""
        self._inner.hold(now_ns)
        self._note("hold", [], None)

    def flow(self, now_ns: int) -> None:
        """See `Dispenser.flow`."""
        self._inner.flow(now_ns)
        self._note("flow", [], None)

    def stop(self, now_ns: int) -> None:
        """See `Dispenser.stop`."""
        self._inner.stop(now_ns)
        self._note("stop", [], None)

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """See `Dispenser.lines`."""
        self._inner.lines(ready=ready, hold=hold, fault=fault, now_ns=now_ns)
        self._note("lines", [ready, hold, fault], None)

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """See `Dispenser.step`."""
        events = self._inner.step(now_ns)
        if events:
            self._note("step", [], [pack_event(e) for e in events])
        return events

    def close(self) -> None:
        """See `Dispenser.close`; not journalled."""
        self._inner.close()


def pack_detection(d: Detection) -> tuple[Any, ...]:
    """All fields but the contour."""
    return (
        d.x_px,
        d.y_px,
        d.area_um2,
        d.diameter_um,
        d.circularity,
        d.solidity,
        d.grey_ratio,
        d.bbox,
        d.touches_border,
        d.split,
        d.double,
        d.deficit_um2,
    )


def unpack_detection(packed: Sequence[Any]) -> Detection:
    """A detection without a contour."""
    x, y, area, diameter, circularity, solidity, grey, bbox, border, split, double, deficit = packed
    return Detection(
        x, y, area, diameter, circularity, solidity, grey, tuple(bbox), border, split, double,
        _NO_CONTOUR, deficit,
    )  # fmt: skip


def pack_command(command: Command) -> list[Any]:
    """A command as plain values."""
    return [command.id, command.outlet, command.open_us, command.close_us]


def pack_event(event: DispenserEvent) -> list[Any]:
    """An event as plain values, its kind first."""
    return [_LETTERS[type(event)], *(getattr(event, one.name) for one in fields(event))]


def unpack_event(packed: Sequence[Any]) -> DispenserEvent:
    """The event again."""
    kind, *values = packed
    return _EVENTS[kind](*values)
