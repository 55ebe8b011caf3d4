"""Emergency stop, pump and lines to other machines: what the host wants and what the device has.

The device's word is the truth about the emergency stop, the host's wish about the pump. Every
answer of the device says how both stand; a word of its own that was lost on the way is made up
for by asking twice a second.
"""

from __future__ import annotations

from drivers import protocol as wire
from drivers.levels import Kind, Levels
from drivers.ports import DispenserEvent, Pedal, Stopped
from sorter.errors import DispenserError

_LOOK_NS = 500_000_000
_HALF = 0x8000
_MASK = 0xFFFF


class StopAndHold:
    """One session's; no clock and no I/O inside.

    Args:
        session: its nonce.
        levels: where lines wait for their answers.

    Attributes:
        estop: what latched the emergency stop, a word of PROTOCOL.md; empty when it is clear.
        held: whether the device holds the pump.
        armed: whether the emergency stop has been cleared in this session.
        verdicts: what the device last said to a level of each kind.
    """

    def __init__(self, session: int, levels: Levels) -> None:
        self._session = session
        self._levels = levels
        self._wants_held = True
        self._corrects = False
        self._mask = wire.LINE_HOLD
        self._look_ns = 0
        self._cleared: int | None = None
        self._pedal = False
        self.estop = ""
        self.held = True
        self.armed = False
        self.verdicts: dict[Kind, str] = {}

    def begin(self, ready: wire.Ready) -> None:
        """The device has taken the handshake."""
        self.estop = ready.estop
        self.held = ready.held

    # -- lines out ------------------------------------------------------------------------

    def hold(self, now_ns: int) -> bytes:
        """The line that holds the pump."""
        self._wants_held = True
        return self._ask(Kind.PUMP, wire.Hold(self._session, self._number()), now_ns)

    def flow(self, now_ns: int) -> bytes:
        """The line that lets the pump run; raises `DispenserError` before the first `arm`."""
        if self.estop and not self.armed:
            raise DispenserError(
                f"the emergency stop is latched ({self.estop})", do="Call arm before flow"
            )
        self._wants_held = False
        return self._ask(Kind.PUMP, wire.Flow(self._session, self._number()), now_ns)

    def stop(self, now_ns: int) -> bytes:
        """The line that makes the emergency stop."""
        self._wants_held = True
        # A line that lets the pump run or clears the stop must not be said again after it.
        self._levels.drop(Kind.PUMP)
        self._levels.drop(Kind.RESET)
        return self._ask(Kind.STOP, wire.Stop(self._session, self._number()), now_ns)

    def reset(self, level: int, now_ns: int) -> bytes:
        """The line that gives one half of the edge that clears the emergency stop."""
        self.verdicts.pop(Kind.RESET, None)
        return self._ask(Kind.RESET, wire.Reset(self._session, self._number(), level), now_ns)

    def lines(self, mask: int, now_ns: int) -> bytes:
        """The line that sets the lines to other machines."""
        self._mask = mask
        self._look_ns = now_ns + _LOOK_NS
        return self._ask(Kind.LINES, wire.Lines(self._session, self._number(), mask), now_ns)

    def led(self, at_us: int, length_us: int, now_ns: int) -> bytes:
        """The line that schedules the light; ``at_us`` as on the wire."""
        self.verdicts.pop(Kind.LED, None)
        message = wire.Led(self._session, self._number(), at_us, length_us)
        return self._ask(Kind.LED, message, now_ns)

    def look_soon(self) -> None:
        """Something hints at a stop that the device's word of it has not told."""
        self._look_ns = 0

    def due(self, now_ns: int) -> list[bytes]:
        """Lines to write now that nobody asked for: corrections, and the look twice a second."""
        lines: list[bytes] = []
        if self._corrects:
            self._corrects = False
            lines.append(self.hold(now_ns) if self._wants_held else self.flow(now_ns))
        if now_ns >= self._look_ns and Kind.LINES not in self._levels:
            lines.append(self.lines(self._mask, now_ns))
        return lines

    def _number(self) -> int:
        return self._levels.next_number()

    def _ask(
        self,
        kind: Kind,
        message: wire.Hold | wire.Flow | wire.Stop | wire.Reset | wire.Lines | wire.Led,
        now_ns: int,
    ) -> bytes:
        line = wire.encode(message)
        self._levels.ask(kind, message.number, line, now_ns)
        return line

    # -- lines in -------------------------------------------------------------------------

    def take(self, said: wire.Said, read_ns: int) -> list[DispenserEvent]:
        """What the device says of its stop and its pump, asked or unasked.

        Raises:
            DispenserError: it finds a level out of range.
        """
        kind = self._levels.answered(said.number) if said.number else None
        if kind is not None:
            self.verdicts[kind] = said.verdict
            if said.verdict == "RANGE" and kind is not Kind.LED:
                raise DispenserError(
                    f"the dispenser refuses a line of this driver: {said.verdict}",
                    on=kind.name,
                    do="Check that driver and firmware speak the same version",
                )
        if self._is_from_before(said.number):
            return []
        if kind is Kind.RESET and said.verdict == "OK" and not said.estop:
            self._cleared = said.number
            self.armed = True
        return self._learn(said.estop, said.held, read_ns)

    def take_inputs(self, inputs: wire.Inputs, read_ns: int) -> list[DispenserEvent]:
        """What the device says of its inputs."""
        if inputs.mask & wire.INPUT_ESTOP and not self.estop:
            self.look_soon()
        down = bool(inputs.mask & wire.INPUT_PEDAL)
        if down == self._pedal:
            return []
        self._pedal = down
        return [Pedal(down, read_ns)]

    def _is_from_before(self, number: int) -> bool:
        """Whether an answer was asked for before the emergency stop was last cleared."""
        if self._cleared is None or not number:
            return False
        return (number - self._cleared) & _MASK >= _HALF

    def _learn(self, estop: str, held: bool, read_ns: int) -> list[DispenserEvent]:
        is_new = bool(estop) and estop != self.estop
        self.estop, self.held = estop, held
        if estop:
            self._wants_held = True
        if held != self._wants_held and Kind.PUMP not in self._levels:
            self._corrects = True
        return [Stopped(estop, read_ns)] if is_new else []
