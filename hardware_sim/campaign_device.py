"""The simulated dispenser of a campaign: faults on its wire and in it, and a log of what it met.

The log is what `hardware_sim.invariants` judges by: every line that reached the device, and every
stay of the gate away from rest, in the device's own time. It is written by the wire and the pin,
not by the firmware.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter

from drivers.firmware.core import Core
from hardware_sim.dispenser_model import DeviceClock, SimDispenserSettings, Wire
from hardware_sim.fault_acts import Pieces
from hardware_sim.gate_log import PumpEdge
from hardware_sim.virtual_link import VirtualBoard, VirtualDispenser
from sorter.errors import LinkError

OnLine = Callable[[bytes, int], Pieces | None]
"""What becomes of a line that enters a wire at a host time; None: nothing."""
MakeCore = Callable[["CampaignBoard", tuple[str, ...], str, int], Core]

PUMP = "pump"
_RESET_SOON_NS = 400_000_000
_WRAPS_SOON_US = 60_000_000
_WRAPS_AFTER_US = 8_000_000


class FaultyWire(Wire):
    """A wire on which lines get lost, damaged, doubled, late and out of order."""

    def __init__(self, baud: int, jitter_ms: float, seed: str, on_line: OnLine) -> None:
        super().__init__(baud, jitter_ms, seed)
        self._on_line = on_line

    def put(self, data: bytes, now_ns: int) -> None:
        """Bytes go in at one end."""
        for line in data.splitlines(keepends=True):
            pieces = self._on_line(line, now_ns)
            if pieces is None:
                late_ns = self._random.uniform(0, self._jitter_ns) if self._jitter_ns else 0.0
                pieces = ((line, round(late_ns), True),)
            for piece, late_ns, holds_up in pieces:
                start_ns = max(self._free_ns, now_ns)
                due_ns = start_ns + round(len(piece) * self._byte_ns) + int(late_ns)
                if holds_up:
                    self._free_ns = due_ns
                insort(self._waiting, (due_ns, piece), key=itemgetter(0))

    def clear(self) -> None:
        """Nobody listens: what is on the wire is lost."""
        self._waiting.clear()


@dataclass(frozen=True, slots=True)
class Arrived:
    """Bytes that reached the device, and when: host time, and its own unwrapped."""

    at_ns: int
    device_us: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Stay:
    """The pin led to an outlet other than rest: host times, and device times since the boot with
    that number, unwrapped.

    ``off_ns`` is None while it still does.
    """

    boot: int
    outlet: str
    on_ns: int
    on_us: int
    off_ns: int | None = None
    off_us: int | None = None


@dataclass(frozen=True, slots=True)
class Booted:
    """The device came up, at a host time; whatever session there was is forgotten."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Jumped:
    """The device's counter jumped, at a host time: what it showed before and after, unwrapped."""

    at_ns: int
    before_us: int
    after_us: int


@dataclass(frozen=True, slots=True)
class Pressed:
    """The emergency stop's button was pressed or let go; times as in `Arrived`."""

    at_ns: int
    device_us: int
    down: bool


Met = Arrived | Booted | Jumped | Pressed
OnHold = Callable[[int], int]
"""How much later than its output is switched to hold at a host time the pump obeys, ns."""


class CampaignBoard(VirtualBoard):
    """A board that can be reset and whose clock can be meddled with.

    Attributes:
        met: bytes, boots, jumps of the counter and the emergency stop's button, in order.
        stays: where the pin led, oldest first.
        flows: when the pump's output did not hold it, likewise, with `PUMP` for an outlet.
        said: (host ns, line) of all that the firmware wrote, whether or not it arrived.
    """

    def __init__(
        self,
        settings: SimDispenserSettings,
        start_ns: int,
        to_device: OnLine,
        to_host: OnLine,
        on_hold: OnHold,
        make_core: MakeCore = Core,
    ) -> None:
        self._make_core = make_core
        self._on_hold = on_hold
        self.met: list[Met] = [Booted(start_ns)]
        self.stays: list[Stay] = []
        self.said: list[tuple[int, bytes]] = []
        self.flows: list[Stay] = []
        self._boots = 1
        self._boots_until_ns: int | None = None
        self._pressed_until_ns = 0
        self._reset_when: str | None = None
        self._reset_by_ns = 0
        self._boot_ns = 0
        self._drift_ppm = settings.clock_drift_ppm
        # A counter starts anywhere: where it wraps soon, if it did so at first.
        whole_us = 1 << settings.ticks_bits
        wraps = settings.clock_offset_us > whole_us - _WRAPS_SOON_US
        self._restart_us = whole_us - _WRAPS_AFTER_US if wraps else 0
        super().__init__(settings, start_ns)
        jitter_ms = settings.link_jitter_ms
        seed = settings.seed
        self.out = FaultyWire(settings.baud, jitter_ms, f"to host {seed}", to_host)
        self.incoming = FaultyWire(settings.baud, jitter_ms, f"to device {seed}", to_device)

    def boot(self) -> Core:
        """Fresh firmware on this board."""
        settings = self._settings
        return self._make_core(self, settings.outlets, "simulated-dispenser", settings.queue)

    @property
    def gate(self) -> str:
        """Where the pin leads."""
        return self._settings.outlets[self._at]

    # -- faults -------------------------------------------------------------------------------

    def reset(self, moment: float, boot_ns: int) -> None:
        """Reset now, or with the next opening that is asked for or begins, soon in any case."""
        self._boot_ns = boot_ns
        if moment < 0.4 or self._boots_until_ns is not None:
            self._reset_now()
            return
        names = ("before_opening_is_read", "after_opening_is_read", "gate_opens")
        self._reset_when = names[min(2, int((moment - 0.4) / 0.2))]
        self._reset_by_ns = self.now_ns + _RESET_SOON_NS

    def step_clock(self, by_us: int) -> None:
        """The counter jumps; where firmware extends it, backwards is forwards by a turn less."""
        self.core.due_in_us()  # firmware looks at its counter all the time: just now, too
        before_us = self.clock.us_at(self.now_ns)
        extended = self.ticks_period_us < 1 << 32
        self._set_clock(by_us % self.ticks_period_us if extended else by_us, 0.0)
        # What the outputs did is told in the device's time: before the jump, and after it.
        after_us = self.clock.us_at(self.now_ns)
        self.met.append(Jumped(self.now_ns, before_us, after_us))
        for stays, lasts in ((self.stays, self._at > 0), (self.flows, not self.held)):
            if lasts:
                last = stays[-1]
                stays[-1] = replace(last, off_ns=self.now_ns, off_us=before_us)
                stays.append(Stay(last.boot, last.outlet, self.now_ns, after_us))

    def press_stop(self, for_ns: int) -> bool:
        """Somebody presses the emergency stop for a while; whether that changes anything.

        One that is down already can't be pressed; it stays down for as long as anybody holds it.
        """
        now_ns, until_ns = self.now_ns, self.now_ns + for_ns
        if until_ns <= self._pressed_until_ns:
            return False
        if now_ns >= self._pressed_until_ns:
            self._move_button(True, now_ns)
        self._pressed_until_ns = until_ns
        self._happenings.put(until_ns, self._let_go)
        return True

    def _let_go(self) -> None:
        if self.now_ns >= self._pressed_until_ns:
            self._move_button(False, self.now_ns)

    def _move_button(self, down: bool, at_ns: int) -> None:
        self.press_estop(down, at_ns)
        self._happenings.put(at_ns, lambda: self._note_button(down))

    def _note_button(self, down: bool) -> None:
        self.met.append(Pressed(self.now_ns, self.clock.us_at(self.now_ns), down))

    def drift_clock(self, by_ppm: float) -> None:
        """The counter runs faster from now on."""
        self._set_clock(0, by_ppm)

    def _set_clock(self, by_us: int, by_ppm: float) -> None:
        self._drift_ppm = max(-190.0, min(190.0, self._drift_ppm + by_ppm))
        shown_us = self.clock.us_at(self.now_ns) + by_us
        self.clock = DeviceClock(self.now_ns, shown_us, self._drift_ppm)

    def _reset_now(self) -> None:
        self._reset_when = None
        self.power_off()
        self.incoming.clear()  # type: ignore[attr-defined]
        self._boots_until_ns = self.now_ns + self._boot_ns

    def write(self, data: bytes) -> None:
        """A line for the host."""
        self.said.append((self.now_ns, data))
        super().write(data)

    # -- run ----------------------------------------------------------------------------------

    def set_gate(self, outlet: int) -> None:
        """Switch the pin, and note where it leads."""
        if outlet == self._at:
            return
        now_us = self.clock.us_at(self.now_ns)
        if self._at:
            last = self.stays[-1]
            self.stays[-1] = replace(last, off_ns=self.now_ns, off_us=now_us)
        super().set_gate(outlet)
        if outlet:
            self.stays.append(
                Stay(self._boots, self._settings.outlets[outlet], self.now_ns, now_us)
            )

    def set_pump(self, held: bool) -> None:
        """Switch the pump's pin, and note while it does not hold."""
        if held == self.held:
            return
        now_us = self.clock.us_at(self.now_ns)
        if held:
            self.flows[-1] = replace(self.flows[-1], off_ns=self.now_ns, off_us=now_us)
        else:
            self.flows.append(Stay(self._boots, PUMP, self.now_ns, now_us))
        super().set_pump(held)
        late_ns = self._on_hold(self.now_ns) if held else 0
        if late_ns:
            self.notes.edges[-1] = PumpEdge(self.now_ns + late_ns, True)

    def run(self, now_ns: int) -> None:
        """Let the firmware do what is due, and read what has arrived."""
        if self._boots_until_ns is not None:
            while self.incoming.take(now_ns):
                pass
            if now_ns < self._boots_until_ns:
                return
            self._boots_until_ns = None
            self._set_clock(self._restart_us - self.clock.us_at(now_ns), 0.0)
            self.core = self.boot()
            self._boots += 1
            self.met.append(Booted(now_ns))
            return
        self._happenings.let(now_ns)
        was_at_rest = self._at == 0
        self.core.step()
        opened = was_at_rest and self._at > 0
        late = self._reset_when is not None and now_ns >= self._reset_by_ns
        if late or (self._reset_when == "gate_opens" and opened):
            self._reset_now()
        while self._boots_until_ns is None and (chunk := self.incoming.take(now_ns)):
            self._feed(chunk, now_ns)
        self._witness_stop()

    def _feed(self, chunk: bytes, now_ns: int) -> None:
        opens = chunk.startswith(b"O ")
        if opens and self._reset_when == "before_opening_is_read":
            self._reset_now()
            return
        self.met.append(Arrived(now_ns, self.clock.us_at(now_ns), chunk))
        self.core.feed(chunk)
        if opens and self._reset_when == "after_opening_is_read":
            self._reset_now()

    def due_ns(self) -> int | None:
        """Host time at which there is something to do, or None."""
        if self._boots_until_ns is not None:
            return self._boots_until_ns
        due_ns = super().due_ns()
        if self._reset_when is None:
            return due_ns
        return self._reset_by_ns if due_ns is None else min(due_ns, self._reset_by_ns)


class PortGone:
    """Whether the host's port is there; it may vanish and come back."""

    def __init__(self) -> None:
        self.back_ns = 0
        self.losses = 0

    def lose(self, now_ns: int, for_ns: int) -> None:
        """It vanishes."""
        self.losses += 1
        self.back_ns = max(self.back_ns, now_ns + for_ns)


class CampaignLink:
    """`drivers.ports.Link` of one run: once its port has vanished it never works again.

    Attributes:
        wrote: (host ns, bytes) of all that the host wrote.

    Raises:
        LinkError: there is no port at the moment.
    """

    def __init__(self, device: VirtualDispenser, port: PortGone, now_ns: Callable[[], int]) -> None:
        self._inner = device.link
        self._port = port
        self._now_ns = now_ns
        self._losses = port.losses
        self.wrote: list[tuple[int, bytes]] = []
        if now_ns() < port.back_ns:
            raise LinkError("the port is absent", do="Plug the device in")

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._check()
        self.wrote.append((self._now_ns(), data))
        self._inner.write(data)

    def read(self) -> bytes:
        """What has come back by now."""
        self._check()
        return self._inner.read()

    def close(self) -> None:
        """Nothing is held."""

    def _check(self) -> None:
        self._now_ns()
        if self._port.losses != self._losses:
            raise LinkError("the port is gone", do="Plug the device in, then start again")
