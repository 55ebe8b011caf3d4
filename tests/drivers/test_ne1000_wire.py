"""Framing, answers, numbers and units of the NE-1000, and the volume made of its readings."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ne1000_volume import InfusedVolume
from drivers.ne1000_wire import (
    LONGEST,
    UL_S,
    Answer,
    AnswerReader,
    BadAnswerError,
    Dispensed,
    Prompt,
    command,
    decode,
    dispensed,
    means,
    number,
    rate_words,
    volume_unit,
)

SECOND = 1_000_000_000
ANSWERS = [
    pytest.param(b"00S", Answer(0, Prompt.STOPPED), id="status alone"),
    pytest.param(b"07I", Answer(7, Prompt.INFUSING), id="another address"),
    pytest.param(b"99W", Answer(99, Prompt.WITHDRAWING), id="withdrawing"),
    pytest.param(b"00P", Answer(0, Prompt.PAUSED), id="paused"),
    pytest.param(b"00T", Answer(0, Prompt.PAUSE_PHASE), id="timed pause"),
    pytest.param(b"00U", Answer(0, Prompt.WAITING), id="waits for a trigger"),
    pytest.param(b"00X", Answer(0, Prompt.PURGING), id="purging"),
    pytest.param(b"00A?R", Answer(0, Prompt.ALARM, alarm="R"), id="reset"),
    pytest.param(b"00A?S", Answer(0, Prompt.ALARM, alarm="S"), id="stalled"),
    pytest.param(b"00A?T", Answer(0, Prompt.ALARM, alarm="T"), id="time-out"),
    pytest.param(b"00A?E", Answer(0, Prompt.ALARM, alarm="E"), id="program error"),
    pytest.param(b"00A?O", Answer(0, Prompt.ALARM, alarm="O"), id="phase out of range"),
    pytest.param(b"00S?", Answer(0, Prompt.STOPPED, error=""), id="not understood"),
    pytest.param(b"00S?NA", Answer(0, Prompt.STOPPED, error="NA"), id="not applicable"),
    pytest.param(b"00I?OOR", Answer(0, Prompt.INFUSING, error="OOR"), id="out of range"),
    pytest.param(b"00S?COM", Answer(0, Prompt.STOPPED, error="COM"), id="bad packet"),
    pytest.param(b"00S?IGN", Answer(0, Prompt.STOPPED, error="IGN"), id="ignored"),
    pytest.param(b"00S768.0UM", Answer(0, Prompt.STOPPED, data="768.0UM"), id="a rate"),
    pytest.param(
        b"00II1.234W0.000ML", Answer(0, Prompt.INFUSING, data="I1.234W0.000ML"), id="volumes"
    ),
    pytest.param(b"00SSTP", Answer(0, Prompt.STOPPED, data="STP"), id="a word"),
]
NO_ANSWERS = [b"", b"0", b"00", b"0S", b"000S", b"00Z", b"00A?", b"00A?Q", b"00S?XY", b"00s",
              b"00S 1", b"00S\xb5", b"A?R", b"00S?NA1"]  # fmt: skip


def _body(case: Any) -> bytes:
    body: bytes = case.values[0]
    return body


@pytest.mark.parametrize(("body", "answer"), ANSWERS)
def test_answers_are_read(body: bytes, answer: Answer) -> None:
    assert decode(body) == answer
    assert answer.stands is (answer.prompt in (Prompt.STOPPED, Prompt.PAUSED))


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_what_is_no_answer_is_not_read(body: bytes) -> None:
    with pytest.raises(BadAnswerError):
        decode(body)


@pytest.mark.parametrize(
    ("address", "text", "data"),
    [(0, "STP", b"00STP\r"), (7, "RAT768.0UM", b"07RAT768.0UM\r"), (99, "", b"99\r")],
)
def test_commands_end_with_a_carriage_return(address: int, text: str, data: bytes) -> None:
    assert command(address, text) == data


READABLE = st.sampled_from([b"\x02%b\x03" % _body(one) for one in ANSWERS])
NOISE = st.one_of(st.binary(max_size=8), st.sampled_from([b"\x02", b"\x03", b"\x0200", b"00S"]))


@given(st.lists(st.one_of(READABLE, NOISE), max_size=12))
def test_the_reader_minds_neither_noise_nor_how_bytes_come(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole = AnswerReader()
    answers = whole.feed(data)
    byte_by_byte = AnswerReader()
    assert [one for byte in data for one in byte_by_byte.feed(bytes((byte,)))] == answers
    assert byte_by_byte.damaged == whole.damaged
    # Every one stands in the stream, framed; and what follows is read, whatever came before.
    assert len(answers) <= data.count(b"\x03")
    last = b"\x0200II9.999W0.000ML\x03"
    assert whole.feed(last) == [decode(last[1:-1])]


def test_an_answer_that_does_not_end_is_dropped() -> None:
    reader = AnswerReader()
    assert reader.feed(b"\x02" + b"0" * (LONGEST + 1)) == []
    assert reader.damaged == 1
    assert reader.feed(b"\x0200S\x03") == [Answer(0, Prompt.STOPPED)]


NUMBERS = [(0, "0.000"), (0.05, "0.050"), (9.9994, "9.999"), (9.9996, "10.00"), (46.08, "46.08"),
           (99.996, "100.0"), (768, "768.0"), (999.96, "1000"), (9999, "9999")]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_have_four_digits_at_most(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("value", [-1, 1e-4, 9999.6, 1e9, math.nan, math.inf])
def test_numbers_that_the_pump_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError):
        number(value)


@given(st.floats(1e-3, 9_999))
def test_numbers_are_as_near_as_can_be(value: float) -> None:
    text = number(value)
    whole, _, behind = text.partition(".")
    assert len(whole) + len(behind) <= 4
    assert len(behind) <= 3
    assert abs(float(text) - value) <= max(0.0005, 0.0006 * value) + 1e-12


RATES = [
    pytest.param(12.8, "768.0", "UM", id="the rig's own"),
    pytest.param(0.01, "36.00", "UH", id="below 1 µL/min"),
    pytest.param(1 / 60, "1.000", "UM", id="1 µL/min"),
    pytest.param(9_999 / 60, "9999", "UM", id="the most in µL/min"),
    pytest.param(200.0, "12.00", "MM", id="mL/min"),
]


@pytest.mark.parametrize(("rate_ul_s", "value", "unit"), RATES)
def test_rates_go_out_in_the_pump_s_units(rate_ul_s: float, value: str, unit: str) -> None:
    assert rate_words(rate_ul_s) == (value, unit)


@given(st.floats(1e-5, 2_000))
def test_rates_lose_nothing_that_matters(rate_ul_s: float) -> None:
    value, unit = rate_words(rate_ul_s)
    assert float(value) * UL_S[unit] == pytest.approx(rate_ul_s, rel=0.02, abs=2e-7)


@pytest.mark.parametrize("rate_ul_s", [0.0, -1.0, math.nan, math.inf, 1e9, 1e-8])
def test_what_is_no_rate_is_refused(rate_ul_s: float) -> None:
    with pytest.raises(ValueError):
        rate_words(rate_ul_s)


@pytest.mark.parametrize(("mm", "unit"), [(4.7, "UL"), (14.0, "UL"), (14.43, "ML"), (26.59, "ML")])
def test_the_unit_of_volume_follows_from_the_syringe(mm: float, unit: str) -> None:
    assert volume_unit(mm) == unit


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        ("I12.80W0.500UL", Dispensed(12.8, 0.5, 0.01)),
        ("I0.064W0.000ML", Dispensed(64.0, 0.0, 1.0)),
        ("I1234.W0.000UL", Dispensed(1234.0, 0.0, 1.0)),
    ],
)
def test_volumes_are_read_in_microlitres(data: str, reading: Dispensed) -> None:
    found = dispensed(data)
    assert found.infused_ul == pytest.approx(reading.infused_ul)
    assert found.withdrawn_ul == pytest.approx(reading.withdrawn_ul)
    assert found.step_ul == pytest.approx(reading.step_ul)


@pytest.mark.parametrize("data", ["", "I1W2", "I1.0W2.0XL", "W1.0I2.0ML", "I12345W0ML", "I.W.ML"])
def test_what_is_no_volume_is_refused(data: str) -> None:
    with pytest.raises(BadAnswerError):
        dispensed(data)


@pytest.mark.parametrize(
    ("data", "value", "unit", "same"),
    [
        ("768.0UM", "768.0", "UM", True),
        ("768.UM", "768.0", "UM", True),
        ("768.0UH", "768.0", "UM", False),
        ("768.1UM", "768.0", "UM", False),
        ("02", "2", "", True),
        ("", "2", "", False),
        ("STP", "2", "", False),
    ],
)
def test_what_comes_back_is_compared_as_a_number(
    data: str, value: str, unit: str, same: bool
) -> None:
    assert means(data, value, unit) is same


# -- the volume ---------------------------------------------------------------------------


def readings(volume: InfusedVolume, infused_ul: list[float], step_ul: float = 1.0) -> list[bool]:
    """One reading a second at 10 µL/s."""
    return [
        volume.take(Dispensed(one, 0.0, step_ul), 10.0, at * SECOND)
        for at, one in enumerate(infused_ul)
    ]


@pytest.mark.parametrize(
    ("infused_ul", "total_ul"),
    [
        pytest.param([0, 10, 20], 20, id="goes on"),
        pytest.param([500, 510, 520], 20, id="what was there before is not ours"),
        pytest.param([0, 10, 920, 30], 30, id="one misread digit is dropped"),
        pytest.param([0, 10, 920, 930, 940], 940, id="believed when it goes on from there"),
        pytest.param([9_980, 9_990, 1, 11], 21, id="the counter wrapped: a lower bound"),
        pytest.param([100, 110, 0, 0, 10], 20, id="the counter was cleared"),
        pytest.param([0, 10, 10, 10], 10, id="held"),
    ],
)
def test_the_volume_adds_up(infused_ul: list[float], total_ul: float) -> None:
    volume = InfusedVolume(0)
    readings(volume, infused_ul)
    assert volume.total_ul == pytest.approx(total_ul)


def test_the_volume_starts_again_when_the_counter_is_cleared() -> None:
    volume = InfusedVolume(0)
    readings(volume, [70, 80])
    volume.cleared(2 * SECOND)
    assert volume.take(Dispensed(10.0, 0.0, 1.0), 10.0, 3 * SECOND)
    assert volume.total_ul == pytest.approx(20)


@given(st.lists(st.floats(0, 15), max_size=30), st.sampled_from([0.001, 0.1, 1.0, 10.0]))
def test_the_volume_of_a_sound_pump_is_what_it_shows(grown: list[float], step_ul: float) -> None:
    shown = [0.0]
    for one in grown:
        shown.append(shown[-1] + one)
    volume = InfusedVolume(0)
    assert all(readings(volume, shown, step_ul))
    assert volume.total_ul == pytest.approx(shown[-1])
