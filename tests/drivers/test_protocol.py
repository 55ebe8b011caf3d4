"""The host's encoding of the wire."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import protocol as wire

SESSION = st.integers(1, 2**32 - 1)
TAG = st.integers(0, 2**16 - 1)
ID = st.integers(1, 2**32 - 1)
TIME = COUNT = st.integers(0, 2**32 - 1)
LENGTH = st.integers(0, 2**24 - 1)
OUTLET = st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True)
WORD = st.from_regex(r"[A-Z]{1,12}", fullmatch=True)
WORD_OR_NONE = st.just("") | WORD
MASK = st.integers(0, 2**8 - 1)
NAME = st.from_regex(r"[A-Za-z0-9.-]{1,24}", fullmatch=True)

FROM_HOST: tuple[st.SearchStrategy[Any], ...] = (
    st.builds(wire.Hello, SESSION, COUNT, COUNT),
    st.builds(wire.Open, SESSION, ID, OUTLET, TIME, LENGTH),
    st.builds(wire.Done, SESSION, st.lists(ID, min_size=1, max_size=8).map(tuple)),
    st.builds(wire.Cancel, SESSION, ID),
    st.builds(wire.Rest, SESSION, TAG),
    st.builds(wire.Ping, SESSION, TAG),
    *(st.builds(kind, SESSION, TAG) for kind in (wire.Hold, wire.Flow, wire.Stop)),
    st.builds(wire.Reset, SESSION, TAG, st.integers(0, 15)),
    st.builds(wire.Lines, SESSION, TAG, MASK),
    st.builds(wire.Led, SESSION, TAG, TIME, LENGTH),
    st.builds(wire.Seen, SESSION, ID),
    st.builds(wire.Status, st.just(0) | SESSION),
)
FROM_DEVICE: tuple[st.SearchStrategy[Any], ...] = (
    st.builds(
        wire.Ready,
        *(SESSION, COUNT, NAME, COUNT, COUNT, COUNT, COUNT, TIME),
        st.lists(OUTLET, min_size=2, max_size=5).map(tuple),
        *(WORD, WORD_OR_NONE, st.booleans()),
    ),
    st.builds(wire.Ack, TAG, ID),
    st.builds(wire.Nak, TAG, COUNT, WORD),
    st.builds(wire.Exec, TAG, ID, TIME, LENGTH),
    st.builds(wire.Pong, TAG, TAG, TIME, TIME, COUNT, COUNT, TIME),
    st.builds(wire.Rested, TAG, TAG),
    st.builds(wire.Said, TAG, TAG, WORD_OR_NONE, WORD_OR_NONE, st.booleans()),
    st.builds(wire.Passage, TAG, ID, OUTLET, TIME, LENGTH),
    st.builds(wire.Inputs, TAG, MASK),
    st.builds(
        wire.State,
        *(TAG, TIME, OUTLET, *[COUNT] * 10, WORD, WORD_OR_NONE, st.booleans(), COUNT, MASK),
        st.lists(COUNT, min_size=1, max_size=7).map(tuple),
    ),
)

# Written by hand from PROTOCOL.md, not by the encoder.
WRITTEN: tuple[tuple[wire.ToDevice | wire.ToHost, str], ...] = (
    (wire.Hello(0x5EED0001, 2, 1000), "HELLO 5EED0001 2 3E8"),
    (
        wire.Open(0x5EED0001, 26, "collect", 0x130D40, 60_000),
        "O 5EED0001 1A collect 00130D40 00EA60",
    ),
    (wire.Done(0x5EED0001, (1, 2, 26)), "D 5EED0001 1 2 1A"),
    (wire.Cancel(0x5EED0001, 0xFFFFFFFF), "CANCEL 5EED0001 FFFFFFFF"),
    (wire.Rest(0x5EED0001, 7), "REST 5EED0001 0007"),
    (wire.Ping(0x5EED0001, 0xABCD), "PING 5EED0001 ABCD"),
    (wire.Status(1), "STATUS 00000001"),
    (wire.Status(0), "STATUS 00000000"),
    (wire.Hold(0x5EED0001, 1), "HOLD 5EED0001 0001"),
    (wire.Flow(0x5EED0001, 2), "FLOW 5EED0001 0002"),
    (wire.Stop(0x5EED0001, 3), "STOP 5EED0001 0003"),
    (wire.Reset(0x5EED0001, 4, 0), "RESET 5EED0001 0004 0"),
    (wire.Reset(0x5EED0001, 5, 1), "RESET 5EED0001 0005 1"),
    (wire.Lines(0x5EED0001, 6, 5), "LINES 5EED0001 0006 05"),
    (wire.Led(0x5EED0001, 7, 0x130D40, 100), "LED 5EED0001 0007 00130D40 000064"),
    (wire.Seen(0x5EED0001, 26), "SEEN 5EED0001 1A"),
    (wire.Ack(1, 26), "A 0001 1A"),
    (wire.Nak(1, 0, "CRC"), "N 0001 0 CRC"),
    (wire.Exec(1, 2, 0x130D40, 60_000), "E 0001 2 00130D40 00EA60"),
    (
        wire.Pong(1, 0xABCD, 5, 6, 0, 10, 255),
        "PONG 0001 ABCD 00000005 00000006 0 0000000A 000000FF",
    ),
    (wire.Said(1, 3, "OK", "HOST", True), "S 0001 0003 OK HOST 1"),
    (wire.Said(1, 0, "", "PIN", True), "S 0001 0000 - PIN 1"),
    (wire.Said(1, 9, "OK", "", False), "S 0001 0009 OK - 0"),
    (wire.Passage(1, 26, "collect", 0x130D40, 4_000), "G 0001 1A collect 00130D40 000FA0"),
    (wire.Inputs(1, 3), "I 0001 03"),
    (
        wire.Ready(
            *(1, 2, "pico", 64, 5_000_000, 60_000_000, 1000, 0x130D40),
            *(("waste", "collect"), "BOOT", "POWER", True),
        ),
        "READY 00000001 2 pico 40 4C4B40 3938700 3E8 00130D40 waste,collect BOOT POWER 1",
    ),
    (
        wire.State(
            *(0, 5, "waste", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
            *("POWER", "", False, 10, 3, (16, 2)),
        ),
        "STATE 0000 00000005 waste 0 1 2 3 4 5 6 7 8 9 POWER - 0 0000000A 03 10,2",
    ),
    (wire.Rested(1, 7), "RESTED 0001 0007"),
)


@settings(deadline=None)
@given(st.one_of(FROM_HOST))
def test_what_a_host_says_is_read_back(message: wire.ToDevice) -> None:
    line = wire.encode(message)
    assert line.endswith(b"\n")
    assert len(line) <= wire.MAX_LINE
    assert wire.decode_from_host(line[:-1]) == message


@settings(deadline=None)
@given(st.one_of(FROM_DEVICE))
def test_what_a_device_says_is_read_back(message: wire.ToHost) -> None:
    line = wire.encode(message)
    if len(line) <= wire.MAX_LINE:
        assert wire.decode_from_device(line[:-1]) == message


@pytest.mark.parametrize(("message", "payload"), WRITTEN, ids=lambda one: str(one).split("(")[0])
def test_as_the_document_writes_it(message: wire.ToDevice | wire.ToHost, payload: str) -> None:
    assert wire.unframe(wire.encode(message)[:-1]) == payload


def test_crc_is_the_published_one() -> None:
    assert wire.crc16(b"123456789") == 0x29B1


def _readable(stream: bytes) -> bool:
    """Whether any line of what a host would receive is taken for a line."""
    for line in stream.split(b"\n"):
        for decode in (wire.decode_from_device, wire.decode_from_host):
            try:
                decode(line)
            except wire.BadLine:
                continue
            return True
    return False


def test_no_one_or_two_flipped_bits_are_accepted() -> None:
    line = wire.encode(wire.Ack(0x0001, 0x1A))
    bits = range(8 * (len(line) - 1))
    for flipped in [*combinations(bits, 1), *combinations(bits, 2)]:
        damaged = bytearray(line)
        for bit in flipped:
            damaged[bit // 8] ^= 1 << (bit % 8)
        assert not _readable(bytes(damaged))


@settings(deadline=None, max_examples=200)
@given(st.one_of(*FROM_HOST, *FROM_DEVICE), st.data())
def test_no_three_flipped_bits_are_accepted(message: Any, data: st.DataObject) -> None:
    damaged = bytearray(wire.encode(message)[:-1])
    bits = data.draw(st.sets(st.integers(0, 8 * len(damaged) - 1), min_size=1, max_size=3))
    for bit in bits:
        damaged[bit // 8] ^= 1 << (bit % 8)
    assert not _readable(bytes(damaged))


@settings(deadline=None)
@given(st.binary(max_size=250))
def test_noise_is_a_bad_line_and_nothing_else(noise: bytes) -> None:
    assert not _readable(noise)


NOT_LINES = {
    "lower case": "A 00ab 1",
    "leading zero": "A 0001 01",
    "id 0": "A 0001 0",
    "short time": "E 0001 1 130D40 00EA60",
    "two spaces": "A 0001  1",
    "space at the end": "A 0001 1 ",
    "too many words": "A 0001 1 1",
    "too few words": "A 0001",
    "unknown verb": "ACK 0001 1",
    "a sign": "A 0001 +1",
    "an underscore": "A 0001 1_0",
    "no words": "",
    "outlet in capitals": "READY 00000001 2 x 4 1 1 1 00000000 WASTE,collect BOOT - 1",
    "one outlet": "READY 00000001 2 x 4 1 1 1 00000000 waste BOOT - 1",
    "a pump that is neither": "S 0001 0001 OK - 2",
    "an estop without a word": "S 0001 0001 OK  1",
    "passage 0": "G 0001 0 collect 00130D40 000FA0",
    "a mask of three digits": "I 0001 003",
    "a version 1 pong": "PONG 0001 ABCD 00000005 00000006 0",
}


@pytest.mark.parametrize("payload", NOT_LINES.values(), ids=NOT_LINES)
def test_a_right_crc_does_not_make_a_line(payload: str) -> None:
    with pytest.raises(wire.BadLine):
        wire.decode_from_device(wire.frame(payload)[:-1])


NONSENSE = (
    "HELLO 00000000 2 3E8",
    "D 5EED0001",
    "O 5EED0001 1 collect",
    "HOLD 00000000 0001",
    "RESET 5EED0001 0001",
    "RESET 5EED0001 0001 01",
    "LINES 5EED0001 0001 1",
    "SEEN 5EED0001 0",
)


@pytest.mark.parametrize("payload", NONSENSE)
def test_a_host_that_says_nonsense(payload: str) -> None:
    with pytest.raises(wire.BadLine):
        wire.decode_from_host(wire.frame(payload)[:-1])


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(-(2**31), 2**31 - 1))
def test_times_are_put_back_on_the_long_line(near_us: int, away_us: int) -> None:
    true_us = near_us + away_us
    assert wire.unwrap_us(true_us & wire.MASK_32, near_us) == true_us
