"""Whether a box with text commands is surely closed: what to say again, what its answers prove.

No clock and no I/O inside. An outlet that is not to be open is told to close until it is sure:
with a query until the box answers that it is closed, without one three times. A box that seems
closed is asked now and then, or told again, because nothing else would notice a valve that was
opened by noise on the line.

Answers carry no number. They are credited to questions in the order in which these were asked, so
that the answer to an earlier question, from before an opening, is never taken for a later one's;
a lost answer makes the proof come later, never sooner.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.text_valve_settings import TextOutlet, TextValveSettings
from sorter.errors import DispenserError

MS = 1_000_000
_TOLD_ENOUGH = 3
_TOLD_IN_VAIN = 5
_MOST_ASKED = 4
# One or two lost lines are no silence, however long an opening then keeps the host from asking.
_SILENT_QUESTIONS = 3
_LONGEST_LINE = 256


@dataclass(slots=True)
class _State:
    """What is known of one outlet.

    Attributes:
        shut: it is to be closed; False before it was first told so, and while it is to be open.
        told: how often it was told to close since it was last opened.
        sure: it is closed, as far as can be known.
        era: counts its openings; an answer to a question of an earlier era proves nothing.
        doubt_ns: when it was first told to close and has not been sure since.
        doubted: how often it was told to close since then.
        due_ns: when to say or ask something again.
    """

    outlet: TextOutlet
    shut: bool = False
    told: int = 0
    sure: bool = False
    era: int = 0
    doubt_ns: int | None = None
    doubted: int = 0
    due_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Question:
    state: _State
    era: int
    asked_ns: int


class ValveClosing:
    """Keeps the outlets of a box closed that are not to be open.

    Args:
        settings: its strings and times.

    Attributes:
        strays: how often the box said that an outlet was open which had surely been closed.
        missed: how often it said that one was closed that was to be open.
        repeats: close strings said again.
        unasked: answers that came without a question.
        answer_ns: how long the last answer took.
        noise: the last line that was no answer.
    """

    def __init__(self, settings: TextValveSettings) -> None:
        self._settings = settings
        self._end = settings.terminator.encode()
        breaks = re.escape("\r\n" + settings.terminator)
        self._breaks = re.compile(f"[{breaks}]+".encode())
        self._states = {one.name: _State(one) for one in settings.outlets}
        self._asked: deque[_Question] = deque()
        self._unanswered = 0
        self._owed_ns = 0
        self._came_ns = 0
        self._buffer = b""
        self.strays = 0
        self.missed = 0
        self.repeats = 0
        self.unasked = 0
        self.answer_ns = 0
        self.noise = ""

    @property
    def sure(self) -> bool:
        """Whether every outlet is closed, as far as can be known."""
        return all(state.sure for state in self._states.values())

    @property
    def asks(self) -> bool:
        """Whether the box can be asked at all."""
        return any(state.outlet.query for state in self._states.values())

    @property
    def waits(self) -> bool:
        """Whether a question is open."""
        return bool(self._asked)

    def silent_ns(self, now_ns: int) -> int:
        """For how long the box has left several questions without an answer."""
        return now_ns - self._owed_ns if self._unanswered >= _SILENT_QUESTIONS else 0

    def quiet_ns(self, now_ns: int) -> int:
        """For how long no answer has come."""
        return now_ns - self._came_ns

    # -- to the box -----------------------------------------------------------------------

    def open(self, name: str, now_ns: int) -> bytes:
        """What opens an outlet; from now on it is asked about now and then, and left alone."""
        state = self._states[name]
        state.due_ns = now_ns + self._settings.check_ms * MS
        state.era += 1
        state.shut = state.sure = False
        return self._command(state.outlet.open)

    def close(self, names: Sequence[str], now_ns: int, *, ask: bool = True) -> bytes:
        """What closes outlets, then asks whether they have; `due` repeats it until that is sure."""
        said = b""
        for state in (self._states[name] for name in names):
            state.shut = True
            state.sure = False
            state.told = 0
            said += self._tell(state, now_ns)
        # Questions last: what closes must not wait for them on the wire.
        for state in (self._states[name] for name in names if ask):
            said += self._ask(state, now_ns)
        return said

    def probe(self, now_ns: int) -> bytes:
        """A single question, to learn how long the box takes to answer; older ones are given up."""
        self._asked.clear()
        asked = (self._ask(state, now_ns) for state in self._states.values())
        return next((question for question in asked if question), b"")

    def due(self, now_ns: int, standing: str | None, *, calm: bool) -> bytes:
        """What is to be said now besides openings and their ends.

        Args:
            now_ns: host time.
            standing: the outlet that is to be open, if any: it is left alone, and so are outlets
                that share its close string. Questions are asked about it alone meanwhile.
            calm: nothing is to open or close soon, so that routine bytes can't delay it.
        """
        oldest_ns = now_ns - self._settings.silent_ms * MS
        while self._asked and self._asked[0].asked_ns < oldest_ns:
            self._asked.popleft()  # the question was lost, or its answer
        kept = self._states[standing].outlet.close if standing else None
        said = b""
        for state in self._states.values():
            outlet = state.outlet
            if calm and outlet.name == standing and now_ns >= state.due_ns:
                # Lets the box know that somebody is there, and tells whether it opened.
                said += self._ask(state, now_ns)
                state.due_ns = now_ns + self._settings.check_ms * MS
            if not state.shut or outlet.close == kept or now_ns < state.due_ns:
                continue
            if not state.sure:
                self.repeats += 1
                said += self._tell(state, now_ns)
                said += self._ask(state, now_ns) if standing is None else b""
            elif calm and not outlet.query:
                said += self._tell(state, now_ns)
            elif calm and standing is None:
                said += self._ask(state, now_ns)
                state.due_ns = now_ns + self._settings.check_ms * MS
        return said

    def check(self) -> None:
        """Raises `DispenserError` when the box answers, but does not close."""
        for state in self._states.values():
            if not state.shut or state.doubt_ns is None:
                continue
            doubt_ms = (state.due_ns - state.doubt_ns) // MS
            if doubt_ms > self._settings.close_ms and state.doubted > _TOLD_IN_VAIN:
                raise DispenserError(
                    f"outlet {state.outlet.name!r} was told to close {state.doubted} times in "
                    f"{doubt_ms} ms, and the box does not say that it is closed",
                    do="Close the valve by hand or cut its power; then check box and strings",
                )

    def _tell(self, state: _State, now_ns: int) -> bytes:
        state.told += 1
        if state.outlet.query:
            state.doubted += 1
            state.doubt_ns = now_ns if state.doubt_ns is None else state.doubt_ns
        else:
            state.sure = state.told >= _TOLD_ENOUGH
        wait_ms = self._settings.check_ms if state.sure else self._settings.repeat_ms
        state.due_ns = now_ns + wait_ms * MS
        return self._command(state.outlet.close)

    def _ask(self, state: _State, now_ns: int) -> bytes:
        if not state.outlet.query or len(self._asked) >= _MOST_ASKED:
            return b""
        self._asked.append(_Question(state, state.era, now_ns))
        if not self._unanswered:
            self._owed_ns = now_ns
        self._unanswered += 1
        return self._command(state.outlet.query)

    def _command(self, text: str) -> bytes:
        return text.encode() + self._end

    # -- from the box ---------------------------------------------------------------------

    def take(self, data: bytes, now_ns: int) -> None:
        """Bytes of the box, read not after host time ``now_ns``."""
        *lines, rest = self._breaks.split(self._buffer + data)
        self._buffer = rest[-_LONGEST_LINE:]
        for line in lines:
            text = line.decode("ascii", "replace").strip()
            if text:
                self._take_line(text, now_ns)

    def _take_line(self, text: str, now_ns: int) -> None:
        outlets = [state.outlet for state in self._states.values()]
        if not any(text in (one.closed, one.opened) for one in outlets):
            self.noise = text[:40]
            return
        self._came_ns = now_ns
        fits = [text in (q.state.outlet.closed, q.state.outlet.opened) for q in self._asked]
        if True not in fits:
            self.unasked += 1
            return
        # What was asked before got lost: a serial line keeps its order.
        for _ in range(fits.index(True)):
            self._asked.popleft()
        question = self._asked.popleft()
        self._unanswered = 0
        self.answer_ns = now_ns - question.asked_ns
        if question.era == question.state.era:
            self._learn(question.state, text == question.state.outlet.closed, now_ns)

    def _learn(self, state: _State, closed: bool, now_ns: int) -> None:
        if not state.shut:
            self.missed += closed
        elif closed and not state.sure:
            state.sure = True
            state.doubt_ns = None
            state.doubted = 0
            state.due_ns = now_ns + self._settings.check_ms * MS
        elif not closed and state.sure:
            self.strays += 1
            state.sure = False
            state.due_ns = now_ns  # told again at once
