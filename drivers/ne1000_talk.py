"""Question and answer with an NE-1000: one question outstanding, asked again when it is lost.

What is to be said in turn is written as a *script*, a generator that yields a `Say` and is sent
the `Answer`, or None when none came. Stepped; no threads, and nothing blocks.

Answers carry no number, so one that comes late could be taken for that of the next question. It
is assumed that a pump answers within ``answer_ns`` or not at all; after a loss `Talk.dirty` says
that the line is to be left alone for as long (`PAUSE`) before anything is said that acts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass

from drivers.ne1000_wire import Answer, AnswerReader, Prompt, command
from drivers.ports import Link

_NO_DATA = re.compile("")


@dataclass(frozen=True, slots=True)
class Say:
    """One command.

    Attributes:
        text: the command without its address; None says nothing, and drops what arrives.
        form: what the data of the answer must look like; anything else is a damaged answer.
        once: never said again by itself, and an error is an answer like any other.
        wait_ns: how long to wait for the answer, or to say nothing; 0 for the usual time.
    """

    text: str | None
    form: re.Pattern[str] = _NO_DATA
    once: bool = False
    wait_ns: int = 0


Script = Generator[Say, Answer | None, None]
PAUSE = Say(None)


class Talk:
    """One pump's end of the line.

    Args:
        link: bytes to and from the pump.
        address: the pump's network address; answers of others are dropped.
        answer_ns: how long an answer may take.
        tries: how often a question is asked before it counts as lost.
        alarmed: called with an answer that reports an alarm, and the time. The pump has then
            *not* done what it was told.

    Attributes:
        dirty: something was lost or damaged since the line was last left alone.
        heard_ns: when the pump last answered; 0 for never.
    """

    def __init__(
        self,
        link: Link,
        address: int,
        answer_ns: int,
        tries: int,
        alarmed: Callable[[Answer, int], None],
    ) -> None:
        self._link = link
        self._address = address
        self._answer_ns = answer_ns
        self._tries = tries
        self._alarmed = alarmed
        self._reader = AnswerReader()
        self._script: Script | None = None
        self._said: Say | None = None
        self._left = 0
        self._deadline_ns = 0
        # Answers still to come to what an urgent script broke into.
        self._owed = 0
        self._urgent: Say | None = None
        self.dirty = False
        self.heard_ns = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to say."""
        return self._script is None

    def begin(self, script: Script, now_ns: int) -> None:
        """Start a script; only when idle."""
        assert self._script is None
        self._script = script
        self._advance(None, now_ns)

    def interrupt(self, script: Script, now_ns: int) -> None:
        """Start a script at once, in place of whatever was being said.

        A pump may be deaf while it answers; what is said now is said again when the answer to
        the question before it has come and shows that the pump still runs.
        """
        if self._script is not None:
            self._script.close()
        if self._said is not None and self._said.text is not None:
            self._owed += 1
        self._said = None
        self._script = script
        self._advance(None, now_ns)
        self._urgent = self._said

    def step(self, now_ns: int) -> None:
        """Read what has arrived, and say what is due. What a script raises comes out here."""
        damaged = self._reader.damaged
        for answer in self._reader.feed(self._link.read()):
            if answer.address == self._address:
                self._answered(answer, now_ns)
        self.dirty |= self._reader.damaged != damaged
        if self._said is not None and now_ns >= self._deadline_ns:
            self._overdue(self._said, now_ns)

    def _answered(self, answer: Answer, now_ns: int) -> None:
        self.heard_ns = now_ns
        said, owed = self._said, self._owed > 0
        if said is None or (said.text is None and not owed):
            self.dirty = True
        elif owed:
            self._owed -= 1
        elif answer.prompt is not Prompt.ALARM:
            self._take(said, answer, now_ns)
            return
        else:
            self._said = None
        if answer.prompt is Prompt.ALARM:
            self._alarmed(answer, now_ns)
        elif owed and not answer.stands and self._urgent is not None:
            again, self._urgent = self._urgent, None
            if self._said is again:
                self._owed += 1
                self._write(again)

    def _take(self, said: Say, answer: Answer, now_ns: int) -> None:
        if answer.error is None and said.form.fullmatch(answer.data) is None:
            # Not the answer to this question, or damaged: the question will be asked again.
            self.dirty = True
        elif answer.error is not None and not said.once and self._left > 1:
            # A command that was damaged on its way looks like a wrong one.
            self._ask(said, self._left - 1, now_ns)
        else:
            self._said = None
            self._advance(answer, now_ns)

    def _overdue(self, said: Say, now_ns: int) -> None:
        self._owed = 0
        if said.text is None:
            self.dirty = False
        else:
            self.dirty = True
            if self._left > 1:
                self._ask(said, self._left - 1, now_ns)
                return
        self._said = None
        self._advance(None, now_ns)

    def _advance(self, answer: Answer | None, now_ns: int) -> None:
        script = self._script
        assert script is not None
        try:
            say = script.send(answer)
        except StopIteration:
            self._script = None
        except BaseException:
            self._script = None
            raise
        else:
            self._ask(say, 1 if say.once else self._tries, now_ns)

    def _ask(self, say: Say, tries: int, now_ns: int) -> None:
        # Noted before it is written: where the port is gone, it is still overdue.
        self._said, self._left = say, tries
        self._deadline_ns = now_ns + (say.wait_ns or self._answer_ns)
        self._write(say)

    def _write(self, say: Say) -> None:
        if say.text is not None:
            self._link.write(command(self._address, say.text))
