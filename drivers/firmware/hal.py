"""What the firmware needs of a board."""

from drivers.firmware.openings import Gate


class Hal(Gate):
    """Pins, counter and port of a board; `set_gate` comes from `Gate`.

    ``reset_cause`` is one word: POWER, WATCHDOG, SOFT or PIN. Whatever a board does not have may
    be left as it is here, and is then said to be off; a pump that can't be held makes the board
    unfit for an unattended run, whatever it answers.
    """

    # An `alarm.Alarm` on a board with a timer that moves the gate while the loop is elsewhere.
    alarm = None
    ticks_period_us = 1 << 30
    reset_cause = "POWER"

    def ticks_us(self) -> int:
        """The microsecond counter, from 0 to ``ticks_period_us`` - 1; the period is 2**n."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send bytes to the host; drop them rather than wait for a host that does not read."""
        raise NotImplementedError

    def start_alarm(self) -> None:
        """The alarm has a new plan: see to it that `Alarm.fire` is called in time."""

    def set_pump(self, held: bool) -> None:
        """Hold the pump, or let it run. Without power it must be held."""

    def set_lines(self, ready: bool, hold: bool, fault: bool) -> None:
        """Say to other machines how this one stands."""

    def set_led(self, on: bool) -> None:
        """Switch the LED or strobe that the camera can see."""

    def estop_pin(self) -> bool:
        """Whether the emergency stop is pressed, or was since this was last asked."""
        return False

    def pedal(self) -> bool:
        """Whether the foot switch is down."""
        return False

    def dark(self) -> int:
        """Optical gates that are dark now: bit 0 for outlet 0, and so on."""
        return 0
