"""How long a device has left what it was asked unanswered; no clock and no I/O inside."""

from __future__ import annotations

from sorter.errors import LinkError

_MS = 1_000_000
_LONGEST_STEP_NS = 100 * _MS


class Silence:
    """Begins with the first question after an answer.

    Args:
        longest_ms: a device that is silent for longer is gone.
    """

    def __init__(self, longest_ms: int) -> None:
        self._longest_ms = longest_ms
        self._since_ns: int | None = None
        self._checked_ns = 0

    def asked(self, now_ns: int) -> None:
        """Something was said to it that it answers."""
        if self._since_ns is None:
            self._since_ns = now_ns

    def broken(self) -> None:
        """It has said something."""
        self._since_ns = None

    def check(self, now_ns: int) -> None:
        """Look at it, often. Raises `LinkError` when it lasts too long.

        A host that was held up did not listen: that time does not count.
        """
        paused_ns = now_ns - self._checked_ns - _LONGEST_STEP_NS
        self._checked_ns = now_ns
        if self._since_ns is None:
            return
        if paused_ns > 0:
            self._since_ns = min(now_ns, self._since_ns + paused_ns)
        silent_ms = (now_ns - self._since_ns) // _MS
        if silent_ms > self._longest_ms:
            raise LinkError(
                f"the dispenser has been silent for {silent_ms} ms",
                do="Check its cable and power; its watchdog takes the gate to rest",
            )
