"""The pumping program of a simulated NE-1000: which command does what, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable

from hardware_sim.ne1000_memory import VOLUMES, Memory, Phase, RefusedError, read_float, show_float
from hardware_sim.ne1000_plunger import Plunger

_MOVING = "IWX"
_OPERATING = "IWXPTU"
_PURGE_UL_S = 400.0


class Program:
    """State, memory and plunger.

    Args:
        start_ns: host time at which it is made.
        flowed: called with (host ns, µL/s) at each change of the flow.

    Attributes:
        prompt: its state, as the manual's letter.
        alarm: the alarm that no one has been told of yet, or empty.
    """

    def __init__(self, start_ns: int, flowed: Callable[[int, float], None]) -> None:
        self.memory = Memory()
        self.plunger = Plunger(start_ns, flowed)
        self.prompt = "S"
        self.alarm = ""
        self._selected = 1
        self._at_phase = 1
        self._left_ul: float | None = None
        # A rate set while it pumps is not stored.
        self._rate_now: float | None = None
        self._commands: dict[str, Callable[[str, int], str]] = {
            "": self._status,
            "RUN": self._run,
            "STP": self._stop,
            "PUR": self._purge,
            "DIA": self._diameter,
            "RAT": self._rate,
            "VOL": self._volume,
            "DIR": self._direction,
            "PHN": self._phase_number,
            "FUN": self._function,
            "DIS": self._dispensed,
            "CLD": self._clear,
            "PF": self._power_fail,
            "VER": lambda _text, _now_ns: "NE1000V3.919",
        }

    # -- what happens to it -----------------------------------------------------------------------

    def power_failed(self, now_ns: int) -> None:
        """Off and on again."""
        ran = self.prompt in _MOVING
        self.plunger.move(0.0, now_ns)
        self.plunger.infused_ul = self.plunger.withdrawn_ul = 0.0
        self.prompt, self.alarm = "S", "R"
        self._selected, self._left_ul, self._rate_now = 1, None, None
        if ran and self.memory.power_fail:
            self._start(1, now_ns)

    def stalled(self, now_ns: int) -> None:
        """The motor can't turn."""
        if self.plunger.rate_ul_s:
            self.plunger.move(0.0, now_ns)
            self.prompt, self.alarm, self._left_ul = "S", "S", None

    def phase_ended(self, now_ns: int) -> None:
        """The volume of the phase has been moved; on with the next."""
        self._start(self._at_phase + 1, now_ns)

    def key(self, now_ns: int) -> None:
        """Start/stop."""
        if self.prompt in _OPERATING:
            self._stop("", now_ns)
        else:
            self._run("", now_ns)

    def do(self, name: str, text: str, now_ns: int, obeys: str) -> str:
        """Carry out a command; the answer from its status on."""
        if self.alarm:
            # An alarm is told in answer to any command, which does nothing else.
            alarm, self.alarm = self.alarm, ""
            return f"A?{alarm}"
        if name == "STP" and self.plunger.rate_ul_s and obeys != "yes":
            if obeys == "says so":
                self.prompt = "P" if self.prompt in _MOVING else "S"
            return self.prompt
        command = self._commands.get(name)
        try:
            if command is None:
                raise RefusedError("")
            data = command(text, now_ns)
        except RefusedError as error:
            return f"{self.prompt}?{error.code}"
        return self.prompt + data

    # -- commands -------------------------------------------------------------------------------

    def _status(self, text: str, _now_ns: int) -> str:
        if text:
            raise RefusedError("")
        return ""

    def _run(self, text: str, now_ns: int) -> str:
        if self.prompt == "P" and not text:
            phase = self._phase
            self.prompt = "I" if phase.direction == "INF" else "W"
            self.plunger.move(self._signed(phase), now_ns, at_most_ul=self._left_ul)
        elif self.prompt == "S":
            self._start(int(read_float(text)) if text else 1, now_ns)
        else:
            raise RefusedError("NA")
        return ""

    def _stop(self, _text: str, now_ns: int) -> str:
        if self.prompt == "S" and not self.plunger.rate_ul_s:
            raise RefusedError("NA")
        if self.prompt in "PS":
            self.prompt, self._left_ul, self._rate_now, self._at_phase = "S", None, None, 1
        else:
            self._left_ul = self.plunger.left_ul(now_ns)
            self.prompt = "P"
        self.plunger.move(0.0, now_ns)
        return ""

    def _purge(self, _text: str, now_ns: int) -> str:
        self._only_stopped()
        self.prompt = "X"
        self.plunger.move(_PURGE_UL_S, now_ns)
        return ""

    def _diameter(self, text: str, _now_ns: int) -> str:
        if not text:
            return show_float(self.memory.diameter_mm)
        self._only_stopped()
        self.memory.set_diameter(text)
        self.plunger.infused_ul = self.plunger.withdrawn_ul = 0.0
        return ""

    def _rate(self, text: str, now_ns: int) -> str:
        phase = self._phase if self.prompt in _OPERATING else self.memory.phase(self._selected)
        if phase.function != "RAT":
            raise RefusedError("NA")
        if not text:
            shown = phase.rate if self._rate_now is None else self._rate_now
            return show_float(shown) + phase.rate_unit
        rate, unit = self.memory.read_rate(text, phase.rate_unit)
        if self.prompt not in _OPERATING:
            phase.rate, phase.rate_unit = rate, unit
            return ""
        if text[-1].isalpha():
            raise RefusedError("NA")
        self._rate_now = rate
        if self.prompt in "IW":
            self.plunger.change(self._signed(phase), now_ns)
        return ""

    def _volume(self, text: str, _now_ns: int) -> str:
        phase = self.memory.phase(self._selected)
        if not text:
            return show_float(phase.volume) + self.memory.volume_unit
        self._only_stopped()
        if text in VOLUMES:
            self.memory.volume_unit = text
        else:
            phase.volume = read_float(text)
        return ""

    def _direction(self, text: str, now_ns: int) -> str:
        phase = self.memory.phase(self._selected)
        if not text:
            return phase.direction
        if text not in ("INF", "WDR", "REV"):
            raise RefusedError("")
        if self.prompt in _OPERATING and phase.volume:
            raise RefusedError("NA")
        other = "WDR" if phase.direction == "INF" else "INF"
        phase.direction = other if text == "REV" else text
        if self.prompt in "IW":
            self.prompt = "I" if phase.direction == "INF" else "W"
            self.plunger.change(self._signed(phase), now_ns)
        return ""

    def _phase_number(self, text: str, _now_ns: int) -> str:
        if not text:
            return f"{self._selected:02d}"
        self._only_stopped()
        number = int(read_float(text))
        if not 1 <= number <= 41:
            raise RefusedError("OOR")
        self._selected = number
        return ""

    def _function(self, text: str, _now_ns: int) -> str:
        phase = self.memory.phase(self._selected)
        if not text:
            return phase.function
        self._only_stopped()
        if text not in ("RAT", "STP"):
            raise RefusedError("")
        phase.function = text
        return ""

    def _dispensed(self, _text: str, now_ns: int) -> str:
        self.plunger.advance(now_ns)
        unit = self.memory.volume_unit
        infused, withdrawn = (
            show_float(ul / VOLUMES[unit])
            for ul in (self.plunger.infused_ul, self.plunger.withdrawn_ul)
        )
        return f"I{infused}W{withdrawn}{unit}"

    def _clear(self, text: str, _now_ns: int) -> str:
        self._only_stopped()
        if text == "INF":
            self.plunger.infused_ul = 0.0
        elif text == "WDR":
            self.plunger.withdrawn_ul = 0.0
        else:
            raise RefusedError("")
        return ""

    def _power_fail(self, text: str, _now_ns: int) -> str:
        if not text:
            return str(int(self.memory.power_fail))
        if text not in ("0", "1"):
            raise RefusedError("OOR")
        self.memory.power_fail = text == "1"
        return ""

    # -- helpers ----------------------------------------------------------------------------------

    @property
    def _phase(self) -> Phase:
        return self.memory.phase(self._at_phase)

    def _only_stopped(self) -> None:
        if self.prompt != "S":
            raise RefusedError("NA")

    def _signed(self, phase: Phase) -> float:
        if self._rate_now is not None:
            rate = self._rate_now * self.memory.rate_ul_s(phase) / phase.rate
        else:
            rate = self.memory.rate_ul_s(phase)
        return rate if phase.direction == "INF" else -rate

    def _start(self, number: int, now_ns: int) -> None:
        self._at_phase, self._rate_now = number, None
        phase = self._phase
        if phase.function != "RAT" or not phase.rate:
            self.prompt, self._at_phase, self._left_ul = "S", 1, None
            self.plunger.move(0.0, now_ns)
            return
        self.prompt = "I" if phase.direction == "INF" else "W"
        limit_ul = self.memory.volume_ul(phase) or None
        self.plunger.move(self._signed(phase), now_ns, at_most_ul=limit_ul)
