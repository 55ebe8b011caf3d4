"""Faults anywhere, in virtual time: is anything unsafe, lost or stuck?

    python -m benchmarks.bar_02_campaign [--faults 1000000] [--seed 1] [--workers 2]

Runs `hardware_sim.campaign`, most of its rigs at the level of detections (the error model was
measured on pixel runs) and 200 through pixels, and the start of the same seed a second time, in one
process, for the digest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks._bar import Row, finish, wilson
from hardware_sim.campaign import LEAST_IN_STATE, UNACCOUNTED, Campaign, Progress, run_campaign
from hardware_sim.fault_acts import KINDS

FAULTS, OBJECTS, SECONDS = 1_000_000, 50_000, 1800.0
KIND_SHARE, CHANGED_SHARE = 0.01, 0.5
PIXEL_RIGS = 200
_AGAIN, _PIXELS_AGAIN = 5_000, 5


def main(arguments: Sequence[str]) -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=FAULTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=PIXEL_RIGS)
    given = parser.parse_args(arguments)
    began_s = time.monotonic()
    campaign = run_campaign(
        given.faults,
        given.seed,
        workers=given.workers,
        pixel_rigs=given.pixels,
        progress=_tell(),
    )
    took_s = time.monotonic() - began_s
    few = min(_PIXELS_AGAIN, given.pixels)
    again = run_campaign(min(_AGAIN, given.faults), given.seed, workers=1, pixel_rigs=few)
    for rig in campaign.rigs:
        if rig.wrong:
            print(f"  rig {rig.seed}: {rig.wrong}")
    print(f"  runs: {campaign.report()['runs']}")
    finish(f"Campaign, seed {given.seed}", rows_of(campaign, again, took_s))


def _tell() -> Progress:
    shown = 0

    def tell(faults: int, objects: int) -> None:
        nonlocal shown
        if faults // 50_000 > shown:
            shown = faults // 50_000
            print(f"  {faults} faults on {objects} objects", flush=True)

    return tell


def rows_of(campaign: Campaign, again: Campaign, took_s: float) -> list[Row]:
    """The bar's rows."""
    faults, objects = campaign.faults, campaign.objects
    unsafe = campaign.wrong("unsafe")
    kinds = campaign.total(lambda rig: rig.by_kind)
    rarest = min(KINDS, key=lambda name: kinds.get(name, 0))
    share = kinds.get(rarest, 0) / faults
    changed = sum(campaign.total(lambda rig: rig.changed).values())
    rare = campaign.rare()
    first = {rig.seed: rig.digest for rig in campaign.rigs}
    same = [first[rig.seed] == rig.digest for rig in again.rigs if rig.seed in first]
    through = campaign.report()["pixel_rigs"]
    counts = [
        ("violations of accounting", campaign.wrong(*UNACCOUNTED)),
        ("runs that stand still", campaign.wrong("runs_end")),
        ("violations of anything", campaign.wrong()),
    ]
    return [
        Row("faults", faults, faults, f">= {FAULTS}", faults >= FAULTS),
        Row("rigs through pixels", through, through, f">= {PIXEL_RIGS}", through >= PIXEL_RIGS),
        Row("objects", objects, objects, f">= {OBJECTS}", objects >= OBJECTS),
        Row("wall time, s", faults, took_s, f"<= {SECONDS:g}", took_s <= SECONDS),
        Row("unsafe, share of objects", objects, unsafe / objects, "= 0", unsafe == 0,
            wilson(unsafe, objects)),
        *(Row(what, faults, count, "= 0", count == 0) for what, count in counts),
        Row(f"rarest kind, {rarest}", faults, share, f">= {KIND_SHARE}", share >= KIND_SHARE,
            wilson(kinds.get(rarest, 0), faults)),
        Row(f"states x kinds met < {LEAST_IN_STATE} times {rare or ''}", faults, len(rare), "= 0",
            not rare),
        Row("changed the trace", faults, changed / faults, f">= {CHANGED_SHARE}",
            changed / faults >= CHANGED_SHARE, wilson(changed, faults)),
        Row("rigs with the same digest twice", len(same), sum(same), "= all", all(same)),
    ]  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
