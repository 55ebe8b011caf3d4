"""What a run does about faults, and about the operator's wishes: asked of the controller."""

from __future__ import annotations

from collections.abc import Callable

from drivers.ports import Pump
from sorter.controller import Controller
from sorter.errors import RunFault
from sorter.faults import Fault, Response
from sorter.life import RunState
from sorter.overseer import Overseer
from sorter.recovery import Recovery, RecoverySettings

Wishes = Callable[[], RunState | None]
"""The state that the operator wants next, `PAUSED` or `PRIMING`; None while there is no wish."""


class Responder:
    """Stepped once a turn of the loop.

    Args:
        overseer: finds the faults.
        recovery: how a clog is answered where the settings say ``recover``.
        pump: what can push backwards, or can't.
        wishes: what the operator wants; asked once a turn.
    """

    def __init__(
        self,
        controller: Controller,
        overseer: Overseer,
        recovery: RecoverySettings,
        pump: Pump | None,
        wishes: Wishes = lambda: None,
    ) -> None:
        self._controller = controller
        self._overseer = overseer
        self._wishes = wishes
        self._recovery = Recovery(recovery, pump, controller.ask, controller.tell_recovery)

    def step(self, now_ns: int) -> None:
        """Do about the faults that began what the settings say.

        Raises:
            RunFault: a fault that stops the run.
        """
        controller = self._controller
        if (wish := self._wishes()) is not None:
            self._recovery.cancel()
            controller.ask(wish, "operator", "key")
        self._recovery.step(controller.life.state, now_ns)
        if controller.life.state is RunState.PAUSED:
            self._overseer.stands(now_ns)
            return
        answers = list(self._overseer.take(now_ns))
        # Whatever else is wrong, a pulse does not end it.
        may_pulse = all(response is not Response.HOLD for _, response in answers)
        for fault, response in answers:
            self._answer(fault, response, now_ns, may_pulse=may_pulse)

    def _answer(self, fault: Fault, response: Response, now_ns: int, *, may_pulse: bool) -> None:
        self._controller.note(fault, response)
        if response is Response.STOP:
            raise RunFault(fault.what, on=fault.kind.value, do=fault.do)
        pulses = may_pulse and response is Response.RECOVER
        if pulses and self._recovery.begin(fault.what, now_ns):
            return
        if response in (Response.HOLD, Response.RECOVER):
            self._recovery.cancel()
            by = f"fault:{fault.kind.value}"
            self._controller.ask(RunState.PAUSED, by, fault.what)
