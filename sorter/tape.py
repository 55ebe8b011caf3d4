"""Stands for everything outside of the loop while a recorded run is replayed.

Each part gives what the journal's step has, and raises where the run's own part raised. What the
replay asks otherwise than the run did is a `CheckFailed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.ports import (
    CameraInfo,
    Command,
    DispenserEvent,
    Frame,
    Guarantees,
    PumpAbilities,
    PumpState,
    PumpStatus,
)
from sorter.attention import Attention
from sorter.detection import Detection
from sorter.errors import CheckFailed, DispenserError, RunFault
from sorter.guarantees import guarantees_of
from sorter.journal_step import Step, pack_command, unpack_detection, unpack_event
from sorter.settings import RigSettings

_NO_PIXELS = np.empty((0, 0), np.uint8)
_AS_IN_THE_RUN = "it raised in the run"


class Tape:
    """The step that is being replayed, and how far into its answers the controller is.

    What the dispenser is told between the steps, as the run starts and ends, is not journalled:
    ``turning`` says whether the controller is inside one.
    """

    def __init__(self) -> None:
        self.step = Step(0)
        self.turning = False
        self._call = 0

    def put(self, step: Step) -> None:
        """The next step."""
        self.step, self._call = step, 0

    def answer(self, method: str, arguments: list[Any]) -> Any:
        """The recorded answer, or `DispenserError` where it raised in the run.

        Raises `CheckFailed` when the replay asks something else.
        """
        calls = self.step.calls
        call = calls[self._call] if self._call < len(calls) else None
        if call is None or call.method != method or call.arguments != arguments:
            had = f"{call.method}{tuple(call.arguments)}" if call else "nothing more"
            raise CheckFailed(
                f"the replay asks the dispenser {method}{tuple(arguments)}, "
                f"the run had {had} in that step",
                on=f"step at {self.step.now_ns} ns",
                do="Replay with the version that recorded the run (see its meta table)",
            )
        self._call += 1
        if call.raised:
            raise DispenserError(_AS_IN_THE_RUN, on=method)
        return call.answer

    def pass_door(self, name: str) -> None:
        """Raise what was raised there in the run, if anything was."""
        if self.turning and self.step.raised == name:
            raise RunFault(_AS_IN_THE_RUN, on=name)

    def told(self, method: str, arguments: list[Any]) -> None:
        """What has no answer, but must have been said in the run as well."""
        if self.turning:
            self.answer(method, arguments)

    def next_is(self, method: str) -> bool:
        """Whether the next recorded call is `method`."""
        return self._call < len(self.step.calls) and self.step.calls[self._call].method == method


class TapeClock:
    """Stands still within a step."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._tape.step.now_ns

    def wait_until(self, deadline_ns: int) -> None:
        """The tape decides when the next step is."""


class TapeCamera:
    """Gives the step's frame, without pixels."""

    def __init__(self, tape: Tape, rig: RigSettings) -> None:
        self._tape = tape
        camera = rig.camera
        self._info = CameraInfo("replay", camera.width_px, camera.height_px, camera.bit_depth)

    def info(self) -> CameraInfo:
        """See `Camera.info`."""
        return self._info

    def start(self) -> None:
        """Nothing to start."""

    def pop(self) -> Frame | None:
        """See `Camera.pop`."""
        self._tape.pass_door("camera")
        head = self._tape.step.frame
        if head is None:
            return None
        return Frame(
            _NO_PIXELS, head.number, head.exposed_ns, head.exposed_error_ns, head.received_ns
        )

    def waiting(self) -> int:
        """See `Camera.waiting`."""
        return int(self._tape.step.crowded)

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


class TapePump:
    """Runs from the step on that found it running, until it is held or found to stand."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._flows = False

    def abilities(self) -> PumpAbilities:
        """See `Pump.abilities`."""
        return PumpAbilities(rate=False, volume=False, reverse=False)

    def start(self, now_ns: int) -> None:
        """See `Pump.start`."""
        self._flows = False

    def hold(self, now_ns: int) -> None:
        """See `Pump.hold`."""
        self._tape.pass_door("hold")
        self._flows = False

    def stop(self, now_ns: int) -> None:
        """See `Pump.stop`."""
        self._flows = False

    def resume(self, now_ns: int) -> None:
        """See `Pump.resume`."""
        self._tape.pass_door("resume")
        self._flows = False

    def reverse(self, volume_ul: float, now_ns: int) -> None:
        """Nothing to push."""

    def set_rate_ul_s(self, rate_ul_s: float, now_ns: int) -> None:
        """Nothing to set."""

    def status(self) -> PumpStatus:
        """See `Pump.status`."""
        self._flows = (self._flows or self._tape.step.flows) and self._tape.step.raised != "flow"
        state = PumpState.RUNNING if self._flows else PumpState.UNKNOWN
        return PumpStatus(state, math.nan, math.nan, 0)

    def step(self, now_ns: int) -> None:
        """See `Pump.step`."""
        self._tape.pass_door("pump")

    def close(self) -> None:
        """Nothing to close."""


class TapeVision:
    """Says what was found and judged."""

    def __init__(self, tape: Tape, size_px: int) -> None:
        self._tape = tape
        self._size_px = size_px

    def settle(self) -> None:
        """See `Vision.settle`."""
        self._tape.pass_door("settle")

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        """See `Vision.hides_body`."""
        if not self._tape.step.hides:
            self._tape.pass_door("hides_body")
            raise CheckFailed("the replay would collect an object that the run did not")
        return self._tape.step.hides.pop(0)

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        """See `Vision.detect`."""
        self._tape.pass_door("detect")
        return [unpack_detection(fields) for fields in self._tape.step.detections]

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See `Vision.classify`."""
        self._tape.pass_door("classify")
        step = self._tape.step
        flat = np.frombuffer(step.probabilities, np.float32)
        probabilities = flat.reshape(-1, step.classes or 1)
        if len(probabilities) != len(detections):
            raise CheckFailed(
                f"the replay classifies {len(detections)} views, the run {len(probabilities)}",
                on=f"frame {frame.number}",
            )
        return probabilities, np.zeros((len(detections), self._size_px, self._size_px), np.uint8)


class TapeDispenser:
    """Answers as the run's did."""

    def __init__(self, tape: Tape, rig: RigSettings) -> None:
        self._tape = tape
        self._guarantees = guarantees_of(rig)

    def guarantees(self) -> Guarantees:
        """See `Dispenser.guarantees`."""
        return self._guarantees

    def connect(self) -> dict[str, Any]:
        """See `Dispenser.connect`."""
        return {}

    def arm(self) -> None:
        """As in the run; what armed it before the first step is not on the tape."""
        if not self._tape.turning:
            return
        if not self._tape.next_is("arm"):  # records of before version 2 have no calls that raised
            raise DispenserError(_AS_IN_THE_RUN, on="arm")
        self._tape.answer("arm", [])

    def to_device_us(self, host_ns: int) -> int:
        """See `Dispenser.to_device_us`."""
        return int(self._tape.answer("to_device_us", [host_ns]))

    def to_host_ns(self, device_us: int) -> int:
        """See `Dispenser.to_host_ns`."""
        return int(self._tape.answer("to_host_ns", [device_us]))

    def clock_bound_us(self, host_ns: int) -> int:
        """See `Dispenser.clock_bound_us`."""
        return int(self._tape.answer("clock_bound_us", [host_ns]))

    def send(self, command: Command, now_ns: int) -> None:
        """See `Dispenser.send`."""
        self._tape.answer("send", pack_command(command))

    def cancel(self, command_id: int, now_ns: int) -> None:
        """See `Dispenser.cancel`."""
        self._tape.answer("cancel", [command_id])

    def rest(self, now_ns: int) -> None:
        """See `Dispenser.rest`."""
        self._tape.told("rest", [])

    def hold(self, now_ns: int) -> None:
        """See `Dispenser.hold`."""
        self._tape.told("hold", [])

    def flow(self, now_ns: int) -> None:
        """See `Dispenser.flow`."""
        self._tape.told("flow", [])

    def stop(self, now_ns: int) -> None:
        """See `Dispenser.stop`."""
        self._tape.told("stop", [])

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """See `Dispenser.lines`."""
        self._tape.told("lines", [ready, hold, fault])

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """See `Dispenser.step`."""
        if not self._tape.next_is("step"):
            return []
        return [unpack_event(fields) for fields in self._tape.answer("step", [])]

    def close(self) -> None:
        """Nothing to close."""
