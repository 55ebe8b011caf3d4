"""The protocol's conformance cases: what every device must answer, see dialogues.py."""

from __future__ import annotations

from tests.drivers.conformance_commands import COMMANDS
from tests.drivers.conformance_inputs import INPUTS
from tests.drivers.conformance_sessions import SESSIONS
from tests.drivers.conformance_stop import STOPS

CASES = (*COMMANDS, *SESSIONS, *STOPS, *INPUTS)
