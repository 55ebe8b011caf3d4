"""What a run does about faults, in the shipped loop."""

from __future__ import annotations

import pytest

from hardware_sim.gate_log import outlet_at
from sorter.errors import RunFault
from sorter.faults import FaultSettings
from sorter.watch import WatchSettings
from tests.sorter.known_ways import UNHEALTHY, Moving, final, sort

WATCH = WatchSettings()


def test_a_good_run_has_no_faults() -> None:
    bodies = [Moving(0.3), Moving(1.0, probabilities=UNHEALTHY)]
    trace, _ = sort(bodies, watch=WATCH)
    assert [event.name for event in trace.events] == [
        "ready", "priming", "running", "draining", "stopped",
    ]  # fmt: skip
    assert sorted(final(trace).values()) == [("collect", "healthy"), ("waste", "unhealthy")]


def test_a_camera_that_stalls_holds_the_run() -> None:
    body = Moving(0.3)
    trace, gate = sort([body], watch=WATCH, silent_from_s=0.6)
    stall = next(event for event in trace.events if event.name == "camera_stalled")
    assert "no frame for" in stall.text
    assert "cable" in stall.text
    paused = next(event for event in trace.events if event.name == "paused")
    assert "fault:camera_stalled" in paused.text
    assert outlet_at(gate, body.arrives_ns) == "waste"
    assert list(final(trace).values()) == [("waste", "held")]


def test_a_fault_that_stops_the_run_is_raised_with_its_name_and_advice() -> None:
    faults = FaultSettings(camera_stalled="stop")
    with pytest.raises(RunFault, match=r"no frame for .*camera_stalled.*cable"):
        sort([], watch=WATCH, faults=faults, silent_from_s=0.5)


def test_a_warning_changes_nothing() -> None:
    body = Moving(0.3)
    watch = WatchSettings(no_arrivals_s=0.9)
    trace, gate = sort([body], watch=watch, duration_s=3.0)
    assert [event.name for event in trace.events].count("no_arrivals") == 1
    assert outlet_at(gate, body.arrives_ns) == "collect"


def test_a_body_that_stands_still_holds_the_run() -> None:
    watch = WatchSettings(still_s=0.15)
    trace, _ = sort([Moving(0.3, 6_000.0)], watch=watch)
    assert "clogged" in [event.name for event in trace.events]


def test_a_disk_that_fills_holds_the_run_before_it_is_full() -> None:
    free_mb = iter([5_000.0, 400.0, 300.0, 200.0])
    trace, _ = sort([], watch=WATCH, duration_s=3.0, free_mb=lambda: next(free_mb))
    names = [event.name for event in trace.events]
    assert names.count("disk_filling") == 1
    assert "paused" in names
