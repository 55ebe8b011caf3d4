"""Valid dialogues as scripts: where a fuzzer starts from, so that it gets into deep states."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import drivers.protocol
from drivers.conformance import CASES
from drivers.conformance.dialogue import INTO_PINS, Dialogue, documented
from drivers.ports import Link
from drivers.protocol import frame
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.ne1000 import SimNE1000Settings, VirtualNE1000
from hardware_sim.text_valve import SimTextValveSettings, VirtualTextValve
from hardware_sim.virtual_link import VirtualDispenser
from tests.drivers.dialogues import OUTLETS
from tests.drivers.virtual_time import MS, SteppedClock
from tests.fuzz import firmware, host, ne1000, text_valve
from tests.fuzz.script import Action, Bytes, Passes, Step, write
from tests.fuzz.speech import Speech

_PROTOCOL = Path(drivers.protocol.__file__).with_name("PROTOCOL.md")
_SHORTEST_US = 1


def dialogues() -> list[Dialogue]:
    """All conformance cases, and the dialogues that PROTOCOL.md shows."""
    return [*CASES, *documented(_PROTOCOL.read_text(encoding="utf-8"))]


def for_firmware() -> dict[str, bytes]:
    """What the host says in each dialogue, and what happens to the pins; by the dialogue's name."""
    return {one.name: _whole(one) for one in dialogues()}


def _whole(dialogue: Dialogue) -> bytes:
    script = write(_into(dialogue))
    if script.startswith(firmware.ARMED):
        script = b"#" + script[len(firmware.ARMED) :]
    return b"=%08X\n" % dialogue.start_us + script


def _into(dialogue: Dialogue) -> list[Step]:
    found: list[Step] = []
    now_us = 0
    for line in dialogue.lines():
        time_us, kind, rest = [*line.split(" ", 2), ""][:3]
        if int(time_us) - now_us >= _SHORTEST_US:
            found.append(Passes(int(time_us) - now_us, False))
            now_us = int(time_us)
        if kind == ">":
            found.append(Bytes(frame(rest)))
        elif kind == "raw":
            found.append(Bytes(rest.encode() + b"\n"))
        elif kind in INTO_PINS:
            found.append(Action((kind, *rest.split())))
    # What is queued gets its time.
    found.append(Passes(1_000_000, False))
    return found


# What a caller does, and how long it then waits, ms: recorded against the firmware itself.
_RUNS: dict[str, tuple[tuple[str, int], ...]] = {
    "a command": (("arm", 10), ("send 1 collect 50000 20000", 200)),
    "flow, command, hold": (
        ("arm", 10), ("flow", 20), ("send 1 collect 50000 20000", 20), ("hold", 200),
    ),
    "two outlets, one cancelled": (
        ("arm", 10), ("send 1 collect 50000 20000", 0), ("send 2 recheck 90000 20000", 10),
        ("cancel 2", 300),
    ),
    "rest with commands queued": (
        ("arm", 10), ("send 1 collect 50000 40000", 0), ("send 2 collect 95000 20000", 60),
        ("rest", 300),
    ),
    "stop while open": (
        ("arm", 10), ("flow", 20), ("send 1 collect 30000 90000", 60), ("stop", 100),
        ("arm", 10), ("flow", 100),
    ),
    "late and refused": (("arm", 10), ("send 1 collect 0 20000", 50), ("ask", 50)),
    "light, lines, close": (("arm", 10), ("light 20000 1000", 30), ("lines 1", 30), ("close", 10)),
    "a second of nothing": (("arm", 1_000),),
}  # fmt: skip


class _Recorder:
    """A link that keeps what came over it and when."""

    def __init__(self, link: Link, clock: SteppedClock) -> None:
        self._link = link
        self._clock = clock
        self._kept_ns = clock.now_ns()
        self.steps: list[Step] = []

    def keep(self, step: Step) -> None:
        """A step, after the time since the last one."""
        passed_us = (self._clock.now_ns() - self._kept_ns) // 1_000
        if passed_us:
            self.steps.append(Passes(passed_us, False))
            self._kept_ns += passed_us * 1_000
        self.steps.append(step)

    def read(self) -> bytes:
        data = self._link.read()
        for line in data.splitlines(keepends=True):
            self.keep(Bytes(line))
        return data

    def write(self, data: bytes) -> None:
        self._link.write(data)

    def close(self) -> None:
        self._link.close()


def _record(run: tuple[tuple[str, int], ...]) -> list[Step]:
    clock = SteppedClock()
    device = VirtualDispenser(SimDispenserSettings(outlets=OUTLETS), clock)
    recorder = _Recorder(device.link, clock)
    watched = host.Watched(recorder, clock, Speech())
    watched.dispenser.connect()
    _play(recorder, watched, clock, run)
    return recorder.steps


def armed() -> bytes:
    """The handshake and the cleared stop of each recorded run."""
    return write(_record((("arm", 10),)))


def for_host() -> dict[str, bytes]:
    """What the device says: recorded runs, and each dialogue after a recorded handshake."""
    found = {"handshake": write(_record(()))}
    for name, run in _RUNS.items():
        found[name] = b"#" + write(_record(run)).removeprefix(armed())
    for dialogue in dialogues():
        found[f"answers of: {dialogue.name}"] = b"#\n" + write(_out_of(dialogue))
    return found


def _out_of(dialogue: Dialogue) -> list[Step]:
    found: list[Step] = []
    now_us = 0
    for line in dialogue.lines():
        time_us, kind, rest = [*line.split(" ", 2), ""][:3]
        if int(time_us) > now_us:
            found.append(Passes(int(time_us) - now_us, False))
            now_us = int(time_us)
        words = rest.split("*")[0].split()
        if kind == "<":
            found.append(Bytes(frame(rest)))
        elif words[:1] == ["O"] and len(words) == 6 and words[3] in OUTLETS:
            found.append(Action(("send", str(int(words[2], 16)), words[3], "100000", "20000")))
        elif words[:1] == ["CANCEL"]:
            found.append(Action(("cancel", str(int(words[2], 16)))))
        elif words[:1] and words[0] in ("HOLD", "FLOW", "STOP", "REST"):
            found.append(Action((words[0].lower(),)))
    return found


_VALVE_RUNS = {
    "opens": (("arm", 10), ("send 1 collect 60000 40000", 200)),
    "cancelled, and rest": (
        ("arm", 10), ("send 1 collect 60000 90000", 80), ("cancel 1", 50),
        ("send 2 recheck 60000 90000", 90), ("rest", 200),
    ),
    "two outlets, then stop": (
        ("arm", 10), ("send 1 collect 60000 40000", 5), ("send 2 recheck 200000 90000", 230),
        ("stop", 100),
    ),
    "nothing for a second": (("arm", 1_000),),
}  # fmt: skip


def for_text_valve() -> dict[str, bytes]:
    """What a box says in recorded runs."""
    return {name: write(_record_valve(run)) for name, run in _VALVE_RUNS.items()}


def _record_valve(run: tuple[tuple[str, int], ...]) -> list[Step]:
    clock = SteppedClock()
    device = VirtualTextValve(SimTextValveSettings(strings=text_valve.SETTINGS), clock)
    recorder = _Recorder(device.link, clock)
    watched = text_valve.Watched(recorder, clock, text_valve.Speech(clock))
    watched.valve.connect()
    _play(recorder, watched, clock, run)
    return recorder.steps


_PUMP_RUNS = {
    "start and hold": (("start", 1_500), ("hold", 800), ("resume", 800), ("stop", 500)),
    "reverse": (("start", 1_500), ("hold", 800), ("reverse 20", 3_000)),
    "another rate": (("start", 1_500), ("rate 5", 1_000)),
    "nothing": (("close", 500),),
}


def for_ne1000() -> dict[str, bytes]:
    """What a pump says in recorded runs."""
    return {name: write(_record_pump(run)) for name, run in _PUMP_RUNS.items()}


def _record_pump(run: tuple[tuple[str, int], ...]) -> list[Step]:
    clock = SteppedClock()
    recorder = _Recorder(VirtualNE1000(SimNE1000Settings(), clock).link, clock)
    watched = ne1000.Watched(recorder, clock, ne1000.Speech())
    _wait(watched, clock, 2_000)
    _play(recorder, watched, clock, run)
    return recorder.steps


class _Plays(Protocol):
    def act(self, action: Action) -> None: ...

    def step(self) -> None: ...


def _play(
    recorder: _Recorder, watched: _Plays, clock: SteppedClock, run: tuple[tuple[str, int], ...]
) -> None:
    for what, wait_ms in run:
        action = Action(tuple(what.split()))
        recorder.keep(action)
        watched.act(action)
        _wait(watched, clock, wait_ms)


def _wait(watched: _Plays, clock: SteppedClock, ms: int) -> None:
    for _ in range(ms):
        clock.wait_until(clock.now_ns() + MS)
        watched.step()
