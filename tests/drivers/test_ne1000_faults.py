"""The NE-1000 driver when something is wrong: it says so once, and ends held."""

from __future__ import annotations

import pytest

from drivers.ne1000 import NE1000Settings
from drivers.ports import PumpState
from hardware_sim.ne1000 import SimNE1000Settings
from sorter.errors import LinkError, PumpError
from tests.drivers.pump_bench import PumpBench
from tests.drivers.virtual_time import MS

HELD, RUNNING, UNKNOWN = PumpState.HELD, PumpState.RUNNING, PumpState.UNKNOWN


def test_a_pump_that_ignores_the_hold_is_told_on_and_on_and_never_said_to_be_held() -> None:
    bench = PumpBench().running()
    bench.device.model.obeys = "no"
    bench.pump.hold(bench.clock.ns)
    bench.run(5_000)
    assert bench.state is UNKNOWN
    assert [str(one).partition(".")[0] for one in bench.troubles] == [
        "the syringe pump was told to hold, and infuses"
    ]
    assert bench.said("STP") > 100
    with pytest.raises(PumpError, match="fault"):
        bench.pump.start(bench.clock.ns)
    bench.device.model.obeys = "yes"
    bench.until(lambda: bench.state is HELD)
    assert bench.flow_ul_s == 0


def test_a_pump_that_only_says_that_it_stands_is_found_by_its_volume() -> None:
    bench = PumpBench().running()
    bench.run(1_000)
    bench.device.model.obeys = "says so"
    bench.pump.hold(bench.clock.ns)
    bench.until(lambda: bench.troubles, 2 * bench.settings.poll_ms)
    assert "volume grows" in str(bench.troubles[0])
    bench.lies.clear()
    bench.run(20_000)
    assert bench.state is UNKNOWN
    assert bench.lies == []


ALARMS = [
    pytest.param(SimNE1000Settings(stall_after_ul=30.0), "stalled", id="stalled"),
    pytest.param(SimNE1000Settings(reset_after_s=4.0), "was reset", id="reset"),
]


@pytest.mark.parametrize(("device", "words"), ALARMS)
def test_alarms_end_held_and_it_can_go_on(device: SimNE1000Settings, words: str) -> None:
    bench = PumpBench(device).running()
    bench.until(lambda: bench.troubles)
    assert words in str(bench.troubles[0])
    assert "then resume" in str(bench.troubles[0])
    bench.until(lambda: bench.state is HELD)
    assert bench.flow_ul_s == 0
    # Nothing starts by itself.
    bench.run(3_000)
    assert bench.flow_ul_s == 0
    before_ul = bench.pump.status().volume_ul
    bench.pump.resume(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    bench.run(2_000)
    assert before_ul + 15 < bench.pump.status().volume_ul <= bench.moved_ul
    assert len(bench.troubles) == 1
    assert bench.lies == []


def test_the_alarm_of_switching_it_on_is_no_trouble() -> None:
    bench = PumpBench()
    assert bench.device.model.program.alarm == "R"
    assert bench.ready().troubles == []


@pytest.mark.parametrize(("running", "words"), [(True, "pauses"), (False, "infuses")])
def test_its_keypad_is_noticed(running: bool, words: str) -> None:
    bench = PumpBench().running() if running else PumpBench().ready()
    bench.device.model.press(bench.clock.ns)
    bench.until(lambda: bench.troubles, 2 * bench.settings.poll_ms)
    assert f"{words} without being told to" in str(bench.troubles[0])
    bench.until(lambda: bench.state is HELD)
    assert bench.flow_ul_s == 0


def test_silence_is_said_once_and_the_hold_is_said_until_it_is_heard() -> None:
    bench = PumpBench().running()
    bench.device.model.lose_commands = 1.0
    bench.run(20_000)
    assert bench.state is UNKNOWN
    assert [str(one).partition(".")[0] for one in bench.troubles] == [
        "the syringe pump does not answer"
    ]
    assert bench.said("STP") > 50
    bench.device.model.lose_commands = 0.0
    bench.until(lambda: bench.flow_ul_s == 0, 250)
    bench.until(lambda: bench.state is HELD, 1_000)
    assert bench.lies == []


def test_one_lost_answer_is_asked_for_again() -> None:
    bench = PumpBench().running()
    bench.device.model.lose_answers = 1.0
    bench.run(bench.settings.answer_ms + 100)
    bench.device.model.lose_answers = 0.0
    bench.run(3_000)
    assert bench.state is RUNNING
    assert bench.troubles == []


def test_nothing_that_acts_is_said_before_a_late_answer_has_had_its_time() -> None:
    bench = PumpBench().ready()
    bench.device.model.lose_answers = 1.0
    bench.until(lambda: bench.said("DIS") and bench.clock.ns - bench.pump.status().at_ns > 800 * MS)
    bench.device.model.lose_answers = 0.0
    bench.pump.start(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    times = [at_ns for at_ns, _ in bench.link.written]
    texts = [text for _, text in bench.link.written]
    first = max(at for at, text in enumerate(texts) if text == "00RAT")
    assert texts[first - 1 : first + 2] == ["00DIS", "00RAT", "00RUN"]
    assert times[first] - times[first - 1] >= bench.settings.answer_ms * MS


CHANGED = [
    pytest.param("00RAT768.0UM", "00RAT168.0UM", id="rate"),
    pytest.param("00RAT768.0UM", "00RAT768.0UH", id="unit"),
    pytest.param("00DIA26.59", "00DIA20.59", id="syringe"),
    pytest.param("00VOL0.000", "00VOL9.000", id="volume"),
    pytest.param("00DIRINF", "00DIRREV", id="direction"),
    pytest.param("00FUNSTP", "00FUNRAT", id="second phase"),
    pytest.param("00PHN2", "00PHN3", id="phase"),
    pytest.param("00PF0", "00PF1", id="power failure"),
]


@pytest.mark.parametrize(("said", "heard"), CHANGED)
def test_a_setting_that_is_changed_on_its_way_is_found(said: str, heard: str) -> None:
    bench = PumpBench()
    bench.link.changed = {said: heard}
    bench.ready()
    assert not bench.link.changed
    memory = bench.device.model.program.memory
    assert memory.diameter_mm == pytest.approx(26.59)
    assert memory.rate_ul_s(memory.phase(1)) == pytest.approx(12.8)
    assert (memory.phase(1).direction, memory.phase(1).volume) == ("INF", 0)
    assert (memory.phase(2).function, memory.power_fail) == ("STP", False)
    assert bench.troubles == []


def test_a_reverse_pulse_is_never_made_twice() -> None:
    bench = PumpBench().ready()
    bench.pump.reverse(20.0, bench.clock.ns)
    bench.until(lambda: bench.said("RUN"))
    bench.device.model.lose_answers = 1.0
    bench.run(300)
    bench.device.model.lose_answers = 0.0
    assert "did not confirm its reverse pulse" in str(bench.troubles[0])
    bench.until(lambda: bench.state is HELD)
    assert bench.said("RUN") == 1
    assert bench.device.model.program.plunger.withdrawn_ul <= 20.0
    bench.pump.resume(bench.clock.ns)
    bench.until(lambda: bench.state is RUNNING)
    assert bench.flow_ul_s == pytest.approx(12.8)


@pytest.mark.parametrize("told", [True, False])
def test_a_port_that_goes_is_a_link_error_and_the_pump_held_when_it_is_back(told: bool) -> None:
    bench = PumpBench().running()
    bench.link.cut = LinkError("the port has gone")
    if told:
        with pytest.raises(LinkError):
            bench.pump.hold(bench.clock.ns)
        assert bench.state is UNKNOWN
    for _ in range(3):
        with pytest.raises(LinkError):
            bench.pump.step(bench.clock.ns)
    assert bench.state is UNKNOWN
    bench.link.cut = None
    bench.until(lambda: bench.state is HELD, 1_000)
    assert bench.flow_ul_s == 0
    assert bench.lies == []


REFUSED = [
    pytest.param(NE1000Settings(diameter_mm=1.0), "out of its range", id="too fast"),
    pytest.param(NE1000Settings(rate_ul_s=1e-5), "out of its range", id="too slow"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_what_the_syringe_cannot_do_is_said_and_held(settings: NE1000Settings, words: str) -> None:
    bench = PumpBench(settings=settings)
    bench.until(lambda: bench.troubles)
    assert words in str(bench.troubles[0])
    bench.until(lambda: bench.state is HELD)
    bench.run(5_000)
    assert len(bench.troubles) == 1
    bench.pump.start(bench.clock.ns)
    bench.until(lambda: len(bench.troubles) == 2)
    assert bench.device.flow_edges == []


@pytest.mark.parametrize("volume_ul", [0.0, -5.0, 0.5, 5_000.0, float("nan")])
def test_what_is_no_pulse_is_refused(volume_ul: float) -> None:
    with pytest.raises(PumpError, match="no reverse pulse"):
        PumpBench().pump.reverse(volume_ul, 0)


@pytest.mark.parametrize("rate_ul_s", [0.0, -5.0, 1e9, float("nan")])
def test_what_is_no_rate_is_refused(rate_ul_s: float) -> None:
    with pytest.raises(PumpError, match="can't be set"):
        PumpBench().pump.set_rate_ul_s(rate_ul_s, 0)
