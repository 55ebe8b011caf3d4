"""What has been asked of the dispenser and not been settled yet; no clock and no I/O inside.

    send ──► asked ──ack──► queued ──report──► settled
               │                                  ▲
               └──────────refused / report────────┘

A line that gets no answer is written again, at growing intervals; the device answers the same
id again and does not act twice. A queued command whose report is overdue is asked about the
same way: the device answers with the report.

A link keeps its order, so an answer to a later line says that an earlier one, or its answer, was
lost: that one is written again at once. Without such a sign one line at a time is, and only when
no answer at all has come for a while: answers that are merely slow must not fill the link with
lines said twice (as with TCP's retransmission timer, RFC 6298, section 5).
"""

from __future__ import annotations

from drivers.ports import Acknowledged, Command, DispenserEvent, Executed, Refused

_AT_ONCE = 2
_LONGEST_WAIT_FACTOR = 8


class _Entry:
    """One command that is not settled. ``line`` is what is written when ``due_ns`` comes."""

    __slots__ = (
        "acked", "asked_ns", "cancelled", "command", "due_ns", "line", "lost", "tries",
        "wait_ns", "written_ns",
    )  # fmt: skip

    def __init__(self, command: Command, line: bytes, now_ns: int, wait_ns: int) -> None:
        self.command = command
        self.line = line
        self.acked = False
        self.cancelled = False
        self.lost = False
        self.asked_ns = self.written_ns = now_ns
        self.wait_ns = wait_ns
        self.due_ns = now_ns + wait_ns
        self.tries = 0


class CommandBook:
    """The commands that are not settled, by id.

    Args:
        resend_ns: first wait for an answer; doubled at each resend, up to 8 times as long.
        report_ns: how long after a command's end its report may take before it is asked for.
        most_tries: how often to ask for an answer or a report before `overdue` names the command.
    """

    def __init__(self, resend_ns: int, report_ns: int, most_tries: int) -> None:
        self._resend_ns = resend_ns
        self._report_ns = report_ns
        self._most_tries = most_tries
        self._entries: dict[int, _Entry] = {}
        self._next_ns = 0
        self._guess_ns = 0
        self.resent = 0

    def __contains__(self, command_id: int) -> bool:
        return command_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def asked(self, command: Command, line: bytes, now_ns: int) -> None:
        """``line`` has just been written for ``command``."""
        entry = _Entry(command, line, now_ns, self._resend_ns)
        self._entries[command.id] = entry
        self._next_ns = min(self._next_ns, entry.due_ns) if self._next_ns else entry.due_ns

    def withdraw(self, command_id: int, line: bytes, now_ns: int) -> bool:
        """From now on ``line`` (a cancel) is what is written again; False for a settled one."""
        entry = self._entries.get(command_id)
        if entry is None:
            return False
        entry.line = line
        entry.cancelled = True
        entry.wait_ns = self._resend_ns
        entry.due_ns = now_ns + self._resend_ns
        entry.tries = 0
        self._next_ns = min(self._next_ns, entry.due_ns)
        return True

    def open_ids(self) -> list[int]:
        """Ids that are not settled, oldest first."""
        return list(self._entries)

    def hurry(self, now_ns: int) -> None:
        """A line was damaged on its way: write the oldest unanswered one again at once."""
        for entry in self._entries.values():
            if entry.cancelled or not entry.acked:
                self._lose(entry, now_ns)
                return

    def _lose(self, entry: _Entry, now_ns: int) -> None:
        entry.lost = True
        entry.due_ns = now_ns
        self._next_ns = now_ns

    def _heard_of(self, answered: _Entry, now_ns: int) -> None:
        """The first answer to a command has come: none to one that was written before it will."""
        self._guess_ns = now_ns + self._resend_ns
        for entry in self._entries.values():
            if entry is answered or entry.acked or entry.cancelled:
                continue
            # Which of several writings was answered is not known: take the first.
            if entry.written_ns < answered.asked_ns:
                self._lose(entry, now_ns)

    def acknowledge(self, command_id: int, close_ns: int, now_ns: int) -> list[DispenserEvent]:
        """The device has queued it; it will close at host time ``close_ns``."""
        entry = self._entries.get(command_id)
        if entry is None or entry.acked:
            return []
        entry.acked = True
        self._heard_of(entry, now_ns)
        if not entry.cancelled:
            entry.due_ns = max(close_ns, now_ns) + self._report_ns
            entry.wait_ns = self._report_ns
            entry.tries = 0
        return [Acknowledged(command_id, now_ns)]

    def command(self, command_id: int) -> Command | None:
        """The command of an id that is not settled."""
        entry = self._entries.get(command_id)
        return None if entry is None else entry.command

    def refuse(self, command_id: int, reason: str, now_ns: int) -> list[DispenserEvent]:
        """The device will never act on it, or no more."""
        entry = self._entries.pop(command_id, None)
        if entry is None:
            return []
        if not entry.acked:
            self._heard_of(entry, now_ns)
        return [Refused(command_id, reason, now_ns)]

    def execute(
        self, command_id: int, opened_us: int, closed_us: int, now_ns: int
    ) -> list[DispenserEvent]:
        """The device has opened and closed; unwrapped device times."""
        entry = self._entries.pop(command_id, None)
        if entry is None:
            return []
        done = Executed(command_id, opened_us, closed_us, now_ns)
        if entry.acked:
            return [done]
        # Its acknowledgement was lost; the report says the same and more.
        self._heard_of(entry, now_ns)
        return [Acknowledged(command_id, now_ns), done]

    def due(self, now_ns: int) -> list[bytes]:
        """Lines to write again now: a few at a time, so that resends never fill the link."""
        if not self._entries or now_ns < self._next_ns:
            return []
        lines: list[bytes] = []
        for entry in self._entries.values():
            due_ns = entry.due_ns
            if not (entry.acked or entry.cancelled or entry.lost):
                due_ns = max(due_ns, self._guess_ns)
            if due_ns <= now_ns and len(lines) < _AT_ONCE:
                lines.append(entry.line)
                self._guess_ns = now_ns + self._resend_ns
                entry.lost = False
                entry.written_ns = now_ns
                entry.tries += 1
                entry.wait_ns = min(2 * entry.wait_ns, _LONGEST_WAIT_FACTOR * self._resend_ns)
                entry.due_ns = now_ns + entry.wait_ns
        self._next_ns = min(entry.due_ns for entry in self._entries.values())
        self.resent += len(lines)
        return lines

    def overdue(self) -> int | None:
        """Id of a command that was asked about too often without an answer, if any.

        Tries are counted, not time: a host that was held up for seconds has not asked.
        """
        for command_id, entry in self._entries.items():
            if entry.tries > self._most_tries:
                return command_id
        return None
