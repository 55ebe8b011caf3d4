"""Each kind of fault does what its name says, at its place and time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hardware_sim.fault_acts import KINDS, NetworkFailed
from hardware_sim.faults import AT_ONCE, MS, Fault, Injector, Kind
from hardware_sim.light_camera import FrameSource, RawFrame, Shown
from sorter.errors import RecordError

LINE = b"PING 0000ABCD 0001*1234\n"
TO_DEVICE = [kind for kind in KINDS.values() if kind.place == "to_device"]


def fault(kind: str, *u: float) -> Fault:
    """One of that kind, as bad as ``u``; 0.5 where nothing is said."""
    a, b, c = (*u, 0.5, 0.5, 0.5)[:3]
    return Fault(0, 0, kind, (a, b, c))


def struck(name: str, *u: float) -> Sequence[tuple[bytes, int, bool]]:
    """What becomes of `LINE`."""
    pieces: Sequence[tuple[bytes, int, bool]] = KINDS[name].act(fault(name, *u), LINE)
    return pieces


class Host:
    """Time that is wasted."""

    def __init__(self) -> None:
        self.held_ns = 0

    def hold(self, ns: int) -> None:
        self.held_ns += ns


class Rig:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []

    def reset_device(self, moment: float, boot_ns: int) -> bool:
        self.done.append(("reset", boot_ns))
        return True

    def step_clock(self, by_us: int) -> bool:
        self.done.append(("step", by_us))
        return True

    def drift_clock(self, by_ppm: float) -> bool:
        self.done.append(("drift", by_ppm))
        return True

    def lose_port(self, for_ns: int) -> bool:
        self.done.append(("port", for_ns))
        return True

    def kill_controller(self, reads: int) -> bool:
        self.done.append(("kill", reads))
        return True

    def hold_up(self, for_ns: int) -> bool:
        self.done.append(("hold", for_ns))
        return True


def test_a_lost_line_or_byte() -> None:
    assert struck("lost_to_device", 0.0) == ()
    [(left, late_ns, waits)] = struck("lost_to_device", 0.9, 0.0)
    assert (left, late_ns, waits) == (LINE[1:], 0, True)


@pytest.mark.parametrize("u", [(0.0, 0.0, 0.0), (0.5, 0.9, 0.5), (0.99, 0.3, 0.99)])
def test_flipped_bits(u: tuple[float, float, float]) -> None:
    [(made, _, _)] = struck("flipped_to_host", *u)
    bits = sum((a ^ b).bit_count() for a, b in zip(made, LINE, strict=True))
    assert 1 <= bits <= 3


def test_a_doubled_byte_and_a_line_that_comes_again() -> None:
    [(made, _, _)] = struck("doubled_to_host", 0.0, 0.0)
    assert made == LINE[:1] + LINE
    first, again = struck("doubled_to_host", 0.9, 0.0, 1.0)
    assert first == (LINE, 0, True)
    assert (again[0], again[2]) == (LINE, False)
    assert again[1] == pytest.approx(3_000 * MS)


def test_a_wire_that_stands_still() -> None:
    assert struck("delayed_to_device", 0.0, 0.0) == ((LINE, MS, True),)
    first, rest = struck("delayed_to_device", 1.0, 0.9, 0.5)
    assert first[0] + rest[0] == LINE
    assert (first[1], rest[1], rest[2]) == (0, 600 * MS, True)


def test_lines_and_bytes_out_of_order() -> None:
    [(line, late_ns, waits)] = struck("reordered_to_device", 0.9)
    assert (line, waits) == (LINE, False)
    assert late_ns >= 5 * MS
    [(made, _, _)] = struck("reordered_to_device", 0.0, 0.0)
    assert made == b"IP" + LINE[2:]


@pytest.mark.parametrize("name", ["ack_lost", "report_lost"])
def test_answers_lost(name: str) -> None:
    assert struck(name) == ()


@pytest.mark.parametrize(
    ("name", "least_ms", "most_ms"), [("slow_inference", 2, 200), ("slow_disk", 0.5, 100)]
)
def test_slow_parts(name: str, least_ms: float, most_ms: float) -> None:
    for u, expected_ms in ((0.0, least_ms), (1.0, most_ms)):
        host = Host()
        KINDS[name].act(fault(name, u), host)
        assert host.held_ns == pytest.approx(expected_ms * MS)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("failing_inference", NetworkFailed),
        ("full_disk", RecordError),
        ("recorder_killed", RecordError),
    ],
)
def test_parts_that_fail(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        KINDS[name].act(fault(name), Host())


def test_what_is_done_to_the_rig() -> None:
    rig = Rig()
    for name in ("device_reset", "clock_drift", "port_gone", "controller_killed", "host_held_up"):
        assert KINDS[name].act(fault(name, 1.0, 0.0), rig)
    assert [what for what, _ in rig.done] == ["reset", "drift", "port", "kill", "hold"]
    by = dict(rig.done)
    assert by["reset"] == 5 * MS
    assert by["drift"] == 150.0
    assert by["kill"] == 12


@pytest.mark.parametrize("u", [(0.0, 0.0, 0.0), (0.0, 1.0, 0.9), (0.9, 1.0, 0.0), (0.9, 0.0, 0.9)])
def test_clock_steps_are_small_or_large(u: tuple[float, float, float]) -> None:
    rig = Rig()
    KINDS["clock_step"].act(fault("clock_step", *u), rig)
    [(_, by_us)] = rig.done
    assert 0 < abs(by_us) <= 500 or 1_000_000 <= abs(by_us) <= 1_200_000_000


class Source:
    """As much of a `FrameSource` as faults touch."""

    def __init__(self) -> None:
        self.held_until_ns = 0
        self.counted = 0
        self.behind: list[RawFrame] = []

    def uncount(self) -> None:
        self.counted -= 1

    def count_again(self) -> None:
        self.counted += 1

    def exchange_times(self, raw: RawFrame) -> RawFrame:
        return raw

    def put_behind_next(self, raw: RawFrame) -> None:
        self.behind.append(raw)


RAW = RawFrame(7, 5, 70 * MS, 80 * MS, Shown((), np.empty((0, 0), np.uint8)))


def through(name: str, *u: float) -> tuple[Source, Sequence[RawFrame]]:
    """A frame that meets a fault."""
    source = Source()
    return source, KINDS[name].act(fault(name, *u), source, RAW)


def test_frames_stall_get_lost_and_come_twice() -> None:
    source, [late] = through("camera_stall", 1.0)
    assert source.held_until_ns == late.received_ns == 580 * MS
    for u, counted in ((0.0, -1), (0.9, 0)):
        source, left = through("frame_lost", u)
        assert (source.counted, len(left)) == (counted, 0)
    for u, counted in ((0.0, 1), (0.9, 0)):
        source, twice = through("frame_repeated", 0.0, u)
        assert [frame.index for frame in twice] == [7, 7]
        assert (source.counted, twice[1].image_number) == (counted, 5 + counted)
    source, left = through("times_out_of_order", 0.9)
    assert (source.behind, len(left)) == ([RAW], 0)


def test_kinds_fit_their_places() -> None:
    assert len(KINDS) == len({kind.name for kind in KINDS.values()})
    assert len(TO_DEVICE) == 5
    assert FrameSource is not None
    for kind in KINDS.values():
        assert kind.weight > 0
        assert kind.states


# -- the injector ------------------------------------------------------------------------------


def injector(log: list[str]) -> Injector:
    """One whose rig is always ``running``, and which notes what acts at once."""

    def act(one: Fault, kind: Kind) -> bool:
        log.append(kind.name)
        return True

    return Injector(KINDS, lambda: "running", act)


def test_faults_strike_at_their_time_in_order() -> None:
    acted: list[str] = []
    made = injector(acted)
    u = (0.5, 0.5, 0.5)
    made.add(30, "port_gone", u)
    made.add(10, "device_reset", u)
    made.add(20, "lost_to_device", u)
    assert made.next_ns == 10
    made.fire(25)
    assert acted == ["device_reset"]
    assert made.next_ns == 30
    assert made.take("to_host", 26) is None
    one = made.take("to_device", 26)
    assert one is not None
    assert (one.kind, one.at_ns) == ("lost_to_device", 20)
    assert made.take("to_device", 27) is None
    assert [(s.fault.kind, s.at_ns, s.changed) for s in made.log] == [
        ("device_reset", 25, True),
        ("lost_to_device", 26, True),
    ]


def test_faults_that_strike_nothing_changed_nothing() -> None:
    made = injector([])
    made.add(10, "frame_lost", (0.5, 0.5, 0.5))
    made.add(99, "port_gone", (0.5, 0.5, 0.5))
    made.fire(20)
    made.close()
    assert [(s.fault.kind, s.changed) for s in made.log] == [
        ("frame_lost", False),
        ("port_gone", False),
    ]
    assert made.next_ns == Injector.NEVER
    assert made.drawn == 2


def test_what_acts_at_once() -> None:
    assert {KINDS[n].place for n in ("device_reset", "port_gone", "host_held_up")} == AT_ONCE
