"""One target under atheris, until its time is over or it finds something.

    python -m tests.fuzz firmware|host|text_valve|ne1000 FOLDER --seconds 600

FOLDER gets what the fuzzer keeps (``kept/``), what it has found (``found-…``), and counts
(``counts.json``). Ends with 0 when nothing was found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import atheris

TARGETS = ("firmware", "host", "text_valve", "ne1000")
_CORPUS = Path(__file__).with_name("corpus")
_LONGEST_INPUT = 4096
# Of processor time: a machine that is busy, or that stops this process for a while, is no hang.
_HANG_S = 20
_NEVER_S = 100_000
_COUNT_EVERY = 500


# What no mutation would find: words of the page, and of scripts (tests/fuzz/script.py).
_WORDS = (
    *("O 5EED0001 ", "CANCEL 5EED0001 ", "D 5EED0001 ", "REST 5EED0001 ", "PING 5EED0001 "),
    *("HOLD 5EED0001 ", "FLOW 5EED0001 ", "STOP 5EED0001 ", "RESET 5EED0001 ", "SEEN 5EED0001 "),
    *("STATUS 00000000", "HELLO 5EED0002 2 3E8", "LINES 5EED0001 ", "LED 5EED0001 "),
    *("A 0001 ", "N 0001 ", "E 0001 ", "S 0001 ", "G 0001 ", "I 0001 ", "PONG 0001 ", "READY "),
    *("STATE 0001 ", "RESTED 0001 ", "collect", "recheck", "waste", "00130D40", "00EA60", " LATE"),
    *("\\x0a~", "\\x0a+100000", "\\x0a*100000", "\\x0a!pin pressed", "\\x0a!pin released"),
    *("\\x0a!send 1 collect 50000 20000", "\\x0a!hold", "\\x0a!rest", "\\x0a!stop", "\\x0a!flow"),
)


def _start_from(target: str, folder: Path) -> Path:
    """The inputs to start from, each in a file of its own."""
    seeds = importlib.import_module("tests.fuzz.seeds")
    kept = folder / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    known = [path.read_bytes() for path in sorted((_CORPUS / target).glob("*"))]
    for data in [*getattr(seeds, f"for_{target}")().values(), *known]:
        (kept / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return kept


def main() -> None:
    """Fuzz; ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    given = parser.parse_args()
    with atheris.instrument_imports(include=["drivers"]):
        target = importlib.import_module(f"tests.fuzz.{given.target}")
    kept = _start_from(given.target, given.folder)
    words = given.folder / "words.txt"
    words.write_text("".join(f'"{word}"\n' for word in _WORDS), encoding="ascii")
    counts: Counter[str] = Counter()

    def hangs(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"one input takes {_HANG_S} s")

    signal.signal(signal.SIGVTALRM, hangs)

    def one(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, _HANG_S)
        counts.update(runs=1, **target.run(data).reached())
        if counts["runs"] % _COUNT_EVERY == 0:
            (given.folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")

    flags = {
        "max_total_time": given.seconds,
        "max_len": _LONGEST_INPUT,
        "timeout": _NEVER_S,
        "report_slow_units": _NEVER_S,
        "dict": words,
        "artifact_prefix": f"{given.folder}/found-",
        "print_final_stats": 1,
        "rss_limit_mb": 2048,
    }
    told = [f"-{name}={value}" for name, value in flags.items()]
    atheris.Setup([sys.argv[0], *told, str(kept)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
