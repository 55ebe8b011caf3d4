"""What is said to a New Era NE-1000 syringe pump, and how its answers are read.

RS-232 in Basic mode (NE-1000 user manual, "RS-232 protocol" and "RS-232 command set"): a command
is text that ends with a carriage return, with the pump's network address before it; an answer
stands between STX and ETX: two digits of address, the status, and data or an error. There is no
checksum in this mode, so what is read here is taken for an answer only when it has exactly the
form that the question calls for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

STX, ETX, CR = b"\x02", b"\x03", b"\r"
# The longest answer that is asked for here is that of DIS, 21 bytes with its frame.
LONGEST = 48

_BODY = re.compile(
    r"(?P<address>\d\d)(?:(?P<prompt>[IWSPTUX])|A\?(?P<alarm>[RSTEO]))"
    r"(?:\?(?P<error>NA|OOR|COM|IGN)?(?P<wrong>)|(?P<data>[0-9A-Z.]*))"
)
_NUMBER = r"(?:\d{1,4}|\d{1,3}\.\d{0,3}|\d{4}\.)"
# What the data of an answer to DIS must look like.
DISPENSED_FORM = re.compile(rf"I({_NUMBER})W({_NUMBER})(UL|ML)")

# µL/s in one of the pump's units of rate: µL/h, µL/min, mL/min.
UL_S = {"UH": 1 / 3_600, "UM": 1 / 60, "MM": 1_000 / 60}
# µL in one of its units of volume.
UL = {"UL": 1.0, "ML": 1_000.0}
_LARGEST = 9_999.0


class Prompt(StrEnum):
    """The pump's state, as the letter in each of its answers."""

    INFUSING = "I"
    WITHDRAWING = "W"
    STOPPED = "S"
    PAUSED = "P"
    PAUSE_PHASE = "T"
    WAITING = "U"
    PURGING = "X"
    ALARM = "A"


class BadAnswerError(ValueError):
    """Bytes that are no answer of an NE-1000 in Basic mode."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        address: network address of the pump that answers, 0 to 99.
        alarm: R reset, S stalled, T time-out, E wrong program, O phase out of range; empty when
            ``prompt`` is not `Prompt.ALARM`.
        error: None where the command was taken; else what stands behind the question mark: empty
            (not understood), ``NA``, ``OOR``, ``COM`` or ``IGN``.
        data: what was asked for, or empty.
    """

    address: int
    prompt: Prompt
    alarm: str = ""
    error: str | None = None
    data: str = ""

    @property
    def stands(self) -> bool:
        """Whether the plunger stands, and goes on only when it is told to."""
        return self.prompt in (Prompt.STOPPED, Prompt.PAUSED)


def command(address: int, text: str) -> bytes:
    """The bytes of a command; an empty ``text`` asks for the status alone."""
    return b"%02d%b\r" % (address, text.encode("ascii"))


def decode(body: bytes) -> Answer:
    """The answer between STX and ETX; raises `BadAnswerError`."""
    match = _BODY.fullmatch(body.decode("latin-1"))
    if match is None:
        raise BadAnswerError(f"{body!r} is no answer of an NE-1000")
    return Answer(
        address=int(match["address"]),
        prompt=Prompt(match["prompt"] or "A"),
        alarm=match["alarm"] or "",
        error=None if match["wrong"] is None else match["error"] or "",
        data=match["data"] or "",
    )


class AnswerReader:
    """Cuts answers out of a stream of bytes, whatever it contains.

    Attributes:
        damaged: bytes or frames that were no answer, counted.
    """

    def __init__(self) -> None:
        self._frame: bytearray | None = None
        self.damaged = 0

    def feed(self, data: bytes) -> list[Answer]:
        """The answers that are complete with ``data``, oldest first."""
        answers: list[Answer] = []
        for byte in data:
            self._take(bytes((byte,)), answers)
        return answers

    def _take(self, byte: bytes, answers: list[Answer]) -> None:
        if byte == STX:
            # An answer that never ended gives way to the one that begins.
            self.damaged += self._frame is not None
            self._frame = bytearray()
        elif self._frame is None:
            self.damaged += 1
        elif byte == ETX:
            frame, self._frame = bytes(self._frame), None
            try:
                answers.append(decode(frame))
            except BadAnswerError:
                self.damaged += 1
        else:
            self._frame += byte
            if len(self._frame) > LONGEST:
                self.damaged += 1
                self._frame = None


def number(value: float) -> str:
    """A number as the pump takes it: at most 4 digits, at most 3 of them behind the point.

    Raises:
        ValueError: below 0, above 9,999, or not 0 and too small to be written.
    """
    if not 0 <= value <= _LARGEST:
        raise ValueError(f"{value:g} is not between 0 and 9,999")
    text = next(
        text for digits in (3, 2, 1, 0) if len(text := f"{value:.{digits}f}") - ("." in text) <= 4
    )
    if value and not float(text):
        raise ValueError(f"{value:g} is less than the pump can be told")
    return text


def rate_words(rate_ul_s: float) -> tuple[str, str]:
    """A rate in the pump's words, in the unit that keeps most digits: ("768.0", "UM").

    Raises:
        ValueError: no rate above 0, or one that the pump has no unit for.
    """
    if not rate_ul_s > 0:
        raise ValueError(f"{rate_ul_s:g} µL/s is no rate")
    per_min = rate_ul_s / UL_S["UM"]
    unit = "UH" if per_min < 1 else "UM" if per_min <= _LARGEST else "MM"
    return number(rate_ul_s / UL_S[unit]), unit


def volume_unit(diameter_mm: float) -> str:
    """The unit that the pump itself uses with a syringe of this inner diameter."""
    return "UL" if diameter_mm <= 14.0 else "ML"


@dataclass(frozen=True, slots=True)
class Dispensed:
    """Answer to DIS: volumes since the counters were cleared, µL, and the last digit's worth."""

    infused_ul: float
    withdrawn_ul: float
    step_ul: float


def dispensed(data: str) -> Dispensed:
    """The data of an answer to DIS; raises `BadAnswerError`."""
    match = DISPENSED_FORM.fullmatch(data)
    if match is None:
        raise BadAnswerError(f"{data!r} is no answer to DIS")
    infused, withdrawn, unit = match.groups()
    step = 10.0 ** -len(infused.partition(".")[2]) * UL[unit]
    return Dispensed(float(infused) * UL[unit], float(withdrawn) * UL[unit], step)


def means(data: str, value: str, unit: str = "") -> bool:
    """Whether ``data`` says ``value`` and ``unit``; trailing zeros and points don't matter."""
    match = re.fullmatch(rf"({_NUMBER}){unit}", data)
    return match is not None and float(match[1]) == float(value)
