"""A campaign: many rigs, each from a seed of its own, until enough faults have struck.

The rigs are those of the seed's sub-seeds 0, 1, 2 …, and as many of them count as it takes; so the
result does not depend on how many processes share the work.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from hardware_sim.campaign_log import RigLog
from hardware_sim.campaign_rig import CampaignRig
from hardware_sim.fault_acts import KINDS
from hardware_sim.invariants import INVARIANTS, check, hidden_unseen
from models.bundle import load_bundle
from sorter.errors import UsageError

FAULTS_A_RIG = 300
UNSAFE_FROM_UM = 30.0
LEAST_IN_STATE = 100
_AHEAD = 4
_PIXELS = 1 << 23
_SHOWN = 20
UNACCOUNTED = ("objects_accounted_for", "commands_accounted_for", "only_recorded_commands")

Progress = Callable[[int, int], None]
"""Told of the faults and objects so far."""


@dataclass(frozen=True, slots=True)
class RigResult:
    """A rig in figures; small, and travels between processes.

    Attributes:
        seed: the rig's own; `run_rig` takes it.
        faults: how many struck; ``objects``: bodies of 30 µm and more that came into view.
        runs: by how they ended. openings: stays of the gate away from rest.
        hidden: bodies in collect that passed for part of another (`invariants.hidden_unseen`).
        by_kind, by_state: counts; changed: those that changed the trace, by kind.
        wrong: violations by invariant.
        digest: sha256 of the rig's whole trace, hexadecimal.
    """

    seed: int
    faults: int
    objects: int
    collected: int
    openings: int
    virtual_s: float
    runs: dict[str, int]
    by_kind: dict[str, int]
    changed: dict[str, int]
    by_state: dict[str, int]
    hidden: int
    wrong: dict[str, list[str]]
    digest: str


def run_rig(seed: int, faults: int) -> RigResult:
    """One rig, from its seed to the verdict; the seed also tells whether it goes through pixels."""
    pixels = bool(seed & _PIXELS)
    log = CampaignRig(seed, 1 if pixels else faults, load_bundle("default"), pixels=pixels).run()
    return result_of(log)


def result_of(log: RigLog) -> RigResult:
    """Judge a rig that is over."""
    kinds = Counter(struck.fault.kind for struck in log.faults)
    changed = Counter(struck.fault.kind for struck in log.faults if struck.changed)
    states = Counter(f"{struck.state} {struck.fault.kind}" for struck in log.faults)
    return RigResult(
        seed=log.seed,
        faults=len(log.faults),
        objects=sum(
            body.diameter_um >= UNSAFE_FROM_UM and bool(body.positions) for body in log.truth
        ),
        collected=sum(row.outlet == "collect" for run in log.runs for row in run.record.tracks()),
        openings=len(log.stays),
        virtual_s=log.ended_ns / 1e9,
        runs=dict(Counter(run.ended for run in log.runs)),
        by_kind=dict(kinds),
        changed=dict(changed),
        by_state=dict(states),
        hidden=hidden_unseen(log),
        wrong=check(log),
        digest=digest_of(log),
    )


def digest_of(log: RigLog) -> str:
    """sha256 of all that happened: rows of the record, faults, bytes at the device, the gate."""
    hashed = hashlib.sha256()
    for run in log.runs:
        hashed.update(f"{run.record.digest} {run.began_ns} {run.ended_ns} {run.ended}\n".encode())
    for one in (*log.faults, *log.met, *log.edges):
        hashed.update(f"{one}\n".encode())
    return hashed.hexdigest()


@dataclass(slots=True)
class Campaign:
    """What has come of a campaign so far."""

    seed: int
    rigs: list[RigResult] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many have struck."""
        return sum(rig.faults for rig in self.rigs)

    @property
    def objects(self) -> int:
        """How many bodies of 30 µm and more came into view."""
        return sum(rig.objects for rig in self.rigs)

    def wrong(self, *names: str) -> int:
        """Violations of some invariants, or of all."""
        return sum(
            len(found)
            for rig in self.rigs
            for name, found in rig.wrong.items()
            if not names or name in names
        )

    def total(self, what: Callable[[RigResult], dict[str, int]]) -> dict[str, int]:
        """Counts of all rigs, by name."""
        sums: Counter[str] = Counter()
        for rig in self.rigs:
            sums.update(what(rig))
        return dict(sorted(sums.items()))

    def rare(self, least: int = LEAST_IN_STATE) -> dict[str, int]:
        """Possible states × kinds that were met fewer than ``least`` times."""
        met = self.total(lambda rig: rig.by_state)
        wanted = [f"{state} {kind.name}" for kind in KINDS.values() for state in kind.states]
        return {name: met.get(name, 0) for name in wanted if met.get(name, 0) < least}

    def report(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        hashed = hashlib.sha256("".join(rig.digest for rig in self.rigs).encode())
        changed = self.total(lambda rig: rig.changed)
        failing = [rig for rig in self.rigs if rig.wrong]
        return {
            "seed": self.seed,
            "faults": self.faults,
            "objects": self.objects,
            "unsafe": self.wrong("unsafe"),
            "hidden_unseen": sum(rig.hidden for rig in self.rigs),
            "unaccounted": self.wrong(*UNACCOUNTED),
            "deadlocks": self.wrong("runs_end"),
            "violations": {name: self.wrong(name) for name in INVARIANTS},
            "digest": hashed.hexdigest(),
            "rigs": len(self.rigs),
            "pixel_rigs": sum(bool(rig.seed & _PIXELS) for rig in self.rigs),
            "virtual_s": round(sum(rig.virtual_s for rig in self.rigs), 1),
            "openings": sum(rig.openings for rig in self.rigs),
            "decided_collect": sum(rig.collected for rig in self.rigs),
            "runs": self.total(lambda rig: rig.runs),
            "by_kind": self.total(lambda rig: rig.by_kind),
            "by_state_and_kind": self.total(lambda rig: rig.by_state),
            "changed_share": sum(changed.values()) / max(1, self.faults),
            "changed_by_kind": changed,
            "failing": [
                {"replay": rig.seed, "wrong": {k: v[:3] for k, v in rig.wrong.items()}}
                for rig in failing[:_SHOWN]
            ],
        }


def sub_seed(seed: int, number: int, *, pixels: bool = False) -> int:
    """Seed of a campaign's rig; rigs of different campaigns differ, and so do the two sorts."""
    return (seed << 24) + pixels * _PIXELS + number


def run_campaign(
    faults: int,
    seed: int,
    *,
    workers: int = 2,
    pixel_rigs: int = 0,
    faults_a_rig: int = FAULTS_A_RIG,
    progress: Progress = lambda faults, objects: None,
) -> Campaign:
    """Rigs until at least ``faults`` have struck.

    Args:
        faults: how many.
        pixel_rigs: so many rigs, of one run each, go through pixels; they come first.
        seed: of everything, 0 and up.
        workers: processes; 1: this one.
        faults_a_rig: after so many a rig is judged and another begins.
        progress: told after each rig.
    """
    if faults < 1 or seed < 0:
        raise UsageError(
            f"no campaign of {faults} faults from seed {seed}", do="Count from 1 and 0"
        )
    campaign = Campaign(seed)
    seeds = chain(
        (sub_seed(seed, number, pixels=True) for number in range(pixel_rigs)),
        (sub_seed(seed, number) for number in count()),
    )
    for result in _results(seeds, min(faults, faults_a_rig), workers):
        campaign.rigs.append(result)
        progress(campaign.faults, campaign.objects)
        if campaign.faults >= faults and len(campaign.rigs) >= pixel_rigs:
            break
    return campaign


def _results(seeds: Iterator[int], wanted: int, workers: int) -> Iterator[RigResult]:
    """Results in the order of the seeds, without end."""
    if workers == 1:
        for seed in seeds:
            yield run_rig(seed, wanted)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        under_way: deque[Future[RigResult]] = deque()
        while True:
            while len(under_way) < workers * _AHEAD:
                under_way.append(pool.submit(run_rig, next(seeds), wanted))
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
