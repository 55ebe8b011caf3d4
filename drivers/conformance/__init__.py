"""What every device that speaks PROTOCOL.md must answer: a table of dialogues.

The project's tests hold all of them with the firmware; `sorter doctor --dispenser` holds those that
need no pin and no power-up with a real device (`drivers.conformance.live`).
"""

from __future__ import annotations

from drivers.conformance.commands import COMMANDS
from drivers.conformance.inputs import INPUTS
from drivers.conformance.sessions import SESSIONS
from drivers.conformance.stops import STOPS

CASES = (*COMMANDS, *SESSIONS, *STOPS, *INPUTS)
