"""A dispenser whose loss does not end the run: what is lost is told, and found again.

What is said to it while it is lost is dropped. When its watchdog's time is over the device holds
the pump and takes the gate to rest by itself; until then it goes on with what it was told. A new
connection with a fresh handshake is tried again and again. The one that is found again does nothing
until it is armed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Literal

from drivers.ports import (
    Command,
    Dispenser,
    DispenserEvent,
    Guarantees,
    LinkBack,
    LinkLost,
    Stopped,
)
from sorter.errors import DeviceResetError, DispenserError, HardwareError, LinkError

TRY_EVERY_NS = 1_000_000_000
Loss = Literal["link_lost", "device_reset"]


class _State(Enum):
    """Where the connection is."""

    THERE = "there"
    LOST = "lost"
    CLOSED = "closed"
    BACK = "back"


class LinkGuard:
    """`drivers.ports.Dispenser` over one that may go and come back.

    Only for one whose watchdog takes it to rest when the host is silent.

    `step` tells `LinkLost` once, and `LinkBack` when a handshake has succeeded; from then on `arm`
    makes it usable. Trying takes as long as the handshake of ``make`` may take: the caller is held
    up by that, once a second.

    Args:
        first: the dispenser to begin with, not yet connected.
        make: gives another one on a newly opened port, not yet connected, whose handshake does not
            take long. Raises `HardwareError`.
        holds: what does not end the run: ``link_lost``, ``device_reset`` or both. Whatever else
            is raised goes through.
    """

    def __init__(
        self, first: Dispenser, make: Callable[[], Dispenser], holds: Collection[Loss]
    ) -> None:
        self._make = make
        self._holds = frozenset(holds)
        self._inner = first
        self._state = _State.THERE
        self._news: list[DispenserEvent] = []
        self._try_ns = 0
        self._bound_us = 0
        self._who: tuple[object, object] = (None, None)

    @property
    def present(self) -> Dispenser:
        """The dispenser as it is connected now, or was last."""
        return self._inner

    def guarantees(self) -> Guarantees:
        """See `Dispenser.guarantees`."""
        return self._inner.guarantees()

    def connect(self) -> dict[str, Any]:
        """See `Dispenser.connect`; a first connection that fails is raised."""
        said = self._inner.connect()
        self._who = _who(said)
        return said

    def arm(self) -> None:
        """See `Dispenser.arm`. Raises `LinkError` while it is lost."""
        if self._state in (_State.LOST, _State.CLOSED):
            raise LinkError("the dispenser does not answer yet", do="Check its cable and power")
        self._inner.arm()
        self._state = _State.THERE

    def to_device_us(self, host_ns: int) -> int:
        """See `Dispenser.to_device_us`."""
        return self._inner.to_device_us(host_ns)

    def to_host_ns(self, device_us: int) -> int:
        """See `Dispenser.to_host_ns`."""
        return self._inner.to_host_ns(device_us)

    def clock_bound_us(self, host_ns: int) -> int:
        """See `Dispenser.clock_bound_us`; while it is lost, the last one."""
        if self._state in (_State.THERE, _State.BACK):
            self._bound_us = self._inner.clock_bound_us(host_ns)
        return self._bound_us

    def send(self, command: Command, now_ns: int) -> None:
        """See `Dispenser.send`."""
        self._say(lambda: self._inner.send(command, now_ns), now_ns)

    def cancel(self, command_id: int, now_ns: int) -> None:
        """See `Dispenser.cancel`."""
        self._say(lambda: self._inner.cancel(command_id, now_ns), now_ns)

    def rest(self, now_ns: int) -> None:
        """See `Dispenser.rest`."""
        self._say(lambda: self._inner.rest(now_ns), now_ns)

    def hold(self, now_ns: int) -> None:
        """See `Dispenser.hold`."""
        self._say(lambda: self._inner.hold(now_ns), now_ns)

    def flow(self, now_ns: int) -> None:
        """See `Dispenser.flow`."""
        self._say(lambda: self._inner.flow(now_ns), now_ns)

    def stop(self, now_ns: int) -> None:
        """See `Dispenser.stop`."""
        self._say(lambda: self._inner.stop(now_ns), now_ns)

    def lines(self, *, ready: bool, hold: bool, fault: bool, now_ns: int) -> None:
        """See `Dispenser.lines`."""
        self._say(
            lambda: self._inner.lines(ready=ready, hold=hold, fault=fault, now_ns=now_ns), now_ns
        )

    def step(self, now_ns: int) -> list[DispenserEvent]:
        """See `Dispenser.step`; `LinkLost` and `LinkBack` are among the events.

        Raises:
            DispenserError: also when another dispenser is found than the one that was lost.
        """
        if self._state in (_State.LOST, _State.CLOSED):
            self._try_again(now_ns)
        else:
            try:
                self._news += self._inner.step(now_ns)
            except (LinkError, DeviceResetError) as error:
                self._lose(error, now_ns)
        if self._state is _State.BACK:
            # Its stop is latched until it is armed, which is no news to anybody.
            self._news = [one for one in self._news if not isinstance(one, Stopped)]
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        """See `Dispenser.close`."""
        self._inner.close()

    def _say(self, say: Callable[[], None], now_ns: int) -> None:
        if self._state in (_State.LOST, _State.CLOSED):
            return
        try:
            say()
        except (LinkError, DeviceResetError) as error:
            self._lose(error, now_ns)

    def _lose(self, error: LinkError | DeviceResetError, now_ns: int) -> None:
        loss: Loss = "device_reset" if isinstance(error, DeviceResetError) else "link_lost"
        if loss not in self._holds:
            raise error
        self._state = _State.LOST
        self._try_ns = now_ns + TRY_EVERY_NS
        self._news.append(LinkLost(loss, error.what, now_ns))

    def _try_again(self, now_ns: int) -> None:
        """Release the port, then try to connect once a second."""
        if now_ns < self._try_ns:
            return
        self._try_ns = now_ns + TRY_EVERY_NS
        if self._state is _State.LOST:
            with contextlib.suppress(HardwareError):
                self._inner.close()
            self._state = _State.CLOSED
            return
        try:
            found = self._make()
        except HardwareError:
            return  # the port is not there yet
        try:
            said = found.connect()
        except HardwareError:
            found.close()
            return
        who = _who(said)
        if who != self._who:
            found.close()
            raise DispenserError(
                f"another dispenser answers than before: name and outlets are {who}, "
                f"and were {self._who}",
                do="Plug in the one that the run began with, and start again",
            )
        self._inner = found
        self._state = _State.BACK
        self._news.append(LinkBack(now_ns))


def _who(said: dict[str, Any]) -> tuple[object, object]:
    """What tells a dispenser from another: its name, where it has one, and its outlets."""
    return said.get("name"), said["outlets"]
