"""What a dispenser doesn't promise: said plainly, and refused where nobody stands by."""

from __future__ import annotations

from drivers.ports import Dispenser, Guarantees
from drivers.text_valve_settings import TextValveSettings
from sorter.errors import SettingsError
from sorter.settings import RigSettings

_ALL = Guarantees(device_clock=True, watchdog=True, estop=True, reports=True, holds_pump=True)
_NONE = Guarantees(device_clock=False, watchdog=False, estop=False, reports=False, holds_pump=False)

# What a run that nobody watches can't do without.
_NEEDED_UNATTENDED = {
    "watchdog": "a watchdog that takes the gate to rest when the host falls silent",
    "estop": "an emergency stop of its own",
    "holds_pump": "an output that holds the pump",
}

_LACKING = {
    "device_clock": "The host times the gate, not the dispenser: a busy computer opens and closes "
    "it late. Openings are wider, so more healthy spheroids are given up for a neighbour.",
    "watchdog": "When this program or its computer stops, an open gate stays open: close it by "
    "hand.",
    "estop": "There is no emergency stop at the dispenser: only this program can stop it.",
    "reports": "The dispenser doesn't tell what it did: 'executed' means that it was told to.",
    "holds_pump": "The dispenser can't hold the flow: after a fault, liquid goes on to rest.",
}


def guarantees_of(rig: RigSettings) -> Guarantees:
    """What the dispenser that the settings choose will promise, before anything is opened."""
    return _NONE if isinstance(rig.dispenser, TextValveSettings) else _ALL


def hold(dispenser: Dispenser, now_ns: int) -> None:
    """Hold the flow, where this dispenser can; where not, `describe` has said so."""
    if dispenser.guarantees().holds_pump:
        dispenser.hold(now_ns)


def refuse_unattended(guarantees: Guarantees, unattended: bool) -> None:
    """Refuse a run that nobody watches on a dispenser that can't end a failure by itself.

    Raises:
        SettingsError: ``unattended``, and watchdog, emergency stop or flow hold are missing; the
            message names which.
    """
    missing = [words for name, words in _NEEDED_UNATTENDED.items() if not getattr(guarantees, name)]
    if unattended and missing:
        raise SettingsError(
            f"the dispenser is not for unattended runs: it lacks {'; '.join(missing)}",
            on="run.unattended",
            do="Set run.unattended = false and stay beside the rig, or use a dispenser that speaks "
            "drivers/PROTOCOL.md",
        )


def describe(guarantees: Guarantees) -> list[str]:
    """One sentence or two for each promise that is missing, for screen and report; none if all
    are kept.
    """
    return [words for name, words in _LACKING.items() if not getattr(guarantees, name)]
