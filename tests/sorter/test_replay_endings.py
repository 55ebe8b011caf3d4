"""However a run ends, it replays: by a fault, in the middle of a step, drained, or cut off."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers import protocol as wire
from drivers.ports import Camera, Frame
from hardware_sim.virtual_link import VirtualDispenser
from models.bundle import load_bundle
from sorter.attention import Attention
from sorter.detection import Detection
from sorter.errors import CameraError, CheckFailed, HardwareError, SorterError
from sorter.faults import FaultSettings
from sorter.journal_step import Step
from sorter.pipeline import Vision
from sorter.record import Recorder
from sorter.record_reader import open_record
from sorter.replay import ReplayResult, replay
from sorter.runner import run_meta
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from sorter.watch import WatchSettings
from tests.sorter.cables import START_NS, Cable
from tests.sorter.known_ways import UNHEALTHY, Moving, sort

IN_VIEW = [Moving(0.2, 6_000.0), Moving(0.9), Moving(1.25, y_um=200.0), Moving(1.7)]
"""One is collected, one has a command under way, two are in view after 2 s or so."""


def recorder_in(folder: Path) -> Callable[[RigSettings], Recorder]:
    def record(rig: RigSettings) -> Recorder:
        manifest = load_bundle("default").manifest.model_dump(mode="json")
        meta = run_meta(rig, dump_commented_toml(RigSettings, rig), manifest, START_NS)
        return Recorder.start(folder / "run.sqlite", meta)

    return record


class Kept:
    """A `RecordSink` that keeps what it is handed, in order."""

    def __init__(self) -> None:
        self.handed: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, method: str) -> Callable[..., None]:
        return lambda *arguments: self.handed.append((method, arguments))


def recorded(
    folder: Path, bodies: Sequence[Moving], **story: Any
) -> tuple[Path, SorterError | None]:
    """The record of a run, and what ended it before its time."""
    kept: list[Recorder] = []

    def record(rig: RigSettings) -> Recorder:
        kept.append(recorder_in(folder)(rig))
        return kept[0]

    error: SorterError | None = None
    try:
        sort(bodies, record=record, **story)
    except SorterError as raised:
        error = raised
    kept[0].finish("fault" if error else "done", 4 if error else 0)
    return kept[0].path, error


class CameraThatFails:
    """Until then it gives the frames of another."""

    def __init__(self, camera: Camera, after: int) -> None:
        self._camera, self._left = camera, after

    def pop(self) -> Frame | None:
        frame = self._camera.pop()
        self._left -= frame is not None
        if self._left < 0:
            raise CameraError("it was unplugged")
        return frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)


class VisionThatFails:
    """In one method, the ``after``th time that it is asked."""

    def __init__(self, vision: Vision, method: str, after: int) -> None:
        self._vision, self._method, self._left = vision, method, after

    def _enter(self, method: str) -> None:
        self._left -= method == self._method
        if self._left < 0:
            raise HardwareError("the graphics card is gone")

    def detect(self, frame: Frame, attention: Attention) -> Sequence[Detection]:
        self._enter("detect")
        return self._vision.detect(frame, attention)

    def classify(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        self._enter("classify")
        return self._vision.classify(frame, detections)

    def hides_body(self, crops: Sequence[NDArray[np.uint8]], diameter_um: float) -> bool:
        self._enter("hides_body")
        return self._vision.hides_body(crops, diameter_um)

    def settle(self) -> None:
        self._enter("settle")
        self._vision.settle()


def after_s(at_s: float, meddle: Callable[[VirtualDispenser], None]) -> dict[str, Any]:
    """Meddle once with each device."""
    done: list[VirtualDispenser] = []

    def once(device: VirtualDispenser, now_ns: int) -> None:
        if now_ns > START_NS + at_s * 1e9 and device not in done:
            done.append(device)
            meddle(device)

    return {"meddle": once}


def fails_in(method: str, after: int) -> dict[str, Any]:
    return {"vision_of": lambda vision: VisionThatFails(vision, method, after)}


FAULTS: dict[str, dict[str, Any]] = {
    "emergency stop": after_s(1.9, lambda device: device.press_estop()),
    "flow held unasked": after_s(
        1.9, lambda device: device.link.write(wire.encode(wire.Hold(1, 4)))
    ),
    "link lost": {"cable": Cable(out=(1.9, 99.0))},
    "link lost as a command goes out": {"cable": Cable(out=(1.62, 99.0))},
    "device reset": after_s(
        1.9, lambda device: device.link.write(wire.encode(wire.Hello(77, wire.VERSION, 1_000)))
    ),
    "camera unplugged": {"camera_of": lambda camera: CameraThatFails(camera, 370)},
    "detection fails": fails_in("detect", 370),
    "network fails": fails_in("classify", 100),
    "the look for hidden bodies fails": fails_in("hides_body", 1),
    "settling fails": fails_in("settle", 15_000),
    "a fault that stops the run": {
        "watch": WatchSettings(), "faults": FaultSettings(camera_stalled="stop"),
        "silent_from_s": 1.85,
    },
}  # fmt: skip


def reasons(result: ReplayResult) -> list[str]:
    return [
        decision[-1] if len(decision) > 5 else decision[2] for decision in result.recorded.decisions
    ]


@pytest.mark.parametrize("case", FAULTS)
def test_a_run_that_a_fault_ended_replays_to_the_same(case: str, tmp_path: Path) -> None:
    path, error = recorded(tmp_path, IN_VIEW, duration_s=3.0, **FAULTS[case])
    assert error is not None
    result = replay(path)
    assert result.difference is None
    assert result.left_out == 0
    assert reasons(result).count("fault") >= 1


@pytest.mark.parametrize("turns", range(-3, 4))
def test_a_drain_replays_to_the_same(turns: int, tmp_path: Path) -> None:
    """A body that is first exposed in the very turn in which the run begins to drain."""
    before, body = Moving(0.25, 5_000.0, UNHEALTHY, 800.0), Moving(0.2999, y_um=200.0)
    until_ns = START_NS + 315_000_000 + turns * 100_000
    now = [0]

    def look(device: VirtualDispenser, now_ns: int) -> None:
        now[0] = now_ns

    path, error = recorded(
        tmp_path, [before, body], duration_s=2.0, meddle=look,
        stop=lambda: "asked" if now[0] >= until_ns else None,
    )  # fmt: skip
    assert error is None
    result = replay(path)
    assert result.difference is None
    assert reasons(result)[1] == ("stopping" if turns < 1 else "healthy")


CUT_AFTER = ("object", "command", "update_object", "frame")


@pytest.fixture(scope="module")
def handed() -> tuple[RigSettings, list[tuple[str, tuple[Any, ...]]]]:
    """The settings of a run with a conflict, and all that its loop handed over."""
    rigs: list[RigSettings] = []
    kept = Kept()

    def record(rig: RigSettings) -> Any:
        rigs.append(rig)
        return kept

    bodies = [Moving(0.3), Moving(0.7, y_um=200.0), Moving(0.72, probabilities=UNHEALTHY)]
    sort(bodies, record=record)
    return rigs[0], kept.handed


@pytest.mark.parametrize("method", CUT_AFTER)
def test_a_record_that_was_cut_off_replays_up_to_there(
    method: str, handed: tuple[RigSettings, list[tuple[str, tuple[Any, ...]]]], tmp_path: Path
) -> None:
    """As by a kill in the middle of a step: the journal has each step when it is over."""
    rig, messages = handed
    last = max(i for i, (name, _) in enumerate(messages) if name == method)
    recorder = recorder_in(tmp_path)(rig)
    for name, arguments in messages[: last + 1]:
        getattr(recorder, name)(*arguments)
    recorder.finish("fault", 4)
    result = replay(recorder.path)
    assert result.difference is None
    assert (result.left_out > 0) == (method != "frame")


def test_a_fault_that_the_journal_does_not_show_is_noticed(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, IN_VIEW, duration_s=3.0, **FAULTS["emergency stop"])
    with sqlite3.connect(path) as connection:
        step, blob = connection.execute(
            "SELECT step, blob FROM journal ORDER BY step DESC LIMIT 1 OFFSET 1"
        ).fetchone()
        broken = msgspec.msgpack.decode(blob, type=Step)
        assert broken.raised
        broken.raised = ""
        blob = msgspec.msgpack.encode(broken)
        connection.execute("UPDATE journal SET blob=? WHERE step=?", (blob, step))
    connection.close()
    with pytest.raises(CheckFailed, match="got through"):
        replay(path)


def test_a_record_of_version_1_replays_as_it_did(tmp_path: Path) -> None:
    """It does not say how it ended, and its calls have three fields."""
    path, _ = recorded(tmp_path, IN_VIEW, duration_s=3.0)
    with sqlite3.connect(path) as connection:
        for number, blob in connection.execute("SELECT step, blob FROM journal").fetchall():
            step = msgspec.msgpack.decode(blob)
            if step[-1]:
                connection.execute("DELETE FROM journal WHERE step=?", (number,))
                continue
            step[5] = [call[:3] for call in step[5]]
            blob = msgspec.msgpack.encode(step[:-3])
            connection.execute("UPDATE journal SET blob=? WHERE step=?", (blob, number))
        connection.execute("PRAGMA user_version=1")
    connection.close()
    with open_record(path) as reader:
        assert reader.version == 1
    result = replay(path)
    assert result.difference is None
    assert len(result.recorded.decisions) == len(IN_VIEW)
