"""The whole rig in virtual time: repeatable to the bit, and safe when frames get lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.ports import Camera, CameraInfo, Frame
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.gate_log import outlet_at
from hardware_sim.virtual_rig import START_NS, VirtualResult, run_virtual
from sorter.errors import CameraError

BUSY = DemoSettings(seed=8, rate_hz=1.5, unhealthy=0.3, duration_s=6.0)


class Between:
    """Stands between camera and controller, and loses frames."""

    def __init__(self, inner: Camera, lost: Callable[[int], bool]) -> None:
        self._inner = inner
        self._lost = lost

    def info(self) -> CameraInfo:
        return self._inner.info()

    def start(self) -> None:
        self._inner.start()

    def pop(self) -> Frame | None:
        frame = self._inner.pop()
        while frame is not None and self._lost(frame.number):
            frame = self._inner.pop()
        return frame

    def waiting(self) -> int:
        return self._inner.waiting()

    def stop(self) -> None:
        self._inner.stop()

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VirtualResult:
    """A run without faults."""
    return run_virtual(BUSY, tmp_path_factory.mktemp("whole"))


def test_the_same_seed_gives_the_same_trace(whole: VirtualResult, tmp_path: Path) -> None:
    again = run_virtual(BUSY, tmp_path)
    assert again.trace.digest == whole.trace.digest
    assert (again.truth, again.gate) == (whole.truth, whole.gate)


def test_another_seed_gives_another(whole: VirtualResult, tmp_path: Path) -> None:
    settings = DemoSettings(seed=2, rate_hz=4.0, duration_s=1.0)
    assert run_virtual(settings, tmp_path).trace.digest != whole.trace.digest


def test_what_the_controller_tells_is_what_happened(whole: VirtualResult) -> None:
    trace, counters = whole.trace, whole.counters
    assert counters.frames_received == trace.frames > 800
    assert counters.frames_dropped == 0
    assert counters.commands == len(trace.commands) > 0
    assert sum(counters.outlets.values()) == sum(counters.reasons.values()) == len(trace.objects)
    assert [event.name for event in trace.events] == [
        "ready",
        "priming",
        "running",
        "draining",
        "stopped",
    ]
    for command in trace.commands:
        decision = trace.objects[command.object_id]
        assert (decision.outlet, decision.reason) == ("collect", "healthy")


def test_the_gate_obeys_and_ends_at_rest(whole: VirtualResult) -> None:
    assert whole.gate[-1].outlet == "waste"
    opened = [edge for edge in whole.gate if edge.outlet == "collect"]
    assert 0 < len(opened) <= len(whole.trace.commands)
    assert whole.truth["unsafe"] == 0
    assert outlet_at(whole.gate, START_NS) == "waste"


def test_bodies_that_pass_in_lost_frames_are_never_collected(tmp_path: Path) -> None:
    settings = DemoSettings(seed=8, rate_hz=4.0, unhealthy=0.0, duration_s=5.5)

    def lost(number: int) -> bool:
        return 800 <= number < 1000  # 1 s: some bodies cross the whole view meanwhile

    result = run_virtual(settings, tmp_path, through=lambda camera: Between(camera, lost))
    assert result.counters.frames_dropped == 200
    (event,) = [one for one in result.trace.events if one.name == "frames_lost"]
    assert "200 frames lost before frame 1000" in event.text
    assert "goes to rest" in event.text
    unseen = [
        row
        for row in result.truth["outlets"]
        if row["kind"] == "spheroid" and not row["object_ids"]
    ]
    assert unseen, "the scene has changed: nobody passed unseen; choose another seed"
    assert {row["outlet"] for row in unseen} == {"waste"}
    assert result.truth["unsafe"] == 0
    collected = [row for row in result.truth["outlets"] if row["outlet"] == "collect"]
    assert collected, "what came before is sorted as ever"


def test_a_short_gap_hides_nobody(tmp_path: Path) -> None:
    settings = DemoSettings(seed=1, rate_hz=4.0, duration_s=1.0)
    result = run_virtual(
        settings, tmp_path, through=lambda camera: Between(camera, lambda n: n in (100, 101))
    )
    assert result.counters.frames_dropped == 2
    (event,) = [one for one in result.trace.events if one.name == "frames_lost"]
    assert "no body can have passed" in event.text


def test_frames_lost_now_and_then_cost_no_safety(tmp_path: Path) -> None:
    settings = DemoSettings(seed=4, rate_hz=5.0, unhealthy=0.4, duration_s=4.0)
    result = run_virtual(
        settings, tmp_path, through=lambda camera: Between(camera, lambda n: n % 7 in (3, 4))
    )
    assert result.counters.frames_dropped > 200
    assert result.truth["unsafe"] == 0
    assert len(result.trace.objects) > 0


def test_a_run_that_is_asked_to_stop_drains_first(tmp_path: Path) -> None:
    turns = iter(range(10**9))
    result = run_virtual(BUSY, tmp_path, stop=lambda: "Ctrl-C" if next(turns) > 8000 else None)
    assert [event.text for event in result.trace.events] == [
        "everything answers",
        "started",
        "Ctrl-C (by operator)",
        "stopped",
    ]
    assert result.gate == [] or result.gate[-1].outlet == "waste"
    assert result.truth["unsafe"] == 0


def test_the_firmware_takes_the_gate_to_rest_when_the_controller_falls(tmp_path: Path) -> None:
    def fails(number: int) -> bool:
        if number > 500:
            raise CameraError("the camera is gone", on="test", do="Nothing")
        return False

    with pytest.raises(CameraError, match="gone"):
        run_virtual(BUSY, tmp_path, through=lambda camera: Between(camera, fails))
