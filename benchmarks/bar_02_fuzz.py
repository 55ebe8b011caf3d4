"""Coverage-guided fuzzing of both parsers of the dispenser's wire: no crash, no hang, no act.

    python -m benchmarks.bar_02_fuzz [--seconds 600] [--target NAME] [--keep DIR]

The firmware takes the fuzzer's bytes and is stepped on its clock; the host's driver takes them as
a device's. Both start from valid dialogues (the conformance table, PROTOCOL.md, recorded runs), so
that deep states are reached; the second row of each says how often they were. What may happen is
decided by an oracle that was written from PROTOCOL.md alone (tests/fuzz/oracle.py, speech.py): the
gate leaves rest, the pump is let run, and a command is sent only where a valid, timely line of the
present session, or the driver's caller, says so. The drivers of text valve and NE-1000 are fuzzed
likewise when they are named (``text_valve``, ``ne1000``); the bar is about the first two. A hang is
20 s of processor time on one input. Needs atheris (the dev extra, Linux x86-64).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._bar import Row, finish

PARSERS = ("firmware", "host")
TARGETS = (*PARSERS, "text_valve", "ne1000")
DEEP = {"firmware": "opened", "host": "settled", "text_valve": "opened", "ne1000": "started"}
# Beyond the fuzzer's own time: imports, seeds, and one input that hangs until it is noticed.
GRACE_S = 120


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """One target's run.

    Attributes:
        inputs: how many were run.
        deep: how many of them got to what `DEEP` says, as they were allowed to.
        coverage: edges of the instrumented modules that were reached.
        found: inputs that crashed, hung or acted.
        seconds: how long.
    """

    inputs: int
    deep: int
    coverage: int
    found: tuple[str, ...]
    seconds: int


def fuzz(target: str, folder: Path, seconds: int) -> Fuzzed:
    """Run the fuzzer in a process of its own, which it ends itself."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    call = [sys.executable, "-m", "tests.fuzz", target, str(folder), "--seconds", str(seconds)]
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(
            call, stdout=file, stderr=subprocess.STDOUT, timeout=seconds + GRACE_S, check=False
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    inputs = re.search(r"number_of_executed_units: (\d+)", text)
    if inputs is None:
        raise SystemExit(f"the fuzzer did not run: see {log}\n{text[-2000:]}")
    found = tuple(sorted(path.name for path in folder.glob("found-*")))
    if ended.returncode and not found:
        found = (f"exit code {ended.returncode}, see {log}",)
    counts = folder / "counts.json"
    deep = json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}
    coverage = [int(one) for one in re.findall(r"cov: (\d+)", text)]
    return Fuzzed(
        int(inputs[1]), deep.get(DEEP[target], 0), max(coverage, default=0), found, seconds
    )


def rows(target: str, run: Fuzzed) -> list[Row]:
    """What a run says. The interval of the share found is the rule of three's."""
    for one in run.found:
        print(f"  {target}: {one}")
    return [
        Row(f"{target}: crashes, hangs and acts in {run.seconds} s", run.inputs, len(run.found),
            "= 0", not run.found, (0.0, 3 / run.inputs) if not run.found else None),
        Row(f"{target}: inputs that {DEEP[target]}, as allowed", run.inputs, run.deep,
            "> 0", run.deep > 0),
        Row(f"{target}: edges covered", run.inputs, run.coverage, "reported only", True),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Fuzz, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--keep", type=Path, help="folder for the corpora and what was found")
    given = parser.parse_args(arguments)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for target in given.target or PARSERS:
            folder = (given.keep or Path(scratch)) / target
            found += rows(target, fuzz(target, folder, given.seconds))
    finish("Fuzzing of both parsers", found)


if __name__ == "__main__":
    main(sys.argv[1:])
