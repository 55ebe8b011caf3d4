"""The campaign: repeatable to the bit, with any number of processes; what it checks, it sees."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from drivers import protocol as wire
from hardware_sim.campaign import RigResult, result_of, run_campaign, run_rig, sub_seed
from hardware_sim.campaign_device import Arrived, Pressed, Stay
from hardware_sim.campaign_log import RigLog
from hardware_sim.campaign_parts import CampaignRecord, RigClock
from hardware_sim.campaign_rig import CampaignRig
from hardware_sim.fault_acts import KINDS
from hardware_sim.faults import Injector
from hardware_sim.invariants import INVARIANTS, check
from models.bundle import load_bundle
from sorter.errors import RecordError, UsageError
from sorter.record_rows import EventRow

FAULTS = 500


@pytest.fixture(scope="module")
def log() -> RigLog:
    """A rig with its runs."""
    return CampaignRig(sub_seed(2, 0), FAULTS, load_bundle("default")).run()


@pytest.fixture(scope="module")
def result(log: RigLog) -> RigResult:
    """The same in figures."""
    return result_of(log)


def test_the_same_seed_gives_the_same_rig(result: RigResult) -> None:
    assert run_rig(sub_seed(2, 0), FAULTS) == result


def test_nothing_is_wrong(result: RigResult) -> None:
    assert result.wrong == {}


def test_a_rig_ends_when_the_device_has_heard_nothing_for_a_while() -> None:
    """In this one the wire holds pings up for two seconds after the port is gone."""
    log = CampaignRig(268438025, 300, load_bundle("default")).run()
    last_run_ns = max(run.ended_ns for run in log.runs)
    last_heard_ns = max(met.at_ns for met in log.met if isinstance(met, Arrived))
    assert last_heard_ns > last_run_ns + 1_500_000_000
    assert log.ended_ns >= last_heard_ns + 3_000_000_000
    assert log.flows[-1].off_ns is not None


def test_every_fault_is_accounted_for(log: RigLog, result: RigResult) -> None:
    numbers = [struck.fault.number for struck in log.faults]
    assert sorted(numbers) == list(range(result.faults))
    assert result.faults >= FAULTS
    assert sum(result.by_kind.values()) == sum(result.by_state.values()) == result.faults
    assert set(result.by_kind) <= set(KINDS)
    for struck in log.faults:
        assert struck.at_ns >= struck.fault.at_ns or not struck.changed


def test_runs_end_in_many_ways_and_the_next_one_begins(result: RigResult) -> None:
    assert {"stopped", "DispenserError", "RecordError"} <= set(result.runs)
    assert sum(result.runs.values()) > 5
    assert result.objects > 10


def test_any_number_of_processes_gives_the_same_campaign() -> None:
    alone = run_campaign(500, 4, workers=1, faults_a_rig=60)
    shared = run_campaign(500, 4, workers=2, faults_a_rig=60)
    assert shared.report() == alone.report()
    assert len(alone.rigs) >= 2
    assert alone.rigs[0].digest != alone.rigs[1].digest


def test_the_report_says_how_often_each_kind_was_met() -> None:
    campaign = run_campaign(60, 4, workers=1, faults_a_rig=60)
    report = campaign.report()
    assert report["faults"] == sum(report["by_kind"].values()) >= 60
    assert sum(report["by_state_and_kind"].values()) == report["faults"]
    assert 0.5 < report["changed_share"] <= 1.0
    assert (report["unsafe"], report["unaccounted"], report["deadlocks"]) == (0, 0, 0)
    assert len(report["digest"]) == 64
    assert campaign.rare(), "a short one can't meet every kind in every state"


def test_a_campaign_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError):
        run_campaign(0, 1)


# -- the invariants see what they are there to see ----------------------------------------------


def test_a_gate_that_opens_untold_is_found(log: RigLog) -> None:
    stay = Stay(1, "collect", 5_000_000_000, 77, 5_100_000_000, 100_077)
    meddled = replace(log, stays=[*log.stays, stay])
    assert set(check(meddled)) == {"gate_only_as_told"}


def test_a_gate_that_stays_open_is_found(log: RigLog) -> None:
    stay = Stay(1, "collect", 5_000_000_000, 77)
    meddled = replace(log, stays=[stay])
    assert "at_rest_in_the_end" in check(meddled)


def test_a_stop_that_is_said_to_be_clear_while_it_is_set_is_found(log: RigLog) -> None:
    line = wire.encode(wire.Said(1, 0, "-", "", True))
    meddled = replace(log, said=[(log.met[0].at_ns, line), *log.said])
    assert set(check(meddled)) == {"stop_clears_by_its_edge"}


def test_a_button_that_is_down_already_is_not_pressed_again_and_stays_down_for_the_longest() -> (
    None
):
    rig = CampaignRig(sub_seed(2, 0), FAULTS, load_bundle("default"))
    board, ms = rig._board, 1_000_000
    began_ns = board.now_ns

    def down_at(after_ms: int) -> bool:
        board.now_ns = began_ns + after_ms * ms
        board.run(board.now_ns)
        return board.estop_pin()

    assert board.press_stop(100 * ms)
    assert down_at(10)
    assert not board.press_stop(50 * ms)
    assert down_at(80)
    assert board.press_stop(50 * ms)
    assert [down_at(ms_) for ms_ in (110, 129, 131)] == [True, True, False]
    moved = [m for m in board.met if isinstance(m, Pressed)]
    assert [(m.at_ns - began_ns, m.down) for m in moved] == [(10 * ms, True), (131 * ms, False)]


def test_a_line_that_no_protocol_knows_is_found(log: RigLog) -> None:
    line = wire.frame("E 0001 10 FE2608D5 -253C75F6")
    meddled = replace(log, said=[*log.said, (log.ended_ns, line)])
    assert set(check(meddled)) == {"speaks_the_protocol"}


def test_a_gate_that_rests_while_it_flows_is_found(log: RigLog) -> None:
    run = next(run for run in log.runs if run.wrote)
    nonce = run.nonce
    flow, hold, rest = wire.Flow(nonce, 1), wire.Hold(nonce, 2), wire.Rest(nonce, 3)
    cases: list[tuple[list[wire.ToDevice], bool]] = [
        ([flow, rest], True),
        ([flow, hold, rest], False),
        ([hold, rest, flow, rest], False),  # it is only said again
    ]
    for messages, wrong in cases:
        wrote = [(n, wire.encode(message)) for n, message in enumerate(messages)]
        meddled = replace(log, runs=[replace(run, wrote=wrote)])
        assert ("holds_before_it_rests" in check(meddled)) is wrong


def test_a_rig_through_pixels_is_repeatable_and_nothing_is_wrong() -> None:
    seed = sub_seed(2, 1, pixels=True)
    once, again = run_rig(seed, 1), run_rig(seed, 1)
    assert once == again
    assert once.wrong == {}
    assert sum(once.runs.values()) == 1
    assert once.objects > 1


def test_a_run_that_hangs_or_breaks_is_found(log: RigLog) -> None:
    for ended, name in (("deadlock", "runs_end"), ("crash", "no_crash")):
        broken = replace(log.runs[-1], ended=ended, error="of no kind")
        meddled = replace(log, runs=[*log.runs[:-1], broken])
        assert check(meddled) == {name: [f"run {broken.number}: of no kind"]}


@pytest.mark.parametrize("kind", ["recorder_killed", "full_disk"])
def test_a_body_that_no_object_tells_of_is_found_unless_the_record_broke(
    log: RigLog, kind: str
) -> None:
    run = max(log.runs, key=lambda run: len(run.record.objects))
    injector = Injector(KINDS, lambda: "running", lambda fault, kind: True)
    record = CampaignRecord(injector, RigClock(0, lambda: None, 1))
    forgot = replace(log, runs=[replace(run, ended="DeviceResetError", record=record)])
    assert "objects_accounted_for" in check(forgot)
    injector.add(0, kind, (0.5, 0.5, 0.5))
    injector.fire(0)
    with pytest.raises(RecordError):
        record.event(EventRow(0, "info", "ready", ""))
    assert record.broken
    assert "objects_accounted_for" not in check(forgot)


def test_a_body_that_was_let_in_without_being_asked_for_is_found_unless_the_host_was_away(
    log: RigLog,
) -> None:
    run = log.runs[0]
    record = copy.copy(run.record)
    record.commands = []
    assert run.dispenser is not None
    assert run.record.commands
    device = copy.copy(run.dispenser)
    device.sent = []
    forgot = replace(run, ended="stopped", record=record, dispenser=device)
    forgetful = replace(log, runs=[forgot, *log.runs[1:]], held_up=[])
    assert "unsafe" in check(forgetful)
    assert "unsafe" in check(replace(forgetful, held_up=[(run.began_ns, run.began_ns + 1)]))
    assert "unsafe" not in check(replace(forgetful, held_up=[(run.began_ns, run.ended_ns)]))


def test_every_invariant_holds_on_a_rig_without_runs(log: RigLog) -> None:
    empty = RigLog(1, log.scene)
    for name, invariant in INVARIANTS.items():
        assert invariant(empty) == [], name
