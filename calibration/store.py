"""What was calibrated, when, how well, and what it holds for.

One JSON file for each entry in a folder. Entries are only ever added: a newer entry of the same
kind and conditions supersedes an older one, which stays to be read.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sorter.errors import SettingsError
from sorter.files import write_atomic

Value = str | int | float | bool
_RELATIVE_TOLERANCE = 1e-6


class Entry(BaseModel):
    """One calibration. Frozen: a correction is a new entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="scale, background, threshold …")
    values: dict[str, float] = Field(min_length=1, description="what was found, in ``unit``")
    uncertainty: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="95 % interval of values, by the same names"
    )
    unit: str = Field(description="unit of the values; 1 for pure numbers")
    conditions: dict[str, Value] = Field(
        default_factory=dict, description="what must be the same for the entry to hold"
    )
    created: AwareDatetime = Field(description="date and time, UTC")
    software: str = Field(description="version of this program that made it")
    note: str = Field(default="", description="for people: who, with what sample")
    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="unique")


def new_entry(
    kind: str,
    values: Mapping[str, float],
    *,
    unit: str,
    conditions: Mapping[str, Value],
    uncertainty: Mapping[str, tuple[float, float]] | None = None,
    note: str = "",
    created: datetime | None = None,
) -> Entry:
    """An entry made now by this version of the program.

    Raises:
        SettingsError: the uncertainty names a value that isn't there, or a field is wrong.
    """
    strays = set(uncertainty or {}) - set(values)
    if strays:
        raise SettingsError(
            f"uncertainty of values that are not there: {', '.join(sorted(strays))}",
            on=f"calibration {kind}",
            do="Name each uncertainty like its value.",
        )
    try:
        return Entry(
            kind=kind,
            values=dict(values),
            uncertainty=dict(uncertainty or {}),
            unit=unit,
            conditions=dict(conditions),
            created=created or datetime.now(UTC),
            software=version("spheroid-sorter"),
            note=note,
            id=uuid.uuid4().hex,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            on=f"calibration {kind}",
            do="Correct the entry.",
        ) from error


class CalibrationStore:
    """The folder of entries.

    Args:
        folder: made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, entry: Entry) -> Path:
        """Write an entry, all or nothing; returns its file.

        Raises:
            UsageError: the folder may not be written, or is a file.
            RunFault: the disk is full or failed.
        """
        stamp = entry.created.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        file = self._folder / f"{entry.kind}-{stamp}-{entry.id[:8]}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the calibration can't be written: {error.strerror}",
                on=self._folder,
                do="Choose a folder that can be made.",
            ) from error
        write_atomic(file, entry.model_dump_json(indent=2) + "\n")
        return file

    def entries(self, kind: str | None = None) -> list[Entry]:
        """All entries, or those of a kind, oldest first, superseded ones too.

        Raises:
            SettingsError: a file in the folder can't be read or isn't an entry.
        """
        files = sorted(self._folder.glob("[!.]*.json")) if self._folder.is_dir() else []
        found = [_read(file) for file in files]
        return sorted(
            (entry for entry in found if kind is None or entry.kind == kind),
            key=lambda entry: (entry.created, entry.id),
        )

    def superseded(self, entry: Entry) -> bool:
        """Whether a newer entry of the same kind and the same conditions is there."""
        key = (entry.created, entry.id)
        return any(
            (other.created, other.id) > key and other.conditions == entry.conditions
            for other in self.entries(entry.kind)
        )

    def latest(self, kind: str, conditions: Mapping[str, Value]) -> Entry:
        """The newest entry of a kind that holds under the conditions.

        Args:
            kind: ``threshold``, ``background`` …
            conditions: how things are now. Each condition *of an entry* must be among them with
                the same value (numbers to 1e-6); an entry without conditions always holds.

        Raises:
            SettingsError: there is none, or there are only entries for other conditions.
        """
        entries = self.entries(kind)
        if not entries:
            raise SettingsError(
                f"there is no calibration of the {kind}",
                on=self._folder,
                do=f"Run `sorter calibrate {kind}`.",
            )
        for entry in reversed(entries):
            if not mismatches(entry, conditions):
                return entry
        newest = entries[-1]
        raise SettingsError(
            f"the calibration of the {kind} holds for other conditions: "
            + "; ".join(mismatches(newest, conditions)),
            on=self._folder,
            do=f"Run `sorter calibrate {kind}` under the present conditions.",
        )


def mismatches(entry: Entry, conditions: Mapping[str, Value]) -> list[str]:
    """What keeps an entry from holding, one sentence for each condition; empty when it holds."""
    found = []
    for name, wanted in entry.conditions.items():
        if name not in conditions:
            found.append(f"{name} was {wanted}, and is not known now")
        elif not _same(wanted, conditions[name]):
            found.append(f"{name} was {wanted}, and is {conditions[name]} now")
    return found


def _same(a: Value, b: Value) -> bool:
    both = (a, b)
    if any(isinstance(value, bool | str) for value in both):
        return type(a) is type(b) and a == b
    x, y = float(a), float(b)
    return abs(x - y) <= _RELATIVE_TOLERANCE * max(abs(x), abs(y))


def _read(file: Path) -> Entry:
    try:
        return Entry.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"a calibration entry can't be read: {error}",
            on=file,
            do="Restore the file, or move it out of the folder and calibrate again.",
        ) from error
