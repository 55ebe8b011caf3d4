"""The fuzzers' seeds and findings, replayed; and the oracle itself against firmware with bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.dispenser_session import DispenserSession
from drivers.firmware import core, openings, safety
from drivers.levels import Levels
from tests.drivers.virtual_time import MS, SteppedClock
from tests.fuzz import firmware, host, ne1000, seeds, text_valve
from tests.fuzz.oracle import Violation, checksum
from tests.fuzz.script import steps, write

CORPUS = Path(__file__).with_name("corpus")


def kept(target: str) -> dict[str, bytes]:
    """What the fuzzer of a target has found, by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


FIRMWARE, HOST = kept("firmware"), kept("host")
TEXT_VALVE, NE1000 = kept("text_valve"), kept("ne1000")


@pytest.mark.parametrize("name", FIRMWARE)
def test_firmware_corpus(name: str) -> None:
    firmware.run(FIRMWARE[name])


@pytest.mark.parametrize("name", HOST)
def test_host_corpus(name: str) -> None:
    host.run(HOST[name])


@pytest.mark.parametrize("name", TEXT_VALVE)
def test_text_valve_corpus(name: str) -> None:
    text_valve.run(TEXT_VALVE[name])


@pytest.mark.parametrize("name", NE1000)
def test_ne1000_corpus(name: str) -> None:
    ne1000.run(NE1000[name])


def test_firmware_seeds_reach_deep() -> None:
    watched = [firmware.run(data) for data in seeds.for_firmware().values()]
    assert sum(one.opened > 0 for one in watched) >= 15
    assert sum(one.flowed > 0 for one in watched) >= 10


def test_host_seeds_reach_deep() -> None:
    watched = {name: host.run(data) for name, data in seeds.for_host().items()}
    assert sum(one.settled > 0 for one in watched.values()) >= 20
    assert watched["two outlets, one cancelled"].settled == 2


def test_what_seeds_mean_is_what_they_were_written_from() -> None:
    for data in [seeds.armed(), *seeds.for_host().values()]:
        assert write(list(steps(data, b"#"))) == data


def test_the_kept_handshake_is_what_the_firmware_answers() -> None:
    assert host.ARMED.read_bytes() == seeds.armed()


def test_the_oracles_checksum_is_the_published_one() -> None:
    assert checksum(b"123456789") == 0x29B1


ARMED = b"#\n"
OPENS = b"~O 5EED0001 1 collect 00130D40 00EA60\n"


def _nothing(*_: object) -> None:
    pass


# What is broken in the firmware, and a script in which that must be seen.
BROKEN: dict[str, tuple[object, str, object, bytes]] = {
    "the CRC is not looked at": (
        core, "crc16", lambda line: 0 if line[:2] == b"O " else checksum(line),
        ARMED + OPENS[1:-1] + b"*0000\n+300000",
    ),
    "a late command acts": (
        openings.Openings, "_reason_against", lambda *_: "",
        ARMED + b"~O 5EED0001 1 collect 00100000 00EA60\n+100",
    ),
    "the stop is not latched at first": (
        openings.Openings, "_reason_against", lambda *_: "",
        b"~HELLO 5EED0001 2 3E8\n" + OPENS + b"+300000",
    ),
    "the watchdog does not stop": (
        core.Core, "_trip", lambda self, now: setattr(self, "_tripped", True),
        ARMED + OPENS.replace(b"00130D40", b"001F4000") + b"+1200000",
    ),
    "rest withdraws nothing": (
        openings.Openings, "drop_all", _nothing,
        ARMED + OPENS + b"~REST 5EED0001 0003\n+300000",
    ),
    "a stop holds no pump": (
        safety.Safety, "_hold", _nothing,
        ARMED + b"~FLOW 5EED0001 0003\n~HOLD 5EED0001 0004",
    ),
    "orders overtake": (
        safety.Newest, "has_passed", lambda *_: False,
        ARMED + b"~HOLD 5EED0001 0009\n~FLOW 5EED0001 0008",
    ),
    "an id acts twice": (
        openings.Openings, "cancel", lambda *_: "",
        ARMED + OPENS + b"~CANCEL 5EED0001 1\n+300000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_the_oracle_sees_firmware_that_is_broken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, what, instead, script = BROKEN[name]
    firmware.run(script)
    monkeypatch.setattr(where, what, instead)
    with pytest.raises(Violation):
        firmware.run(script)


def test_the_oracle_sees_a_host_that_opens_after_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    script = b"#\n!send 1 collect 500000 20000\n!rest\n+200000"
    host.run(script)
    monkeypatch.setattr(DispenserSession, "_withdraw_all", _nothing)
    with pytest.raises(Violation, match="nobody asks"):
        host.run(script)


def test_the_oracle_sees_a_host_that_lets_flow_after_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = b"#\n!flow\n!stop\n+200000"
    host.run(script)
    monkeypatch.setattr(Levels, "drop", _nothing)
    with pytest.raises(Violation, match="nobody asked"):
        host.run(script)


def test_text_valve_and_pump_seeds_reach_deep() -> None:
    valves = [text_valve.run(data).reached() for data in seeds.for_text_valve().values()]
    pumps = [ne1000.run(data).reached() for data in seeds.for_ne1000().values()]
    assert sum(one["opened"] for one in valves) == 3
    assert sum(one["started"] for one in pumps) >= 3


def test_the_oracle_sees_a_valve_that_opens_unasked() -> None:
    clock = SteppedClock()
    speech = text_valve.Speech(clock)
    speech.wanted(1, "collect", clock.ns, clock.ns + 50 * MS)
    speech.heard(b"O1\nC1\n?2\n")
    with pytest.raises(Violation):
        speech.heard(b"O2\n")
    clock.wait_until(clock.ns + 50 * MS)
    with pytest.raises(Violation):
        speech.heard(b"O1\n")


def test_the_oracle_sees_a_pump_that_starts_unasked() -> None:
    speech = ne1000.Speech()
    speech.heard(b"00STP\r00\r")
    with pytest.raises(Violation):
        speech.heard(b"00RUN\r")
