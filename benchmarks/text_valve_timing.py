"""How late a text valve's strings and pins are, in real time: what `timing_error_ms` has to cover.

    python -m benchmarks.text_valve_timing [--baud 9600] [--n 200] [--busy-ms 6]

The driver is stepped as the controller steps it: each turn busy for up to so long, as with a frame.
The box is simulated behind a pseudo-terminal, so its part says nothing about a real box, and the
whole nothing about a computer with other things to do.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np

from drivers.clock import MonotonicClock
from drivers.ports import Command, DispenserEvent, Executed
from drivers.serial_link import SerialLink, SerialLinkSettings
from drivers.text_valve import TextOutlet, TextValve, TextValveSettings
from hardware_sim.dispenser import SimTextValveSettings, start_simulated_dispenser
from hardware_sim.gate_log import read_gate_log

MS = 1_000_000
STRINGS = TextValveSettings(
    outlets=(
        TextOutlet(name="collect", open="O1", close="C1", query="?1", closed="0", opened="1"),
    ),
    settle_ms=0,
)


def drive(valve: TextValve, n: int, busy_ms: float) -> tuple[dict[int, Command], list[Executed]]:
    """Send ``n`` openings of 80 ms, five a second; what was asked, and what was reported."""
    clock, rng = MonotonicClock(), random.Random(1)
    asked: dict[int, Command] = {}
    events: list[DispenserEvent] = []
    next_ns = clock.now_ns()
    while len(asked) < n or valve.unsettled:
        now_ns = clock.now_ns()
        events += valve.step(now_ns)
        if len(asked) < n and now_ns >= next_ns:
            open_us = now_ns // 1_000 + 30_000
            command = Command(len(asked) + 1, "collect", open_us, open_us + 80_000)
            asked[command.id] = command
            valve.send(command, now_ns)
            next_ns = now_ns + 200 * MS
        busy_until_ns = clock.now_ns() + int(rng.uniform(0, busy_ms) * MS)
        while clock.now_ns() < busy_until_ns:
            pass  # as a frame would keep it
        clock.wait_until(clock.now_ns() + MS // 10)
    events += valve.step(clock.now_ns())
    return asked, [one for one in events if isinstance(one, Executed)]


def show(name: str, late_us: list[float]) -> None:
    """One line of the table."""
    q = np.percentile(np.array(late_us) / 1e3, [50, 90, 99, 100])
    print(f"{name:22s} {len(late_us):5d}  " + "  ".join(f"{one:6.2f}" for one in q))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baud", type=int, default=9_600)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--busy-ms", type=float, default=6.0)
    args = parser.parse_args()
    clock = MonotonicClock()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gate.jsonl"
        box = SimTextValveSettings(strings=STRINGS, gate_log=log, baud=args.baud)
        with start_simulated_dispenser(box) as device:
            link = SerialLink(SerialLinkSettings(port=device.url, baud=args.baud))
            valve = TextValve(link, clock, STRINGS, baud=args.baud)
            about = valve.connect()
            valve.arm()
            asked, done = drive(valve, args.n, args.busy_ms)
            valve.close()
        edges = read_gate_log(log)[1:]
    opened = [edge.t_ns / 1e3 for edge in edges if edge.outlet == "collect"]
    closed = [edge.t_ns / 1e3 for edge in edges if edge.outlet != "collect"]
    commands = [asked[one.id] for one in done]
    print(f"baud {args.baud}, busy up to {args.busy_ms:g} ms, answers in {about['answer_us']} us")
    print(f"opened {len(opened)} of {args.n}; {valve.counters}")
    print("late by, ms                n     p50     p90     p99     max")
    pairs = list(zip(done, commands, strict=True))
    show("open string written", [one.opened_us - c.open_us for one, c in pairs])
    show("close string written", [one.closed_us - c.close_us for one, c in pairs])
    show("pin on", [t - c.open_us for t, c in zip(opened, commands, strict=True)])
    show("pin off", [t - c.close_us for t, c in zip(closed, commands, strict=True)])


if __name__ == "__main__":
    main()
