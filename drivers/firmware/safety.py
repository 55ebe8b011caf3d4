"""Emergency stop, pump hold and the lines to other machines, as drivers/PROTOCOL.md says.

The emergency stop is latched from power-up on. Whatever sets it holds the pump first, then takes
the gate to rest. It clears by an edge only: a level 0 and then a level 1, both after it was set.
"""

from drivers.firmware.hal import Hal
from drivers.firmware.openings import Openings

READY_BIT = 1
FAULT_BIT = 4
# A number that stands before the newest one marks a line that was held up on the way; after so
# long nothing is told from it, as the numbers may have gone half their round.
NUMBERS_KEPT_S = 600


class Newest:
    """The newest number among lines of which a late one must not act."""

    def __init__(self) -> None:
        self._number = -1
        self._at_s = 0

    def forget(self) -> None:
        """Start a session: any number is new."""
        self._number = -1

    def has_passed(self, number: int, now_s: int) -> bool:
        """Whether a line with a later number came before this one."""
        if (
            self._number >= 0
            and now_s - self._at_s < NUMBERS_KEPT_S
            and (number - self._number) & 0xFFFF >= 0x8000
        ):
            return True
        self._number = number
        self._at_s = now_s
        return False


class Safety:
    """The stop's latch, the pump's hold, the lines.

    Attributes to read: ``cause`` (what latched the stop, "" while it is not latched), ``held``
    (the pump), ``pin`` (pressed when last looked at). ``untold``: it changed by itself, and the
    host is to hear of it.
    """

    def __init__(self, hal: Hal, openings: Openings) -> None:
        # The caller has held the pump already, before the openings took the gate to rest.
        self._hal = hal
        self._openings = openings
        self.cause = "POWER"
        self.held = True
        self.pin = False
        self.untold = False
        self._low = False
        self._pump_orders = Newest()
        self._stop_orders = Newest()
        self._line_orders = Newest()
        self._host_lines = 0
        self._shown = -1
        openings.stopped = True
        self._show()

    # -- set ------------------------------------------------------------------------------

    def watch(self, now: int) -> None:
        """Look at the pin, and latch when it is pressed."""
        pressed = self._hal.estop_pin()
        if pressed and not (self.pin and self.cause):
            self.latch("PIN", "ESTOP", now)
        self.pin = pressed

    def latch(self, cause: str, reason: str, now: int) -> None:
        """Hold the pump, take the gate to rest, end all commands for this reason, in this order.

        The first cause stays; a level 0 that came before does not count any more.
        """
        self._hold()
        self._openings.stopped = True
        self._openings.drop_all(reason, now)
        self._low = False
        if not self.cause:
            self.cause = cause
            self.untold = cause in ("PIN", "WATCHDOG")
        self._show()

    def begin(self, now: int) -> None:
        """A new session: the pump is held, and what the old one left running latches the stop."""
        if not self.held or self._openings.live:
            self.latch("SESSION", "SESSION", now)
        self._low = False
        self.untold = False
        self._pump_orders.forget()
        self._stop_orders.forget()
        self._line_orders.forget()
        self._host_lines = 0
        self._show()

    # -- what the host asks for; the answer is the verdict ------------------------------------

    def hold(self, number: int, now_s: int) -> str:
        """Hold the pump, however old the line is."""
        self._pump_orders.has_passed(number, now_s)
        self._hold()
        self._show()
        return "OK"

    def flow(self, number: int, now_s: int) -> str:
        """Let the pump run."""
        old = self._pump_orders.has_passed(number, now_s)
        if self.cause:
            return "ESTOP"
        if old:
            return "OLD"
        if self.held:
            self.held = False
            self._hal.set_pump(False)
            self._show()
        return "OK"

    def stop(self, number: int, now_s: int, now: int) -> str:
        """Emergency stop, however old the line is."""
        self._pump_orders.has_passed(number, now_s)
        self._stop_orders.has_passed(number, now_s)
        self.latch("HOST", "ESTOP", now)
        return "OK"

    def reset(self, number: int, level: int, now_s: int) -> str:
        """One level of the edge that clears the latch."""
        if level > 1:
            return "RANGE"
        # What was to flow before this must not flow after it.
        self._pump_orders.has_passed(number, now_s)
        old = self._stop_orders.has_passed(number, now_s)
        if not self.cause:
            return "OK"
        if old:
            return "OLD"
        if level == 0:
            self._low = True
            return "OK"
        rises = self._low
        # Each edge is one try: the same line again must not clear what it did not clear before.
        self._low = False
        if self.pin:
            return "PIN"
        if not rises:
            return "EDGE"
        self.cause = ""
        self._openings.stopped = False
        self._show()
        return "OK"

    def lines(self, number: int, mask: int, now_s: int) -> str:
        """How the host sees the machine."""
        if mask > 7:
            return "RANGE"
        if self._line_orders.has_passed(number, now_s):
            return "OLD"
        self._host_lines = mask
        self._show()
        return "OK"

    def _hold(self) -> None:
        if not self.held:
            self.held = True
            self._hal.set_pump(True)

    def _show(self) -> None:
        latched = self.cause != ""
        ready = self._host_lines & READY_BIT != 0 and not latched
        fault = self._host_lines & FAULT_BIT != 0 or latched
        shown = int(ready) + 2 * int(self.held) + 4 * int(fault)
        if shown != self._shown:
            self._shown = shown
            self._hal.set_lines(ready, self.held, fault)
