"""The one tree of errors that this project raises on purpose.

Every error says what happened, on what, and what to do about it; the command line turns the
class into an exit code. ``sorter.errors`` is the lowest layer: everything may import it, and it
imports nothing.

    SorterError
    ├── CheckFailed        1   a check said no
    ├── UsageError         2   wrong usage, settings or input
    │   ├── SettingsError
    │   ├── InputError         an image, a data set or a record that can't be used
    │   └── BundleError        a model bundle that can't be trusted or doesn't fit
    ├── HardwareError      3   hardware that does not answer, or answers wrongly
    │   ├── CameraError
    │   ├── LinkError          a port that is absent, busy or silent
    │   ├── DispenserError     a device that answers, but not as PROTOCOL.md says
    │   │   └── DeviceResetError   one that has forgotten the session
    │   └── PumpError          a pump that does not do, or can't do, what it is told
    └── RunFault           4   a fault during a run
        └── RecordError        the record can't be written (a full disk, a dead recorder)
"""

from __future__ import annotations

from typing import ClassVar


class SorterError(Exception):
    """Base of all errors that a user is told about.

    Args:
        what: what happened, one sentence without a full stop.
        on: on which file, port, device or setting.
        do: what the user can do about it.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, what: str, *, on: object = None, do: str = "") -> None:
        self.what = what
        self.on = None if on is None else str(on)
        self.do = do
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole message on one line: ``what (on). do``."""
        where = f" ({self.on})" if self.on else ""
        advice = f". {self.do}" if self.do else ""
        return f"{self.what}{where}{advice}"


class CheckFailed(SorterError):
    """A check that was asked for said no."""

    exit_code = 1


class UsageError(SorterError):
    """Wrong usage, settings or input."""

    exit_code = 2


class SettingsError(UsageError):
    """A settings file that is missing, or a key in it that is missing, unknown or wrong."""


class InputError(UsageError):
    """An image, data set or record that can't be read or used."""


class BundleError(UsageError):
    """A model bundle that is damaged, was changed, or doesn't fit the rig."""


class HardwareError(SorterError):
    """Hardware that does not answer, or answers wrongly."""

    exit_code = 3


class CameraError(HardwareError):
    """The camera can't be loaded, started, or gives frames of another size or depth."""


class LinkError(HardwareError):
    """A port that is absent, busy, silent, or gone."""


class DispenserError(HardwareError):
    """A dispenser that answers, but not as ``drivers/PROTOCOL.md`` says."""


class DeviceResetError(DispenserError):
    """A dispenser that has forgotten the session: it was reset, or another host took it."""


class PumpError(HardwareError):
    """A pump that does not do what it is told, or that can't."""


class RunFault(SorterError):
    """A fault during a run; the gate was sent to rest."""

    exit_code = 4


class RecordError(RunFault):
    """The run record can't be written: a full disk, or a recorder that died."""
