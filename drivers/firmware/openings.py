"""The dispenser's queue of openings and its gate, as drivers/PROTOCOL.md says; no hardware.

Runs under MicroPython and CPython. What was asked under an id is remembered after it ended, so
that the same id is answered again rather than done again; an id that had to be forgotten is
refused for ever after, by its number.
"""

MAX_OPENING_US = 5000000
MAX_AHEAD_US = 60000000
REPORT_AGE_US = 250000
REPORT_PASS_US = 50000
REPORTS_PER_PASS = 4

MASK = 0xFFFFFFFF
HALF = 0x80000000

QUEUED = 0
OPEN = 1
DONE = 2
REFUSED = 3


class Slot:
    """What is remembered of one command id."""

    def __init__(self) -> None:
        self.id = 0
        self.outlet = 0
        self.open_us = 0
        self.close_us = 0
        self.length_us = 0
        self.state = REFUSED
        self.reason = ""
        self.opened_us = 0
        self.closed_us = 0
        self.unreported = False
        self.sent_us = 0


class Gate:
    """Where the openings show; index 0 is rest, the de-energised position."""

    def set_gate(self, outlet: int) -> None:
        """Move the gate to an outlet by its index."""
        raise NotImplementedError

    def drop_plan(self) -> None:
        """Move it by no alarm that was planned; see alarm.py."""


def since(later: int, earlier: int) -> int:
    """``later`` - ``earlier`` on the circle of 32 bits, from -2**31 to 2**31 - 1."""
    return ((later - earlier + HALF) & MASK) - HALF


class Openings:
    """Up to ``queue`` openings, those whose end is not yet acknowledged included.

    Attributes to read: ``live`` (queued and open), ``fresh`` (ended, to be reported now),
    ``unreported`` (how many ends wait for the host), counters, ``cycles`` (how often the gate
    went to each outlet), and ``at``, the gate's outlet. To set: ``stopped``.
    """

    def __init__(self, gate: Gate, queue: int, outlets: int) -> None:
        self._gate = gate
        self.queue = queue
        self.at = 0
        self.moves = 0
        self.accepted = 0
        self.executed = 0
        self.refused = 0
        self.last_id = 0
        self.cycles = [0] * outlets
        # While the emergency stop is latched nothing is queued.
        self.stopped = False
        self._pool = [Slot() for _ in range(2 * queue)]
        self.live: list[Slot] = []
        self.fresh: list[Slot] = []
        self._finished: list[Slot] = []
        self._known: dict[int, Slot] = {}
        self._free: list[Slot] = []
        self._next_us = 0
        self._next_on = False
        self._report_us = 0
        self.unreported = 0
        self._floor = 0
        self.forget()
        gate.set_gate(0)

    def forget(self) -> None:
        """Start a session: no command is known. The gate must be at rest, nothing alive."""
        self._free = self._pool[:]
        self._known.clear()
        self._finished.clear()
        self.fresh.clear()
        self.unreported = 0
        self._floor = 0
        self.last_id = 0

    # -- time -----------------------------------------------------------------------------

    def edge_in_us(self, now: int) -> int:
        """Microseconds until the next edge, 0 when it is due, -1 when there is none."""
        return max(0, since(self._next_us, now)) if self._next_on else -1

    def edge_after(self, time: int) -> int:
        """Device time of the first edge after another, -1 when there is none."""
        found = -1
        for slot in self.live:
            edge = slot.open_us
            if since(edge, time) <= 0:
                edge = slot.close_us
            if since(edge, time) > 0 and (found < 0 or since(edge, found) < 0):
                found = edge
        return found

    def stands_at(self, time: int) -> int:
        """Outlet at which what is queued or open wants the gate at a device time."""
        for slot in self.live:
            if since(time, slot.open_us) >= 0 and since(time, slot.close_us) < 0:
                return slot.outlet
        return 0

    def report_in_us(self, now: int) -> int:
        """Microseconds until reports are to be sent again, -1 when all are acknowledged."""
        return max(0, since(self._report_us, now)) if self.unreported else -1

    def edges(self, now: int) -> None:
        """Open and close what is due."""
        if not self._next_on or since(now, self._next_us) < 0:
            return
        place = 0
        while place < len(self.live):
            slot = self.live[place]
            if slot.state == QUEUED and since(now, slot.open_us) >= 0:
                if since(now, slot.close_us) >= 0:
                    self._finish(slot, REFUSED, "MISSED", now)
                    continue
                slot.state = OPEN
                slot.opened_us = now
            elif slot.state == OPEN and since(now, slot.close_us) >= 0:
                self._finish(slot, DONE, "", now)
                continue
            place += 1
        self._settle()

    def _settle(self) -> None:
        gate = 0
        self._next_on = False
        for slot in self.live:
            edge = slot.open_us
            if slot.state == OPEN:
                gate = slot.outlet
                edge = slot.close_us
            if not self._next_on or since(edge, self._next_us) < 0:
                self._next_us = edge
                self._next_on = True
        self._stand(gate)

    def _stand(self, gate: int) -> None:
        if gate != self.at:
            self.at = gate
            self.moves += 1
            self.cycles[gate] += 1
            self._gate.set_gate(gate)

    def _finish(self, slot: Slot, state: int, reason: str, now: int) -> None:
        slot.state = state
        slot.reason = reason
        slot.closed_us = now
        slot.unreported = True
        slot.sent_us = (now - REPORT_AGE_US) & MASK
        if not self.unreported:
            self._report_us = now
        self.unreported += 1
        if state == DONE:
            self.executed += 1
            self.last_id = slot.id
        self.live.remove(slot)
        self._finished.append(slot)
        self.fresh.append(slot)

    # -- commands -------------------------------------------------------------------------

    def open(self, command_id: int, outlet: int, open_us: int, length_us: int, now: int) -> str:
        """Queue an opening, or say by one word why not; nothing when `known` has the answer.

        ``outlet`` is an index, or -1 for a name that this device does not have.
        """
        slot = self._known.get(command_id)
        if slot is not None:
            same = slot.outlet == outlet and slot.open_us == open_us
            if slot.reason == "CANCELLED" or (same and slot.length_us == length_us):
                return ""
            return "DUPLICATE"
        if command_id <= self._floor:
            return "OLD"
        reason = self._reason_against(outlet, open_us, length_us, now)
        slot = self._remember(command_id)
        slot.outlet = outlet
        slot.open_us = open_us
        slot.length_us = length_us
        slot.close_us = (open_us + length_us) & MASK
        slot.reason = reason
        if reason:
            self.refused += 1
            self._finished.append(slot)
        else:
            self.accepted += 1
            slot.state = QUEUED
            self.live.append(slot)
            self._settle()
        return ""

    def known(self, command_id: int) -> Slot:
        """What is remembered of an id that `open` or `cancel` has just taken."""
        return self._known[command_id]

    def cancel(self, command_id: int, now: int) -> str:
        """Withdraw a queued opening or end an open one; "OLD" for an id that is forgotten."""
        slot = self._known.get(command_id)
        if slot is None:
            if command_id <= self._floor:
                return "OLD"
            # Its opening may still be on the way: remember that it must not act.
            slot = self._remember(command_id)
            slot.outlet = slot.open_us = slot.close_us = slot.length_us = 0
            slot.reason = "CANCELLED"
            self._finished.append(slot)
        elif slot.state in (QUEUED, OPEN):
            self._drop(slot, "CANCELLED", now)
            self._settle()
        return ""

    def drop_all(self, reason: str, now: int) -> None:
        """Gate to rest now; every queued opening is withdrawn for this reason."""
        self._gate.drop_plan()
        self._stand(0)
        while self.live:
            self._drop(self.live[0], reason, now)
        self._settle()

    def _drop(self, slot: Slot, reason: str, now: int) -> None:
        if slot.state == OPEN:
            self._finish(slot, DONE, "", now)
        else:
            self._finish(slot, REFUSED, reason, now)

    def _reason_against(self, outlet: int, open_us: int, length_us: int, now: int) -> str:
        if self.stopped:
            return "ESTOP"
        if outlet <= 0:
            return "OUTLET"
        if length_us == 0 or length_us > MAX_OPENING_US:
            return "LENGTH"
        ahead = since(open_us, now)
        if ahead <= 0:
            return "LATE"
        if ahead > MAX_AHEAD_US:
            return "FAR"
        if len(self.live) + self.unreported >= self.queue:
            return "FULL"
        for slot in self.live:
            if (
                slot.outlet != outlet
                and since(open_us, slot.close_us) < 0
                and since(slot.open_us, open_us) < length_us
            ):
                return "CONFLICT"
        return ""

    def _remember(self, command_id: int) -> Slot:
        if self._free:
            slot = self._free.pop()
        else:
            # There is always one: those alive and those unreported are at most half the pool.
            place = 0
            while self._finished[place].unreported:
                place += 1
            slot = self._finished.pop(place)
            del self._known[slot.id]
            self._floor = max(self._floor, slot.id)
        slot.id = command_id
        slot.state = REFUSED
        slot.unreported = False
        self._known[command_id] = slot
        return slot

    # -- reports --------------------------------------------------------------------------

    def done(self, command_id: int) -> None:
        """The host has the report of this id."""
        slot = self._known.get(command_id)
        if slot is not None and slot.unreported:
            slot.unreported = False
            self.unreported -= 1

    def report_at(self, now: int) -> None:
        """Let unacknowledged reports be sent again from now on, however old they are."""
        self._report_us = now
        for slot in self._finished:
            slot.sent_us = (now - REPORT_AGE_US) & MASK

    def overdue(self, now: int) -> list[Slot]:
        """The oldest reports that were sent long enough ago to be sent again, a few at a time."""
        self._report_us = (now + REPORT_PASS_US) & MASK
        due = []
        for slot in self._finished:
            if slot.unreported and since(now, slot.sent_us) >= REPORT_AGE_US:
                due.append(slot)
                if len(due) == REPORTS_PER_PASS:
                    break
        return due
