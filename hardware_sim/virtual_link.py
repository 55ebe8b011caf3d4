"""The dispenser in virtual time: the same firmware behind an in-memory link, on one thread."""

from __future__ import annotations

from drivers.ports import Clock
from hardware_sim.dispenser_board import SimulatedBoard
from hardware_sim.dispenser_model import SimDispenserSettings
from hardware_sim.gate_log import Edge, GateEdge, PumpEdge, StopEdge

# The firmware's counter wraps: it must look at it more often than that.
_LOOKS_EVERY_NS = 1_000_000_000


class Notes:
    """What the outputs did, oldest first; a `hardware_sim.dispenser_board.Witness`."""

    def __init__(self) -> None:
        self.gate: list[tuple[int, str, int]] = []
        self.pump: list[tuple[int, bool]] = []
        self.stop: list[tuple[int, str]] = []
        self.edges: list[Edge] = []

    def switched(self, switched_ns: int, outlet: str, effective_ns: int) -> None:
        """The valve's pin was switched."""
        self.gate.append((switched_ns, outlet, effective_ns))
        self.edges.append(GateEdge(switched_ns, outlet, effective_ns))

    def pumped(self, switched_ns: int, held: bool) -> None:
        """The pump's pin was switched."""
        self.pump.append((switched_ns, held))
        self.edges.append(PumpEdge(switched_ns, held))

    def latched(self, at_ns: int, cause: str) -> None:
        """The emergency stop was latched or cleared."""
        self.stop.append((at_ns, cause))
        self.edges.append(StopEdge(at_ns, cause))

    def accepted(self, at_ns: int, command_id: int) -> None:
        """Not kept."""


class VirtualBoard(SimulatedBoard):
    """A board whose time is set from outside, and that keeps notes of its outputs."""

    def __init__(self, settings: SimDispenserSettings, start_ns: int) -> None:
        self.now_ns = start_ns
        self.notes = Notes()
        self.notes.edges.append(PumpEdge(start_ns, True))
        super().__init__(settings, start_ns, self.notes)

    def host_ns(self) -> int:
        """Host time, as it was set."""
        return self.now_ns


class VirtualLink:
    """`drivers.ports.Link` of a `VirtualDispenser`; a read first lets the device catch up."""

    def __init__(self, board: VirtualBoard, dispenser: VirtualDispenser, clock: Clock) -> None:
        self._board = board
        self._dispenser = dispenser
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Put ``data`` on the wire now."""
        now_ns = self._clock.now_ns()
        self._dispenser.advance(now_ns)
        self._board.take(data, now_ns)
        self._dispenser.wake()

    def read(self) -> bytes:
        """What has come back by now."""
        now_ns = self._clock.now_ns()
        self._dispenser.advance(now_ns)
        data = b""
        while chunk := self._board.out.take(now_ns):
            data += chunk
        return data

    def close(self) -> None:
        """Nothing is held."""


class VirtualDispenser:
    """The firmware, stepped exactly when it has something to do.

    Args:
        settings: the device; ``tcp`` and ``gate_log`` are not used.
        clock: virtual host time; the device is switched on at its now.
        board: one that was made elsewhere, where something may go wrong with it.

    Attributes:
        link: the host's end of the wire. Waiting on it needs no help: a read advances the
            device to the clock's now.
        gate_edges: what the gate did: (host ns of the pin, outlet, host ns of the liquid),
            oldest first; it starts at rest.
        pump_edges: what the pump's output did: (host ns of the pin, whether it holds), oldest
            first; it starts held.
        stop_edges: when the emergency stop was latched or cleared: (host ns, cause or nothing),
            oldest first; it starts latched by POWER.
        edges: all three as `hardware_sim.gate_log` has them, with the pump's start.
    """

    def __init__(
        self, settings: SimDispenserSettings, clock: Clock, board: VirtualBoard | None = None
    ) -> None:
        self._board = board or VirtualBoard(settings, clock.now_ns())
        notes = self._board.notes
        self._clock = clock
        self._quiet_until_ns = clock.now_ns()
        self.gate_edges = notes.gate
        self.pump_edges = notes.pump
        self.stop_edges = notes.stop
        self.edges = notes.edges
        self.link = VirtualLink(self._board, self, clock)

    def device_us(self, host_ns: int) -> int:
        """The truth: what the device's clock shows, unwrapped, at a host time."""
        return self._board.clock.us_at(host_ns)

    @property
    def estop(self) -> str:
        """What latched the emergency stop; empty when it is clear."""
        return self._board.core.estop

    @property
    def held(self) -> bool:
        """Whether the pump's output holds it."""
        return self._board.held

    @property
    def lines(self) -> tuple[bool, bool, bool]:
        """Ready, hold and fault, as other machines see them."""
        return self._board.lines

    @property
    def lit(self) -> bool:
        """Whether the LED is on."""
        return self._board.lit

    def passed(self, outlet: str, began_ns: int, length_ns: int) -> None:
        """A body darkens an outlet's optical gate for so long, from a host time on.

        A time that is past counts as well: what the device knows of it, it knows from now on.
        """
        self._board.passed(outlet, began_ns, length_ns)
        self.wake()

    def exposed(self, at_ns: int) -> None:
        """The camera exposes at a host time, past or to come."""
        self._board.exposed(at_ns)
        self.wake()

    def press_estop(self, pressed: bool = True) -> None:
        """The emergency stop is pressed or let go now."""
        self._board.press_estop(pressed, self._clock.now_ns())
        self._catch_up()

    def press_pedal(self, down: bool = True) -> None:
        """The foot switch is pressed or let go now."""
        self._board.press_pedal(down, self._clock.now_ns())
        self._catch_up()

    def _catch_up(self) -> None:
        self.wake()
        self.advance(self._clock.now_ns())

    def advance(self, now_ns: int) -> None:
        """Let the device do all that is due up to host time ``now_ns``, each at its time."""
        board = self._board
        if now_ns < self._quiet_until_ns:
            board.now_ns = max(board.now_ns, now_ns)
            return
        while (due_ns := board.due_ns()) is not None and due_ns <= now_ns:
            board.now_ns = max(board.now_ns, due_ns)
            board.run(board.now_ns)
        board.now_ns = max(board.now_ns, now_ns)
        # The host reads 10,000 times a second: until then it needs no answer to be worked out.
        longest_ns = now_ns + _LOOKS_EVERY_NS
        self._quiet_until_ns = longest_ns if due_ns is None else min(due_ns, longest_ns)

    def wake(self) -> None:
        """The device got something new to do."""
        self._quiet_until_ns = self._board.now_ns

    def due_ns(self) -> int | None:
        """Host time at which the device next does something, its answers included, or None."""
        times = [one for one in (self._board.due_ns(), self._board.out.due_ns()) if one is not None]
        return min(times, default=None)
