"""Where objects went, in the shipped loop: optical gates that tell what the test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from drivers.ports import Camera, Frame
from hardware_sim.virtual_link import VirtualDispenser
from hardware_sim.virtual_rig import Trace
from sorter.errors import RunFault
from sorter.faults import FaultSettings
from sorter.life import RunState
from sorter.mass_balance import BalanceSettings
from sorter.watch import WatchSettings
from sorter.whereabouts import OpticalGateSettings
from tests.sorter.known_ways import UNHEALTHY, Moving, sort

GATES = OpticalGateSettings(present=True)
MS = 1_000_000


class Lagging:
    """A camera whose frames come late, as those of a scene that is drawn behind time."""

    def __init__(self, camera: Camera, lag_ns: int) -> None:
        self._camera, self._lag_ns = camera, lag_ns
        self._frames: deque[Frame] = deque()

    def pop(self) -> Frame | None:
        frame = self._camera.pop()
        if frame is not None:
            self._frames.append(frame)
        if frame is None or self._frames[0].exposed_ns > frame.received_ns - self._lag_ns:
            return None
        return self._frames.popleft()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)


def darkening(
    passages: Sequence[tuple[Moving, str]], told_after_ns: int = 20 * MS
) -> Callable[[VirtualDispenser, int], None]:
    """Each body darkens the optical gate of an outlet when it arrives."""
    waiting = sorted(passages, key=lambda one: one[0].arrives_ns)

    def meddle(device: VirtualDispenser, now_ns: int) -> None:
        while waiting and now_ns >= waiting[0][0].arrives_ns + told_after_ns:
            body, outlet = waiting.pop(0)
            length_ns = int(200.0 / body.speed_um_s * 1e9)
            device.passed(outlet, body.arrives_ns - length_ns // 2, length_ns)

    return meddle


def balance(trace: Trace) -> dict[str, Any]:
    """The last one in the record."""
    texts = [event.text for event in trace.events if event.name == "mass_balance"]
    return dict(msgspec.json.decode(texts[-1]))


GOOD, BAD, LATE = Moving(0.3), Moving(1.0, probabilities=UNHEALTHY), Moving(1.7)


def test_what_was_seen_at_the_junction_is_in_the_record() -> None:
    seen = darkening([(GOOD, "collect"), (BAD, "waste")])
    trace, _ = sort([GOOD, BAD, LATE], duration_s=4.0, gates=GATES, meddle=seen)
    told = balance(trace)
    assert told["outlets"] == {"collect": 1, "waste": 1}
    assert (told["entered"], told["lost"], told["under_way"]) == (3, 1, 0)
    assert told["went"] == {"collect": {"collect": 1, "lost": 1}, "waste": {"waste": 1}}
    assert told["closes"]


def test_nobody_is_lost_because_frames_and_passages_lag_behind_together() -> None:
    """By the frames' own times the news is as early as ever."""
    other = Moving(1.4, probabilities=UNHEALTHY)
    lag_ns = 900 * MS
    seen = darkening([(BAD, "waste"), (other, "waste")], lag_ns + 20 * MS)
    trace, _ = sort(
        [BAD, other], duration_s=6.0, gates=GATES, meddle=seen,
        camera_of=lambda camera: Lagging(camera, lag_ns),
    )  # fmt: skip
    told = balance(trace)
    assert (told["outlets"]["waste"], told["lost"], told["unexpected"]) == (2, 0, {})


def test_without_optical_gates_nothing_is_said() -> None:
    seen = darkening([(GOOD, "collect")])
    trace, _ = sort([GOOD], meddle=seen)
    assert "mass_balance" not in [event.name for event in trace.events]


def test_a_stray_in_collect_stops_the_run_by_its_name() -> None:
    seen = darkening([(GOOD, "collect"), (BAD, "collect")])
    with pytest.raises(RunFault, match=r"not meant to: 1 \(misrouted\).*valve"):
        sort([GOOD, BAD], duration_s=6.0, gates=GATES, meddle=seen, watch=WatchSettings())


@pytest.mark.parametrize(
    ("response", "stray_stops", "paused"),
    [("hold", True, True), ("stop", False, False)],
    ids=["the settings hold", "strays only warn"],
)
def test_a_stray_is_answered_as_the_settings_say(
    response: Any, stray_stops: bool, paused: bool
) -> None:
    seen = darkening([(GOOD, "collect"), (BAD, "collect")])
    settings = GATES.model_copy(update={"balance": BalanceSettings(stray_stops=stray_stops)})
    trace, _ = sort(
        [GOOD, BAD], duration_s=6.0, gates=settings, meddle=seen,
        watch=WatchSettings(), faults=FaultSettings(misrouted=response),
    )  # fmt: skip
    names = [event.name for event in trace.events]
    assert names.count("misrouted") == 1
    assert ("paused" in names) == paused
    assert balance(trace)["strays"] == 1


def test_a_decision_that_was_taken_back_counts_as_it_was_in_the_end() -> None:
    """A conflict: both go to rest, and are seen there."""
    one, other = Moving(0.3, y_um=200.0), Moving(0.32, probabilities=UNHEALTHY, y_um=700.0)
    seen = darkening([(one, "waste"), (other, "waste")])
    trace, _ = sort([one, other], gates=GATES, meddle=seen)
    told = balance(trace)
    assert told["outlets"] == {"collect": 0, "waste": 2}
    assert told["commanded"]["value"] == 0.0
    assert told["strays"] == 0


def test_what_a_hold_lost_sight_of_is_held_and_not_lost() -> None:
    under_way, after = Moving(0.3), Moving(8.2)
    seen = darkening([(after, "collect")])
    trace, _ = sort(
        [under_way, after], duration_s=11.0, gates=GATES, meddle=seen,
        wishes=[(0.7, RunState.PAUSED), (1.0, RunState.PRIMING)],
    )  # fmt: skip
    told = balance(trace)
    assert (told["held"], told["lost"], told["outlets"]["collect"]) == (1, 0, 1)
    assert told["closes"]
