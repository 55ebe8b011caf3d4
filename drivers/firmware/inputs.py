"""Exposure pulses, passages at the optical gates, switches, and the LED; no hardware.

As drivers/PROTOCOL.md says. All places are made at the start: what comes in from a pin takes no
memory.
"""

from drivers.firmware.hal import Hal
from drivers.firmware.openings import MASK, MAX_AHEAD_US, since
from drivers.firmware.wire import sooner

PASSAGES = 32
AGAIN_US = 250000
PASS_US = 50000
AGAIN_PER_PASS = 4
MAX_LENGTH_US = 0xFFFFFF
# A switch that bounces is told of twice at most.
QUIET_US = 20000

OFF = 0
WAITING = 1
ON = 2


class Passage:
    """One object seen to enter an outlet."""

    def __init__(self) -> None:
        self.seq = 0
        self.outlet = 0
        self.began_us = 0
        self.length_us = 0
        self.sent_us = 0


class Passages:
    """The passages that the host has not said to have; the oldest is dropped when there are 32."""

    def __init__(self) -> None:
        self._ring = [Passage() for _ in range(PASSAGES)]
        self._first = 1
        self._last = 0
        self._sent = 0
        self._turn = 1
        self._again_us = 0

    def forget(self) -> None:
        """Start a session: numbers count from 1 again."""
        self._first = 1
        self._last = 0
        self._sent = 0
        self._turn = 1

    def add(self, outlet: int, began_us: int, length_us: int) -> None:
        """Keep one."""
        self._last += 1
        if self._last - self._first >= PASSAGES:
            self._first = self._last - PASSAGES + 1
        passage = self._ring[self._last % PASSAGES]
        passage.seq = self._last
        passage.outlet = outlet
        passage.began_us = began_us
        passage.length_us = min(length_us, MAX_LENGTH_US)

    def seen(self, seq: int) -> None:
        """The host has all up to this number; one that was never given says nothing."""
        if self._first <= seq <= self._last:
            self._first = seq + 1

    def report_at(self, now: int) -> None:
        """Let all that was sent before be sent again from now on, however long ago it was."""
        self._again_us = now
        for passage in self._ring:
            passage.sent_us = (now - AGAIN_US) & MASK

    def due_in_us(self, now: int) -> int:
        """Microseconds until one is to be sent, 0 when it is due, -1 when there is none."""
        if self._last > self._sent:
            return 0
        return max(0, since(self._again_us, now)) if self._last >= self._first else -1

    def due(self, now: int) -> list[Passage]:
        """Those to send now: the new ones, else in turn those that were sent long enough ago."""
        found: list[Passage] = []
        if self._last > self._sent:
            if self._sent < self._first:
                # Nothing older waits: its turn comes after the new ones'.
                self._again_us = (now + AGAIN_US) & MASK
            for seq in range(max(self._sent + 1, self._first), self._last + 1):
                found.append(self._ring[seq % PASSAGES])  # noqa: PERF401
            self._sent = self._last
        elif self._last >= self._first and since(now, self._again_us) >= 0:
            self._again_us = (now + PASS_US) & MASK
            # In turn, so that the newest are told again too: by them the host knows what it lost.
            kept = self._last - self._first + 1
            start = max(0, self._turn - self._first)
            for step in range(kept):
                seq = self._first + (start + step) % kept
                passage = self._ring[seq % PASSAGES]
                if since(now, passage.sent_us) >= AGAIN_US and len(found) < AGAIN_PER_PASS:
                    found.append(passage)
                    self._turn = seq + 1
        for passage in found:
            passage.sent_us = now
        return found


class Switches:
    """Foot switch and emergency stop's pin: what the host was told last, and when."""

    def __init__(self) -> None:
        self.mask = 0
        self._told = 0
        self._told_us = 0
        self._quiet = False

    def forget(self) -> None:
        """The host was told of nothing: what is pressed is told of next."""
        self._told = 0
        self._quiet = False

    def wake(self) -> None:
        """The last word is long ago."""
        self._quiet = False

    def due_in_us(self, now: int) -> int:
        """Microseconds until the host is to be told, -1 when it knows."""
        if self.mask == self._told:
            return -1
        return max(0, QUIET_US - since(now, self._told_us)) if self._quiet else 0

    def is_due(self, now: int) -> bool:
        """Whether the host is to be told now; then it counts as told."""
        if self._quiet and since(now, self._told_us) >= QUIET_US:
            self._quiet = False
        if self._quiet or self.mask == self._told:
            return False
        self._told = self.mask
        self._told_us = now
        self._quiet = True
        return True


class Inputs:
    """What comes in from the pins. ``pulses`` counts since power-up; ``last_us``: the last one."""

    def __init__(self) -> None:
        self.pulses = 0
        self.last_us = 0
        self.passages = Passages()
        self.switches = Switches()

    def forget(self) -> None:
        """Start a session; pulses go on counting."""
        self.passages.forget()
        self.switches.forget()

    def pulse(self, at_us: int) -> None:
        """The camera exposed."""
        self.pulses = (self.pulses + 1) & MASK
        self.last_us = at_us & MASK

    def wake(self, now: int) -> None:
        """The host is back: tell it what it missed."""
        self.passages.report_at(now)
        self.switches.wake()

    def due_in_us(self, now: int) -> int:
        """Microseconds until something is to be told, -1 when nothing is."""
        return sooner(self.passages.due_in_us(now), self.switches.due_in_us(now))


class Led:
    """One scheduled light at a time."""

    def __init__(self, hal: Hal) -> None:
        self._hal = hal
        self._state = OFF
        self._number = -1
        self._at_us = 0
        self._length_us = 0
        hal.set_led(False)

    def forget(self) -> None:
        """Dark, and nothing scheduled."""
        self._end()
        self._number = -1

    def schedule(self, number: int, at_us: int, length_us: int, now: int) -> str:
        """Replace what was scheduled, or say by one word why not."""
        if number == self._number and at_us == self._at_us and length_us == self._length_us:
            return "OK"
        ahead = since(at_us, now)
        if ahead <= 0 or ahead > MAX_AHEAD_US or length_us == 0:
            return "RANGE"
        self._end()
        self._number = number
        self._at_us = at_us
        self._length_us = length_us
        self._state = WAITING
        return "OK"

    def due_in_us(self, now: int) -> int:
        """Microseconds until it switches, -1 when it does not."""
        if self._state == OFF:
            return -1
        edge_us = self._at_us if self._state == WAITING else self._at_us + self._length_us
        return max(0, since(edge_us & MASK, now))

    def edges(self, now: int) -> None:
        """Switch when it is due; not at all when the whole of it is past."""
        if self._state == OFF:
            return
        lit_us = since(now, self._at_us)
        if lit_us >= self._length_us:
            self._end()
        elif lit_us >= 0 and self._state == WAITING:
            self._state = ON
            self._hal.set_led(True)

    def _end(self) -> None:
        if self._state == ON:
            self._hal.set_led(False)
        self._state = OFF
