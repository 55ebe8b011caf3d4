"""Edges of the gate that do not wait for the loop; no hardware.

The loop plans the next edges; the board's timer calls `Alarm.fire` in an interrupt, which moves the
gate at its time; the loop then catches up with what was moved, and when. An alarm that never fires
costs nothing but time: the loop moves the gate at every edge that it finds due.
"""

from drivers.firmware.hal import Hal
from drivers.firmware.openings import Openings, since

PLACES = 2
# While the loop looks at pins and queue the gate waits so long, again and again.
FROZEN_US = 20
# An opening is planned only when it comes so soon: a line that is read meanwhile makes a plan anew.
# The end of an open one is planned however far it is.
AHEAD_US = 20000


class Alarm:
    """A short plan: at these readings of the counter, the gate goes there.

    All places are made at the start, and nothing here takes memory: `fire` runs in an interrupt.

    Args:
        switch: moves the gate to an outlet by its index; called in the interrupt.
        diff: difference of two readings of the counter, one minus other, the shorter way round.
    """

    def __init__(self, switch, diff) -> None:  # type: ignore[no-untyped-def]
        self._switch = switch
        self._diff = diff
        self._at = [0] * PLACES
        self._to = [0] * PLACES
        self._moved = [0] * PLACES
        self._count = 0
        self._done = 0
        self._told = 0
        self.frozen = False

    def add(self, ticks_us: int, outlet: int) -> None:
        """One more edge, later than those before it."""
        place = self._count
        self._at[place] = ticks_us
        self._to[place] = outlet
        # Last: the interrupt may come at any time.
        self._count = place + 1

    def drop(self) -> None:
        """No plan any more; what was moved and not taken is forgotten."""
        self._count = 0
        self._done = 0
        self._told = 0
        self.frozen = False

    def cut(self) -> None:
        """Nothing more is moved; what was can still be taken. May be called in an interrupt."""
        self._count = self._done

    def left(self) -> bool:
        """Whether an edge is still to come, or to be taken."""
        return self._told < self._count

    def ahead(self) -> bool:
        """Whether the gate has moved and the loop does not know yet."""
        return self._told < self._done

    def late(self, now_us: int) -> bool:
        """Whether an edge is due and was not moved: the loop has done it by now."""
        return self._done < self._count and self._diff(self._at[self._done], now_us) <= 0

    def take(self) -> int:
        """The counter's reading at the oldest move that was not taken yet, or -1."""
        if self._told == self._done:
            return -1
        self._told += 1
        return self._moved[self._told - 1]

    def fire(self, now_us: int) -> int:
        """Move what is due. The time until this is to be called again; -1: no more.

        Of several edges that are due only the last is switched: what lies wholly in the past
        never opens.
        """
        left_us = -1
        outlet = -1
        while self._done < self._count:
            left_us = self._diff(self._at[self._done], now_us)
            if left_us > 0:
                break
            if self.frozen:
                return FROZEN_US
            outlet = self._to[self._done]
            self._moved[self._done] = now_us
            self._done += 1
            left_us = -1
        if outlet >= 0:
            self._switch(outlet)
        return left_us


class Plan:
    """The loop's side of the alarm. Without one (``hal.alarm`` is None) it does nothing."""

    def __init__(self, hal: Hal, openings: Openings) -> None:
        self._hal = hal
        self._openings = openings

    def begin(self, device_us) -> None:  # type: ignore[no-untyped-def]
        """The loop is about to look: the gate waits for it. Catch up with what was moved."""
        alarm = self._hal.alarm
        if alarm is None:
            return
        alarm.frozen = True
        ticks_us = alarm.take()
        while ticks_us >= 0:
            # As if the loop had been there.
            self._openings.edges(device_us(ticks_us))
            ticks_us = alarm.take()

    def end(self, now: int, ticks_us: int, until: int) -> None:
        """The loop has looked, at device time ``now``: plan what comes next, where nothing is.

        ``until``: the device time of the watchdog's trip. No edge from there on may be left to an
        alarm: the watchdog comes first.
        """
        alarm = self._hal.alarm
        if alarm is None:
            return
        if alarm.late(ticks_us):
            # It would undo what the loop did.
            alarm.drop()
        alarm.frozen = False
        next_us = self._openings.edge_in_us(now)
        if alarm.left() or next_us < 0 or (next_us > AHEAD_US and not self._openings.at):
            return
        alarm.drop()
        time = now
        for _ in range(PLACES):
            edge = self._openings.edge_after(time)
            if edge < 0 or since(edge, until) >= 0:
                break
            at = (ticks_us + since(edge, now)) & (self._hal.ticks_period_us - 1)
            alarm.add(at, self._openings.stands_at(edge))
            time = edge
        if alarm.left():
            self._hal.start_alarm()
