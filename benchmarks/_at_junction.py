"""A finished virtual run, watched at its junction afterwards: what the controller would have been
told, in the order in which it would have been told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hardware_sim.dispenser_model import DeviceClock, SimDispenserSettings
from hardware_sim.gate_log import GateEdge
from hardware_sim.passages import Passage
from hardware_sim.truth_log import BodyTruth
from hardware_sim.verdict import match_tracks
from hardware_sim.virtual_rig import START_NS, Trace
from sorter.arrival_correction import ArrivalCorrection, CorrectionSettings
from sorter.decide import Reason
from sorter.junction import Expected, JunctionWatch, JunctionWatchSettings, Seen, Verdict
from sorter.liquid import Liquid, Opening, merge
from sorter.mass_balance import Balance, BalanceSettings, MassBalance
from sorter.opening_plan import window
from sorter.record_rows import ObjectRow
from sorter.settings import RigSettings
from sorter.track import Arrival

STEP_NS = 5_000_000


@dataclass(slots=True)
class Watched:
    """What came of it.

    Attributes:
        expected: every object, as predicted when it was decided, by id.
        late_ms: id -> seen minus predicted, ms of liquid time, of those seen alone.
        learnt: what was learnt, after each passage.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    expected: dict[int, Expected] = field(default_factory=dict)
    late_ms: dict[int, float] = field(default_factory=dict)
    meant: dict[int, str] = field(default_factory=dict)
    balance: Balance | None = None
    correction: ArrivalCorrection = field(
        default_factory=lambda: ArrivalCorrection(CorrectionSettings())
    )


def commanded_openings(
    trace: Trace, rig: RigSettings, device: SimDispenserSettings, until_ns: int
) -> tuple[Opening, ...]:
    """Openings that were known at a host time, as the controller reckons with them."""
    clock = DeviceClock(START_NS, device.clock_offset_us, device.clock_drift_ppm)
    on_ns, off_ns = rig.junction.valve_on_ms * 1e6, rig.junction.valve_off_ms * 1e6
    return merge(
        [
            Opening(
                c.outlet,
                int(clock.ns_when(c.open_us) + on_ns),
                int(clock.ns_when(c.close_us) + off_ns),
            )
            for c in trace.commands
            if c.sent_ns <= until_ns and c.id not in trace.refused
        ]
    )


def gate_openings(edges: Sequence[GateEdge], rig: RigSettings) -> tuple[Opening, ...]:
    """Openings as they came, by the pins' times and the lags that the rig believes in."""
    on_ns, off_ns = int(rig.junction.valve_on_ms * 1e6), int(rig.junction.valve_off_ms * 1e6)
    openings: list[Opening] = []
    for edge in edges:
        if edge.outlet != rig.outlets.rest:
            openings.append(Opening(edge.outlet, edge.t_ns + on_ns))
        elif openings:
            last = openings[-1]
            openings[-1] = Opening(last.outlet, last.open_ns, edge.t_ns + off_ns)
    return merge(openings)


def watch(
    trace: Trace,
    edges: Sequence[GateEdge],
    passages: Sequence[Passage],
    rig: RigSettings,
    *,
    settings: JunctionWatchSettings | None = None,
) -> Watched:
    """Feed a run to a `JunctionWatch`, a `MassBalance` and an `ArrivalCorrection`."""
    settings = settings or JunctionWatchSettings()
    liquid, device = Liquid(rig.liquid), SimDispenserSettings()
    openings = gate_openings(edges, rig)
    junction, balance = JunctionWatch(settings), MassBalance(rig.outlets, BalanceSettings())
    watched = Watched()

    def hear(verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            watched.verdicts.append(verdict)
            balance.heard(verdict)
            if isinstance(verdict, Seen):
                seen_ns = liquid.at(verdict.at_ns, openings)
                if watched.correction.learn(verdict, seen_ns):
                    late_ns = seen_ns - verdict.expected.arrival.liquid_ns
                    watched.late_ms[verdict.object_id] = late_ns * 1e-6

    news: list[tuple[int, int, object]] = [(o.decided_ns, 0, o) for o in trace.objects.values()]
    news += [(c.changed_ns, 1, c) for c in trace.changes.values()]
    news += [(p.news_ns, 2, p) for p in passages]
    now_ns = START_NS
    for at_ns, _, one in sorted(news, key=lambda n: n[:2]):
        while now_ns + STEP_NS < at_ns:
            now_ns += STEP_NS
            hear(junction.step(now_ns))
        if isinstance(one, ObjectRow):
            known = commanded_openings(trace, rig, device, one.decided_ns)
            expected = _expected(one, liquid, known, openings)
            watched.expected[one.id], watched.meant[one.id] = expected, one.outlet
            junction.expect(expected)
            if expected.counts:
                balance.entered(one.id, one.outlet)
        elif isinstance(one, Passage):
            junction.passed(one.passed(), one.begun_ns)
        else:
            change = trace.changes[one.id]  # type: ignore[attr-defined]
            watched.meant[change.id] = change.changed_outlet
            junction.changed(change.id, change.changed_outlet)
            balance.changed(change.id, change.changed_outlet)
    ended_ns = now_ns + 1_000_000_000
    hear(junction.step(ended_ns, final=True))
    watched.balance = balance.balance(ended_ns)
    return watched


def _expected(
    row: ObjectRow, liquid: Liquid, known: Sequence[Opening], openings: Sequence[Opening]
) -> Expected:
    """The object with its arrival as it was predicted, and the window by what the gate then did."""
    assert row.arrival_ns is not None
    assert row.arrival_error_ns is not None
    arrival = Arrival(liquid.at(row.arrival_ns, known), float(row.arrival_error_ns))
    return Expected(
        object_id=row.id,
        outlet=row.outlet,
        arrival=arrival,
        window=window(arrival, liquid, openings),
        diameter_um=row.diameter_um,
        speed_um_s=row.velocity_um_s,
        flight_s=(arrival.liquid_ns - liquid.at(row.last_exposed_ns, known)) * 1e-9,
        counts=row.reason != Reason.SPECK,
    )


def true_outlets(
    trace: Trace, bodies: Sequence[BodyTruth], outlet_of: dict[int, str], pitch_um: float
) -> dict[int, str | None]:
    """Object id -> the outlet that its body really entered, None: lost. Bodies that were still in
    flight at the end are left out."""
    found: dict[int, str | None] = {}
    by_number = {body.body: body for body in bodies}
    for number, tracks in match_tracks(bodies, trace.tracks(), pitch_um).items():
        body = by_number[number]
        if body.lost or body.junction_ns is not None:
            for track in tracks:
                found[track.object_id] = None if body.lost else outlet_of[number]
    return found
