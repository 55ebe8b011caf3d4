"""The estimate of the dispenser's clock: the truth lies inside its bound, and that is tight.

    python -m benchmarks.bar_02_clock [--seeds 0-299] [--duration-s 20]

Driver and firmware in virtual time. The device's clock runs up to 100 ppm fast or slow (the first
two seeds of ten at the ends, the others anywhere between), its start is anywhere on the 32 bits,
and every line is delayed by its own 0.5 to 2.5 ms, each direction for itself. The driver is stepped
every millisecond. A sample is taken every 10 ms from the handshake on: device time as the driver
estimates it for now, and for 0.7 s ahead, where openings are asked for, against the clock's exact
time. Samples of one seed hang together, so seeds are counted too.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks._bar import Row, finish, wilson
from benchmarks._runs import parse_seeds
from drivers.dispenser import SerialDispenser
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.virtual_camera import VirtualClock
from hardware_sim.virtual_link import VirtualDispenser

MS = 1_000_000
START_NS = 1_000_000_000
DRIFT_PPM = 100.0
DELAY_MS, JITTER_MS = 0.5, 2.0
AHEAD_MS = 700
SAMPLE_EVERY = 10
INSIDE, BOUND_US, AFTER_MS = 0.999, 1_500, 10_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """One seed.

    Attributes:
        n: samples.
        now, ahead: how many were inside the bound, for now and for `AHEAD_MS` ahead.
        widest_us: widest bound for now from `AFTER_MS` on.
    """

    n: int
    now: int
    ahead: int
    widest_us: int


def device_of(seed: int) -> SimDispenserSettings:
    """The device of a seed."""
    dice = random.Random(f"clock {seed}")
    drift_ppm = {0: -DRIFT_PPM, 1: DRIFT_PPM}.get(seed % 10, dice.uniform(-DRIFT_PPM, DRIFT_PPM))
    return SimDispenserSettings(
        seed=seed,
        clock_drift_ppm=drift_ppm,
        clock_offset_us=dice.randrange(1 << 32),
        ticks_bits=32,
        baud=0,
        link_delay_ms=DELAY_MS,
        link_jitter_ms=JITTER_MS,
    )


def sample(seed: int, duration_s: float) -> Sampled:
    """Let one pair of clocks run."""
    settings = device_of(seed)
    clock = VirtualClock(START_NS)
    device = VirtualDispenser(settings, clock)
    dispenser = SerialDispenser(device.link, clock, draw_session=lambda: seed + 1)

    def is_inside(at_ns: int) -> bool:
        passed_us = (at_ns - START_NS) * (1 + settings.clock_drift_ppm * 1e-6) / 1e3
        error_us = dispenser.to_device_us(at_ns) - settings.clock_offset_us - passed_us
        return abs(error_us) <= dispenser.clock_bound_us(at_ns)

    dispenser.connect()
    n = now = ahead = widest_us = 0
    for turn in range(int(duration_s * 1e3)):
        clock.wait_until(clock.now_ns() + MS)
        now_ns = clock.now_ns()
        dispenser.step(now_ns)
        if turn >= AFTER_MS:
            widest_us = max(widest_us, dispenser.clock_bound_us(now_ns))
        if turn % SAMPLE_EVERY == 0:
            n += 1
            now += is_inside(now_ns)
            ahead += is_inside(now_ns + AHEAD_MS * MS)
    return Sampled(n, now, ahead, widest_us)


def rows(found: Sequence[Sampled]) -> list[Row]:
    """What the seeds say."""
    n, seeds = sum(one.n for one in found), len(found)
    made = []
    for what, inside in (
        ("now", sum(one.now for one in found)),
        (f"{AHEAD_MS} ms ahead", sum(one.ahead for one in found)),
    ):
        share = inside / n
        made.append(
            Row(f"share of samples inside the bound, {what}", n, share, f">= {INSIDE}",
                share >= INSIDE, wilson(inside, n))
        )  # fmt: skip
    whole = sum(one.now == one.ahead == one.n for one in found)
    made.append(
        Row("share of seeds with every sample inside", seeds, whole / seeds, f">= {INSIDE}",
            whole / seeds >= INSIDE, wilson(whole, seeds))
    )  # fmt: skip
    widest = sorted(one.widest_us for one in found)
    middle = (float(widest[int(0.025 * seeds)]), float(widest[-1 - int(0.025 * seeds)]))
    made.append(
        Row(f"widest bound from {AFTER_MS // 1000} s on, µs (interval: 95 % of seeds)", seeds,
            widest[-1], f"<= {BOUND_US}", widest[-1] <= BOUND_US, middle)
    )  # fmt: skip
    return made


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=parse_seeds, default=tuple(range(300)))
    parser.add_argument("--duration-s", type=float, default=20.0)
    given = parser.parse_args(arguments)
    found = [sample(seed, given.duration_s) for seed in given.seeds]
    finish("Clock of the dispenser, in virtual time", rows(found))


if __name__ == "__main__":
    main(sys.argv[1:])
