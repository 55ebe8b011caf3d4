"""Does the campaign find bugs that it does not know of?

    python -m benchmarks.bar_02_planted [--most 200000] [--seed 5] [--only NAME]

Each bug of `hardware_sim.planted` is switched on alone, and rigs of a campaign are run until an
invariant is violated, or the most faults have struck. Without a bug none is violated
(`benchmarks.bar_02_campaign`, and the same rigs here).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context

from benchmarks._bar import Row, finish
from hardware_sim.campaign import FAULTS_A_RIG, run_rig, sub_seed
from hardware_sim.planted import PLANTED


def look_for(name: str | None, seed: int, most: int) -> tuple[int, int, dict[str, int]]:
    """(faults until something was found, faults in all, violations by invariant).

    The first is 0 when nothing was found.
    """
    bug: AbstractContextManager[None] = nullcontext() if name is None else PLANTED[name]()
    faults = number = 0
    with bug:
        while faults < most:
            result = run_rig(sub_seed(seed, number), FAULTS_A_RIG)
            faults += result.faults
            number += 1
            # A crash may be the plant's own: it finds nothing.
            wrong = {k: len(found) for k, found in result.wrong.items() if k != "no_crash"}
            if wrong or (name is None and result.wrong):
                return faults, faults, wrong or {"no_crash": len(result.wrong["no_crash"])}
    return 0, faults, {}


def main(arguments: Sequence[str]) -> None:
    """Look, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=200_000, help="faults for each bug")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=list(PLANTED))
    given = parser.parse_args(arguments)
    names = [given.only] if given.only else list(PLANTED)
    rows: list[Row] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        under_way = [(name, pool.submit(look_for, name, given.seed, given.most)) for name in names]
        longest = 0
        for name, future in under_way:
            found, faults, by = future.result()
            print(f"  {name}: {by or 'nothing'}", flush=True)
            longest = max(longest, faults)
            rows.append(Row(f"{name}: faults until found", faults, found, "> 0", found > 0))
        found, faults, by = pool.submit(look_for, None, given.seed, longest).result()
    rows.append(Row(f"no bug: violations {by}", faults, len(by), "= 0", not by))
    finish("Planted bugs", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
