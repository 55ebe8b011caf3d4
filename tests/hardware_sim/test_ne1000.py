"""The simulated NE-1000 against what its manual says, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_sim.ne1000 import (
    SimNE1000Settings,
)
from hardware_sim.ne1000_memory import show_float
from hardware_sim.ne1000_model import NE1000Model

MS = 1_000_000
SECOND = 1_000_000_000
# Without thought and baud rate an answer is there at once.
PLAIN = SimNE1000Settings(baud=0, think_ms=0.0, deaf=False, wakes=False)


class Terminal:
    """Somebody who types commands, and reads what stands between STX and ETX."""

    def __init__(self, settings: SimNE1000Settings = PLAIN) -> None:
        self.ns = 5 * SECOND
        self.flows: list[tuple[int, float]] = []
        self.pump = NE1000Model(settings, self.ns, lambda at, ul_s: self.flows.append((at, ul_s)))

    def ask(self, text: str) -> str:
        """What it answers, without its frame."""
        self.pump.write(text.encode("latin-1") + b"\r", self.ns)
        answer = self.pump.read(self.ns).decode("latin-1")
        assert not answer or (answer[0], answer[-1]) == ("\x02", "\x03")
        return answer[1:-1]

    def wait(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)

    def set_up(self, rate: str = "RAT600UM") -> Terminal:
        """Syringe and rate set; 600 µL/min are 10 µL/s."""
        assert self.ask("") == "00A?R"
        for text in ("DIA26.59", rate, "VOLUL", "VOL0", "DIRINF", "PF0", "CLDINF", "CLDWDR"):
            assert self.ask(text) == "00S", text
        return self


def test_it_tells_of_its_reset_first_and_does_nothing_else() -> None:
    pump = Terminal()
    assert pump.ask("RUN") == "00A?R"
    assert pump.ask("") == "00S"
    assert pump.flows == []


QUERIES = [
    ("DIA", "26.59"),
    ("RAT", "600.0UM"),
    ("VOL", "0.000UL"),
    ("DIR", "INF"),
    ("PHN", "01"),
    ("FUN", "RAT"),
    ("PF", "0"),
    ("DIS", "I0.000W0.000UL"),
    ("VER", "NE1000V3.919"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "data"), QUERIES)
def test_a_command_without_a_value_asks_for_it(text: str, data: str) -> None:
    assert Terminal().set_up().ask(text) == f"00S{data}"


WRITINGS = ["rat 500.0 um", "RAT500UM", "00RAT500.0UM", "0 RAT 500. UM", " R A T 5 0 0 U M"]


@pytest.mark.parametrize("text", WRITINGS)
def test_spaces_and_small_letters_do_not_matter(text: str) -> None:
    pump = Terminal().set_up()
    assert pump.ask(text) == "00S"
    assert pump.ask("RAT") == "00S500.0UM"


ERRORS = [
    ("XYZ", "?"),
    ("DIA0", "?OOR"),
    ("DIA99", "?OOR"),
    ("DIA26.591", "?OOR"),
    ("DIA.", "?"),
    ("RAT9999MM", "?OOR"),
    ("RAT0.001UH", "?OOR"),
    ("RAT12345UM", "?OOR"),
    ("RAT1XX", "?"),
    ("VOL1.2345", "?OOR"),
    ("DIRUP", "?"),
    ("PHN0", "?OOR"),
    ("PHN42", "?OOR"),
    ("FUNXXX", "?"),
    ("CLD", "?"),
    ("PF2", "?OOR"),
    ("STP", "?NA"),
]


@pytest.mark.parametrize(("text", "error"), ERRORS)
def test_what_it_refuses_when_it_stands(text: str, error: str) -> None:
    assert Terminal().set_up().ask(text) == f"00S{error}"


WHILE_PUMPING = [
    ("DIA20", "I?NA"),
    ("RAT300UM", "I?NA"),
    ("RAT300", "I"),
    ("VOL5", "I?NA"),
    ("VOLML", "I?NA"),
    ("PHN2", "I?NA"),
    ("FUNSTP", "I?NA"),
    ("CLDINF", "I?NA"),
    ("RUN", "I?NA"),
    ("PUR", "I?NA"),
    ("DIRWDR", "W"),
]


@pytest.mark.parametrize(("text", "answer"), WHILE_PUMPING)
def test_what_it_refuses_while_it_pumps(text: str, answer: str) -> None:
    pump = Terminal().set_up()
    assert pump.ask("RUN") == "00I"
    assert pump.ask(text) == f"00{answer}"


def test_told_once_it_pauses_told_twice_it_stops() -> None:
    pump = Terminal().set_up()
    assert pump.ask("RUN") == "00I"
    pump.wait(2)
    assert pump.ask("DIS") == "00II20.00W0.000UL"
    assert pump.ask("STP") == "00P"
    pump.wait(2)
    assert pump.ask("DIS") == "00PI20.00W0.000UL"
    assert pump.ask("RUN") == "00I"
    pump.wait(1)
    assert [pump.ask("STP"), pump.ask("STP"), pump.ask("STP")] == ["00P", "00S", "00S?NA"]
    assert pump.ask("DIS") == "00SI30.00W0.000UL"
    assert [ul_s for _, ul_s in pump.flows] == pytest.approx([10, 0, 10, 0])


def test_a_rate_set_while_it_pumps_acts_at_once_and_is_forgotten() -> None:
    pump = Terminal().set_up()
    pump.ask("RUN")
    assert pump.ask("RAT300") == "00I"
    assert pump.ask("RAT") == "00I300.0UM"
    assert pump.flows[-1][1] == pytest.approx(5.0)
    pump.ask("STP")
    pump.ask("RUN")
    assert pump.flows[-1][1] == pytest.approx(5.0)
    pump.ask("STP")
    pump.ask("STP")
    assert pump.ask("RAT") == "00S600.0UM"


def test_a_phase_ends_with_its_volume_and_the_next_begins() -> None:
    pump = Terminal().set_up()
    pump.ask("VOL50")
    pump.ask("DIRWDR")
    pump.ask("RUN")
    pump.wait(2)
    assert pump.ask("STP") == "00P"
    pump.wait(9)
    assert pump.ask("RUN") == "00W"
    pump.wait(2.9)
    assert pump.ask("") == "00W"
    pump.wait(0.2)
    # The second phase, that somebody stored there: 2 mL/min without end.
    assert pump.ask("") == "00I"
    assert pump.flows[-1][1] == pytest.approx(2_000 / 60)
    assert pump.flows[-1][0] == 5 * SECOND + 14 * SECOND
    assert pump.ask("DIS").endswith("W50.00UL")


def test_a_phase_that_says_stop_ends_the_program() -> None:
    pump = Terminal().set_up()
    for text in ("PHN2", "FUNSTP", "PHN1", "VOL50", "RUN"):
        pump.ask(text)
    pump.wait(10)
    assert pump.ask("DIS") == "00SI50.00W0.000UL"
    assert pump.flows[-1] == (10 * SECOND, 0.0)


@pytest.mark.parametrize(("goes_on", "prompt"), [("PF1", "I"), ("PF0", "S")])
def test_after_a_power_failure(goes_on: str, prompt: str) -> None:
    pump = Terminal().set_up()
    pump.ask(goes_on)
    pump.ask("RUN")
    pump.wait(1)
    pump.pump.reset(pump.ns)
    assert pump.ask("") == "00A?R"
    assert pump.ask("") == f"00{prompt}"
    assert pump.ask("DIA") == f"00{prompt}26.59"


def test_a_stall_stops_it_and_is_told_once() -> None:
    pump = Terminal(PLAIN.model_copy(update={"stall_after_ul": 15.0})).set_up()
    pump.ask("RUN")
    pump.wait(5)
    assert pump.ask("RUN") == "00A?S"
    assert pump.ask("DIS") == "00SI15.00W0.000UL"
    assert pump.flows[-1][0] == pytest.approx(6.5 * SECOND, abs=10)
    # A motor that stands can't stall.
    pump.pump.stall(pump.ns)
    assert pump.ask("") == "00S"


def test_its_keypad_starts_pauses_and_stops_it() -> None:
    pump = Terminal().set_up()
    prompts = []
    for _ in range(4):
        pump.pump.press(pump.ns)
        prompts.append(pump.ask(""))
    assert prompts == ["00I", "00P", "00S", "00I"]


def test_purging_runs_until_it_is_told_to_stop() -> None:
    pump = Terminal().set_up()
    assert pump.ask("PUR") == "00X"
    assert pump.pump.flow_ul_s(pump.ns) > 100
    assert pump.ask("STP") == "00P"
    assert pump.pump.flow_ul_s(pump.ns) == 0


def test_it_answers_to_its_own_address_alone() -> None:
    pump = Terminal(PLAIN.model_copy(update={"address": 7}))
    assert pump.ask("7") == "07A?R"
    assert pump.ask("07") == "07S"
    assert [pump.ask(""), pump.ask("8"), pump.ask("00")] == ["", "", ""]


NUMBERS = [(0.0, "0.000"), (46.08, "46.08"), (768.0, "768.0"), (1234.0, "1234."), (10_001, "1.000")]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_it_shows_four_digits_and_begins_again_after_them(value: float, text: str) -> None:
    assert show_float(value) == text


# -- the wire ---------------------------------------------------------------------------------


def test_an_answer_takes_its_time_and_what_comes_meanwhile_is_not_heard() -> None:
    pump = Terminal(SimNE1000Settings(wakes=False))
    pump.pump.write(b"00\r", pump.ns)
    pump.pump.write(b"00\r", pump.ns)
    # Three bytes out, 5 ms of thought, seven back.
    due_ns = pump.ns + round(3 * 1e10 / 19_200) + 5 * MS + round(7 * 1e10 / 19_200)
    assert pump.pump.read(due_ns - 10) == b""
    assert pump.pump.read(due_ns + 10) == b"\x0200A?R\x03"
    assert pump.pump.read(due_ns + SECOND) == b""
    assert pump.pump.heard == 1


def test_the_first_command_after_switching_on_is_not_heard() -> None:
    pump = Terminal(PLAIN.model_copy(update={"wakes": True}))
    assert [pump.ask(""), pump.ask(""), pump.ask("")] == ["", "00A?R", "00S"]


def test_lost_and_changed_bytes_are_of_the_seed() -> None:
    def talk(seed: int) -> list[str]:
        some = {"lose_answers": 0.2, "lose_commands": 0.2, "garble": 0.3, "seed": seed}
        pump = Terminal(PLAIN.model_copy(update=some))
        return [pump.pump.read(pump.ns).decode("latin-1") for _ in range(40) if _typed(pump)]

    def _typed(pump: Terminal) -> bool:
        pump.pump.write(b"00DIS\r", pump.ns)
        return True

    assert talk(1) == talk(1)
    assert talk(1) != talk(2)
    assert "" in talk(1)
    assert any((one and one[1:3] != "00") or "?" in one for one in talk(1))


def test_a_pump_that_does_not_obey() -> None:
    pump = Terminal().set_up()
    pump.ask("RUN")
    pump.pump.obeys = "no"
    assert [pump.ask("STP"), pump.ask("STP")] == ["00I", "00I"]
    pump.pump.obeys = "says so"
    assert [pump.ask("STP"), pump.ask("STP")] == ["00P", "00S"]
    assert pump.pump.flow_ul_s(pump.ns) == pytest.approx(10)
    pump.pump.obeys = "yes"
    assert pump.ask("STP") == "00S"
    assert pump.pump.flow_ul_s(pump.ns) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=10), st.integers(1, 50))
def test_no_bytes_can_break_it(pieces: list[bytes], every_ms: int) -> None:
    pump = Terminal(SimNE1000Settings())
    for piece in pieces:
        pump.pump.write(piece, pump.ns)
        pump.ns += every_ms * MS
        pump.pump.read(pump.ns)
    pump.ns += SECOND
    pump.pump.write(b"\r", pump.ns)
    pump.ns += SECOND
    pump.pump.read(pump.ns)
    assert pump.pump.due_ns() is None or pump.pump.due_ns() > pump.ns  # type: ignore[operator]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_how_often_it_is_stepped_does_not_matter(steps_ms: list[int]) -> None:
    def run(times: list[int]) -> tuple[list[tuple[int, float]], float]:
        pump = Terminal().set_up()
        for text in ("PHN2", "FUNSTP", "PHN1", "VOL50", "RUN"):
            pump.ask(text)
        for step_ms in times:
            pump.ns += step_ms * MS
            pump.pump.run(pump.ns)
        return pump.flows, pump.pump.program.plunger.moved_ul

    flows, moved_ul = run(steps_ms)
    again, again_ul = run([sum(steps_ms)])
    assert moved_ul == pytest.approx(again_ul)
    assert [ul_s for _, ul_s in flows] == [ul_s for _, ul_s in again]
    assert [at for at, _ in flows] == pytest.approx([at for at, _ in again], abs=100)
