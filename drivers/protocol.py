"""The dispenser's wire as pure functions: messages to lines and back (drivers/PROTOCOL.md).

Written from the document, not from the firmware, so that each checks the other. Times here are
as on the wire, unsigned 32-bit microseconds; `unwrap_us` puts them back on a long time line.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_args

from drivers.messages import (
    INPUT_ESTOP,
    INPUT_PEDAL,
    LINE_FAULT,
    LINE_HOLD,
    LINE_READY,
    Ack,
    Cancel,
    Done,
    Exec,
    Flow,
    Hello,
    Hold,
    Inputs,
    Led,
    Lines,
    Nak,
    Open,
    Passage,
    Ping,
    Pong,
    Ready,
    Reset,
    Rest,
    Rested,
    Said,
    Seen,
    State,
    Status,
    Stop,
    ToDevice,
    ToHost,
)

__all__ = [
    "INPUT_ESTOP",
    "INPUT_PEDAL",
    "KEPT_PASSAGES",
    "LINE_FAULT",
    "LINE_HOLD",
    "LINE_READY",
    "MASK_32",
    "MAX_DONE_IDS",
    "MAX_LINE",
    "VERSION",
    "Ack",
    "BadLine",
    "Cancel",
    "Damaged",
    "Done",
    "Exec",
    "Flow",
    "Hello",
    "Hold",
    "Inputs",
    "Led",
    "Lines",
    "Nak",
    "Open",
    "Passage",
    "Ping",
    "Pong",
    "Ready",
    "Reset",
    "Rest",
    "Rested",
    "Said",
    "Seen",
    "State",
    "Status",
    "Stop",
    "ToDevice",
    "ToHost",
    "crc16",
    "decode_from_device",
    "decode_from_host",
    "encode",
    "frame",
    "unframe",
    "unwrap_us",
]

VERSION = 2
MAX_LINE = 192
MASK_32 = 0xFFFFFFFF
MAX_DONE_IDS = 8
"""So many ids in one `Done` always fit a line."""
KEPT_PASSAGES = 32
"""A device keeps so many passages that were not seen; then it drops the oldest."""


class BadLine(ValueError):
    """A line that is damaged or that the protocol does not know."""


class Damaged(BadLine):
    """A line without its CRC, or with another."""


def crc16(payload: bytes) -> int:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected, no final XOR)."""
    return binascii.crc_hqx(payload, 0xFFFF)


def frame(payload: str) -> bytes:
    """The line that carries ``payload``: ``payload*CRC`` and a line feed."""
    body = payload.encode("ascii")
    return b"%b*%04X\n" % (body, crc16(body))


def unframe(line: bytes) -> str:
    """The payload of a line without its line feed; raises `Damaged`."""
    if len(line) < 6 or len(line) >= MAX_LINE or line[-5] != 0x2A:
        raise Damaged("no CRC, or longer than a line may be")
    payload = line[:-5]
    if b"%04X" % crc16(payload) != line[-4:]:
        raise Damaged("CRC does not match")
    try:
        return payload.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadLine("not ASCII") from error


def unwrap_us(wire_us: int, near_us: int) -> int:
    """The time on the long time line that is ``wire_us`` modulo 2**32 and nearest ``near_us``."""
    return near_us + ((wire_us - near_us + (1 << 31)) & MASK_32) - (1 << 31)


def encode(message: ToDevice | ToHost) -> bytes:
    """The whole line, line feed included. Values must be in the ranges that PROTOCOL.md gives."""
    verb, names, kinds = _LAYOUT[type(message)]
    words = [kind.write(getattr(message, name)) for name, kind in zip(names, kinds, strict=True)]
    return frame(" ".join([verb, *words]))


def decode_from_device(line: bytes) -> ToHost:
    """What a device said, from a line without its line feed; raises `Damaged` or `BadLine`."""
    message: ToHost = _decode(line, _FROM_DEVICE)
    return message


def decode_from_host(line: bytes) -> ToDevice:
    """What a host said, from a line without its line feed; raises `Damaged` or `BadLine`."""
    message: ToDevice = _decode(line, _FROM_HOST)
    return message


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a value is written as a word, and what a word must look like to be read as one."""

    write: Callable[[Any], str]
    pattern: re.Pattern[str]
    value: Callable[[str], Any]

    def read(self, word: str) -> Any:
        if self.pattern.fullmatch(word) is None:
            raise BadLine(f"{word!r} can't stand here")
        return self.value(word)


def _hex(word: str) -> int:
    return int(word, 16)


def _fixed(digits: int, pattern: str) -> _Kind:
    return _Kind(f"{{:0{digits}X}}".format, re.compile(pattern), _hex)


def _text(pattern: str) -> _Kind:
    return _Kind(str, re.compile(pattern), str)


_SESSION = _fixed(8, r"(?!0{8})[0-9A-F]{8}")
_TAG = _NUMBER = _fixed(4, r"[0-9A-F]{4}")
_TIME = _fixed(8, r"[0-9A-F]{8}")
_LENGTH = _fixed(6, r"[0-9A-F]{6}")
_COUNT = _fixed(1, r"0|[1-9A-F][0-9A-F]{0,7}")
_ID = _fixed(1, r"[1-9A-F][0-9A-F]{0,7}")
_IDS = _Kind(
    lambda ids: " ".join(f"{one:X}" for one in ids),
    re.compile(rf"{_ID.pattern.pattern}( {_ID.pattern.pattern})*"),
    lambda words: tuple(_hex(word) for word in words.split(" ")),
)
_OUTLET = _text(r"[a-z0-9_]{1,12}")
_OUTLETS = _Kind(
    ",".join,
    re.compile(r"[a-z0-9_]{1,12}(,[a-z0-9_]{1,12}){1,7}"),
    lambda word: tuple(word.split(",")),
)
# An outlet that does not exist is the device's to refuse, whatever it looks like.
_ANY_OUTLET = _text(r"[^ ]+")
_NAME = _text(r"[A-Za-z0-9.-]{1,24}")
_WORD = _text(r"[A-Z]{1,12}")
_WORD_OR_NONE = _Kind(
    lambda word: word or "-",
    re.compile(r"-|[A-Z]{1,12}"),
    lambda word: "" if word == "-" else word,
)
_FLAG = _Kind(lambda flag: "1" if flag else "0", re.compile(r"[01]"), lambda word: word == "1")
_LEVEL = _fixed(1, r"[0-9A-F]")
_MASK = _fixed(2, r"[0-9A-F]{2}")
_ANY_SESSION = _TIME
_COUNTS = _Kind(
    lambda counts: ",".join(f"{one:X}" for one in counts),
    re.compile(rf"({_COUNT.pattern.pattern})(,({_COUNT.pattern.pattern})){{0,6}}"),
    lambda word: tuple(_hex(one) for one in word.split(",")),
)

_LAYOUT: dict[type, tuple[str, tuple[str, ...], tuple[_Kind, ...]]] = {
    message: (verb, tuple(field.name for field in fields(message)), kinds)
    for verb, message, kinds in (
        ("HELLO", Hello, (_SESSION, _COUNT, _COUNT)),
        ("O", Open, (_SESSION, _ID, _ANY_OUTLET, _TIME, _LENGTH)),
        ("D", Done, (_SESSION, _IDS)),
        ("CANCEL", Cancel, (_SESSION, _ID)),
        ("REST", Rest, (_SESSION, _NUMBER)),
        ("HOLD", Hold, (_SESSION, _NUMBER)),
        ("FLOW", Flow, (_SESSION, _NUMBER)),
        ("STOP", Stop, (_SESSION, _NUMBER)),
        ("RESET", Reset, (_SESSION, _NUMBER, _LEVEL)),
        ("LINES", Lines, (_SESSION, _NUMBER, _MASK)),
        ("LED", Led, (_SESSION, _NUMBER, _TIME, _LENGTH)),
        ("SEEN", Seen, (_SESSION, _ID)),
        ("PING", Ping, (_SESSION, _NUMBER)),
        ("STATUS", Status, (_ANY_SESSION,)),
        (
            "READY",
            Ready,
            (_SESSION, _COUNT, _NAME, *[_COUNT] * 4, _TIME, _OUTLETS, _WORD, _WORD_OR_NONE, _FLAG),
        ),
        ("A", Ack, (_TAG, _ID)),
        ("N", Nak, (_TAG, _COUNT, _WORD)),
        ("E", Exec, (_TAG, _ID, _TIME, _LENGTH)),
        ("PONG", Pong, (_TAG, _NUMBER, _TIME, _TIME, _COUNT, _TIME, _TIME)),
        ("RESTED", Rested, (_TAG, _NUMBER)),
        ("S", Said, (_TAG, _NUMBER, _WORD_OR_NONE, _WORD_OR_NONE, _FLAG)),
        ("G", Passage, (_TAG, _ID, _OUTLET, _TIME, _LENGTH)),
        ("I", Inputs, (_TAG, _MASK)),
        (
            "STATE",
            State,
            (
                *(_TAG, _TIME, _OUTLET, *[_COUNT] * 10, _WORD),
                *(_WORD_OR_NONE, _FLAG, _TIME, _MASK, _COUNTS),
            ),
        ),
    )
}


def _by_verb(*messages: type) -> dict[str, type]:
    return {_LAYOUT[message][0]: message for message in messages}


_FROM_HOST = _by_verb(*get_args(ToDevice))
_FROM_DEVICE = _by_verb(*get_args(ToHost))


def _decode(line: bytes, verbs: dict[str, type]) -> Any:
    verb, *words = unframe(line).split(" ")
    message = verbs.get(verb)
    if message is None:
        raise BadLine(f"unknown verb {verb!r}")
    _, _, kinds = _LAYOUT[message]
    if message is Done and len(words) > 2:
        words = [words[0], " ".join(words[1:])]
    if len(words) != len(kinds):
        raise BadLine(f"{verb} takes {len(kinds)} words, found {len(words)}")
    return message(*[kind.read(word) for kind, word in zip(kinds, words, strict=True)])
