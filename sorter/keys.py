"""Single keys from a terminal, without waiting for them; nothing where there is no terminal."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Protocol, TextIO

HINT = "p pause · r resume · q drain and stop"


class _Reader(Protocol):
    """One system's way to read keys."""

    def read(self) -> str:
        """What was typed since the last call."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class Keys:
    """Keys that are typed while this is open; use with ``with``.

    Ctrl-C stays what it is. The terminal is left as it was found.

    Args:
        source: the standard input by default.
    """

    def __init__(self, source: TextIO | None = None) -> None:
        self._source = sys.stdin if source is None else source
        self._reader: _Reader | None = None

    @property
    def active(self) -> bool:
        """Whether keys can be typed: there is a terminal, and this has it."""
        return self._reader is not None

    def __enter__(self) -> Keys:
        self._reader = _reader(self._source)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def read(self) -> str:
        """Keys typed since the last call, in order; never blocks."""
        return "" if self._reader is None else self._reader.read()


def _reader(source: TextIO | None) -> _Reader | None:
    try:
        if source is None or not source.isatty():
            return None
        return _open(source.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return None


if sys.platform == "win32":
    import msvcrt

    class _Console:
        """Windows."""

        def read(self) -> str:
            keys = ""
            while msvcrt.kbhit():
                keys += msvcrt.getwch()
            return keys

        def close(self) -> None:
            """Nothing was changed."""

    def _open(fd: int) -> _Reader | None:
        return _Console()

else:
    import select
    import termios
    import tty

    class _Terminal:
        """POSIX: keys come one by one, and are not echoed."""

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._before: list[Any] = termios.tcgetattr(fd)
            tty.setcbreak(fd)

        def read(self) -> str:
            keys = b""
            while select.select([self._fd], [], [], 0)[0]:
                more = os.read(self._fd, 64)
                if not more:
                    break
                keys += more
            return keys.decode("utf-8", "ignore")

        def close(self) -> None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def _open(fd: int) -> _Reader | None:
        """None in the background: the terminal is somebody else's, who would stop us."""
        return _Terminal(fd) if os.tcgetpgrp(fd) == os.getpgrp() else None
