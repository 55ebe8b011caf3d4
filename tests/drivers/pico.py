"""A chip for board.py to run on: pins, interrupts, counter, USB port; no real time.

It is as much of MicroPython's ``machine`` and its kin as board.py asks for, written from their
documentation. It shows that board.py runs and which pins it moves in which order; of a real
board's timing it shows nothing.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROUND_US = 50
TICKS_PERIOD = 1 << 30
# Soon enough before the counter wraps for the tests to run across it.
START_US = TICKS_PERIOD - 20_000


class SwitchedOff(Exception):
    """The script is over."""


class Chip:
    """Pins by their number, and what is written to them and to the port.

    Attributes:
        levels: level of each pin that was set up.
        writes: (pin, level), in order.
        said: bytes to the host.
        passed_us: time since it was switched on.
        just_before: what happens once, just before a (pin, level) is written.
        handlers: interrupt, its edges and its pin, by pin.
        port_fails: whatever is written to the port raises.
    """

    def __init__(self, levels: dict[int, int] | None = None) -> None:
        self.levels = dict(levels or {})
        self.writes: list[tuple[int, int]] = []
        self.said = b""
        self.passed_us = 0
        self.just_before: dict[tuple[int, int], Callable[[], None]] = {}
        self._typed = bytearray()
        self.handlers: dict[int, tuple[Callable[[Any], None], int, Any]] = {}
        self._script: Iterator[None] | None = None
        self.alarm_rings = True
        self.port_fails = False
        self._countdown: int | None = None
        self._ring: Callable[[Any], None] | None = None

    # -- from outside ---------------------------------------------------------------------

    def run(self, board: Path, script: Iterator[None]) -> None:
        """Switch on, and let the script do something after each round that it yields in."""
        self._script = script
        source = board.read_text(encoding="utf-8")
        globals_ = {"__name__": "__main__", "__builtins__": {**vars(builtins)}}
        globals_["__builtins__"]["__import__"] = self._import  # type: ignore[index]
        try:
            exec(compile(source, str(board), "exec"), globals_)
        except SwitchedOff:
            return

    def drive(self, pin: int, level: int) -> None:
        """An input changes; its interrupt runs at once."""
        was = self.levels.get(pin)
        self.levels[pin] = level
        if pin in self.handlers and was != level:
            handler, trigger, one = self.handlers[pin]
            if trigger & (1 if level else 2):
                handler(one)

    def type(self, data: bytes) -> None:
        """The host sends."""
        self._typed += data

    # -- from the firmware ------------------------------------------------------------------

    def stall(self, us: int) -> None:
        """The loop is held up for so long; interrupts are not."""
        self._pass(us)

    def _pass(self, us: int) -> None:
        end_us = self.passed_us + us
        while self._countdown is not None and self._countdown <= end_us:
            self.passed_us = max(self.passed_us, self._countdown)
            self._countdown = None
            if self.alarm_rings and self._ring is not None:
                self._ring(None)
        self.passed_us = end_us

    def _put(self, count_us: int) -> None:
        assert self._countdown is None, "counts already"
        assert 0 < count_us < 1 << 30
        self._countdown = self.passed_us + count_us

    def _round(self) -> None:
        self._pass(ROUND_US)
        assert self._script is not None
        if next(self._script, self) is self:
            raise SwitchedOff

    def _read(self, count: int) -> bytes:
        data = bytes(self._typed[:count])
        del self._typed[:count]
        return data

    def _write(self, data: bytes) -> None:
        if self.port_fails:
            raise OSError("the port has failed")
        self.said += data

    def _import(self, name: str, *rest: Any) -> Any:
        module = self._modules().get(name)
        return builtins.__import__(name, *rest) if module is None else module

    def _modules(self) -> dict[str, Any]:
        machine = SimpleNamespace(
            Pin=_pins(self),
            WDT=lambda timeout: SimpleNamespace(feed=self._round),
            WDT_RESET=3,
            reset_cause=lambda: 1,
            unique_id=lambda: bytes.fromhex("e66141040396b22a"),
        )
        micropython = SimpleNamespace(
            kbd_intr=lambda char: None, alloc_emergency_exception_buf=lambda size: None
        )
        clock = SimpleNamespace(
            ticks_us=lambda: (START_US + self.passed_us) % TICKS_PERIOD,
            ticks_diff=lambda one, two: (
                (one - two + TICKS_PERIOD // 2) % TICKS_PERIOD - TICKS_PERIOD // 2
            ),
        )
        files = SimpleNamespace(
            stdin=SimpleNamespace(buffer=SimpleNamespace(read=self._read)),
            stdout=SimpleNamespace(buffer=SimpleNamespace(write=self._write)),
        )

        def poll() -> Any:
            watched: list[Any] = []
            return SimpleNamespace(
                register=lambda file, mask: watched.append(file),
                poll=lambda wait: watched == [files.stdout] or bool(self._typed),
            )

        def state_machine(number: int, program: Any, freq: int) -> Any:
            assert freq == 1_000_000

            def irq(handler: Callable[[Any], None], *, hard: bool) -> None:
                assert hard
                self._ring = handler

            return SimpleNamespace(irq=irq, active=lambda on: None, put=self._put)

        rp2 = SimpleNamespace(asm_pio=lambda: lambda program: program, StateMachine=state_machine)
        return {
            "rp2": rp2,
            "machine": machine,
            "micropython": micropython,
            "time": clock,
            "sys": files,
            "select": SimpleNamespace(poll=poll, POLLIN=1, POLLOUT=4),
            "gc": SimpleNamespace(
                mem_alloc=lambda: 2,
                mem_free=lambda: 1,
                collect=lambda: None,
                enable=lambda: None,
                disable=lambda: None,
            ),
        }


def _pins(chip: Chip) -> type:
    """``machine.Pin`` of this chip."""

    class Pin:
        IN, OUT, PULL_UP, PULL_DOWN, IRQ_RISING, IRQ_FALLING = 0, 1, 1, 2, 1, 2

        def __init__(
            self, pin: int, mode: int, pull: int | None = None, *, value: int | None = None
        ) -> None:
            self.pin = pin
            if mode == self.IN:
                chip.levels.setdefault(pin, 1 if pull == self.PULL_UP else 0)
            if value is not None:
                self.value(value)

        def value(self, level: int | None = None) -> int:
            if level is not None:
                assert level in (0, 1)
                chip.just_before.pop((self.pin, level), lambda: None)()
                chip.levels[self.pin] = level
                chip.writes.append((self.pin, level))
            return chip.levels[self.pin]

        def irq(self, handler: Callable[[Any], None], trigger: int, *, hard: bool) -> None:
            assert hard
            chip.handlers[self.pin] = (handler, trigger, self)

    return Pin
