"""The loop on bodies whose way is known to the digit: the gate must stand right when they arrive.

Scheduler, driver and firmware are the shipped ones, in virtual time. In place of pixels there is a
`Vision` that says where bodies are; in place of the liquid, bodies that go straight on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from drivers import protocol as wire
from drivers.ports import Camera, Frame
from hardware_sim.gate_log import outlet_at
from hardware_sim.virtual_link import VirtualDispenser
from sorter.errors import PumpError, RunFault
from sorter.faults import FaultKind, kind_of
from sorter.life import RunState
from sorter.limits import LimitSettings
from sorter.runner import IDLE_NS
from sorter.watch import WatchSettings
from tests.sorter.cables import START_NS
from tests.sorter.known_ways import JUNCTION_UM, UNHEALTHY, Moving, SpeedingUp, final, sort


@pytest.mark.parametrize("speed_um_s", [6_000.0, 10_000.0, 20_000.0, 40_000.0])
def test_the_gate_stands_open_when_a_healthy_body_arrives(speed_um_s: float) -> None:
    body = Moving(0.3, speed_um_s)
    trace, gate = sort([body])
    assert list(final(trace).values()) == [("collect", "healthy")]
    around_ns = np.linspace(body.arrives_ns - 4_000_000, body.arrives_ns + 4_000_000, 9)
    assert {outlet_at(gate, int(at_ns)) for at_ns in around_ns} == {"collect"}
    assert outlet_at(gate, body.arrives_ns - 400_000_000) == "waste"
    assert outlet_at(gate, body.arrives_ns + 400_000_000) == "waste"
    (row,) = trace.objects.values()
    assert row.arrival_ns is not None
    assert row.arrival_error_ns is not None
    assert abs(row.arrival_ns - body.arrives_ns) <= row.arrival_error_ns
    assert row.velocity_um_s == pytest.approx(speed_um_s, rel=0.01)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (Moving(0.3, probabilities=UNHEALTHY), "unhealthy"),
        (Moving(0.3, probabilities=(0.01, 0.01, 0.98)), "not_a_spheroid"),
        (Moving(0.3, double=True), "double"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_gate_stays_at_rest_for_others(body: Moving, reason: str) -> None:
    trace, gate = sort([body])
    assert list(final(trace).values()) == [("waste", reason)]
    assert outlet_at(gate, body.arrives_ns) == "waste"
    assert not trace.commands


def test_a_neighbour_bound_elsewhere_is_a_conflict_and_both_go_to_rest() -> None:
    good, bad = Moving(0.3, y_um=200.0), Moving(0.32, probabilities=UNHEALTHY, y_um=700.0)
    trace, gate = sort([good, bad])
    assert sorted(final(trace).values()) == [("waste", "conflict"), ("waste", "unhealthy")]
    assert {outlet_at(gate, one.arrives_ns) for one in (good, bad)} == {"waste"}


def test_one_that_overtakes_is_foreseen() -> None:
    """The slow one is seen long before, and both arrive within some ms."""
    slow, fast = Moving(0.2, 6_000.0, y_um=200.0), Moving(1.202, 12_000.0, UNHEALTHY, 700.0)
    assert abs(slow.arrives_ns - fast.arrives_ns) < 5_000_000
    trace, gate = sort([slow, fast], duration_s=3.0)
    assert outlet_at(gate, fast.arrives_ns) == "waste"
    assert sorted(reason for _, reason in final(trace).values()) == ["conflict", "unhealthy"]


class Waiting:
    """A camera whose frames have waited in its queue before they are taken, one at a time."""

    def __init__(self, camera: Camera, waited_ns: int) -> None:
        self._camera = camera
        self._waited_ns = waited_ns

    def pop(self) -> Frame | None:
        frame = self._camera.pop()
        if frame is None:
            return None
        return replace(frame, received_ns=frame.received_ns - self._waited_ns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)


@pytest.mark.parametrize(("waited_ms", "judged"), [(0.0, 1.0), (1.2, 1.0), (1.7, 1 / 3)])
def test_in_late_frames_a_body_is_judged_every_third_time(waited_ms: float, judged: float) -> None:
    trace, _ = sort(
        [Moving(0.3)], camera_of=lambda camera: cast(Camera, Waiting(camera, int(waited_ms * 1e6)))
    )
    (row,) = trace.objects.values()
    assert row.outlet == "collect"
    assert row.n_views == pytest.approx(judged * len(row.sightings), abs=2)


def test_two_healthy_neighbours_share_an_opening() -> None:
    bodies = [Moving(0.3, y_um=200.0), Moving(0.34, y_um=700.0)]
    trace, gate = sort(bodies)
    assert list(final(trace).values()) == [("collect", "healthy")] * 2
    assert {outlet_at(gate, one.arrives_ns) for one in bodies} == {"collect"}
    switched = [edge.outlet for edge in gate if edge.t_ns > START_NS]
    assert switched == ["collect", "waste"]


def test_shadow_decides_and_moves_nothing() -> None:
    trace, gate = sort([Moving(0.3), Moving(0.9, probabilities=UNHEALTHY)], shadow=True)
    assert sorted(final(trace).values()) == [("waste", "shadow"), ("waste", "unhealthy")]
    assert not [edge for edge in gate if edge.outlet != "waste"]


def test_a_drain_sorts_what_is_in_view_and_nothing_after() -> None:
    before, after = Moving(0.3), Moving(0.45, y_um=200.0)
    turns = iter(range(10**9))
    asked = 350_000_000 // IDLE_NS  # in turns: 0.35 s after the start
    trace, gate = sort([before, after], stop=lambda: "Ctrl-C" if next(turns) > asked else None)
    reasons = [reason for _, reason in final(trace).values()]
    assert reasons == ["healthy", "stopping"]
    assert outlet_at(gate, before.arrives_ns) == "collect"
    assert outlet_at(gate, after.arrives_ns) == "waste"
    assert [event.name for event in trace.events] == [
        "ready",
        "priming",
        "running",
        "draining",
        "stopped",
    ]


def test_nothing_is_collected_before_the_run_is_primed() -> None:
    before, after = Moving(0.3), Moving(1.3)
    trace, gate = sort([before, after], prime_s=1.0)
    assert list(final(trace).values()) == [("waste", "priming"), ("collect", "healthy")]
    assert outlet_at(gate, before.arrives_ns) == "waste"
    assert outlet_at(gate, after.arrives_ns) == "collect"


@pytest.mark.parametrize("settles_ms", [0.0, 400.0])
def test_what_is_seen_while_the_flow_speeds_up_may_come_sooner_than_it_looks(
    settles_ms: float,
) -> None:
    """One that is bound for rest is slow while it is in view; another overtakes it later."""
    early = SpeedingUp(0.05, 10_000.0, UNHEALTHY)
    later = Moving((early.arrives_ns - START_NS) * 1e-9 - JUNCTION_UM / 40_000.0, 40_000.0)
    assert abs(early.arrives_ns - later.arrives_ns) < 1_000_000
    trace, gate = sort([early, later], settles_ms=settles_ms)
    slipped_in = settles_ms == 0.0
    assert outlet_at(gate, early.arrives_ns) == ("collect" if slipped_in else "waste")
    reasons = [reason for _, reason in final(trace).values()]
    assert reasons == (["unhealthy", "healthy"] if slipped_in else ["priming", "conflict"])


def test_a_run_into_a_full_channel_collects_when_the_slowest_that_nobody_saw_has_passed() -> None:
    """The slow one was past the view when the run began; the fast one overtakes it."""
    unseen = Moving(-1.2, 2_500.0)
    fast, after = Moving(2.4), Moving(8.0)
    assert abs(unseen.arrives_ns - fast.arrives_ns) < 30_000_000
    trace, gate = sort([unseen, fast, after], duration_s=9.5, channel_empty=False)
    assert [outlet_at(gate, one.arrives_ns) for one in (unseen, fast)] == ["waste", "waste"]
    assert outlet_at(gate, after.arrives_ns) == "collect"
    assert [reason for _, reason in final(trace).values()][-2:] == ["priming", "healthy"]


@pytest.mark.parametrize("channel_empty", [True, False], ids=["running", "priming"])
def test_a_pump_that_is_held_unasked_stops_the_run(channel_empty: bool) -> None:
    """As by a line that was held up on its way since before the flow; as any pump that fails."""
    held = wire.encode(wire.Hold(1, 4))

    def meddle(device: VirtualDispenser, now_ns: int) -> None:
        if now_ns > START_NS + 500_000_000 and not device.held:
            device.link.write(held)

    with pytest.raises(PumpError, match="the pump is held") as raised:
        sort([Moving(0.3)], meddle=meddle, channel_empty=channel_empty)
    assert (raised.value.exit_code, kind_of(raised.value)) == (3, FaultKind.PUMP_FAILED)


def test_a_pause_sends_what_is_under_way_to_rest_and_ends_with_priming() -> None:
    """Under way, in view, lost sight of, and after all of that has passed."""
    under_way, in_view = Moving(0.3), Moving(0.5)
    missed, after = Moving(1.5), Moving(8.2)
    trace, gate = sort(
        [under_way, in_view, missed, after],
        duration_s=9.5,
        wishes=[(0.55, RunState.PAUSED), (1.0, RunState.PRIMING)],
    )
    reasons = [reason for _, reason in final(trace).values()]
    assert reasons == ["held", "held", "priming", "healthy"]
    outlets = [outlet_at(gate, body.arrives_ns) for body in (under_way, in_view, missed, after)]
    assert outlets == ["waste", "waste", "waste", "collect"]
    names = [event.name for event in trace.events if event.name in set(RunState)]
    assert names == [
        "ready", "priming", "running", "paused", "priming", "running", "draining", "stopped",
    ]  # fmt: skip
    assert "operator" in next(e.text for e in trace.events if e.name == "paused")


def test_a_run_can_end_while_it_is_paused() -> None:
    trace, gate = sort([Moving(0.3)], duration_s=1.0, wishes=[(0.1, RunState.PAUSED)])
    assert not [edge for edge in gate if edge.outlet != "waste"]
    assert trace.events[-1].name == "stopped"


def test_what_can_not_be_done_now_is_left() -> None:
    """Resuming a run that is not paused."""
    body = Moving(0.3)
    trace, _ = sort([body], wishes=[(0.1, RunState.PRIMING)])
    assert list(final(trace).values()) == [("collect", "healthy")]


def test_a_limit_ends_the_run() -> None:
    """The third comes into view after two were collected."""
    bodies = [Moving(0.3), Moving(0.7), Moving(2.6)]
    trace, _ = sort(bodies, duration_s=10.0, limits=LimitSettings(collected=2))
    draining = next(event for event in trace.events if event.name == "draining")
    assert draining.text == "2 were collected (by limit:collected)"
    assert [reason for _, reason in final(trace).values()][:2] == ["healthy", "healthy"]
    assert trace.events[-1].at_ns < START_NS + 5 * 10**9


def test_an_emergency_stop_ends_the_run() -> None:
    def press(device: VirtualDispenser, now_ns: int) -> None:
        if now_ns > START_NS + 400_000_000 and not device.estop:
            device.press_estop()

    with pytest.raises(RunFault, match=r"emergency stop is latched \(PIN\).*emergency_stop"):
        sort([Moving(0.3)], meddle=press)


def test_a_frame_of_before_the_last_one_counts_as_lost() -> None:
    body = Moving(0.3)
    trace, gate = sort([body], early=(65, 90, 91))
    told = [event.text for event in trace.events if event.name == "frame_out_of_order"]
    assert told[0] == "frame 65 is not later than frame 64: counts as lost"
    assert len(told) == 3
    assert [event.name for event in trace.events].count("frames_lost") == 2
    assert list(final(trace).values()) == [("collect", "healthy")]
    assert outlet_at(gate, body.arrives_ns) == "collect"


def test_the_lines_to_other_machines_follow_the_states() -> None:
    """Ready only while it sorts; hold while nothing is meant to flow."""
    seen: list[tuple[bool, bool, bool]] = []

    def look(device: VirtualDispenser, now_ns: int) -> None:
        device.advance(now_ns)
        if not seen or seen[-1] != device.lines:
            seen.append(device.lines)

    sort(
        [Moving(0.3)], duration_s=9.0, prime_s=0.3, meddle=look,
        wishes=[(0.6, RunState.PAUSED), (1.0, RunState.PRIMING)],
    )  # fmt: skip
    flows, ready, held = (False, False, False), (True, False, False), (False, True, False)
    settled = [one for one in seen if one in (flows, ready, held)]
    assert settled == [held, flows, ready, held, flows, ready]


def test_a_pause_by_a_fault_sets_the_fault_line() -> None:
    seen: set[tuple[bool, bool, bool]] = set()
    sort(
        [], duration_s=2.0, watch=WatchSettings(), silent_from_s=0.5,
        meddle=lambda device, now_ns: seen.add(device.lines),
    )  # fmt: skip
    assert (False, True, True) in seen
