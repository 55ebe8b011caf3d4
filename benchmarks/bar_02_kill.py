"""kill -9 of the controller at random moments of real-time runs, with commands under way.

    python -m benchmarks.bar_02_kill [--kills 10] [--seed 0] [--keep DIR]

Each run is the default simulated rig, fed faster than usual (3 spheroids a second, all healthy).
The dispenser lives in this process's own child and outlives the controller; its log says what its
pins did. From a random moment after the first command on, the next command is awaited, and the
controller is killed at a random moment within 45 ms after the device acknowledged it, by the
device's own log: the gate opens some 30 ms after an acknowledgement, and closes 40 to 70 ms after
it. A moment that had passed before this process saw the line (a busy machine) is drawn anew for the
next command. A command was under way when the gate moved after the kill.

What must follow comes from the device's watchdog alone: pump held and gate at rest, for good,
within the watchdog's time. That time counts from the last line that the device heard; lines that
the controller had already written still come to it, some 15 ms at most.

A run in which no command comes within 90 s (a machine so busy that the run holds itself) is thrown
away, said, and another taken for it.

What was sent is compared with the record: each command that the device has acknowledged, ever, has
its object in it. Its own row may be missing where the kill fell between the write to the port
and the handing over of the row, well below a millisecond later; then its object is there,
decided for an outlet, without a command.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks._bar import Row, finish, wilson
from drivers.dispenser_settings import DispenserSettings
from hardware_sim.aftermath import Aftermath, Recorded, aftermath, recorded
from hardware_sim.demo_rig import GATE_LOG, DemoSettings, start_demo_rig
from hardware_sim.gate_log import Accepted, GateLogTail, read_log
from sorter.record_reader import open_record

COMMAND = str(Path(sys.executable).with_name("sorter"))
ON_THE_WAY_MS = 15.0
LONGEST_S = 90.0
MOST_AFTER_S = 8.0
WITHIN_S = 0.045
POLL_S = 0.002
UNDER_WAY = 0.8


@dataclass(frozen=True, slots=True)
class Killed:
    """One run that was killed.

    Attributes:
        watchdog_ms: what the device was told.
        after: what its log says.
        kept: what the record says.
        stayed: processes that outlived the run.
    """

    watchdog_ms: int
    after: Aftermath
    kept: Recorded
    stayed: int


class NoCommands(Exception):
    """The run sends none."""


class Acknowledgements:
    """The device's acknowledgements, as they come."""

    def __init__(self, log: Path, process: subprocess.Popen[bytes]) -> None:
        self._tail = GateLogTail(log)
        self._process = process
        self._known: set[int] = set()

    def next(self) -> Accepted:
        """The first of a command from now on. Raises `NoCommands`."""
        self._news()
        deadline = time.monotonic() + LONGEST_S
        while not (new := self._news()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoCommands(f"no command in {LONGEST_S:g} s")
            time.sleep(POLL_S)
        return new[-1]

    def _news(self) -> list[Accepted]:
        edges = [edge for edge in self._tail.read() if isinstance(edge, Accepted)]
        new = [edge for edge in edges if edge.command_id not in self._known]
        self._known.update(edge.command_id for edge in edges)
        return new

    def close(self) -> None:
        """Release the log."""
        self._tail.close()


def _await_moment(commands: Acknowledgements, rng: random.Random) -> None:
    """Until a random moment within `WITHIN_S` after an acknowledgement."""
    while True:
        at_ns = commands.next().t_ns + int(rng.uniform(0, WITHIN_S) * 1e9)
        left_ns = at_ns - time.perf_counter_ns()
        if left_ns >= 0:
            time.sleep(left_ns * 1e-9)
            return


def _controller(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The controller: the child of the command line that has children of its own."""
    (found,) = [one for one in psutil.Process(process.pid).children() if one.children()]
    return found


def kill_once(folder: Path, rng: random.Random) -> Killed:
    """One run, killed at a moment of this generator's choice."""
    settings = DemoSettings(seed=rng.randrange(10_000), rate_hz=3.0, unhealthy=0.0, duration_s=300)
    with start_demo_rig(folder, settings) as rig:
        log = rig.folder / GATE_LOG
        with (folder / "said.txt").open("wb") as said:
            call = [COMMAND, "run", str(rig.rig_file), "--json"]
            process = subprocess.Popen(call, stdout=said, stderr=said)
            commands = Acknowledgements(log, process)
            try:
                commands.next()
                time.sleep(rng.uniform(0, MOST_AFTER_S))
                family = psutil.Process(process.pid).children(recursive=True)
                controller = _controller(process)
                _await_moment(commands, rng)
                death_ns = time.perf_counter_ns()
                controller.kill()
                process.wait(LONGEST_S)
            finally:
                commands.close()
                process.kill()
                process.wait()
        dispenser = rig.rig.dispenser
        assert isinstance(dispenser, DispenserSettings)
        watchdog_ms = dispenser.watchdog_ms
        # Long enough for all that the device may still do, and for what must not happen.
        time.sleep(2.5 * watchdog_ms / 1e3)
        _, alive = psutil.wait_procs(family, timeout=10.0)
        # Read before the device is switched off: that holds and rests, too.
        after = aftermath(read_log(log), death_ns)
    (record,) = rig.folder.glob("*.sqlite")
    with open_record(record) as reader:
        return Killed(watchdog_ms, after, recorded(reader, after.accepted), len(alive))


def kills(n: int, seed: int, keep: Path | None) -> Iterator[Killed]:
    """So many runs, each told of."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        done = thrown = 0
        while done < n:
            folder = (keep or Path(scratch)) / f"kill-{done + thrown}"
            try:
                one = kill_once(folder, rng)
            except NoCommands as why:
                thrown += 1
                print(f"  thrown away: {why}: see {folder}", flush=True)
                if thrown > n:
                    raise
                continue
            print(f"  {done}: {_told(one)}", flush=True)
            done += 1
            yield one


def _told(one: Killed) -> str:
    after, kept = one.after, one.kept
    return (
        f"held {_ms(after.held_ns)}, at rest {_ms(after.rested_ns)}, under way {after.under_way}, "
        f"{len(after.accepted)} accepted, rows missing {kept.lost_rows}, "
        f"objects missing {kept.lost_objects}, {after.causes}"
    )


def _ms(ns: int | None) -> str:
    return "never" if ns is None else f"{ns / 1e6:.1f} ms"


def rows(runs: Sequence[Killed]) -> list[Row]:
    """What the runs say."""
    n = len(runs)
    bar_ms = min(run.watchdog_ms for run in runs) + ON_THE_WAY_MS
    held = [run.after.held_ns / 1e6 for run in runs if run.after.held_ns is not None]
    rested = [run.after.rested_ns / 1e6 for run in runs if run.after.rested_ns is not None]
    safe = sum(
        run.after.held_ns is not None
        and run.after.rested_ns is not None
        and max(run.after.held_ns, run.after.rested_ns) <= bar_ms * 1e6
        for run in runs
    )
    taken = sum(len(run.after.accepted) for run in runs)
    whole = sum(run.kept.complete for run in runs)
    return [
        Row(f"kills with pump held and gate at rest within {bar_ms:g} ms", n, safe,
            f"= {n}", safe == n, wilson(safe, n)),
        Row("slowest hold, ms after the kill", len(held), max(held, default=0.0), f"<= {bar_ms:g}",
            len(held) == n and max(held) <= bar_ms, (min(held or [0]), max(held or [0]))),
        Row("slowest rest, ms after the kill", len(rested), max(rested, default=0.0),
            f"<= {bar_ms:g}", len(rested) == n and max(rested) <= bar_ms),
        Row("median hold, ms after the kill", len(held), statistics.median(held or [0.0]),
            "reported only", True),
        Row("kills with commands under way", n, sum(run.after.under_way for run in runs),
            f">= {UNDER_WAY:.0%}", sum(run.after.under_way for run in runs) >= UNDER_WAY * n),
        Row("kills after which each sent command's object is in the record", n, whole,
            f"= {n}", whole == n, wilson(whole, n)),
        Row("commands acknowledged, and rows of them missing", taken,
            sum(len(run.kept.lost_rows) for run in runs), "reported only", True),
        Row("processes that stayed", n, sum(run.stayed for run in runs), "= 0",
            not any(run.stayed for run in runs)),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Kill, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the runs' files")
    given = parser.parse_args(arguments)
    finish(
        "kill -9 of the controller, real time",
        rows(list(kills(given.kills, given.seed, given.keep))),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
