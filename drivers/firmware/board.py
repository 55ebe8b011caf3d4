"""The dispenser on a Raspberry Pi Pico, MicroPython 1.22 or newer: pins, port, watchdog.

Copy it to the board as main.py (see README.md beside this file) and set the constants below to
the wiring. Not yet run against hardware in this project's tests: they compile it, and run
core.py, which it only feeds.

The gate pins are driven low before anything else, and must have pull-downs outside the chip, so
that the gate is at rest while the board starts, is reset, or has no power.
"""

import gc
import select
import sys
import time

import machine
import micropython

from drivers.firmware.core import Core, Hal

NAME = "pico"
REST = "waste"
# Outlet and its pin; the rest outlet has none: it is where the gate stands when no pin is high.
GATES = (("collect", 15), ("recheck", 14))
# "usb" for the board's own USB port, "uart" for UART 0 on pins 0 and 1.
PORT = "usb"
BAUD = 115200
# Tie this pin to ground while the board starts to get to the MicroPython prompt instead.
STAY_OUT_PIN = 22
# The chip's own watchdog: a firmware that hangs is reset, and the gate falls back to rest.
HARD_WATCHDOG_MS = 500
# Garbage is collected only when no edge is nearer than this.
QUIET_US = 20000


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


class Board(Hal):
    """Pins and port of this board."""

    def __init__(self, port):
        self._port = port
        self._pins = [machine.Pin(pin, machine.Pin.OUT, value=0) for _, pin in GATES]
        if machine.reset_cause() == machine.WDT_RESET:
            self.reset_cause = "WATCHDOG"

    def ticks_us(self):
        """The chip's counter, which wraps after 2**30 µs."""
        return time.ticks_us()

    def set_gate(self, outlet):
        """Break before make: never two gates at once."""
        for pin in self._pins:
            pin.value(0)
        if outlet:
            self._pins[outlet - 1].value(1)

    def write(self, data):
        """To the host."""
        self._port.write(data)


def all_low():
    """Gate to rest."""
    for _, pin in GATES:
        machine.Pin(pin, machine.Pin.OUT, value=0)


def run():
    """Serve the host for ever."""
    port = Uart() if PORT == "uart" else Usb()
    board = Board(port)
    core = Core(board, (REST,) + tuple(name for name, _ in GATES), NAME)  # noqa: RUF005
    watchdog = machine.WDT(timeout=HARD_WATCHDOG_MS)
    while True:
        watchdog.feed()
        core.step()
        data = port.read()
        if data:
            core.feed(data)
        elif gc.mem_alloc() > gc.mem_free():
            # In good time: a collection that the allocator asks for may fall on an edge.
            due_us = core.due_in_us()
            if due_us < 0 or due_us > QUIET_US:
                gc.collect()


all_low()
if machine.Pin(STAY_OUT_PIN, machine.Pin.IN, machine.Pin.PULL_UP).value():
    try:
        run()
    finally:
        # The chip's watchdog starts the board again; until then the gate rests.
        all_low()
