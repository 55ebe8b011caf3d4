"""The driver against the firmware, in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import protocol as wire
from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.ports import Command, Executed
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_link import VirtualDispenser
from sorter.errors import DispenserError, LinkError
from tests.drivers.virtual_time import MS, SECOND, Bench, SteppedClock, armed


def test_connect_says_what_the_device_is() -> None:
    bench = Bench(SimDispenserSettings(outlets=("waste", "collect", "recheck"), queue=9))
    about = bench.dispenser.connect()
    assert about["outlets"] == ("waste", "collect", "recheck")
    assert about["queue"] == 9
    assert about["cause"] == "BOOT"
    assert about["watchdog_ms"] == 1_000


@pytest.mark.parametrize("drift_ppm", [-100.0, 0.0, 100.0])
def test_the_clock_estimate_holds(drift_ppm: float) -> None:
    bench = armed(SimDispenserSettings(clock_drift_ppm=drift_ppm, link_jitter_ms=2.0))
    for _ in range(60):
        bench.run(1_000)
        for ahead_ms in (-300, 0, 700):
            at_ns = bench.clock.ns + ahead_ms * MS
            error_us = bench.dispenser.to_device_us(at_ns) - bench.device.device_us(at_ns)
            assert abs(error_us) <= bench.dispenser.clock_bound_us(at_ns)
            back_ns = bench.dispenser.to_host_ns(bench.dispenser.to_device_us(at_ns))
            assert abs(back_ns - at_ns) <= 2_000
    assert bench.dispenser.drift_ppm == pytest.approx(drift_ppm, abs=60)


def test_a_command_acts_exactly_when_it_says() -> None:
    bench = armed()
    command = bench.send(1, 200, 60)
    bench.run(400)
    assert bench.fates() == [(1, "ack"), (1, "done")]
    assert bench.moves() == [(command.open_us, "collect"), (command.close_us, "waste")]
    done = bench.events[-1]
    assert isinstance(done, Executed)
    assert (done.opened_us, done.closed_us) == (command.open_us, command.close_us)
    assert bench.dispenser.unsettled == 0


def test_the_wrap_of_the_devices_clock_is_not_noticed() -> None:
    near = SimDispenserSettings(clock_offset_us=2**32 - 2_000_000, ticks_bits=32)
    bench = armed(near)
    for one in range(1, 40):
        bench.send(one, 150, 30)
        bench.run(100)
    bench.run(300)
    assert bench.device.device_us(bench.clock.ns) > 2**32
    assert sorted(bench.fates()) == sorted(
        (one, word) for one in range(1, 40) for word in ("ack", "done")
    )


FAULTS = {
    "commands lost": SimDispenserSettings(lose_commands=0.3),
    "acknowledgements lost": SimDispenserSettings(lose_acks=0.7),
    "reports lost": SimDispenserSettings(lose_reports=0.7),
    "all of it": SimDispenserSettings(lose_commands=0.2, lose_acks=0.4, lose_reports=0.4),
}


@pytest.mark.parametrize("device", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_lost_is_said_again_and_acts_once(device: SimDispenserSettings, seed: int) -> None:
    bench = armed(device.model_copy(update={"seed": seed}))
    sent = []
    for one in range(1, 31):
        sent.append(bench.send(one, 400, 40))
        bench.run(100)
    bench.run(3_000)
    assert bench.dispenser.unsettled == 0
    assert sorted(bench.fates()) == sorted(
        (command.id, word) for command in sent for word in ("ack", "done")
    )
    times = [time for command in sent for time in (command.open_us, command.close_us)]
    assert [time for time, _ in bench.moves()] == times
    assert bench.dispenser.counters.resent > 0


def test_late_is_refused_and_never_acts() -> None:
    bench = armed()
    bench.send(1, 2, 50)
    bench.run(500)
    assert bench.fates() == [(1, "LATE")]
    assert bench.moves() == []


def test_conflict_is_refused_and_the_first_stands() -> None:
    bench = armed(SimDispenserSettings(outlets=("waste", "collect", "recheck")))
    bench.send(1, 200, 60)
    bench.send(2, 220, 60, "recheck")
    bench.run(500)
    assert sorted(bench.fates()) == [(1, "ack"), (1, "done"), (2, "CONFLICT")]
    assert [outlet for _, outlet in bench.moves()] == ["collect", "waste"]


def test_a_full_queue_refuses() -> None:
    bench = armed(SimDispenserSettings(queue=2))
    for one in (1, 2, 3):
        bench.send(one, 200 + 100 * one, 50)
    bench.run(700)
    assert (3, "FULL") in bench.fates()
    assert len(bench.moves()) == 4


def test_cancel_before_and_while_open() -> None:
    bench = armed()
    bench.send(1, 200, 100)
    bench.send(2, 500, 100)
    bench.run(230)
    bench.dispenser.cancel(1, bench.clock.ns)
    bench.dispenser.cancel(2, bench.clock.ns)
    bench.run(500)
    assert bench.fates() == [(1, "ack"), (2, "ack"), (1, "done"), (2, "CANCELLED")]
    opened_us, closed_us = (time for time, _ in bench.moves())
    assert 30_000 <= closed_us - opened_us < 50_000
    bench.dispenser.cancel(1, bench.clock.ns)
    assert bench.run(100) == []


@pytest.mark.parametrize("seed", range(4))
def test_cancel_and_rest_get_through_a_lossy_wire(seed: int) -> None:
    bench = armed(SimDispenserSettings(lose_commands=0.4, seed=seed))
    bench.send(1, 400, 100)
    bench.send(2, 700, 100)
    bench.dispenser.cancel(1, bench.clock.ns)
    bench.run(250)
    bench.dispenser.rest(bench.clock.ns)
    bench.run(1_500)
    assert bench.moves() == []
    assert bench.dispenser.unsettled == 0
    # Both may have got in before they were withdrawn; in the end neither may act.
    assert {one for one, word in bench.fates() if word in ("CANCELLED", "RESTED")} == {1, 2}


def test_rest_ends_what_is_open_and_drops_the_rest() -> None:
    bench = armed()
    bench.send(1, 200, 500)
    bench.send(2, 900, 100)
    bench.run(300)
    bench.dispenser.rest(bench.clock.ns)
    rest_us = bench.device.device_us(bench.clock.ns)
    bench.run(1_000)
    assert bench.fates()[2:] == [(1, "done"), (2, "RESTED")]
    ((_, closed),) = bench.moves()[1:]
    assert closed == "waste"
    assert bench.moves()[1][0] - rest_us < 5_000


def test_a_silent_host_finds_the_gate_at_rest_and_is_told() -> None:
    bench = armed()
    bench.send(1, 500, 3_000)
    bench.send(2, 4_000, 500)
    bench.run(100)
    heard_us = bench.device.device_us(bench.clock.ns)
    bench.clock.wait_until(bench.clock.ns + 6 * SECOND)
    bench.run(1_000)
    assert bench.fates() == [(1, "ack"), (2, "ack"), (1, "done"), (2, "WATCHDOG")]
    moves = bench.moves()
    assert [outlet for _, outlet in moves] == ["collect", "waste"]
    assert moves[1][0] - heard_us <= 1_000_000
    assert bench.dispenser.counters.watchdog_trips == 1


def test_close_takes_the_gate_to_rest_and_may_be_said_twice() -> None:
    bench = armed()
    bench.send(1, 20, 4_000)
    bench.run(100)
    bench.dispenser.close()
    bench.dispenser.close()
    assert [outlet for _, outlet in bench.moves()] == ["collect", "waste"]


def test_state_can_be_asked_for() -> None:
    bench = armed()
    bench.send(1, 50, 20)
    bench.run(200)
    bench.dispenser.ask_state(bench.clock.ns)
    bench.run(30)
    state = bench.dispenser.last_state
    assert state is not None
    assert (state.accepted, state.executed, state.last_id, state.moves) == (1, 1, 1, 2)
    assert (state.gate, state.cause) == ("waste", "POWER")


def test_a_second_host_ends_the_first_ones_session() -> None:
    bench = armed()
    other = bench.driver(bench.device.link, 0x0BAD0001)
    bench.send(1, 300, 50)
    other.connect()
    with pytest.raises(DispenserError, match="forgotten this session"):
        bench.run(1_000)
    assert bench.moves() == []


def test_a_nonce_that_the_device_remembers_is_drawn_again() -> None:
    bench = armed()
    assert bench.driver(bench.device.link, 0x0BAD0001).connect()["cause"] == "SESSION"
    again = bench.driver(bench.device.link, 0x5EED0001)
    assert again.connect()["session"] == 0x5EED0002


def test_a_silent_device_is_a_link_error() -> None:
    bench = Bench(SimDispenserSettings(silent=True))
    with pytest.raises(LinkError, match="no answer"):
        bench.dispenser.connect()
    bench = armed(SimDispenserSettings(silent_after_s=2.0))
    with pytest.raises(LinkError, match="silent for"):
        bench.run(5_000)
    bench.dispenser.close()


def test_a_device_that_never_reports_is_a_dispenser_error() -> None:
    bench = armed(SimDispenserSettings(lose_reports=1.0))
    bench.send(1, 100, 50)
    with pytest.raises(DispenserError, match="neither refused nor reported command 1"):
        bench.run(10_000)


class Scripted:
    """A link whose device answers every line with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._waiting = b""

    def write(self, data: bytes) -> None:
        self._waiting += self._answer

    def read(self) -> bytes:
        data, self._waiting = self._waiting, b""
        return data

    def close(self) -> None:
        self._waiting = b""


STRANGERS = {
    "another protocol": (b"ok\r\n", "does not speak"),
    "another version": (wire.encode(wire.Nak(0x0001, 0, "VERSION")), "VERSION"),
    "noise without line ends": (b"\x00\xff" * 400, "does not speak"),
}


@pytest.mark.parametrize(("answer", "message"), STRANGERS.values(), ids=STRANGERS)
def test_what_is_no_dispenser_is_a_dispenser_error(answer: bytes, message: str) -> None:
    bench = Bench()
    stranger = bench.driver(Scripted(answer), 0x5EED0001)
    with pytest.raises(DispenserError, match=message):
        stranger.connect()


WRONG = {
    "rest outlet": Command(1, "waste", 10**9, 10**9 + 1000),
    "no such outlet": Command(1, "sewer", 10**9, 10**9 + 1000),
    "no length": Command(1, "collect", 10**9, 10**9),
    "too long": Command(1, "collect", 10**9, 10**9 + 5_000_001),
    "id 0": Command(0, "collect", 10**9, 10**9 + 1000),
    "id of 33 bits": Command(1 << 32, "collect", 10**9, 10**9 + 1000),
}


@pytest.mark.parametrize("command", WRONG.values(), ids=WRONG)
def test_commands_that_cannot_be(command: Command) -> None:
    bench = armed()
    with pytest.raises(DispenserError):
        bench.dispenser.send(command, bench.clock.ns)
    assert bench.run(100) == []


def test_an_id_in_use_and_a_driver_that_is_not_connected() -> None:
    bench = Bench()
    with pytest.raises(DispenserError, match="not connected"):
        bench.dispenser.send(Command(1, "collect", 1, 2), bench.clock.ns)
    bench.dispenser.connect()
    bench.send(1, 200, 50)
    with pytest.raises(DispenserError, match="in use"):
        bench.send(1, 200, 50)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(["send", "cancel", "rest", "pause"]),
            st.integers(1, 12),
            st.integers(-5, 300),
            st.integers(1, 80),
            st.sampled_from(["collect", "recheck"]),
        ),
        max_size=25,
    ),
    st.integers(0, 3),
)
def test_every_command_is_settled_once_whatever_is_lost(
    seed: int, doings: list[tuple[str, int, int, int, str]], lost: int
) -> None:
    bench = armed(
        SimDispenserSettings(
            outlets=("waste", "collect", "recheck"),
            seed=seed,
            lose_commands=lost / 10,
            lose_acks=lost / 10,
            lose_reports=lost / 10,
        )
    )
    sent: dict[int, Command] = {}
    for number, (doing, back, ahead_ms, length_ms, outlet) in enumerate(doings, start=1):
        if doing == "send":
            sent[number] = bench.send(number, ahead_ms, length_ms, outlet)
        elif doing == "cancel":
            bench.dispenser.cancel(max(1, number - back), bench.clock.ns)
        elif doing == "rest":
            bench.dispenser.rest(bench.clock.ns)
        bench.run(length_ms if doing == "pause" else 3)
    bench.run(3_000)
    assert bench.dispenser.unsettled == 0
    ends = [(one, word) for one, word in bench.fates() if word != "ack"]
    assert sorted(one for one, _ in ends) == sorted(sent)
    # Wherever the gate stood off rest, a command that was reported as done covers it.
    done = [sent[one] for one, word in ends if word == "done"]
    moves = [*bench.moves(), (bench.device.device_us(bench.clock.ns), "")]
    for (from_us, outlet), (to_us, _) in pairwise(moves):
        if outlet != "waste":
            covering = [one for one in done if one.outlet == outlet]
            assert any(one.open_us == from_us for one in covering)
            assert all(
                any(one.open_us <= time_us < one.close_us for one in covering)
                for time_us in range(from_us, to_us, 997)
            )


def test_the_same_seed_gives_the_same_trace() -> None:
    def trace() -> tuple[list[tuple[int, str, int]], list[object]]:
        bench = armed(SimDispenserSettings(seed=5, lose_acks=0.3, link_jitter_ms=1.0))
        for one in range(1, 20):
            bench.send(one, 150, 30)
            bench.run(70)
        return bench.device.gate_edges, list(bench.events)

    assert trace() == trace()


def test_a_link_can_be_taken_over_after_a_break() -> None:
    bench = armed()
    bench.send(1, 300, 50)
    bench.run(20)
    again = bench.driver(bench.device.link, 0x0BAD0001)
    about = again.connect()
    # An opening was alive: that is no state to go on from unasked.
    assert (about["cause"], about["estop"], about["held"]) == ("SESSION", "SESSION", True)
    again.arm()
    bench.dispenser = again
    bench.events.clear()
    command = bench.send(1, 300, 50)
    bench.run(600)
    assert bench.fates() == [(1, "ack"), (1, "done")]
    assert bench.moves() == [(command.open_us, "collect"), (command.close_us, "waste")]


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="extra"):
        DispenserSettings.model_validate({"watchdog": 5})


def test_a_random_nonce_is_never_zero() -> None:
    clock = SteppedClock()
    device = VirtualDispenser(SimDispenserSettings(), clock)
    assert 0 < SerialDispenser(device.link, clock).connect()["session"] < 2**32
