"""Are the outlets that the settings name the dispenser's own, and is rest where it rests?

The dispenser stands at the first outlet that it declares when nothing is open and when it has no
power (drivers/PROTOCOL.md). Were that one named collect here, whatever nobody decided about would
be collected.
"""

from __future__ import annotations

from sorter.decide import OutletSettings
from sorter.errors import SettingsError

_DO = "Correct [outlets] in the rig file"


def check_outlets(outlets: OutletSettings, said: dict[str, object]) -> list[str]:
    """The outlets of a dispenser by its handshake, rest first.

    Args:
        outlets: what the settings name.
        said: what `Dispenser.connect` gave.

    Raises:
        SettingsError: it lacks one that the settings name, or rests at another than they say.
    """
    declared = said.get("outlets")
    names = [str(one) for one in declared] if isinstance(declared, list | tuple) else []
    wanted = [one for one in (outlets.collect, outlets.rest, outlets.recheck) if one]
    missing = [one for one in wanted if one not in names]
    if missing:
        has = ", ".join(names) or "none"
        raise SettingsError(
            f"the dispenser has no outlet {', '.join(missing)}; it has {has}", on="outlets", do=_DO
        )
    if names[0] != outlets.rest:
        raise SettingsError(
            f"the dispenser rests at {names[0]}, where the settings say {outlets.rest}: "
            f"what nobody decided about would go to {names[0]}",
            on="outlets.rest",
            do=f"{_DO}, or the outlets' order in the dispenser: its first is where it rests",
        )
    return names
