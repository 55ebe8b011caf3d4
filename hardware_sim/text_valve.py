"""A valve box with text commands, such as labs build from an Arduino: stepped, and what goes wrong.

It acts on a string when it has read it, and not before: no clock, no queue, no watchdog. Behind a
port in real time it is served by `hardware_sim.dispenser`; in virtual time by `VirtualTextValve`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from drivers.ports import Clock
from drivers.text_valve_settings import TextOutlet, TextValveSettings
from hardware_sim.dispenser_model import SimDispenserSettings, Valve, Wire

_MS = 1_000_000
_LONGEST_LINE = 64


class SimTextValveSettings(BaseModel):
    """A simulated valve box: its strings, its valve, its wire, and what may go wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strings: TextValveSettings = Field(description="What it understands and answers")
    seed: int = Field(0, ge=0, description="Seed of jitter and faults")
    valve_on_ms: float = Field(25.0, ge=0, description="From pin to liquid, leaving rest, ms")
    valve_off_ms: float = Field(15.0, ge=0, description="From pin to liquid, back to rest, ms")
    valve_jitter_ms: float = Field(
        3.0, ge=0, description="Half width of the even spread of both, ms"
    )
    baud: int = Field(
        9_600, ge=0, description="The wire takes 10 bits per byte at this rate; 0 for no delay"
    )
    loop_ms: float = Field(
        1.0, ge=0, description="Its program looks at the wire so often; even spread up to this, ms"
    )
    boot_ms: float = Field(
        0.0, ge=0, description="It hears nothing for so long after it was switched on, ms"
    )
    tcp: bool = Field(False, description="Serve TCP on the loopback instead of a pseudo-terminal")
    gate_log: Path | None = Field(None, description="File for what the gate did, JSON lines")
    silent: bool = Field(False, description="Fault: it acts, but never answers")
    dead_after_s: float | None = Field(
        None, ge=0, description="Fault: it neither acts nor answers from so long after the start, s"
    )
    slow_ms: float = Field(0.0, ge=0, description="Fault: it acts and answers later by this, ms")
    lose: float = Field(0.0, ge=0, le=1, description="Fault: share of lines lost, each way")
    garble: float = Field(
        0.0, ge=0, le=1, description="Fault: share of lines with one wrong character, each way"
    )
    ignored_closes: int = Field(
        0, ge=0, description="Fault: so many close strings do nothing, from the first opening on"
    )
    echo: bool = Field(False, description="It sends back every command that it reads")

    def valve(self) -> Valve:
        """Its valve: the same model as the other dispenser's."""
        return Valve(
            SimDispenserSettings(
                seed=self.seed,
                valve_on_ms=self.valve_on_ms,
                valve_off_ms=self.valve_off_ms,
                valve_jitter_ms=self.valve_jitter_ms,
            )
        )

    @property
    def outlets(self) -> tuple[str, ...]:
        """Names, rest first."""
        return (self.strings.rest, *(one.name for one in self.strings.outlets))


class TextBox:
    """The box: bytes in, pins and bytes out.

    One valve stands for all its outlets: the one that was opened last and is not closed, or rest.

    Args:
        settings: the box.
        start_ns: host time at which it is switched on.
        host_ns: host time, as the box runs on it.
        switched: called with (host ns of the pin, outlet, host ns of the liquid) at each move.

    Attributes:
        out: bytes on their way to the host. incoming: bytes on their way from the host.
        ignored: close strings that it has ignored so far.
    """

    def __init__(
        self,
        settings: SimTextValveSettings,
        start_ns: int,
        host_ns: Callable[[], int],
        switched: Callable[[int, str, int], None],
    ) -> None:
        self._settings = settings
        self._start_ns = start_ns
        self._host_ns = host_ns
        self._switched = switched
        self._valve = settings.valve()
        self._random = random.Random(f"text valve {settings.seed}")
        self._end = settings.strings.terminator
        self.out = Wire(settings.baud, 0.0, f"to host {settings.seed}")
        self.incoming = Wire(settings.baud, 0.0, f"to device {settings.seed}")
        self._buffer = ""
        self._read: deque[tuple[int, str]] = deque()
        self._open: list[int] = []
        self._at = 0
        self._ever_opened = False
        self.ignored = 0

    def take(self, data: bytes, now_ns: int) -> None:
        """Bytes of the host enter the wire."""
        self.incoming.put(data, now_ns)

    def run(self, now_ns: int) -> None:
        """Read what has arrived, do what is due."""
        while chunk := self.incoming.take(now_ns):
            if self._lives(now_ns):
                self._buffer += chunk.decode("ascii", "replace")
                self._cut(now_ns)
        while self._read and self._read[0][0] <= now_ns:
            self._obey(self._read.popleft()[1])

    def due_ns(self) -> int | None:
        """Host time at which it next has something to do, or None."""
        times = [self.incoming.due_ns(), self._read[0][0] if self._read else None]
        return min((one for one in times if one is not None), default=None)

    def power_off(self) -> None:
        """Without power the valve falls back."""
        self.set_gate(0)

    def set_gate(self, outlet: int) -> None:
        """Switch the pins: 0 for all off."""
        self._open = [outlet] if outlet else []
        self._switch()

    def _lives(self, now_ns: int) -> bool:
        age_ns = now_ns - self._start_ns
        dead_s = self._settings.dead_after_s
        dead = dead_s is not None and age_ns >= dead_s * 1e9
        return age_ns >= self._settings.boot_ms * _MS and not dead

    def _cut(self, now_ns: int) -> None:
        """Whole commands of the buffer, to be obeyed when the box's program comes round to it."""
        commands: list[str] = []
        if self._end:
            *commands, self._buffer = self._buffer.split(self._end)
            self._buffer = self._buffer[-_LONGEST_LINE:]
        else:
            known = [text for one in self._settings.strings.outlets for text in one.commands]
            while self._buffer:
                found = [text for text in known if self._buffer.startswith(text)]
                if not found and any(text.startswith(self._buffer) for text in known):
                    break
                commands += found[:1]
                self._buffer = self._buffer[len(found[0]) if found else 1 :]
        for command in commands:
            said = self._spoilt(command)
            if said is not None:
                later_ms = self._settings.slow_ms + self._random.uniform(0, self._settings.loop_ms)
                last_ns = self._read[-1][0] if self._read else 0
                self._read.append((max(last_ns, now_ns + round(later_ms * _MS)), said))

    def _obey(self, command: str) -> None:
        if self._settings.echo:
            self._say(command)
        asked: TextOutlet | None = None
        for number, outlet in enumerate(self._settings.strings.outlets, start=1):
            if command == outlet.open:
                self._ever_opened = True
                self._open = [*(one for one in self._open if one != number), number]
            elif command == outlet.close and not self._ignores(number):
                self._open = [one for one in self._open if one != number]
            elif command == outlet.query and (asked is None or number in self._open):
                asked = outlet
        self._switch()
        if asked is not None:
            number = 1 + self._settings.strings.outlets.index(asked)
            self._say(str(asked.opened if number in self._open else asked.closed))

    def _ignores(self, number: int) -> bool:
        if self._ever_opened and self.ignored < self._settings.ignored_closes:
            self.ignored += 1
            return True
        return False

    def _switch(self) -> None:
        at = self._open[-1] if self._open else 0
        if at == self._at:
            return
        self._at = at
        now_ns = self._host_ns()
        outlet = self._settings.outlets[at]
        self._switched(now_ns, outlet, self._valve.effective_ns(now_ns, at))

    def _say(self, text: str) -> None:
        said = self._spoilt(text)
        now_ns = self._host_ns()
        if said is not None and not self._settings.silent and self._lives(now_ns):
            self.out.put(f"{said}\r\n".encode("ascii", "replace"), now_ns)

    def _spoilt(self, text: str) -> str | None:
        """The line as it comes through; None when it is lost."""
        if self._settings.lose and self._random.random() < self._settings.lose:
            return None
        if self._settings.garble and self._random.random() < self._settings.garble:
            place = self._random.randrange(len(text) or 1)
            return f"{text[:place]}~{text[place + 1 :]}"
        return text


class VirtualTextValve:
    """The box in virtual time, stepped exactly when it has something to do.

    Args:
        settings: the box; ``tcp`` and ``gate_log`` are not used.
        clock: virtual host time; the box is switched on at its now.

    Attributes:
        link: the host's end of the wire; a read advances the box to the clock's now.
        gate_edges: (host ns of the pin, outlet, host ns of the liquid), oldest first.
    """

    def __init__(self, settings: SimTextValveSettings, clock: Clock) -> None:
        self._now_ns = clock.now_ns()
        self.gate_edges: list[tuple[int, str, int]] = []
        self.box = TextBox(settings, self._now_ns, lambda: self._now_ns, self._note)
        self.link = VirtualTextLink(self, clock)

    def advance(self, now_ns: int) -> None:
        """Let the box do all that is due up to host time ``now_ns``, each at its time."""
        while (due_ns := self.box.due_ns()) is not None and due_ns <= now_ns:
            self._now_ns = max(self._now_ns, due_ns)
            self.box.run(self._now_ns)
        self._now_ns = max(self._now_ns, now_ns)

    def due_ns(self) -> int | None:
        """Host time at which the box next does something, its answers included, or None."""
        times = [one for one in (self.box.due_ns(), self.box.out.due_ns()) if one is not None]
        return min(times, default=None)

    def _note(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        self.gate_edges.append((switched_ns, outlet, effective_ns))


class VirtualTextLink:
    """`drivers.ports.Link` of a `VirtualTextValve`."""

    def __init__(self, valve: VirtualTextValve, clock: Clock) -> None:
        self._valve = valve
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Put ``data`` on the wire now."""
        now_ns = self._clock.now_ns()
        self._valve.advance(now_ns)
        self._valve.box.take(data, now_ns)

    def read(self) -> bytes:
        """What has come back by now."""
        now_ns = self._clock.now_ns()
        self._valve.advance(now_ns)
        data = b""
        while chunk := self._valve.box.out.take(now_ns):
            data += chunk
        return data

    def close(self) -> None:
        """Nothing is held."""
