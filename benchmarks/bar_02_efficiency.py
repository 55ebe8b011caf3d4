"""Does the watch at the junction measure where objects really went?

    python -m benchmarks.bar_02_efficiency [--seeds 0-9] [--duration-s 60]

The default rig in virtual time, one run for each seed. What the optical gates in the outlets would
have reported is worked out from the simulator's truth (`hardware_sim.passages`: bodies of 25 µm and
more, jitter, 0.5 % missed, false ones, bodies that overlap made one), and given to the watch with
what the controller decided, in order of time. The same runs are watched once more with a valve that
sticks (of every four openings it misses one, and stays open after another one until the next one
ends), so that there is something to find; and two rigs that are wrong about themselves, by 3 % of
the distance to the junction and by 5 ms of the valve's lag, show what the prediction learns. Bodies
are the simulator's; nothing here was measured on a real junction.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks._at_junction import Run, Watched, failing, run, true_outlets, watch
from benchmarks._bar import Row, finish, wilson
from benchmarks._runs import parse_seeds
from hardware_sim.demo_rig import DemoSettings
from hardware_sim.gate_log import GateEdge
from sorter.junction import Seen
from sorter.settings import RigSettings

WITHIN = 0.01
FURTHER = 0.03
SLOWER_MS = 5.0
FLIGHT_S = 0.6


@dataclass(frozen=True, slots=True)
class Pair:
    """Of objects meant for collect: whether they entered it, in truth and as measured, 0 or 1."""

    true: list[int]
    measured: list[int]

    def share_row(self, what: str) -> Row:
        """How far the two shares are apart, with a paired interval."""
        true, measured = float(np.mean(self.true)), float(np.mean(self.measured))
        print(
            f"  {what}: measured {measured:.2%} of {len(self.measured)} "
            f"{_percent(wilson(sum(self.measured), len(self.measured)))}, "
            f"true {true:.2%} of {len(self.true)}"
        )
        off = measured - true
        bar = f"within {WITHIN:g}"
        return Row(f"{what}: measured - true", len(self.true), off, bar, abs(off) <= WITHIN,
                   _paired(self.true, self.measured))  # fmt: skip


def _percent(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.2%}, {interval[1]:.2%}]"


def _paired(true: Sequence[int], measured: Sequence[int]) -> tuple[float, float]:
    """95 % interval of a difference of shares of the same objects (Wald, paired)."""
    off = np.array(measured, float) - np.array(true, float)
    half = 1.959964 * float(off.std()) / len(off) ** 0.5
    return (float(off.mean()) - half, float(off.mean()) + half)


@dataclass(frozen=True, slots=True)
class Watching:
    """A run, what its valve did, and what the watch made of it."""

    run: Run
    valve: Sequence[GateEdge] | None
    watched: Watched

    def seen(self) -> dict[int, str]:
        """Object id -> where it was seen."""
        return {v.object_id: v.outlet for v in self.watched.verdicts if isinstance(v, Seen)}

    def objects(self) -> list[tuple[str, str | None, str | None]]:
        """(meant, true, seen) of objects that count and whose end is known."""
        seen, true = self.seen(), true_outlets(self.run, self.valve)
        specks = {o.id for o in self.run.trace.objects.values() if o.reason == "speck"}
        return [
            (meant, true[number], seen.get(number))
            for number, meant in self.watched.meant.items()
            if number in true and number not in specks
        ]


def efficiency_row(what: str, runs: Sequence[Watching]) -> Row:
    """Seen in collect, of those meant for it, beside what is true."""
    meant = [o for one in runs for o in one.objects() if o[0] == "collect"]
    pair = Pair([o[1] == "collect" for o in meant], [o[2] == "collect" for o in meant])
    return pair.share_row(what)


def own_figure_row(what: str, runs: Sequence[Watching]) -> Row:
    """The mass balance's own efficiency, as a report shows it, beside what is true."""
    rates = [one.watched.balance.efficiency for one in runs]
    n, good = sum(r.n for r in rates), sum(round(r.value * r.n) for r in rates if r.n)
    true = [o[1] == "collect" for one in runs for o in one.objects() if o[0] == "collect"]
    off = good / n - sum(true) / len(true)
    return Row(f"{what}: report's - true", n, off, f"within {WITHIN:g}", abs(off) <= WITHIN)


def balance_row(what: str, runs: Sequence[Watching]) -> Row:
    """In = collect + waste + recheck + lost + under way, in each run."""
    balances = [one.watched.balance for one in runs]
    open_ones = sum(not balance.closes for balance in balances)
    n = sum(balance.entered for balance in balances)
    print(
        f"  {what}: in {n} = "
        + " + ".join(
            f"{name} {sum(b.outlets[name] for b in balances)}" for name in balances[0].outlets
        )
        + f" + lost {sum(b.lost for b in balances)}"
        + f" + under way {sum(b.under_way for b in balances)}; "
        f"unexpected {sum(sum(b.unexpected.values()) for b in balances)} of "
        f"{sum(len(one.watched.passages) for one in runs)} passages"
    )
    return Row(f"{what}: runs whose balance is open", len(runs), open_ones, "= 0", open_ones == 0)


def print_where(runs: Sequence[Watching]) -> None:
    """True and measured places of all objects that count, specks left out."""
    places = Counter((o[1] or "lost", o[2] or "lost") for one in runs for o in one.objects())
    right = sum(n for (true, seen), n in places.items() if true == seen)
    wrong = {f"{true} -> {seen}": n for (true, seen), n in places.items() if true != seen}
    print(f"  true and measured place are the same for {right} of {places.total()}; {wrong}")


def stray_rows(runs: Sequence[Watching]) -> list[Row]:
    """Objects that entered collect and were not meant to: every run with some says so.

    The share of them that is found is printed, and no bar: it counts fragments of one body apart,
    bodies too small for an optical gate, and those within the dark of another one.
    """
    objects = [o for one in runs for o in one.objects() if o[0] != "collect"]
    strays = [o for o in objects if o[1] == "collect"]
    found = sum(o[2] == "collect" for o in strays)
    print(f"  strays found: {found} of {len(strays)} {_percent(wilson(found, len(strays)))}")
    others = [o for o in objects if o[1] != "collect"]
    false = sum(o[2] == "collect" for o in others)
    with_some = [
        one for one in runs if any(o[0] != "collect" and o[1] == "collect" for o in one.objects())
    ]
    told = sum(one.watched.balance.strays > 0 for one in with_some)
    n = len(with_some)
    return [
        Row("sticking valve: runs with strays that say so", n, told, f"= {n}", told == n > 0),
        Row("sticking valve: others taken for strays", len(others), false / max(len(others), 1),
            "<= 0.01", false <= 0.01 * len(others), wilson(false, len(others))),
    ]  # fmt: skip


def false_alarm_row(runs: Sequence[Watching]) -> Row:
    """Strays that a rig in order is said to have, surely (these stop a run)."""
    sure = sum(one.watched.balance.strays for one in runs)
    unsure = sum(one.watched.balance.unsure_strays for one in runs)
    n = sum(one.watched.balance.entered for one in runs)
    true = sum(o[0] != "collect" and o[1] == "collect" for one in runs for o in one.objects())
    print(f"  strays of a rig in order: {sure} sure, {unsure} unsure, {true} true")
    return Row("sure strays beyond the true ones", n, max(0, sure - true), "= 0", sure <= true)


def further(rig: RigSettings) -> RigSettings:
    """It believes the junction nearer than it is by `FURTHER`."""
    distance_um = rig.junction.distance_um / (1 + FURTHER)
    return _with_junction(rig, distance_um=distance_um)


def slow_valve(rig: RigSettings) -> RigSettings:
    """It believes the valve to be faster than it is by `SLOWER_MS`."""
    junction = rig.junction
    return _with_junction(
        rig,
        valve_on_ms=junction.valve_on_ms - SLOWER_MS,
        valve_off_ms=junction.valve_off_ms - SLOWER_MS,
    )


def _with_junction(rig: RigSettings, **values: float) -> RigSettings:
    return rig.model_copy(update={"junction": rig.junction.model_copy(update=values)})


def correction_rows(
    what: str, settings: DemoSettings, adjust: Callable[[RigSettings], RigSettings], true_ms: float
) -> list[Row]:
    """A rig that is wrong about itself: found, and gone from later predictions.

    Args:
        true_ms: how late bodies are by it that an open gate lets in after 0.6 s of flight.
    """
    one = run(settings, adjust)
    before, corrected = watch(one, correcting=False), watch(one)
    found = corrected.correction.correction
    collected = {o: m for o, m in corrected.meant.items() if m == one.rig.outlets.collect}
    late = [ms for o, ms in before.late_ms.items() if o in collected]
    # From where on predictions are corrected by enough passages, and then some.
    after = [ms for o, ms in list(corrected.late_ms.items())[80:] if o in collected]
    shift_ms, sd_ms = (
        1e-6 * found.shift_ns(FLIGHT_S, opened=True),
        1e-6 * found.sd_ns(FLIGHT_S, opened=True),
    )
    print(
        f"  {what}: scale {found.scale:.2%}, delay {found.delay_ns * 1e-6:.1f} ms, opened "
        f"{found.opened_ns * 1e-6:.1f} ms; collected ones late by {np.median(late):.1f} ms before, "
        f"{np.median(after):.1f} ms after"
    )
    left_ms = float(np.median(after))
    return [
        Row(f"{what}: shift learnt for {FLIGHT_S:g} s of flight, ms", found.n, shift_ms,
            f"{true_ms:g} within 3", abs(shift_ms - true_ms) <= 3,
            (shift_ms - 2 * sd_ms, shift_ms + 2 * sd_ms)),
        Row(f"{what}: median lateness left, ms", len(after), left_ms, "within 3 of 0",
            abs(left_ms) <= 3),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Measure, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=parse_seeds, default=parse_seeds("0-9"))
    parser.add_argument("--duration-s", type=float, default=60.0)
    parser.add_argument("--rate-hz", type=float, default=1.0)
    given = parser.parse_args(arguments)
    sound: list[Watching] = []
    stuck: list[Watching] = []
    for seed in given.seeds:
        one = run(DemoSettings(seed=seed, rate_hz=given.rate_hz, duration_s=given.duration_s))
        sound.append(Watching(one, None, watch(one)))
        valve = failing(one.gate, one.rig.outlets.rest, every=4)
        stuck.append(Watching(one, valve, watch(one, valve)))
        print(f"  seed {seed}: {len(one.trace.objects)} objects", flush=True)
    print_where(sound)
    print_where(stuck)
    longer = DemoSettings(
        seed=given.seeds[0], rate_hz=given.rate_hz, duration_s=3 * given.duration_s
    )
    rows = [
        efficiency_row("sort efficiency", sound),
        own_figure_row("sort efficiency", sound),
        balance_row("rig in order", sound),
        false_alarm_row(sound),
        efficiency_row("sticking valve: sort efficiency", stuck),
        balance_row("sticking valve", stuck),
        *stray_rows(stuck),
        *correction_rows("junction 3 % further", longer, further, 1e3 * FURTHER * FLIGHT_S),
        # Of 5 ms, what the liquid's jump makes of it: 117 ms × 5 ms / 100 ms of compliance, a
        # little less by the time that bodies arrive.
        *correction_rows("valve 5 ms slower", longer, slow_valve, SLOWER_MS),
    ]
    finish(f"Measured at the junction, {given.rate_hz:g}/s, {len(sound)} runs", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
