"""Commands per second over a link at 115,200 baud, acknowledged and reported.

    python -m benchmarks.bar_02_link [--runs 5] [--commands 1200] [--rate-hz 206]

The simulated dispenser runs in a process of its own behind a real pseudo-terminal and lets bytes
through at 10 bits each, both ways. Commands are sent at a steady pace, each for an opening of 80 ms
that begins 120 ms later, as on a rig; openings of one outlet may overlap, and each is reported for
itself. A run's rate is that of the reports: all but the first, over the time from the first to the
last. The interval is Student's, over the runs. Where Windows has no pseudo-terminal, TCP stands for
it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from scipy import stats

from benchmarks._bar import Row, finish
from benchmarks._openings import MS, feed
from drivers.clock import MonotonicClock
from drivers.dispenser import DispenserSettings, SerialDispenser
from drivers.serial_link import SerialLink, SerialLinkSettings
from hardware_sim.dispenser import start_simulated_dispenser
from hardware_sim.dispenser_model import SimDispenserSettings

BAUD = 115_200
LEAST_HZ = 200.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: reports per second, and how many commands were sent, acknowledged, reported."""

    rate_hz: float
    sent: int
    acknowledged: int
    reported: int
    resent: int


def measure(seed: int, n: int, rate_hz: float) -> Measured:
    """One run against a fresh device."""
    clock = MonotonicClock()
    with start_simulated_dispenser(SimDispenserSettings(seed=seed, baud=BAUD)) as device:
        link = SerialLink(SerialLinkSettings(port=device.url))
        settings = DispenserSettings(least_us_per_byte=10e6 / BAUD)
        with closing(SerialDispenser(link, clock, settings)) as dispenser:
            dispenser.connect()
            dispenser.arm()
            fed = feed(
                dispenser,
                clock,
                n,
                every_ns=round(1e9 / rate_hz),
                length_us=80_000,
                ahead_ns=120 * MS,
            )
            resent = dispenser.counters.resent
    if fed.refused:
        print(f"  seed {seed}: refused {fed.refused}")
    times = sorted(fed.reported.values())
    rate_hz = (len(times) - 1) / (times[-1] - times[0]) * 1e9 if len(times) > 1 else 0.0
    return Measured(rate_hz, len(fed.commands), len(fed.acknowledged), len(times), resent)


def rows(runs: Sequence[Measured]) -> list[Row]:
    """What the runs say."""
    rates = [run.rate_hz for run in runs]
    mean_hz = statistics.fmean(rates)
    interval = None
    if len(rates) > 1:
        half = stats.t.ppf(0.975, len(rates) - 1) * stats.sem(rates)
        interval = (mean_hz - float(half), mean_hz + float(half))
    sent = sum(run.sent for run in runs)
    whole = sum(min(run.acknowledged, run.reported) for run in runs)
    return [
        Row("commands/s acknowledged and reported, mean of the runs", len(runs), mean_hz,
            f">= {LEAST_HZ:g}", mean_hz >= LEAST_HZ, interval),
        Row("commands/s, slowest run", len(runs), min(rates), f">= {LEAST_HZ:g}",
            min(rates) >= LEAST_HZ),
        Row("commands acknowledged and reported", sent, whole, f"= {sent}", whole == sent),
        Row("lines said again for want of an answer", sent, sum(run.resent for run in runs),
            "reported only", True),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--commands", type=int, default=1200)
    parser.add_argument("--rate-hz", type=float, default=206.0, help="pace of the sender")
    given = parser.parse_args(arguments)
    runs = [measure(seed, given.commands, given.rate_hz) for seed in range(given.runs)]
    finish(f"Link at {BAUD} baud, real time", rows(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
