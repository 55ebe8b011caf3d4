"""Emergency stop, pump, lines and inputs: the driver against the firmware, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import protocol as wire
from drivers.levels import Levels
from drivers.ports import DispenserEvent, Guarantees, Stopped
from drivers.stop_and_hold import StopAndHold
from hardware_sim.dispenser_model import SimDispenserSettings
from sorter.errors import DispenserError, LinkError
from tests.drivers.virtual_time import SECOND, Bench, Filtered, connected, filtered, flowing


def causes(events: list[DispenserEvent]) -> list[str]:
    return [one.cause for one in events if isinstance(one, Stopped)]


# -- the edge that clears -----------------------------------------------------------------


def test_it_starts_latched_and_held_and_is_armed_by_the_edge() -> None:
    bench = Bench()
    about = bench.dispenser.connect()
    assert (about["estop"], about["held"]) == ("POWER", True)
    assert (bench.device.estop, bench.dispenser.estop) == ("POWER", "POWER")
    bench.dispenser.arm()
    assert (bench.device.estop, bench.dispenser.estop) == ("", "")
    assert bench.device.held
    assert bench.dispenser.held
    bench.dispenser.arm()
    assert bench.run(50) == []


def test_flow_hold_flow() -> None:
    bench = flowing()
    bench.dispenser.hold(bench.clock.ns)
    bench.run(20)
    bench.dispenser.flow(bench.clock.ns)
    bench.run(20)
    assert [held for _, held in bench.device.pump_edges] == [False, True, False]
    assert not bench.dispenser.held
    assert bench.dispenser.counters.resent == 0


def test_nothing_flows_and_nothing_opens_before_it_is_armed() -> None:
    bench = connected()
    with pytest.raises(DispenserError, match="latched \\(POWER\\)"):
        bench.dispenser.flow(bench.clock.ns)
    bench.send(1, 100, 50)
    bench.run(300)
    assert bench.fates() == [(1, "ESTOP")]
    assert bench.moves() == []
    assert bench.device.pump_edges == []


NEED_A_CONNECTION: dict[str, Callable[[Bench], None]] = {
    "arm": lambda bench: bench.dispenser.arm(),
    "hold": lambda bench: bench.dispenser.hold(bench.clock.ns),
    "flow": lambda bench: bench.dispenser.flow(bench.clock.ns),
    "stop": lambda bench: bench.dispenser.stop(bench.clock.ns),
    "rest": lambda bench: bench.dispenser.rest(bench.clock.ns),
    "light": lambda bench: bench.dispenser.light(0, 1, bench.clock.ns),
    "lines": lambda bench: bench.dispenser.lines(
        ready=True, hold=False, fault=False, now_ns=bench.clock.ns
    ),
}


@pytest.mark.parametrize("doing", NEED_A_CONNECTION.values(), ids=NEED_A_CONNECTION)
def test_a_driver_that_is_not_connected(doing: Callable[[Bench], None]) -> None:
    with pytest.raises(DispenserError, match="not connected"):
        doing(Bench())


def test_a_pressed_button_is_named_and_a_released_one_arms() -> None:
    bench = connected(SimDispenserSettings(estop_pressed=True))
    with pytest.raises(DispenserError, match=r"its button is pressed.*Release the emergency stop"):
        bench.dispenser.arm()
    assert bench.device.estop == "POWER"
    bench.device.press_estop(False)
    bench.dispenser.arm()
    assert bench.device.estop == ""


def test_a_stop_that_never_clears_is_a_dispenser_error() -> None:
    bench, link = filtered(lambda line: False)
    bench.device.press_estop()
    bench.run(20)

    def edge_for_pin(data: bytes) -> bytes:
        # A device whose reset input is stuck: it never sees the rise.
        return wire.frame(wire.unframe(data[:-1]).replace(" PIN PIN ", " EDGE PIN "))

    class Stuck(Filtered):
        def read(self) -> bytes:
            lines = super().read().splitlines(keepends=True)
            return b"".join(edge_for_pin(one) if one.startswith(b"S ") else one for one in lines)

    again = bench.driver(Stuck(link, lambda line: False), 0x0BAD0001)
    again.connect()
    with pytest.raises(DispenserError, match=r"stays latched.*wiring"):
        again.arm()


def test_a_device_that_falls_silent_while_it_is_armed_is_a_link_error() -> None:
    bench, link = filtered(lambda line: False)
    link.is_lost = lambda line: True
    with pytest.raises(LinkError, match="no answer"):
        bench.dispenser.arm()


# -- what stops it ------------------------------------------------------------------------


def stops_before_it_rests(bench: Bench) -> None:
    """The pump was held no later than the gate left an outlet, by the pins."""
    held_ns, held = bench.device.pump_edges[-1]
    closed_ns, outlet, _ = bench.device.gate_edges[-1]
    assert held
    assert outlet == "waste"
    assert held_ns <= closed_ns


def test_the_button_stops_all_and_is_told() -> None:
    bench = flowing()
    bench.send(1, 100, 500)
    bench.send(2, 900, 100)
    bench.run(200)
    bench.device.press_estop()
    pressed_ns = bench.clock.ns
    assert causes(bench.run(20)) == ["PIN"]
    stops_before_it_rests(bench)
    assert bench.device.pump_edges[-1][0] == pressed_ns == bench.device.gate_edges[-1][0]
    bench.run(1_000)
    assert bench.fates()[2:] == [(1, "done"), (2, "ESTOP")]
    assert causes(bench.events) == ["PIN"]
    assert bench.dispenser.unsettled == 0
    bench.dispenser.flow(bench.clock.ns)
    bench.run(500)
    assert bench.device.held
    bench.device.press_estop(False)
    bench.dispenser.arm()
    assert bench.device.held
    bench.dispenser.flow(bench.clock.ns)
    bench.run(20)
    assert not bench.device.held
    assert [cause for _, cause in bench.device.stop_edges] == ["", "PIN", ""]


def test_the_host_stops_all() -> None:
    bench = flowing()
    bench.send(1, 100, 500)
    bench.send(2, 900, 100)
    bench.run(200)
    bench.dispenser.stop(bench.clock.ns)
    assert causes(bench.run(1_000)) == ["HOST"]
    stops_before_it_rests(bench)
    assert bench.fates()[2:] == [(1, "done"), (2, "ESTOP")]


def test_silence_stops_all_and_is_told_at_the_next_contact() -> None:
    bench = flowing()
    bench.send(1, 500, 3_000)
    bench.run(100)
    heard_us = bench.device.device_us(bench.clock.ns)
    bench.clock.wait_until(bench.clock.ns + 6 * SECOND)
    assert causes(bench.run(1_000)) == ["WATCHDOG"]
    stops_before_it_rests(bench)
    held_us = bench.device.device_us(bench.device.pump_edges[-1][0])
    assert held_us - heard_us <= 1_000_000
    assert bench.dispenser.counters.watchdog_trips == 1


def test_what_was_cleared_is_not_told_afterwards() -> None:
    bench = connected()
    bench.dispenser.arm()
    bench.clock.wait_until(bench.clock.ns + 6 * SECOND)
    bench.dispenser.arm()
    assert [cause for _, cause in bench.device.stop_edges] == ["", "WATCHDOG", ""]
    assert bench.run(500) == []


@pytest.mark.parametrize("alive", ["flow", "opening", "nothing"])
def test_another_host_finds_it_stopped_where_something_was_alive(alive: str) -> None:
    bench = connected()
    bench.dispenser.arm()
    if alive == "flow":
        bench.dispenser.flow(bench.clock.ns)
    elif alive == "opening":
        bench.send(1, 300, 100)
    bench.run(20)
    about = bench.driver(bench.device.link, 0x0BAD0001).connect()
    assert (about["estop"], about["held"]) == ("" if alive == "nothing" else "SESSION", True)
    assert bench.device.held


def test_close_holds_before_it_rests() -> None:
    bench = flowing()
    bench.send(1, 20, 4_000)
    bench.run(100)
    bench.dispenser.close()
    stops_before_it_rests(bench)
    assert [outlet for _, outlet in bench.moves()] == ["collect", "waste"]


@pytest.mark.parametrize("seed", range(6))
def test_stop_hold_flow_and_close_get_through_a_lossy_wire(seed: int) -> None:
    bench = flowing(SimDispenserSettings(lose_commands=0.5, seed=seed))
    bench.dispenser.hold(bench.clock.ns)
    bench.run(1_000)
    assert bench.device.held
    bench.dispenser.flow(bench.clock.ns)
    bench.run(1_000)
    assert not bench.device.held
    bench.send(1, 300, 100)
    bench.run(200)
    bench.dispenser.stop(bench.clock.ns)
    bench.run(1_000)
    assert causes(bench.events) == ["HOST"]
    assert bench.dispenser.unsettled == 0
    bench.dispenser.arm()
    bench.dispenser.flow(bench.clock.ns)
    bench.run(1_000)
    assert not bench.device.held
    bench.dispenser.close()
    assert bench.device.held
    assert bench.moves() == []


def test_a_word_that_was_lost_is_made_up_for() -> None:
    bench, _ = filtered(lambda line: line.startswith(b"S 0001 0000"))
    bench.dispenser.flow(bench.clock.ns)
    bench.run(700)
    bench.device.press_estop()
    assert causes(bench.run(600)) == ["PIN"]
    assert causes(bench.run(2_000)) == []


def test_a_refusal_that_hints_at_a_stop_is_looked_into_at_once() -> None:
    bench, _ = filtered(lambda line: line.startswith((b"S 0001 0000", b"I ")))
    bench.run(30)
    bench.device.press_estop()
    bench.send(1, 200, 50)
    assert causes(bench.run(30)) == ["PIN"]


def test_a_device_that_never_answers_hold_is_named() -> None:
    bench, link = filtered(lambda line: False)
    link.is_lost = lambda line: line.startswith(b"S ")
    bench.dispenser.hold(bench.clock.ns)
    with pytest.raises(DispenserError, match="does not say whether it holds the pump"):
        bench.run(5_000)


# -- whatever happens ---------------------------------------------------------------------

DOINGS = ["hold", "flow", "stop", "arm", "press", "release", "send", "pause", "silence"]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 400)), max_size=20),
    st.integers(0, 3),
)
def test_it_never_flows_or_opens_while_stopped_whatever_is_lost(
    seed: int, doings: list[tuple[str, int]], lost: int
) -> None:
    bench = connected(SimDispenserSettings(seed=seed, lose_commands=lost / 10))
    bench.dispenser.arm()
    pressed = False
    for number, (doing, ms) in enumerate(doings, start=1):
        now_ns = bench.clock.ns
        if doing in ("hold", "flow", "stop"):
            {"hold": bench.dispenser.hold, "flow": bench.dispenser.flow,
             "stop": bench.dispenser.stop}[doing](now_ns)  # fmt: skip
        elif doing == "arm" and pressed:
            with pytest.raises(DispenserError, match="stays latched"):
                bench.dispenser.arm()
        elif doing == "arm":
            bench.dispenser.arm()
        elif doing in ("press", "release"):
            pressed = doing == "press"
            bench.device.press_estop(pressed)
        elif doing == "send":
            bench.send(number, ms, 50)
        elif doing == "silence":
            bench.clock.wait_until(now_ns + 2 * SECOND)
        bench.run(1 + ms)
    bench.run(2_000)  # the last word may still be on the wire, or be said again
    latched = bench.device.estop
    bench.run(2_000)
    # What the host believes is what is.
    assert (bench.dispenser.estop, bench.dispenser.held) == (bench.device.estop, bench.device.held)
    assert bench.device.estop == latched
    assert bench.dispenser.unsettled == 0
    told = causes(bench.events)
    assert told == [cause for _, cause in bench.device.stop_edges if cause]
    never_while_stopped(bench)
    bench.dispenser.hold(bench.clock.ns)
    bench.run(1_000)
    assert bench.device.held


def never_while_stopped(bench: Bench) -> None:
    """No pin let the pump run or left rest while the stop was latched; each latch held both."""
    device = bench.device
    edges: list[tuple[int, int, str, bool]] = []
    edges += [(ns, 0, "held", held) for ns, held in device.pump_edges]
    edges += [(ns, 1, "rest", outlet == "waste") for ns, outlet, _ in device.gate_edges]
    edges += [(ns, 2, "estop", bool(cause)) for ns, cause in device.stop_edges]
    stands = {"held": True, "rest": True, "estop": True}
    for ns, _, what, stand in sorted(edges, key=lambda edge: edge[0]):
        assert not (stands["estop"] and what != "estop" and not stand), ns
        stands[what] = stand


# -- its parts ----------------------------------------------------------------------------


def test_it_promises_everything() -> None:
    assert Bench().dispenser.guarantees() == Guarantees(True, True, True, True, True)


SAID = {
    # (flow is wanted, what the device says) -> what is said next
    "it flows though it should be held": (False, ("OK", "", False), ["HOLD"]),
    "it is held though it should flow": (True, ("OK", "", True), ["FLOW"]),
    "held as it should be": (False, ("OK", "", True), []),
    "it flows as it should": (True, ("OK", "", False), []),
    "stopped and not held": (True, ("OK", "PIN", False), ["HOLD"]),
    "stopped and held": (True, ("OK", "PIN", True), []),
}


@pytest.mark.parametrize(("flows", "said", "verbs"), SAID.values(), ids=SAID)
def test_the_pump_is_corrected(flows: bool, said: tuple[str, str, bool], verbs: list[str]) -> None:
    levels = Levels(10, 5)
    safety = StopAndHold(1, levels)
    safety.lines(0, 0)
    (safety.flow if flows else safety.hold)(0)
    levels.answered(2)
    safety.take(wire.Said(1, 1, *said), 0)
    lines = [wire.unframe(line[:-1]).split(" ")[0] for line in safety.due(1)]
    assert lines == verbs


def test_an_answer_from_before_the_reset_says_nothing_of_now() -> None:
    safety = StopAndHold(1, Levels(10, 5))
    safety.lines(0, 0)
    safety.reset(0, 0)
    safety.reset(1, 0)
    assert safety.take(wire.Said(1, 3, "OK", "", True), 0) == []
    assert safety.take(wire.Said(1, 1, "OK", "POWER", True), 0) == []
    assert (safety.estop, safety.armed) == ("", True)
    assert safety.take(wire.Said(1, 0, "", "PIN", True), 5) == [Stopped("PIN", 5)]


def test_a_level_out_of_range_is_a_fault_of_ours() -> None:
    safety = StopAndHold(1, Levels(10, 5))
    safety.hold(0)
    with pytest.raises(DispenserError, match="refuses a line of this driver"):
        safety.take(wire.Said(1, 1, "RANGE", "", True), 0)
