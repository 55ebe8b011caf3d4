"""A virtual run that is over, watched at its junction afterwards: passages that its optical gates
would have reported, and what the controller would have been told of objects, in order of time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hardware_sim.demo_rig import TRUTH_LOG, DemoSettings, rig_of, scene_of
from hardware_sim.dispenser_model import DeviceClock, SimDispenserSettings
from hardware_sim.gate_log import GateEdge, outlet_at
from hardware_sim.passages import Passage, PassageSettings, passages
from hardware_sim.truth_log import BodyTruth, read_truth
from hardware_sim.verdict import match_tracks
from hardware_sim.virtual_rig import START_NS, Trace, run_virtual
from sorter.arrival_correction import ArrivalCorrection, CorrectionSettings
from sorter.decide import Reason
from sorter.junction import Expected, JunctionWatch, JunctionWatchSettings, Seen, Verdict
from sorter.liquid import Liquid, Opening, merge
from sorter.mass_balance import Balance, BalanceSettings, MassBalance
from sorter.record_rows import ObjectRow, ObjectUpdate
from sorter.settings import RigSettings
from sorter.track import Arrival

STEP_NS = 5_000_000
PIXELS = 1.73


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over.

    Attributes:
        rig: the settings that the controller believed in.
        gate: what the gate did.
        bodies: the truth.
        ended_ns: when the truth ends.
    """

    seed: int
    rig: RigSettings
    trace: Trace
    gate: list[GateEdge]
    bodies: list[BodyTruth]
    ended_ns: int


def run(
    settings: DemoSettings, adjust: Callable[[RigSettings], RigSettings] = lambda rig: rig
) -> Run:
    """Sort in virtual time."""
    with tempfile.TemporaryDirectory() as folder:
        result = run_virtual(settings, Path(folder), adjust=adjust)
        truth = read_truth(Path(folder) / TRUTH_LOG)
    rig = adjust(rig_of(settings, scene_of(settings), "virtual"))
    ended_ns = int((truth.end or {})["t_ns"])
    return Run(settings.seed, rig, result.trace, result.gate, truth.bodies, ended_ns)


@dataclass(slots=True)
class Watched:
    """What the watch made of a run.

    Attributes:
        passages: what it was told.
        meant: id -> outlet that was decided in the end.
        late_ms: id -> seen minus predicted, ms of liquid time, of those seen alone.
    """

    passages: Sequence[Passage]
    balance: Balance
    correction: ArrivalCorrection
    verdicts: list[Verdict] = field(default_factory=list)
    meant: dict[int, str] = field(default_factory=dict)
    late_ms: dict[int, float] = field(default_factory=dict)


def commanded_openings(
    run: Run, device: SimDispenserSettings, until_ns: int
) -> tuple[Opening, ...]:
    """Openings that were known at a host time, as the controller reckons with them."""
    clock = DeviceClock(START_NS, device.clock_offset_us, device.clock_drift_ppm)
    junction = run.rig.junction
    on_ns, off_ns = junction.valve_on_ms * 1e6, junction.valve_off_ms * 1e6
    return merge(
        [
            Opening(
                c.outlet,
                int(clock.ns_when(c.open_us) + on_ns),
                int(clock.ns_when(c.close_us) + off_ns),
            )
            for c in run.trace.commands
            if c.sent_ns <= until_ns and c.id not in run.trace.refused
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
    one: Run,
    valve: Sequence[GateEdge] | None = None,
    *,
    gates: PassageSettings | None = None,
    correcting: bool = True,
) -> Watched:
    """Feed a run to a `JunctionWatch`, a `MassBalance` and an `ArrivalCorrection`.

    Args:
        one: the run.
        valve: what the valve really did, where it did not follow its pin.
        gates: the optical gates.
        correcting: predictions are corrected by what was learnt until then.
    """
    seen = passages(
        one.bodies,
        one.gate if valve is None else valve,
        gates or PassageSettings(),
        seed=one.seed,
        outlets=(one.rig.outlets.rest, one.rig.outlets.collect),
    )
    told = _Told(one, correcting=correcting)
    news: list[tuple[int, int, ObjectRow | ObjectUpdate | Passage]] = []
    news += [(o.decided_ns, 0, o) for o in one.trace.objects.values()]
    news += [(c.changed_ns, 1, c) for c in one.trace.changes.values()]
    news += [(p.news_ns, 2, p) for p in seen]
    now_ns = START_NS
    for at_ns, _, what in sorted(news, key=lambda n: n[:2]):
        while now_ns + STEP_NS < at_ns:
            now_ns += STEP_NS
            told.step(now_ns)
        told.tell(what)
    ended_ns = max(now_ns, one.ended_ns)
    told.step(ended_ns, final=True)
    balance = told.balance.balance(ended_ns)
    return Watched(seen, balance, told.correction, told.verdicts, told.meant, told.late_ms)


class _Told:
    """What the controller will do with the three."""

    def __init__(self, run: Run, *, correcting: bool) -> None:
        self._run = run
        self._liquid = Liquid(run.rig.liquid)
        self._device = SimDispenserSettings()
        self._openings = gate_openings(run.gate, run.rig)
        self._junction = JunctionWatch(JunctionWatchSettings())
        self.balance = MassBalance(run.rig.outlets, BalanceSettings())
        self.correction = ArrivalCorrection(
            CorrectionSettings(apply=correcting), run.rig.outlets.rest
        )
        self.verdicts: list[Verdict] = []
        self.meant: dict[int, str] = {}
        self.late_ms: dict[int, float] = {}

    def tell(self, what: ObjectRow | ObjectUpdate | Passage) -> None:
        if isinstance(what, ObjectRow):
            expected = self._expected(what)
            self.meant[what.id] = what.outlet
            self._junction.expect(expected)
            if expected.counts:
                self.balance.entered(what.id, what.outlet)
        elif isinstance(what, ObjectUpdate):
            self.meant[what.id] = what.changed_outlet
            self._junction.changed(what.id, what.changed_outlet)
            self.balance.changed(what.id, what.changed_outlet)
        else:
            self._junction.passed(
                what.passed(), _host_ns, lambda t_ns: self._liquid.at(t_ns, self._openings)
            )

    def step(self, now_ns: int, *, final: bool = False) -> None:
        for verdict in self._junction.step(now_ns, final=final):
            self.verdicts.append(verdict)
            self.balance.heard(verdict)
            if isinstance(verdict, Seen) and self.correction.learn(verdict):
                self.late_ms[verdict.object_id] = verdict.late_ns * 1e-6

    def _expected(self, row: ObjectRow) -> Expected:
        """The object with its arrival as it was predicted, corrected."""
        assert row.arrival_ns is not None
        assert row.arrival_error_ns is not None
        known = commanded_openings(self._run, self._device, row.decided_ns)
        arrival = Arrival(self._liquid.at(row.arrival_ns, known), float(row.arrival_error_ns))
        seen_ns = self._liquid.at(row.last_exposed_ns, known)
        flight_s = (arrival.liquid_ns - seen_ns) * 1e-9
        opened = row.outlet != self._run.rig.outlets.rest
        corrected = self.correction.corrected(arrival, flight_s, opened=opened)
        return Expected(
            object_id=row.id,
            outlet=row.outlet,
            arrival=corrected,
            diameter_um=row.diameter_um,
            speed_um_s=row.velocity_um_s,
            flight_s=flight_s,
            shift_ns=corrected.liquid_ns - arrival.liquid_ns,
            counts=row.reason != Reason.SPECK,
        )


def _host_ns(device_us: int) -> int:
    """Of passages: their device's clock is the host's."""
    return device_us * 1_000


def true_outlets(one: Run, valve: Sequence[GateEdge] | None = None) -> dict[int, str | None]:
    """Object id -> the outlet that its body really entered, None: lost. Bodies that were still in
    flight at the end are left out."""
    edges = one.gate if valve is None else valve
    by_number: Mapping[int, BodyTruth] = {body.body: body for body in one.bodies}
    found: dict[int, str | None] = {}
    for number, tracks in match_tracks(one.bodies, one.trace.tracks(), PIXELS).items():
        body = by_number[number]
        if body.lost:
            found |= dict.fromkeys((t.object_id for t in tracks), None)
        elif body.junction_ns is not None:
            outlet = outlet_at(edges, body.junction_ns, one.rig.outlets.rest)
            found |= dict.fromkeys((t.object_id for t in tracks), outlet)
    return found


def failing(edges: Sequence[GateEdge], rest: str, every: int) -> list[GateEdge]:
    """A valve that sticks: at one opening in `every` it stays shut, at another one it stays open
    until the next one ends."""
    stuck: list[GateEdge] = []
    openings = 0
    for edge in edges:
        openings += edge.outlet != rest
        turn = openings % every
        if turn == every // 2 or (turn == 0 and edge.outlet == rest and openings):
            continue
        stuck.append(replace(edge))
    return stuck
