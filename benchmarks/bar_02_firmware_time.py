"""When the firmware moves the gate, against the device time at which it should.

    python -m benchmarks.bar_02_firmware_time [--openings 2000] [--virtual 2000]

The firmware runs in a process of its own behind a real pseudo-terminal (TCP on Windows); the host
sends openings of 5 ms, 50 a second. Each edge of the pin in the gate log is put on the device's
clock and compared with the opening or closing that was asked for. In virtual time the same
openings must be met to the microsecond. An opening that comes too late to be made is left out by
the firmware, which says so (MISSED); its lateness counts as infinite.

This is the timing of a process of a desktop system on this machine. It says nothing about a board,
whose timing must be measured on the board itself.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks._bar import Row, finish
from benchmarks._openings import MS, Fed, feed
from drivers.clock import MonotonicClock
from drivers.dispenser import SerialDispenser
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.dispenser import start_simulated_dispenser
from hardware_sim.dispenser_model import DeviceClock, SimDispenserSettings
from hardware_sim.gate_log import read_gate_log
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_link import VirtualDispenser

MEDIAN_MS, P99_MS = 0.5, 3.0
EVERY_NS, LENGTH_US, AHEAD_NS = 20 * MS, 5_000, 150 * MS
START_NS = 1_000_000_000


def lateness_us(fed: Fed, edges_us: Sequence[int]) -> NDArray[np.float64]:
    """(edges,) µs from the device time that was asked for to that of the pin; infinite for both
    edges of an opening that the firmware left out, as it came to it too late.

    Raises:
        SystemExit: an opening was refused for another reason, or the gate moved another number of
            times.
    """
    missed = [one for one, reason in fed.refused.items() if reason == "MISSED"]
    made = [one for i, one in fed.commands.items() if i not in missed]
    asked = [at for one in made for at in (one.open_us, one.close_us)]
    if len(asked) != len(edges_us) or len(missed) != len(fed.refused):
        print(f"  {len(asked)} edges asked for, {len(edges_us)} made; refused: {fed.refused}")
        sys.exit(1)
    late = np.subtract(edges_us, asked, dtype=np.float64)
    return np.append(late, np.full(2 * len(missed), np.inf))


def in_real_time(n: int) -> NDArray[np.float64]:
    """Lateness of the edges behind a port."""
    clock = MonotonicClock()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gate.jsonl"
        settings = SimDispenserSettings(gate_log=log)
        with start_simulated_dispenser(settings) as device:
            link = SerialLink(SerialLinkSettings(port=device.url))
            with closing(SerialDispenser(link, clock)) as dispenser:
                dispenser.connect()
                dispenser.arm()
                fed = feed(
                    dispenser, clock, n, every_ns=EVERY_NS, length_us=LENGTH_US, ahead_ns=AHEAD_NS
                )
        start, *edges = read_gate_log(log)
    # The log begins when the board's clock does; the counter starts within its own width.
    offset_us = settings.clock_offset_us & ((1 << settings.ticks_bits) - 1)
    device_clock = DeviceClock(start.t_ns, offset_us, settings.clock_drift_ppm)
    return lateness_us(fed, [device_clock.us_at(edge.t_ns) for edge in edges])


def in_virtual_time(n: int) -> NDArray[np.float64]:
    """Lateness of the edges in virtual time."""
    clock = VirtualClock(START_NS)
    device = VirtualDispenser(SimDispenserSettings(), clock)
    with closing(SerialDispenser(device.link, clock, draw_session=lambda: 1)) as dispenser:
        dispenser.connect()
        dispenser.arm()
        fed = feed(dispenser, clock, n, every_ns=EVERY_NS, length_us=LENGTH_US, ahead_ns=AHEAD_NS)
    return lateness_us(fed, [device.device_us(edge[0]) for edge in device.gate_edges])


def quantile_row(late_ms: NDArray[np.float64], share: float, what: str, most_ms: float) -> Row:
    """A quantile with its distribution-free interval (order statistics, binomial)."""
    n = len(late_ms)
    low, high = stats.binom.ppf([0.025, 0.975], n, share).astype(int)
    ranked = np.sort(late_ms)
    interval = float(ranked[max(0, low - 1)]), float(ranked[min(n - 1, high)])
    # One that was measured, as between a number and infinity there is none.
    value = float(ranked[min(n - 1, math.ceil(share * n))])
    return Row(what, n, value, f"<= {most_ms:g}", value <= most_ms, interval)


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--openings", type=int, default=2000)
    parser.add_argument("--virtual", type=int, default=2000)
    given = parser.parse_args(arguments)
    late_us = in_real_time(given.openings)
    virtual_us = in_virtual_time(given.virtual)
    early = int((late_us < 0).sum())
    worst = float(np.abs(virtual_us).max())
    made = np.isfinite(late_us)
    n_made, worst_ms = int(made.sum()), late_us[made].max() / 1e3
    rows = [
        quantile_row(
            late_us / 1e3, 0.5, "behind a pseudo-terminal, median lateness, ms", MEDIAN_MS
        ),
        quantile_row(late_us / 1e3, 0.99, "behind a pseudo-terminal, p99 lateness, ms", P99_MS),
        Row("edges before their time", len(late_us), early, "= 0", early == 0),
        Row("worst of those made, ms", n_made, worst_ms, "reported", True),
        Row("edges left out", len(late_us), len(late_us) - n_made, "reported", True),
        Row("in virtual time, worst, µs", len(virtual_us), worst, "= 0", worst == 0),
    ]
    finish("Firmware's timing (says nothing about a board)", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
