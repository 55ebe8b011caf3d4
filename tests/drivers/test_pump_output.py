"""The dispenser's pump-hold output as a pump."""

from __future__ import annotations

import math

import pytest

from drivers.ports import Pump, PumpAbilities, PumpState
from drivers.pump_output import DevicePump
from sorter.errors import LinkError, PumpError
from tests.drivers.virtual_time import START_NS, SteppedClock

HELD, RUNNING, STOPPED, UNKNOWN = (
    PumpState.HELD,
    PumpState.RUNNING,
    PumpState.STOPPED,
    PumpState.UNKNOWN,
)


class Output:
    """An output that says what it was told, and later what the device says of it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.held: bool | None = None
        self.gone = False

    def hold(self, now_ns: int) -> None:
        self._tell("hold", now_ns)

    def flow(self, now_ns: int) -> None:
        self._tell("flow", now_ns)

    def _tell(self, what: str, now_ns: int) -> None:
        if self.gone:
            raise LinkError("the port has gone")
        self.told.append((what, now_ns))


def bench() -> tuple[Output, DevicePump]:
    output = Output()
    return output, DevicePump(output, SteppedClock(), lambda: output.held)


def test_a_contact_has_no_abilities() -> None:
    pump: Pump = bench()[1]
    assert pump.abilities() == PumpAbilities(rate=False, volume=False, reverse=False)
    with pytest.raises(PumpError, match="backwards"):
        pump.reverse(5.0, 1)
    with pytest.raises(PumpError, match="no rate"):
        pump.set_rate_ul_s(5.0, 1)


def test_orders_go_out_at_once() -> None:
    output, pump = bench()
    pump.start(1)
    pump.hold(2)
    pump.resume(3)
    pump.stop(4)
    assert output.told == [("flow", 1), ("hold", 2), ("flow", 3), ("hold", 4)]


STATES = [
    pytest.param("hold", True, HELD, id="held, and says so"),
    pytest.param("hold", False, UNKNOWN, id="held, not yet said"),
    pytest.param("hold", None, UNKNOWN, id="held, nothing said"),
    pytest.param("stop", True, STOPPED, id="stopped"),
    pytest.param("stop", False, UNKNOWN, id="stopped, not yet said"),
    pytest.param("start", False, RUNNING, id="running, and says so"),
    pytest.param("start", True, UNKNOWN, id="told to run, not yet said: never held"),
    pytest.param("start", None, UNKNOWN, id="told to run, nothing said"),
]


@pytest.mark.parametrize(("order", "held", "state"), STATES)
def test_only_what_the_device_says_is_said(order: str, held: bool | None, state: PumpState) -> None:
    output, pump = bench()
    getattr(pump, order)(1)
    output.held = held
    pump.step(9)
    status = pump.status()
    assert status.state is state
    assert status.at_ns == (0 if held is None else 9)
    assert math.isnan(status.rate_ul_s)
    assert math.isnan(status.volume_ul)


def test_without_the_device_s_word_nothing_is_ever_confirmed() -> None:
    pump = DevicePump(Output(), SteppedClock())
    pump.hold(1)
    pump.step(2)
    assert pump.status().state is UNKNOWN


def test_close_holds_once_and_starts_nothing_any_more() -> None:
    output, pump = bench()
    pump.close()
    pump.close()
    assert output.told == [("hold", START_NS)]
    with pytest.raises(PumpError, match="closed"):
        pump.start(1)


def test_close_leaves_the_rest_to_the_watchdog_where_the_port_has_gone() -> None:
    output, pump = bench()
    output.gone = True
    pump.close()
    with pytest.raises(LinkError):
        pump.hold(1)
