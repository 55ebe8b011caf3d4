"""What is said to an NE-1000 in turn: its set-up, its rate. Scripts of `drivers.ne1000_talk`."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeVar

from drivers.ne1000_faults import not_stopping, not_taken, other_unit, refused, silent
from drivers.ne1000_talk import Say
from drivers.ne1000_wire import (
    DISPENSED_FORM,
    UL_S,
    Answer,
    Prompt,
    means,
    number,
    rate_words,
    volume_unit,
)

T = TypeVar("T")
Asking = Generator[Say, Answer | None, T]

STOP = Say("STP", once=True)
RUN = Say("RUN", once=True)
DISPENSED = Say("DIS", DISPENSED_FORM)
_VALUE = re.compile(r"[0-9.]+[A-Z]*")
_WORD = re.compile(r"[A-Z]+")
_TRIES = 3


def ask(say: Say) -> Asking[Answer]:
    """The answer to a question; raises `PumpError` when none comes or the pump refuses."""
    answer = yield say
    if answer is None:
        raise silent()
    if answer.error is None:
        return answer
    raise refused(say.text or "", answer)


def put(name: str, value: str, unit: str = "") -> Asking[None]:
    """Set a number and read it back: the wire has no checksum. Raises `PumpError`."""
    for _ in range(_TRIES):
        yield from ask(Say(f"{name}{value}{unit}"))
        back = yield from ask(Say(name, _VALUE))
        if means(back.data, value, unit or "[A-Z]*"):
            return
    raise not_taken(name, value)


def put_word(name: str, word: str) -> Asking[None]:
    """Set a word and read it back. Raises `PumpError`."""
    for _ in range(_TRIES):
        yield from ask(Say(f"{name}{word}"))
        back = yield from ask(Say(name, _WORD))
        if back.data == word:
            return
    raise not_taken(name, word)


def stopped() -> Asking[None]:
    """Stop the program itself: some settings can't be changed while it is merely paused."""
    for _ in range(2 * _TRIES):
        answer = yield STOP
        if answer is not None and answer.prompt is Prompt.STOPPED:
            return
    raise not_stopping()


def set_volume(diameter_mm: float, volume_ul: float) -> Asking[None]:
    """The volume after which it stops by itself, µL; 0 for never."""
    unit = volume_unit(diameter_mm)
    value = number(volume_ul if unit == "UL" else volume_ul / 1_000)
    yield from put("VOL", value)


def set_up(diameter_mm: float, rate_ul_s: float) -> Asking[None]:
    """All that a run needs, whatever was in the pump's memory before.

    One phase that infuses without end. The second phase ends the program, so that a reverse
    pulse is followed by nothing that somebody once stored there; and after a power failure the
    pump stays where it is (``PF0``).
    """
    yield from stopped()
    yield from put("DIA", number(diameter_mm))
    yield from put("PF", "0")
    yield from put("PHN", "2")
    yield from put_word("FUN", "STP")
    yield from put("PHN", "1")
    yield from put_word("FUN", "RAT")
    yield from put("RAT", *rate_words(rate_ul_s))
    yield from ask(Say(f"VOL{volume_unit(diameter_mm)}"))
    yield from set_volume(diameter_mm, 0.0)
    yield from put_word("DIR", "INF")
    yield from ask(Say("CLDINF"))
    yield from ask(Say("CLDWDR"))


def set_rate(rate_ul_s: float) -> Asking[None]:
    """The rate, in whatever state the pump is; its unit can't change while it runs."""
    value, unit = rate_words(rate_ul_s)
    now = yield from ask(Say("RAT", _VALUE))
    if means(now.data, value, unit):
        return
    present = now.data[-2:]
    if now.prompt is Prompt.INFUSING and present in UL_S:
        # Fewer digits than in its own unit, perhaps, but no stop.
        try:
            value = number(rate_ul_s / UL_S[present])
        except ValueError as error:
            raise other_unit(rate_ul_s) from error
        yield from put("RAT", value)
        return
    if now.prompt is not Prompt.STOPPED:
        yield from stopped()
    yield from put("RAT", value, unit)
