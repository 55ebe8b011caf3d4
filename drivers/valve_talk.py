"""The conversation with a box that takes text commands: the wire, and waiting for its answers."""

from __future__ import annotations

from collections.abc import Callable

from drivers.ports import Clock, Link
from drivers.text_valve_settings import TextValveSettings
from drivers.valve_closing import MS, ValveClosing
from sorter.errors import DispenserError, LinkError

_POLL_NS = MS // 2
_PROBES = 5  # one may get lost


class ValveTalk:
    """Writes strings, keeps account of what waits on the wire, and hears the answers.

    Args:
        link: open link to the box.
        clock: host time.
        settings: the box's strings, times and limits.
        baud: of the port.

    Attributes:
        closing: what is known of the box's outlets.
    """

    def __init__(self, link: Link, clock: Clock, settings: TextValveSettings, baud: int) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings
        self._byte_ns = round(10 * 1e9 / baud)
        self._wire_free_ns = 0
        self._heard = False
        self.closing = ValveClosing(settings)

    def say(self, data: bytes) -> None:
        """Hand ``data`` to the port, if there is any. Raises `LinkError`."""
        if data:
            self._wire_free_ns = self.wire_ns() + len(data) * self._byte_ns
            self._link.write(data)

    def wire_ns(self) -> int:
        """When the wire will have taken all that was handed to it."""
        return max(self._clock.now_ns(), self._wire_free_ns)

    def receive(self) -> None:
        """Take what has arrived; never blocks. Raises `LinkError`."""
        data = self._link.read()
        if data:
            self._heard = True
            self.closing.take(data, self._clock.now_ns())

    def check(self) -> None:
        """Raises `LinkError` when it doesn't answer, `DispenserError` when it doesn't close."""
        silent_ms = self.closing.silent_ns(self._clock.now_ns()) // MS
        if silent_ms > self._settings.silent_ms:
            raise LinkError(
                f"the valve box has answered no query for {silent_ms} ms",
                do="Close the valve by hand: the box has no watchdog. Check its cable and power",
            )
        self.closing.check()

    def wait_sure(self) -> None:
        """Wait, for ``connect_ms`` at most, until every outlet is surely closed.

        Raises:
            LinkError: the box says nothing. DispenserError: it doesn't say that it is closed.
        """
        self.keep_closed(self._settings.connect_ms * MS)
        if self.closing.sure:
            return
        if not self._heard:
            raise LinkError(
                "no answer from the valve box",
                do="Check that it is switched on, that this is its port, baud rate and query",
            )
        said = f": it said {self.closing.noise!r}" if self.closing.noise else ""
        raise DispenserError(
            f"the valve box does not say that it is closed{said}",
            do="Close the valve by hand, then check the answers and the terminator in [dispenser]",
        )

    def measure_answer(self) -> None:
        """Ask once, after a quiet; raises `DispenserError` when the answer takes too long."""
        enough_ms = self._settings.silent_ms // 2
        longest_ns = self._settings.connect_ms * MS
        quiet_ns = self._settings.silent_ms * MS
        self.listen(longest_ns, lambda: self.closing.quiet_ns(self._clock.now_ns()) > quiet_ns)
        for _ in range(_PROBES):
            self.say(self.closing.probe(self._clock.now_ns()))
            # One that answered the first questions in time answers this within `connect_ms` too.
            self.listen(longest_ns, lambda: not self.closing.waits)
            if not self.closing.waits:
                if self.closing.answer_ns <= enough_ms * MS:
                    return
                break
        raise DispenserError(
            f"the valve box takes longer than {enough_ms} ms to answer",
            do="Make its program answer at once, or raise silent_ms in [dispenser]",
        )

    def listen(self, longest_ns: int, done: Callable[[], bool] = lambda: False) -> None:
        """Say nothing, take what comes until ``done``."""
        # A link has nothing to wait on: poll it, twice a millisecond.
        until_ns = self._clock.now_ns() + longest_ns
        while not done() and (now_ns := self._clock.now_ns()) < until_ns:
            self._clock.wait_until(min(until_ns, now_ns + _POLL_NS))
            self.receive()

    def keep_closed(self, longest_ns: int) -> None:
        """Nothing is to be open: say what is due and take what comes until that is sure."""
        until_ns = self._clock.now_ns() + longest_ns
        while not self.closing.sure and (now_ns := self._clock.now_ns()) < until_ns:
            self._clock.wait_until(min(until_ns, now_ns + _POLL_NS))
            self.receive()
            self.say(self.closing.due(self._clock.now_ns(), None, calm=True))
