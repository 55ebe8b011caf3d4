"""Runs the installed command `sorter` in processes of its own, each with a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

DEADLINE_S = 120.0
_EXE = ".exe" if sys.platform == "win32" else ""
COMMAND = str(Path(sys.executable).with_name(f"sorter{_EXE}"))
# A terminal that is wide enough for every message to stay on one line.
ENVIRONMENT = {**os.environ, "COLUMNS": "400", "OMP_NUM_THREADS": "1"}


def sorter(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=ENVIRONMENT,
        timeout=DEADLINE_S,
        check=False,
    )


def answer(*arguments: str | Path, cwd: Path | None = None) -> dict[str, Any]:
    """Run a command with ``--json`` to its good end; what it printed."""
    done = sorter(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def left_behind(folder: Path) -> list[str]:
    """Temporary files below ``folder``: there are none unless something was half written."""
    return [str(one) for one in folder.rglob(".*")]


class Running:
    """A command that runs; what it says on standard error can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def wait_for(self, words: str) -> None:
        """Read standard error up to a line with ``words``; the deadline ends the command."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if words in line:
                return
        raise AssertionError(f"{words!r} was never said, but: {self.said}")

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def controller(self) -> psutil.Process:
        """The controller's process: the one that has children of its own."""
        children = psutil.Process(self.process.pid).children()
        (found,) = [one for one in children if one.children()]
        return found

    def end(self) -> int:
        """Wait for its end; the exit code. ``said`` is complete then."""
        _, err = self.process.communicate(timeout=DEADLINE_S)
        self.said += err
        return self.process.returncode


@contextmanager
def running(*arguments: str | Path, cwd: Path | None = None) -> Iterator[Running]:
    """Start a command in a group of its own; it is ended when the block ends or time is up."""
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        yield Running(process)
    finally:
        watchdog.cancel()
        watchdog.join()
        if process.poll() is None:
            process.kill()
        process.communicate()
