"""One step of the loop as the journal keeps it: plain values, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import msgspec
import numpy as np

from drivers.ports import (
    Acknowledged,
    Command,
    DispenserEvent,
    Executed,
    LinkBack,
    LinkLost,
    Passed,
    Pedal,
    Refused,
    Stopped,
)
from sorter.detection import Detection

T = TypeVar("T")

LOOP = "loop"
"""In `Step.raised`: what raised was no door, or one whose calls say it themselves."""

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


class Call(msgspec.Struct, array_like=True):
    """What the dispenser's driver was asked, and what came of it."""

    method: str
    arguments: list[Any]
    answer: Any = None
    raised: bool = False

    def answered(self, answer: T) -> T:
        """It did answer; gives the answer back."""
        self.answer, self.raised = answer, False
        return answer


class Step(msgspec.Struct, array_like=True):
    """One step of the loop, or the closing of the books at a run's end.

    Read by place: new fields are added at the end, and have a value for records without them.

    Attributes:
        now_ns: time of the step.
        frame: the frame that was taken, if any.
        detections: each detection's fields but its contour, in order.
        probabilities: what the network said of the judged ones, float32 (n, classes) as bytes.
        classes: number of classes.
        calls: of the dispenser's driver, in order.
        drain: the run was asked to drain just before this step.
        crowded: more frames waited, where that was asked.
        hides: for each object that would be collected, whether another body hides in it.
        learnt: the step had no frame, and used the moment to learn from a track.
        asked: states that the run went to at the begin of the step as it was asked, and by whom.
        flows: since this step the flow is known to run.
        drain_ns: when it was asked to drain; 0 in records of before version 2.
        raised: what ended the step before its end, and with it the run: the door to the outside
            that raised (``camera``; ``pump``, its ``hold`` and ``resume``; ``detect``,
            ``classify``, ``hides_body``, ``settle``), ``flow`` for a flow that is held unasked, or
            `LOOP`; empty where it came to its end.
        told: the step had no frame, and used the moment to tell the scheduler of a body in view.
        closed: not a step, but the end: what was in view was ruled to rest for this reason.
    """

    now_ns: int
    frame: FrameHead | None = None
    detections: list[tuple[Any, ...]] = msgspec.field(default_factory=list)
    probabilities: bytes = b""
    classes: int = 0
    calls: list[Call] = msgspec.field(default_factory=list)
    drain: bool = False
    learnt: bool = False
    crowded: bool = False
    hides: list[bool] = msgspec.field(default_factory=list)
    asked: list[tuple[str, str]] = msgspec.field(default_factory=list)
    flows: bool = False
    drain_ns: int = 0
    raised: str = ""
    closed: str = ""
    told: bool = False

    def is_idle(self) -> bool:
        """Nothing came from outside and nothing was asked: a replay can leave the step out."""
        asked = self.calls or self.drain or self.asked or self.flows
        used = self.learnt or self.told
        return self.frame is None and not (asked or used or self.raised or self.closed)


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
        d.glimpsed,
    )


def unpack_detection(packed: Sequence[Any]) -> Detection:
    """A detection without a contour."""
    # Records of before version 3 know no glimpses.
    x, y, area, diameter, circularity, solidity, grey, bbox, border, split, double, *rest = packed
    return Detection(
        x, y, area, diameter, circularity, solidity, grey, tuple(bbox), border, split, double,
        _NO_CONTOUR, *rest,
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
