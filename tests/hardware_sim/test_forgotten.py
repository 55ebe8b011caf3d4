"""Which commands a host forgot, by what it wrote."""

from __future__ import annotations

import pytest

from drivers import protocol as wire
from drivers.dispenser_settings import DispenserSettings
from drivers.ports import Command
from hardware_sim.campaign_parts import Sent
from hardware_sim.forgotten import forgotten

MS = 1_000_000
SETTINGS = DispenserSettings(resend_ms=30, report_ms=300)
# Sent at 1,000 ms; opens 40 ms later for 60 ms. The device's clock is elsewhere.
SENT = Sent(Command(7, "collect", 5_040_000, 5_100_000), 1_000 * MS, 5_000_000, 100, 0)
OPEN = wire.encode(wire.Open(9, 7, "collect", 5_040_000, 60_000))
CANCEL = wire.encode(wire.Cancel(9, 7))
OTHER = wire.encode(wire.Open(9, 8, "collect", 5_040_000, 60_000))

CASES: dict[str, tuple[list[tuple[int, bytes]], int, bool]] = {
    "its report may still come": ([(1_000, OPEN)], 1_900, False),
    "its report should have come": ([(1_000, OPEN)], 2_100, True),
    "it is asked about again": ([(1_000, OPEN), (1_400, OPEN), (1_900, OPEN)], 2_100, False),
    "it was, and no more": ([(1_000, OPEN), (1_400, OPEN), (1_900, OPEN)], 2_800, True),
    "it is withdrawn, again and again": ([(1_000, OPEN), (1_900, CANCEL)], 2_100, False),
    "only another is asked about": ([(1_000, OPEN), (2_000, OTHER)], 2_100, True),
    "damaged lines say nothing": ([(1_000, OPEN), (2_000, b"garbage")], 2_100, True),
}


@pytest.mark.parametrize(("wrote_ms", "ended_ms", "wrong"), CASES.values(), ids=CASES)
def test_forgotten(wrote_ms: list[tuple[int, bytes]], ended_ms: int, wrong: bool) -> None:
    wrote = [(at_ms * MS, line) for at_ms, line in wrote_ms]
    found = forgotten([SENT], {7}, wrote, ended_ms * MS, SETTINGS)
    assert bool(found) is wrong
    assert forgotten([SENT], set(), wrote, ended_ms * MS, SETTINGS) == []
