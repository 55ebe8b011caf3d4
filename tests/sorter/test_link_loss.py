"""The dispenser is lost and found again, in the shipped loop: nothing goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers import protocol as wire
from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.virtual_link import VirtualDispenser
from hardware_sim.virtual_rig import Trace
from models.bundle import load_bundle
from sorter.errors import DeviceResetError, DispenserError, LinkError, SettingsError
from sorter.faults import FaultKind, FaultSettings, kind_of
from sorter.life import RunState
from sorter.record import Recorder
from sorter.replay import replay
from sorter.runner import run_meta
from sorter.settings import RigSettings
from sorter.settings_dump import dump_commented_toml
from sorter.settings_io import parse_toml
from sorter.watch import WatchSettings
from tests.sorter.cables import START_NS, Cable
from tests.sorter.known_ways import Moving, final, sort

WAITS = FaultSettings(link_lost="hold", device_reset="hold")
BEFORE, AFTER = Moving(0.2, 6_000.0), Moving(12.5)
PULLED = {"pulled out": {"out": (0.6, 2.5)}, "deaf": {"deaf": (0.6, 3.5)}}


def names(trace: Trace) -> list[str]:
    states = {*RunState, "link_lost", "device_reset", "link_back", "not_resumed"}
    return [event.name for event in trace.events if event.name in states]


def other_host(after_s: float) -> Callable[[VirtualDispenser, int], None]:
    """Another host opens a session of its own, as a device that was reset has lost this one."""
    done: list[int] = []

    def meddle(device: VirtualDispenser, now_ns: int) -> None:
        if now_ns > START_NS + after_s * 1e9 and not done:
            done.append(now_ns)
            device.link.write(wire.encode(wire.Hello(77, wire.VERSION, 1_000)))

    return meddle


def test_a_lost_link_ends_the_run_by_default() -> None:
    with pytest.raises(LinkError, match="gone"):
        sort([BEFORE], cable=Cable(out=(0.6, 9.0)))


def test_a_device_that_forgot_the_session_ends_the_run_by_default() -> None:
    with pytest.raises(DeviceResetError, match="forgotten"):
        sort([BEFORE], meddle=other_host(0.6))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LinkError("x"), FaultKind.LINK_LOST),
        (DeviceResetError("x"), FaultKind.DEVICE_RESET),
        (DispenserError("x"), None),
        (ValueError("x"), None),
    ],
    ids=["link", "reset", "another fault of the device", "no hardware"],
)
def test_errors_have_the_names_of_faults(error: Exception, kind: FaultKind | None) -> None:
    assert kind_of(error) is kind


@pytest.mark.parametrize("how", PULLED)
def test_a_link_that_comes_back_waits_for_the_operator(how: str) -> None:
    trace, gate = sort([BEFORE, AFTER], duration_s=8.0, faults=WAITS, cable=Cable(**PULLED[how]))
    assert names(trace) == [
        "ready", "priming", "running", "link_lost", "paused", "link_back", "draining", "stopped",
    ]  # fmt: skip
    assert list(final(trace).values()) == [("waste", "held")]
    assert gate_stays_at_rest(gate, after_s=2.0)


@pytest.mark.parametrize("how", PULLED)
def test_on_the_operators_word_it_sorts_again(how: str) -> None:
    trace, gate = sort(
        [BEFORE, AFTER], duration_s=15.0, faults=WAITS, cable=Cable(**PULLED[how]),
        wishes=[(5.0, RunState.PRIMING)],
    )  # fmt: skip
    assert names(trace) == [
        "ready", "priming", "running", "link_lost", "paused", "link_back",
        "priming", "running", "draining", "stopped",
    ]  # fmt: skip
    assert list(final(trace).values()) == [("waste", "held"), ("collect", "healthy")]
    assert outlet_at(gate, AFTER.arrives_ns) == "collect"


def test_a_word_that_comes_too_early_is_refused() -> None:
    trace, _ = sort(
        [BEFORE], duration_s=6.0, faults=WAITS, cable=Cable(out=(0.6, 4.0)),
        wishes=[(2.0, RunState.PRIMING)],
    )  # fmt: skip
    assert names(trace)[3:6] == ["link_lost", "paused", "not_resumed"]
    assert names(trace)[6:] == ["link_back", "draining", "stopped"]


def test_a_device_that_was_reset_is_found_again_by_a_fresh_handshake() -> None:
    cable = Cable()
    trace, gate = sort(
        [BEFORE, AFTER], duration_s=15.0, faults=WAITS, cable=cable, meddle=other_host(0.6),
        wishes=[(5.0, RunState.PRIMING)],
    )  # fmt: skip
    assert names(trace)[3:6] == ["device_reset", "paused", "link_back"]
    assert cable.opened == 2
    assert outlet_at(gate, AFTER.arrives_ns) == "collect"


def test_a_link_that_is_lost_while_the_run_drains_ends_it() -> None:
    with pytest.raises(LinkError, match="gone"):
        sort([Moving(0.3, 6_000.0)], duration_s=0.8, faults=WAITS, cable=Cable(out=(0.9, 9.0)))


def test_lost_twice() -> None:
    class Twice(Cable):
        def is_out(self, now_ns: int) -> bool:
            return any(one <= (now_ns - START_NS) / 1e9 < one + 1.0 for one in (0.6, 9.0))

    trace, _ = sort(
        [BEFORE], duration_s=13.0, faults=WAITS, cable=Twice(), wishes=[(5.0, RunState.PRIMING)]
    )
    assert names(trace).count("link_lost") == names(trace).count("link_back") == 2


REPLAYS: dict[str, dict[str, Any]] = {
    "lost its dispenser": {
        "faults": WAITS, "cable": Cable(out=(0.6, 2.5)), "wishes": [(5.0, RunState.PRIMING)],
    },
    "was paused by a fault": {
        "watch": WatchSettings(still_s=0.25), "wishes": [(5.0, RunState.PRIMING)],
    },
    "was paused by the operator": {
        "wishes": [(0.6, RunState.PAUSED), (5.0, RunState.PRIMING)],
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REPLAYS)
def test_a_run_replays_that(case: str, tmp_path: Path) -> None:
    manifest = load_bundle("default").manifest.model_dump(mode="json")
    kept: list[Recorder] = []

    def record(rig: RigSettings) -> Recorder:
        meta = run_meta(rig, dump_commented_toml(RigSettings, rig), manifest, START_NS)
        kept.append(Recorder.start(tmp_path / "run.sqlite", meta))
        return kept[0]

    sort([BEFORE, AFTER], duration_s=15.0, record=record, **REPLAYS[case])
    kept[0].finish("done", 0)
    result = replay(kept[0].path)
    assert result.difference is None
    assert [
        decision[-2] if len(decision) > 5 else decision[1] for decision in result.recorded.decisions
    ] == ["waste", "collect"]


def test_a_text_valve_can_not_be_waited_for() -> None:
    text = """
        [camera]
        config_file = "camera.cfg"
        [port]
        port = "COM5"
        [dispenser]
        kind = "text_valve"
        [[dispenser.outlets]]
        name = "collect"
        open = "O1"
        close = "C1"
        [faults]
        link_lost = "hold"
    """
    with pytest.raises(SettingsError, match="must be 'stop' with a text valve"):
        parse_toml(text, RigSettings, on="rig.toml")


def gate_stays_at_rest(gate: list[GateEdge], after_s: float) -> bool:
    return all(one.outlet == "waste" for one in gate if one.t_ns > START_NS + after_s * 1e9)
