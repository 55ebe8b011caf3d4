"""The dispenser on a Raspberry Pi Pico, MicroPython 1.22 or newer: pins, port, watchdog.

Copy it to the board as main.py (see README.md beside this file) and set the constants below to
the wiring (docs/wiring.md). **It has never been run on a board by this project**: its tests compile
it, and run it on a chip that they make up.

Gate and pump pins are driven low before anything else, and must have pull-downs outside the chip,
so that the pump is held and the gate at rest while the board starts, is reset, or has no power.
"""

import array
import gc
import select
import sys
import time

import machine
import micropython
import rp2

from drivers.firmware.alarm import Alarm
from drivers.firmware.core import Core
from drivers.firmware.hal import Hal

# With the chip's own number behind it, so that boards that are flashed alike are told apart.
NAME = "pico"
REST = "waste"
# Outlet and its pin; the rest outlet has none: it is where the gate stands when no pin is high.
GATES = (("collect", 15), ("recheck", 14))
# High lets the pump run.
PUMP_PIN = 13
# A contact to ground that is closed while all is well: high is pressed, and so is a cut wire.
ESTOP_PIN = 12
# A contact to ground that closes when the foot switch is down.
PEDAL_PIN = 11
LED_PIN = 10
# Rises when the camera begins to expose.
EXPOSURE_PIN = 9
# Outlet, by its place among all of them, rest first, and the pin that is high while its optical
# gate is dark; () where there are none.
OPTICAL = ((0, 6), (1, 7), (2, 8))
# Shorter darkness is no object, µs.
SHORTEST_DARK_US = 200
# To other machines; high is ready, not held, no fault, so that a dead board says the opposite.
READY_PIN = 18
NOT_HELD_PIN = 19
NO_FAULT_PIN = 20
# "usb" for the board's own USB port, "uart" for UART 0 on pins 0 and 1.
PORT = "usb"
BAUD = 115200
# Tie this pin to ground while the board starts to get to the MicroPython prompt instead.
STAY_OUT_PIN = 22
# The chip's own watchdog: a firmware that hangs is reset, the pump held and the gate at rest.
HARD_WATCHDOG_MS = 500
# Garbage is collected only when no edge is nearer than this.
QUIET_US = 20000
# With an edge so near, no line is read: to handle one may take as long.
NEAR_US = 5000
# The gate's edges by a PIO countdown and its interrupt; without it the loop alone moves the gate.
ALARM = True
# The longest countdown: a plan that has changed is looked at so soon.
COUNTDOWN_US = 5000
# A power of 2: pulses and passages that are kept until the loop comes by.
RING = 64


class Usb:
    """Bytes over the board's USB port."""

    def __init__(self):
        # Ctrl-C on the wire is a byte like any other.
        micropython.kbd_intr(-1)
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)

    def read(self):
        """One byte, or None; USB has no call for all that is there."""
        return self._in.read(1) if self._readable.poll(0) else None

    def write(self, data):
        """Drops what a host that does not read has no room for."""
        if self._writable.poll(0):
            self._out.write(data)


class Uart:
    """Bytes over UART 0, for a host behind an isolator."""

    def __init__(self):
        self._uart = machine.UART(0, BAUD, tx=0, rx=1, txbuf=1024, rxbuf=1024, timeout=0)

    def read(self):
        """What is there, or None."""
        return self._uart.read()

    def write(self, data):
        """Into the buffer."""
        self._uart.write(data)


class Pulses:
    """Counter readings of the exposure pulses. The interrupt only writes numbers into places."""

    def __init__(self, pin):
        self._at = array.array("i", [0] * RING)
        self._came = 0
        self._told = 0
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_DOWN)
        self._pin.irq(self._rise, machine.Pin.IRQ_RISING, hard=True)

    def _rise(self, _):
        # The counter has 30 bits: a small number, that takes no memory.
        self._at[self._came & (RING - 1)] = time.ticks_us()
        self._came = (self._came + 1) & 0x3FFFFFFF

    def tell(self, core):
        """What came since the last time. Of more than `RING` all are counted, the last stamped."""
        while self._told != self._came:
            core.pulse(core.device_us(self._at[self._told & (RING - 1)]))
            self._told = (self._told + 1) & 0x3FFFFFFF


class OpticalGate:
    """Counter readings of darkness at one outlet, as `Pulses`."""

    def __init__(self, outlet, pin):
        self._outlet = outlet
        self._from = array.array("i", [0] * RING)
        self._for = array.array("i", [0] * RING)
        self._began = -1
        self._came = 0
        self._told = 0
        self.pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_DOWN)
        edges = machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING
        self.pin.irq(self._change, edges, hard=True)

    def _change(self, pin):
        now = time.ticks_us()
        if pin.value():
            self._began = now
        elif self._began >= 0:
            length = time.ticks_diff(now, self._began)
            if length >= SHORTEST_DARK_US:
                self._from[self._came & (RING - 1)] = self._began
                self._for[self._came & (RING - 1)] = length
                self._came = (self._came + 1) & 0x3FFFFFFF
            self._began = -1

    def tell(self, core):
        """What passed since the last time."""
        while self._told != self._came:
            place = self._told & (RING - 1)
            core.dark(self._outlet, core.device_us(self._from[place]), self._for[place])
            self._told = (self._told + 1) & 0x3FFFFFFF


# The names of PIO instructions are given to this function by its decorator.
@rp2.asm_pio()
def countdown():
    """An interrupt so many microseconds after a number was put in; two or three more."""
    pull(block)  # noqa: F821
    mov(x, osr)  # noqa: F821
    label("wait")  # noqa: F821
    jmp(x_dec, "wait")  # noqa: F821
    irq(rel(0))  # noqa: F821


class Board(Hal):
    """Pins and port of this board."""

    def __init__(self, port):
        self._port = port
        self._pump = machine.Pin(PUMP_PIN, machine.Pin.OUT, value=0)
        self._pins = [machine.Pin(pin, machine.Pin.OUT, value=0) for _, pin in GATES]
        self._ready = machine.Pin(READY_PIN, machine.Pin.OUT, value=0)
        self._not_held = machine.Pin(NOT_HELD_PIN, machine.Pin.OUT, value=0)
        self._no_fault = machine.Pin(NO_FAULT_PIN, machine.Pin.OUT, value=0)
        self._led = machine.Pin(LED_PIN, machine.Pin.OUT, value=0)
        self._pedal = machine.Pin(PEDAL_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
        self.optical = [OpticalGate(outlet, pin) for outlet, pin in OPTICAL]
        self.pulses = Pulses(EXPOSURE_PIN)
        self._struck = False
        self._estop = machine.Pin(ESTOP_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
        self._estop.irq(self._strike, machine.Pin.IRQ_RISING, hard=True)
        if machine.reset_cause() == machine.WDT_RESET:
            self.reset_cause = "WATCHDOG"
        if ALARM:
            self.alarm = Alarm(self._switch, time.ticks_diff)
            self._counting = False
            self._timer = rp2.StateMachine(0, countdown, freq=1000000)
            self._timer.irq(self._ring, hard=True)
            self._timer.active(1)

    def _ring(self, _):
        left = self.alarm.fire(time.ticks_us())
        if left < 0:
            self._counting = False
        else:
            self._timer.put(left if left < COUNTDOWN_US else COUNTDOWN_US)

    def start_alarm(self):
        """Ring at once, and then whenever the plan says."""
        if not self._counting:
            self._counting = True
            self._timer.put(1)

    def drop_plan(self):
        """The countdown goes on, and finds nothing."""
        if self.alarm is not None:
            self.alarm.drop()

    def _strike(self, _):
        # At once, whatever the loop is doing; the loop finds out by `_struck`.
        self._pump.value(0)
        place = 0
        while place < len(self._pins):
            self._pins[place].value(0)
            place += 1
        self._struck = True
        if self.alarm is not None:
            self.alarm.cut()

    def ticks_us(self):
        """The chip's counter, which wraps after 2**30 µs."""
        return time.ticks_us()

    def set_gate(self, outlet):
        """What the alarm has moved since is newer than what the loop catches up with."""
        if self.alarm is None or not self.alarm.ahead():
            self._switch(outlet)

    def _switch(self, outlet):
        # Break before make: never two gates at once. In the alarm's interrupt, too.
        place = 0
        while place < len(self._pins):
            if place != outlet - 1:
                self._pins[place].value(0)
            place += 1
        if outlet and not self._struck:
            self._pins[outlet - 1].value(1)
            # The stop may have been pressed since that was asked.
            if self._struck:
                self._pins[outlet - 1].value(0)

    def set_pump(self, held):
        """Held is low."""
        self._pump.value(0 if held else 1)
        if self._struck:
            self._pump.value(0)

    def set_lines(self, ready, hold, fault):
        """High is all well."""
        self._ready.value(1 if ready else 0)
        self._not_held.value(0 if hold else 1)
        self._no_fault.value(0 if fault else 1)

    def set_led(self, on):
        """High is on."""
        self._led.value(1 if on else 0)

    def estop_pin(self):
        """Pressed, or struck since the last look."""
        if self._struck:
            self._struck = False
            return True
        return self._estop.value() == 1

    def pedal(self):
        """The contact closes to ground."""
        return self._pedal.value() == 0

    def dark(self):
        """By the pins, now."""
        mask = 0
        for gate, (outlet, _) in zip(self.optical, OPTICAL):  # noqa: B905
            mask |= gate.pin.value() << outlet
        return mask

    def write(self, data):
        """To the host."""
        self._port.write(data)

    def tell(self, core):
        """What the interrupts have put by."""
        self.pulses.tell(core)
        for gate in self.optical:
            gate.tell(core)


def all_low():
    """Pump held, then gate to rest."""
    machine.Pin(PUMP_PIN, machine.Pin.OUT, value=0)
    for _, pin in GATES:
        machine.Pin(pin, machine.Pin.OUT, value=0)


def serve(board, port):
    """Turn the loop for ever."""
    name = NAME + "-" + "".join("%02x" % byte for byte in machine.unique_id())
    core = Core(board, (REST,) + tuple(gate for gate, _ in GATES), name)  # noqa: RUF005
    watchdog = machine.WDT(timeout=HARD_WATCHDOG_MS)
    while True:
        watchdog.feed()
        core.step()
        edge_us = core.edge_in_us()
        if 0 <= edge_us < NEAR_US:
            # What takes memory must not set off a collection now.
            gc.disable()
            continue
        gc.enable()
        board.tell(core)
        data = port.read()
        if data:
            core.feed(data)
        elif gc.mem_alloc() > gc.mem_free() and (edge_us < 0 or edge_us > QUIET_US):
            # In good time: a collection that the allocator asks for may fall on an edge.
            gc.collect()


def run():
    """Serve the host; should the loop end, by an error of its own, nothing moves any more."""
    port = Uart() if PORT == "uart" else Usb()
    board = Board(port)
    try:
        serve(board, port)
    finally:
        # The alarm's interrupt goes on without the loop: first its plan, then the pins. The chip's
        # watchdog starts the board again; until then the pump is held and the gate rests.
        board.drop_plan()
        all_low()


all_low()
micropython.alloc_emergency_exception_buf(100)
if machine.Pin(STAY_OUT_PIN, machine.Pin.IN, machine.Pin.PULL_UP).value():
    run()
