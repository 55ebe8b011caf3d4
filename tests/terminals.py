"""A command on a pseudo-terminal of its own, as if somebody sat before it. POSIX only."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# Makes the terminal the command's own, then becomes the command.
_OWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class OnTerminal:
    """What somebody sees and types.

    Attributes:
        process: the command.
        master: the terminal's other end.
        seen: all that was shown so far.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.master = master
        self.seen = b""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, words: str, deadline_s: float = 120.0) -> None:
        """Look on until something new has these words in it."""
        new = b""
        while words.encode() not in new:
            if not select.select([self.master], [], [], deadline_s)[0]:
                raise AssertionError(f"{words!r} was never shown, but {self.seen[-2_000:]!r}")
            more = self._read()
            if not more:
                raise AssertionError(f"it ended without {words!r}: {self.seen[-2_000:]!r}")
            new += more

    def end(self, deadline_s: float = 120.0) -> int:
        """Look on to its end; the exit code."""
        while self._read():
            pass
        return self.process.wait(deadline_s)

    def _read(self) -> bytes:
        try:
            more = os.read(self.master, 4096)
        except OSError:  # nobody has the terminal any more
            more = b""
        self.seen += more
        return more


@contextmanager
def on_terminal(
    command: Sequence[str], environment: dict[str, str] | None = None
) -> Iterator[OnTerminal]:
    """Start a command on a terminal; it is ended when the block ends."""
    import pty

    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN, *command],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
    )  # fmt: skip
    os.close(slave)
    try:
        yield OnTerminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
