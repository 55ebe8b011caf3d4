"""A New Era NE-1000 syringe pump as its published manual describes it, stepped in any time.

Written from the manual's facts (RS-232 in Basic mode, status prompts, alarms, which command is
refused when), not from the driver, and where the manual leaves something open, unkind: the first
command after switching on is not heard, nor is anything that comes while it answers; it has a
program of somebody else's in its memory, and goes on with it after a power failure. It says
nothing about a real pump's mechanics: flow starts and ends at once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hardware_sim.dispenser_model import Wire
from hardware_sim.ne1000_program import Program

Obeys = Literal["yes", "no", "says so"]
_COMMAND = re.compile(r"(\d{0,2})(PF|[A-Z]{3}|)(.*)", re.DOTALL)
_NOISE = re.compile(r"[\x00-\x20\x7f]")


class SimNE1000Settings(BaseModel):
    """A simulated NE-1000, its wire, and what may go wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: int = Field(0, ge=0, le=99, description="Network address")
    baud: int = Field(19_200, ge=0, description="10 bits per byte at this rate; 0 for no delay")
    think_ms: float = Field(5.0, ge=0, description="From a command to its answer, ms")
    deaf: bool = Field(True, description="Hears nothing while it thinks and answers")
    wakes: bool = Field(True, description="Does not hear the first command after switching on")
    seed: int = Field(0, ge=0, description="Seed of the faults")
    tcp: bool = Field(False, description="Serve TCP on the loopback instead of a pseudo-terminal")
    obeys: Obeys = Field(
        "yes", description="Fault: whether STP stops it, is ignored, or is only said to stop it"
    )
    lose_answers: float = Field(0.0, ge=0, le=1, description="Fault: share of answers lost")
    lose_commands: float = Field(0.0, ge=0, le=1, description="Fault: share of commands lost")
    garble: float = Field(
        0.0, ge=0, le=1, description="Fault: share of commands and answers with a byte changed"
    )
    stall_after_ul: float | None = Field(
        None, ge=0, description="Fault: stalls once when so much was infused, µL"
    )
    reset_after_s: float | None = Field(
        None, ge=0, description="Fault: its power fails once, so long after the start, s"
    )


class NE1000Model:
    """The pump, its two wires, and its faults.

    Args:
        settings: the pump.
        start_ns: host time at which it is switched on.
        flowed: called with (host ns, µL/s) at each change of the flow; negative withdraws.

    Attributes:
        program: the pump's own logic and its plunger.
        obeys, lose_answers, lose_commands, garble: as in the settings; may be changed at any time.
        heard: commands that reached it, counted.
    """

    def __init__(
        self,
        settings: SimNE1000Settings,
        start_ns: int,
        flowed: Callable[[int, float], None] = lambda _at_ns, _ul_s: None,
    ) -> None:
        self._settings = settings
        self._random = random.Random(f"ne1000 {settings.seed}")
        self.program = Program(start_ns, flowed)
        self.program.power_failed(start_ns)
        self.obeys: Obeys = settings.obeys
        self.lose_answers = settings.lose_answers
        self.lose_commands = settings.lose_commands
        self.garble = settings.garble
        self.heard = 0
        self._to_pump = Wire(settings.baud, 0.0, "to pump")
        self._to_host = Wire(settings.baud, 0.0, "to host")
        self._byte_ns = round(1e10 / settings.baud) if settings.baud else 0
        self._asleep = settings.wakes
        self._text = ""
        self._busy_until_ns = start_ns
        self._stalls_at_ul = settings.stall_after_ul
        after_s = settings.reset_after_s
        self._resets_ns = None if after_s is None else start_ns + round(after_s * 1e9)

    # -- what the world does --------------------------------------------------------------------

    def write(self, data: bytes, now_ns: int) -> None:
        """Bytes of the host enter the wire."""
        for chunk in data.splitlines(keepends=True):
            if self._random.random() >= self.lose_commands:
                self._to_pump.put(self._damage(chunk), now_ns)

    def read(self, now_ns: int) -> bytes:
        """What has come out at the host's end by now."""
        self.run(now_ns)
        data = b""
        while chunk := self._to_host.take(now_ns):
            data += chunk
        return data

    def reset(self, now_ns: int) -> None:
        """Its power fails, and comes back at once."""
        self.run(now_ns)
        self.program.power_failed(now_ns)
        self._asleep, self._text = self._settings.wakes, ""

    def stall(self, now_ns: int) -> None:
        """Its motor stalls, if it moves."""
        self.run(now_ns)
        self.program.stalled(now_ns)

    def press(self, now_ns: int) -> None:
        """Somebody presses its start/stop key."""
        self.run(now_ns)
        self.program.key(now_ns)

    def flow_ul_s(self, now_ns: int) -> float:
        """What it pushes at host time ``now_ns``, µL/s; negative withdraws."""
        self.run(now_ns)
        return self.program.plunger.rate_ul_s

    # -- stepping -------------------------------------------------------------------------------

    def run(self, now_ns: int) -> None:
        """Do all that is due up to host time ``now_ns``, each at its time."""
        while (due_ns := self._acts_ns()) is not None and due_ns <= now_ns:
            self._act(due_ns)
        self.program.plunger.advance(now_ns)

    def due_ns(self) -> int | None:
        """Host time at which it next does something or an answer is out, or None."""
        times = (self._acts_ns(), self._to_host.due_ns())
        return min((one for one in times if one is not None), default=None)

    def _acts_ns(self) -> int | None:
        stalls_ns = (
            None
            if self._stalls_at_ul is None
            else self.program.plunger.reaches_ns(self._stalls_at_ul)
        )
        times = (self._to_pump.due_ns(), self.program.plunger.ends_ns(), stalls_ns, self._resets_ns)
        return min((one for one in times if one is not None), default=None)

    def _act(self, now_ns: int) -> None:
        plunger = self.program.plunger
        plunger.advance(now_ns)
        if self._resets_ns is not None and self._resets_ns <= now_ns:
            self._resets_ns = None
            self.program.power_failed(now_ns)
            self._asleep, self._text = self._settings.wakes, ""
        elif self._stalls_at_ul is not None and plunger.moved_ul >= self._stalls_at_ul:
            self._stalls_at_ul = None
            self.program.stalled(now_ns)
        elif (ends_ns := plunger.ends_ns()) is not None and ends_ns <= now_ns:
            self.program.phase_ended(now_ns)
        else:
            self._hear(self._to_pump.take(now_ns), now_ns)

    def _hear(self, chunk: bytes, now_ns: int) -> None:
        began_ns = now_ns - len(chunk) * self._byte_ns
        if self._settings.deaf and began_ns < self._busy_until_ns:
            return
        self._text += chunk.decode("latin-1")
        if not self._text.endswith("\r"):
            return
        text, self._text = _NOISE.sub("", self._text).upper(), ""
        if self._asleep:
            self._asleep = False
            return
        match = _COMMAND.fullmatch(text)
        assert match is not None
        if int(match[1] or 0) == self._settings.address:
            self.heard += 1
            self._answer(self.program.do(match[2], match[3], now_ns, self.obeys), now_ns)

    def _answer(self, said: str, now_ns: int) -> None:
        answer = f"\x02{self._settings.address:02d}{said}\x03".encode("latin-1")
        out_ns = now_ns + round(self._settings.think_ms * 1e6)
        self._busy_until_ns = out_ns + len(answer) * self._byte_ns
        if self._random.random() >= self.lose_answers:
            self._to_host.put(self._damage(answer), out_ns)

    def _damage(self, chunk: bytes) -> bytes:
        if not self.garble or self._random.random() >= self.garble:
            return chunk
        where, what = self._random.randrange(len(chunk)), self._random.randrange(256)
        return chunk[:where] + bytes((what,)) + chunk[where + 1 :]
