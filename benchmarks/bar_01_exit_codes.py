"""50 runs in a row, each with the documented exit code, and nothing left behind.

Bar: every run of 50 ends by itself with the code that design and README name: 0 done, 2 wrong
settings, 3 hardware that does not answer, 4 a fault during a run, 130 Ctrl-C at any moment; no
process, shared memory or half-written file stays. Linux only: it finds the parts by what they hold
open.

    python -m benchmarks.bar_01_exit_codes [runs]
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks._bar import Row, finish, wilson

DURATION_S = 6.0
LONGEST_S = 90.0
POLL_S = 0.05
# The installed command of this very environment.
COMMAND = str(Path(sys.executable).with_name("sorter"))
Action = Callable[["Run"], None]


@dataclass
class Run:
    """One run of the command, while it lasts.

    Attributes:
        folder: what the run may write to.
        process: the command.
        rng: of this run, so that the same moments come again.
        family: every process that was ever seen to belong to it.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    rng: random.Random
    family: set[psutil.Process] = field(default_factory=set)

    def members(self) -> list[psutil.Process]:
        """The command's processes that live now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family.update(psutil.Process(self.process.pid).children(recursive=True))
        return [one for one in self.family if one.is_running()]

    def over(self) -> bool:
        """Whether the command has ended."""
        return self.process.poll() is not None

    def wait_s(self, seconds: float) -> None:
        """Wait so long, or until the run is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.over():
            self.members()
            time.sleep(POLL_S)


@dataclass(frozen=True)
class Kind:
    """A way for a run to end, and the code that belongs to it."""

    name: str
    arguments: tuple[str, ...]
    code: int
    action: Action


def _nothing(run: Run) -> None:
    """Let it end by itself."""


def _interrupt(run: Run) -> None:
    """Ctrl-C as a terminal sends it, to the whole group, at any moment."""
    run.wait_s(run.rng.uniform(0.3, DURATION_S + 6.0))
    if not run.over():
        os.killpg(run.process.pid, signal.SIGINT)


def _kill_holder(part: str) -> Action:
    """Kill the process that holds ``part`` open, some time after it does."""

    def action(run: Run) -> None:
        deadline = time.monotonic() + LONGEST_S / 2
        while not run.over() and time.monotonic() < deadline:
            holders = [one for one in run.members() if _holds(one, part)]
            if holders:
                run.wait_s(run.rng.uniform(1.0, DURATION_S / 2))
                for one in holders:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
                return
            time.sleep(POLL_S)

    return action


def _holds(process: psutil.Process, part: str) -> bool:
    with contextlib.suppress(OSError):
        for one in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if part in str(one.readlink()):
                    return True
    return False


DEMO = ("demo", "--duration-s", str(DURATION_S), "--json", "--out", "{folder}/out")
KINDS = (
    Kind("done", DEMO, 0, _nothing),
    Kind("Ctrl-C", DEMO, 130, _interrupt),
    Kind("recorder killed", DEMO, 4, _kill_holder(".sqlite-wal")),
    Kind("done again", DEMO, 0, _nothing),
    Kind("Ctrl-C again", DEMO, 130, _interrupt),
    Kind("dispenser killed", DEMO, 3, _kill_holder("/ptmx")),
    Kind("no settings file", ("run", "{folder}/absent.toml"), 2, _nothing),
    Kind("unknown key", ("run", "{folder}/unknown.toml"), 2, _nothing),
    Kind("bad option", ("demo", "--no-such-option"), 2, _nothing),
    Kind("Ctrl-C once more", DEMO, 130, _interrupt),
)


def _one(kind: Kind, seed: int) -> list[str]:
    """What was wrong with one run; nothing, one hopes."""
    before = _shared_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "unknown.toml").write_text("[camera]\nconfig_fil = 'a.cfg'\n")
        arguments = [one.format(folder=folder) for one in kind.arguments]
        if kind.arguments is DEMO:
            arguments += ["--seed", str(seed)]
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [COMMAND, *arguments],
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            run = Run(folder, process, random.Random(seed))
            kind.action(run)
            run.wait_s(LONGEST_S)
        return list(_wrong(kind, run)) + [
            f"shared memory {one} stays" for one in _shared_memory() - before
        ]


def _wrong(kind: Kind, run: Run) -> Iterator[str]:
    if not run.over():
        yield f"still running after {LONGEST_S:g} s"
        for one in [*run.members(), psutil.Process(run.process.pid)]:
            one.kill()
        return
    code = run.process.returncode
    # A shell calls death by a signal 128 + its number: Ctrl-C while Python itself still starts.
    code = 128 - code if code < 0 else code
    said = (run.folder / "stderr").read_text(errors="replace")
    late = kind.code == 130 and code == 0 and "{" in (run.folder / "stdout").read_text()
    if code != kind.code and not late:  # it was over before the interrupt came
        yield f"exit code {code} in place of {kind.code}: {said.strip()[-300:]}"
    if code == 0:
        try:
            json.loads((run.folder / "stdout").read_text())
        except ValueError:
            yield "standard output is not one JSON object"
    if "Traceback" in said and code != 130:
        yield "a traceback in place of a message"
    _, alive = psutil.wait_procs(run.members(), timeout=5.0)
    for one in alive:
        yield f"process {one.pid} stays"
        one.kill()
    yield from (f"{one.name} half written" for one in run.folder.rglob(".*") if one.is_file())


def _shared_memory() -> set[str]:
    return {one.name for one in Path("/dev/shm").glob("psm_*")}


def main(runs: int = 50) -> None:
    """Run, print, exit."""
    good = 0
    for i in range(runs):
        kind = KINDS[i % len(KINDS)]
        start = time.monotonic()
        wrong = _one(kind, seed=i)
        good += not wrong
        took = time.monotonic() - start
        print(f"{i + 1:3d}  {kind.name:18} {took:5.1f} s  {'; '.join(wrong) or 'ok'}", flush=True)
    row = Row(
        "runs with the right code and nothing left",
        runs,
        good / runs,
        "= 1",
        good == runs,
        wilson(good, runs),
    )
    finish("Exit codes, runs in a row", [row])


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:2]))
