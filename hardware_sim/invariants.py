"""What must hold on a rig, whatever strikes it; one function each, over the log of a rig.

None of them asks the controller or the firmware what they think: they use the bodies' truth, the
gate's pin, the bytes that reached the device, and what was handed to the record. A function takes a
`RigLog` and gives one line for each violation. A new invariant is a function here, or of the device
alone in `device_invariants`, and a row of `INVARIANTS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from drivers import protocol as wire
from drivers.dispenser_settings import DispenserSettings
from hardware_sim.campaign_log import RigLog, RunLog
from hardware_sim.device_invariants import (
    answers_say_why,
    at_rest_in_the_end,
    gate_only_as_told,
    held_in_the_end,
    pump_only_as_told,
    queue_is_bounded,
    speaks_the_protocol,
    stop_clears_by_its_edge,
)
from hardware_sim.faults import Injector
from hardware_sim.forgotten import forgotten
from hardware_sim.truth_log import Truth
from hardware_sim.verdict import TrackRow, judge, match_tracks
from sorter.liquid import Liquid
from sorter.record_rows import ObjectRow

Invariant = Callable[[RigLog], list[str]]

_US = 1_000
_TOLERANCE_US = 20
_SEEN_ALONE = 6  # frames in which a body was shown by itself: no excuse for not deciding on it
_LEAST_UM = 30.0
_SEEN_HIDDEN = 4  # the fewest views that are decided on
_CROSSING_NS = 8_000_000_000  # the slowest body takes no longer from the view to the junction
# From when a command is due to when its body comes, sooner than expected for the liquid's jump.
_COMMAND_TAKES_NS = 250_000_000
_OBJECT_IDS = 1_000_000  # object ids of each run are counted on from there


def unsafe(log: RigLog) -> list[str]:
    """A body of 30 µm or more in collect without a commanded decision of its own."""
    return [f"body {body}" for body in _in_collect(log) if not _passed_for_another(log, body)]


def hidden_unseen(log: RigLog) -> int:
    """Bodies in collect that travelled within another's outline: a limit of sight, no fault.

    Counted apart, as touching pairs that pass for one body are.
    """
    return sum(_passed_for_another(log, body) for body in _in_collect(log))


def _in_collect(log: RigLog) -> list[int]:
    pitch_um = log.scene.scene.optics.pitch_um
    verdict = judge(Truth(log.truth), log.edges, tracks_of(log), pitch_um=pitch_um)
    numbers: list[int] = verdict["unsafe_bodies"]
    return numbers


def _passed_for_another(log: RigLog, body: int) -> bool:
    """Whether it was never shown by itself, and often enough within another's detection."""
    alone = sum(run.vision.alone[body] for run in log.runs)
    return alone == 0 and sum(run.vision.hidden[body] for run in log.runs) >= _SEEN_HIDDEN


def tracks_of(log: RigLog) -> list[TrackRow]:
    """The objects of all runs, as the verdict wants them, frames numbered as they were exposed."""
    rows: list[TrackRow] = []
    for run in log.runs:
        index_of = run.camera.index_of
        # One that the device refused was decided in time all the same.
        asked = {command.object_id for command in run.record.commands}
        asked |= _asked_unrecorded(run, asked)
        asked |= _kept_from_asking(run, log.held_up)
        for row in run.record.tracks():
            places = [(index_of[n], x, y) for n, x, y in row.sightings]
            commanded = row.object_id in asked
            number = run.number * _OBJECT_IDS + row.object_id
            rows.append(TrackRow(number, places, row.outlet, row.reason, commanded))
    return rows


def _asked_unrecorded(run: RunLog, asked: set[int]) -> set[int]:
    """Whose commands these can have been: the last ones for collect that have none."""
    count = len(_unrecorded(run))
    rows = sorted(run.record.tracks(), key=lambda row: row.object_id, reverse=True)
    without = [r.object_id for r in rows if r.outlet == "collect" and r.object_id not in asked]
    return set(without[:count])


def _kept_from_asking(run: RunLog, held_up: Sequence[tuple[int, int]]) -> set[int]:
    """Who was decided on before it could arrive, in a run that ended, or was held up, until its
    command could not go out in time any more. Its decision stands; only another's opening can let
    it in."""
    away = [*held_up, (run.ended_ns, Injector.NEVER)]
    kept = set()
    for row in run.record.objects.values():
        decided_ns, comes_ns = row.decided_ns, (row.arrival_ns or 0) - (row.arrival_error_ns or 0)
        latest_ns = max(decided_ns, comes_ns - _COMMAND_TAKES_NS)
        meanwhile = any(began_ns < comes_ns and latest_ns < end_ns for began_ns, end_ns in away)
        if decided_ns < comes_ns and meanwhile:
            kept.add(row.id)
    return kept


def _unrecorded(run: RunLog) -> list[int]:
    """Commands that went out and whose row did not: the controller died in between."""
    if run.dispenser is None:
        return []
    recorded = {row.id for row in run.record.commands}
    return [sent.command.id for sent in run.dispenser.sent if sent.command.id not in recorded]


def holds_before_it_rests(log: RigLog) -> list[str]:
    """The host never sends the gate to rest, nor stops looking, before it has the pump held."""
    wrong = []
    for run in log.runs:
        flows_from: int | None = None
        rests: set[int] = set()
        for at_ns, line in run.wrote:
            message = _from_host(line)
            if isinstance(message, (wire.Hold, wire.Stop)):
                flows_from = None
            elif isinstance(message, wire.Flow):
                flows_from = at_ns
            elif isinstance(message, wire.Rest) and message.number not in rests:
                rests.add(message.number)  # it is said again until it is answered
                if flows_from is not None:
                    wrong.append(f"run {run.number}: rest at {at_ns}, flow since {flows_from} ns")
            if flows_from is not None and 0 < run.camera.stopped_ns < at_ns:
                wrong.append(f"run {run.number}: blind and flowing at {at_ns} ns")
                break
    return wrong


def _from_host(line: bytes) -> object:
    try:
        return wire.decode_from_host(line.rstrip(b"\n"))
    except wire.BadLine:
        return None


def only_recorded_commands(log: RigLog) -> list[str]:
    """Every opening on the wire is one that the scheduler sent, under one id, with one content; and
    it is in the record, unless the controller died between sending and recording it."""
    told = log.told
    known: dict[tuple[int, int], tuple[str, int, int]] = {}
    wrong: list[str] = []
    for run in log.runs:
        if run.dispenser is None:
            continue
        nonce = run.dispenser.session_nonce
        for sent in run.dispenser.sent:
            c = sent.command
            known[nonce, c.id] = (c.outlet, c.open_us & wire.MASK_32, c.close_us - c.open_us)
        if run.ended == "stopped" and _unrecorded(run):
            wrong.append(f"run {run.number}: commands {_unrecorded(run)} are not in the record")
    for nonce, command_id, content in told.asked:
        if known.get((nonce, command_id)) != content:
            wrong.append(f"session {nonce:08X}: id {command_id} was asked for {content}")
    return wrong


def objects_accounted_for(log: RigLog) -> list[str]:
    """Each object is decided once, taken back to rest or recheck at most, and decided before it is
    commanded; a body that was shown alone often enough is an object."""
    wrong = []
    for run in log.runs:
        record, outlets = run.record, log.scene.rig.outlets
        wrong += [f"run {run.number}: object {i} decided twice" for i in record.decided_twice]
        for i, change in record.changes.items():
            if i not in record.objects or change.changed_outlet == outlets.collect:
                wrong.append(f"run {run.number}: object {i} changed to {change.changed_outlet}")
        for command in record.commands:
            row = record.objects.get(command.object_id)
            if row is None or row.outlet != command.outlet:
                wrong.append(f"run {run.number}: command {command.id} without such a decision")
    return wrong + _overlooked(log)


def _overlooked(log: RigLog) -> list[str]:
    """Bodies that a run saw well and that are in no object of it, not even in another's track, as
    they may be where frames came out of order."""
    tracks = tracks_of(log)
    pitch_um = log.scene.scene.optics.pitch_um
    matched = match_tracks(log.truth, tracks, pitch_um)
    groups = {b.group for b in log.truth if b.group and b.body in matched}
    places: dict[int, list[tuple[float, float]]] = {}
    for track in tracks:
        for index, x_px, y_px in track.sightings:
            places.setdefault(index, []).append((x_px, y_px))
    bodies = {b.body: b for b in log.truth if b.diameter_um >= _LEAST_UM}
    wrong = []
    for run in log.runs:
        if run.record.broken or run.ended in ("killed", "deadlock", "crash"):
            continue  # its books could not be closed
        for number, frames in run.vision.alone.items():
            body = bodies.get(number)
            if body is None or frames < _SEEN_ALONE or number in matched or body.group in groups:
                continue
            reach_px = body.diameter_um / 2 / pitch_um
            if not any(
                math.hypot(x - there_x, y - there_y) < reach_px
                for index, x, y in body.positions
                for there_x, there_y in places.get(index, ())
            ):
                wrong.append(f"run {run.number}: body {number}, seen alone {frames} times")
    return wrong


def commands_accounted_for(log: RigLog) -> list[str]:
    """Each command is refused, executed, or asked about until the run ends; none is forgotten."""
    settings = log.scene.rig.dispenser
    assert isinstance(settings, DispenserSettings)
    wrong = []
    for run in log.runs:
        if run.ended == "stopped" and run.dispenser is not None:
            open_ids = {command.id for command in run.record.commands} - run.record.settled
            found = forgotten(run.dispenser.sent, open_ids, run.wrote, run.ended_ns, settings)
            wrong += [f"run {run.number}: {one}" for one in found]
    return wrong


def clock_within_its_bound(log: RigLog) -> list[str]:
    """The device's clock is where the driver says, within the bound that it says; not in a run in
    which that clock was meddled with, which the driver can only notice later."""
    # A drift that changes at once is none of `max_wander_ppm_per_s`, and can't be bounded.
    kinds = ("clock_step", "clock_drift", "device_reset")
    meddled = [f.at_ns for f in log.faults if f.fault.kind in kinds]
    wrong = []
    for run in log.runs:
        if run.dispenser is None or any(run.began_ns <= t <= run.ended_ns for t in meddled):
            continue
        turn = 1 << 32
        for sent in run.dispenser.sent:
            off_us = (sent.off_us + turn // 2) % turn - turn // 2
            if abs(off_us) > sent.bound_us:
                wrong.append(f"run {run.number}: off by {off_us} us, bound {sent.bound_us} us")
    return wrong


def openings_wide_enough(log: RigLog) -> list[str]:
    """An opening that stands alone begins so early that jitter, margin and the clock's bound fit in
    before the object, though the jump of the opening itself brings it forward; and ends as late."""
    rig = log.scene.rig
    liquid, junction = Liquid(rig.liquid), rig.junction
    apart_ns = 2 * liquid.settled_ns
    wrong = []
    for run in log.runs:
        if run.dispenser is None:
            continue
        last_ns = -apart_ns
        rows = {row.id: row for row in run.record.commands}
        for sent in run.dispenser.sent:
            alone, last_ns = sent.at_ns - last_ns > apart_ns, sent.at_ns
            command = rows.get(sent.command.id)
            row = run.record.objects.get(command.object_id) if command else None
            if not alone or row is None or row.arrival_ns is None or row.arrival_error_ns is None:
                continue
            reach_ns = int(2 * liquid.jump_ns) + junction.guard_ns + junction.min_dwell_ns
            if _has_company(run, row, reach_ns):
                continue
            guard_ns = junction.guard_ns + sent.bound_us * _US
            early_ns = row.arrival_ns - row.arrival_error_ns - liquid.lead_ns(guard_ns) - guard_ns
            opens_ns = sent.at_ns + junction.valve_on_ms * 1e6
            opens_ns += (sent.command.open_us - sent.now_us) * _US
            if opens_ns > early_ns + 2 * _TOLERANCE_US * _US:
                late_ms = (opens_ns - early_ns) / 1e6
                wrong.append(f"run {run.number}: command {sent.command.id} {late_ms:.3f} ms late")
    return wrong


def _has_company(run: RunLog, row: ObjectRow, reach_ns: int) -> bool:
    """Whether somebody bound elsewhere may pass near an object, or somebody may have gone unseen:
    then its opening may be narrower than where it may arrive."""
    at_ns, error_ns = row.arrival_ns or 0, row.arrival_error_ns or 0
    lost = any(
        e.name == "frames_lost" and "goes to rest" in e.text and at_ns - _CROSSING_NS < e.at_ns
        for e in run.record.events
    )
    return lost or any(
        abs((other.arrival_ns or 0) - at_ns) <= (other.arrival_error_ns or 0) + error_ns + reach_ns
        for other in run.record.objects.values()
        if other.id != row.id and other.reason != "speck"
    )


def runs_end(log: RigLog) -> list[str]:
    """No run stands still, and none goes on for ever."""
    return [f"run {r.number}: {r.error}" for r in log.runs if r.ended == "deadlock"]


def no_crash(log: RigLog) -> list[str]:
    """A run ends with an error of the tree that says what to do, never with any other."""
    return [f"run {r.number}: {r.error}" for r in log.runs if r.ended == "crash"]


INVARIANTS: dict[str, Invariant] = {
    "unsafe": unsafe,
    "gate_only_as_told": gate_only_as_told,
    "pump_only_as_told": pump_only_as_told,
    "stop_clears_by_its_edge": stop_clears_by_its_edge,
    "holds_before_it_rests": holds_before_it_rests,
    "held_in_the_end": held_in_the_end,
    "answers_say_why": answers_say_why,
    "speaks_the_protocol": speaks_the_protocol,
    "queue_is_bounded": queue_is_bounded,
    "at_rest_in_the_end": at_rest_in_the_end,
    "only_recorded_commands": only_recorded_commands,
    "objects_accounted_for": objects_accounted_for,
    "commands_accounted_for": commands_accounted_for,
    "clock_within_its_bound": clock_within_its_bound,
    "openings_wide_enough": openings_wide_enough,
    "runs_end": runs_end,
    "no_crash": no_crash,
}


def check(log: RigLog) -> dict[str, list[str]]:
    """Violations by the name of the invariant; empty when all hold."""
    found = {name: invariant(log) for name, invariant in INVARIANTS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}
