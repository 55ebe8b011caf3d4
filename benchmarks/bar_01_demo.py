"""The first command that a person gives: does it end by itself within three minutes, with a report?

    python -m benchmarks.bar_01_demo [--clone] [--duration-s 60]

Without options the installed `sorter demo` is timed on a pseudo-terminal, as a person sees it.
With ``--clone`` the committed tree is cloned and `make install` run before it is timed there, so
that the installation is tried too, but not timed. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._bar import Row, finish
from benchmarks._runs import COMMAND

LONGEST_S = 180.0
ROOT = Path(__file__).parents[1]


def on_a_terminal(command: Sequence[str], folder: Path) -> tuple[int, float, str]:
    """Exit code, wall time in s, and what was shown, of a command on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux: the other end was closed by the last process
            break
        if not chunk:
            break
        shown += chunk
    code = process.wait()
    os.close(ours)
    return code, time.monotonic() - start, shown.decode(errors="replace")


def installed_clone(folder: Path) -> str:
    """Clone what is committed, install it; the clone's own command."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["make", "install"], cwd=folder, check=True)
    return str(folder / ".venv" / "bin" / "sorter")


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clone", action="store_true")
    options.add_argument("--duration-s", type=float)
    given = options.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [installed_clone(folder / "clone") if given.clone else COMMAND, "demo"]
        if given.duration_s is not None:
            command += ["--duration-s", str(given.duration_s)]
        code, wall_s, shown = on_a_terminal([*command, "--out", str(folder / "out")], folder)
        pages = [one for one in folder.glob("out/*.html") if one.stat().st_size > 10_000]
    if code != 0:
        print(shown[-2000:])
    live = shown.count("spheroid sorter")
    rows = [
        Row("exit code", 1, code, "= 0", code == 0),
        Row("wall time, s", 1, wall_s, f"< {LONGEST_S:g}", wall_s < LONGEST_S),
        Row("updates of the live display", 1, live, "> 10", live > 10),
        Row("report pages", 1, len(pages), "= 1", len(pages) == 1),
    ]
    finish("sorter demo", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
