"""The rows of a run record, as the loop hands them over and as readers get them back.

Host times are integers of ``time.perf_counter_ns`` and end in ``_ns``; device times are unwrapped
integers of the dispenser's microsecond counter and end in ``_us``. Field names and order are the
columns of ``record_schema.sql``; what has no column of its own there is said at the field.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from sorter.sighting import Sighting

Level = Literal["info", "warning", "fault"]
EndReason = Literal["done", "fault", "interrupted"]
UNFINISHED = "unfinished: controller gone"


class Row(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of everything that crosses from the loop to the recorder."""


class RunMeta(msgspec.Struct, frozen=True):
    """What a run is: written once, at its start.

    Attributes:
        run_id: UUID of the run.
        started_utc: wall time of the start, ISO 8601 with offset, UTC.
        origin_ns: host time (``perf_counter_ns``) at ``started_utc``; the zero of all timelines.
        versions: name -> version of the program, Python and the libraries that matter.
        settings_toml: the whole settings file as it was used.
        model_hash: sha256 of the model file, hexadecimal.
        bundle_manifest: the bundle's manifest, JSON-able.
        seed: seed of the simulated rig, None on a real one.
        note: free text of the operator.
    """

    run_id: str
    started_utc: str
    origin_ns: int
    versions: dict[str, str]
    settings_toml: str
    model_hash: str
    bundle_manifest: dict[str, Any]
    seed: int | None = None
    note: str = ""

    @classmethod
    def now(
        cls,
        *,
        origin_ns: int | None = None,
        versions: Mapping[str, str] | None = None,
        settings_toml: str = "",
        model_hash: str = "",
        bundle_manifest: Mapping[str, Any] | None = None,
        seed: int | None = None,
        note: str = "",
    ) -> RunMeta:
        """A run that starts now, under a new UUID.

        Args:
            origin_ns: the host clock's reading now; given where the clock is not the machine's.
        """
        return cls(
            run_id=str(uuid.uuid4()),
            started_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
            origin_ns=time.perf_counter_ns() if origin_ns is None else origin_ns,
            versions=dict(versions or {}),
            settings_toml=settings_toml,
            model_hash=model_hash,
            bundle_manifest=dict(bundle_manifest or {}),
            seed=seed,
            note=note,
        )


class FrameRow(Row, frozen=True, array_like=True, tag="f", gc=False):
    """One frame; ``done_ns`` is when the pipeline was done with it, commands written."""

    number: int
    exposed_ns: int
    exposed_error_ns: int
    received_ns: int
    done_ns: int
    n_objects: int


class ObjectRow(Row, frozen=True, array_like=True, tag="o", gc=False):
    """One object and what was decided for it.

    Numbers that are not known may be NaN; they are kept as NULL.

    Attributes:
        id: from 1, in the order of decisions.
        first_exposed_ns, last_exposed_ns: mid-exposure of the first and last view.
        received_ns: when the frame that led to the decision was in the host's hands.
        decided_ns: when the decision was made.
        diameter_um, circularity, solidity, grey_ratio: as in `sorter.detection.Detection`,
            aggregated over views.
        velocity_um_s: along the channel.
        n_views: views that the network judged.
        double, split, touching: taken for two or more bodies; cut from a touching one; its
            outline met a border or a neighbour.
        p_unhealthy, p_other: aggregated over views, 0 to 1; None where the network wasn't asked.
        view_probabilities: (n_views, classes) float32, C order, little endian, as bytes.
        outlet, reason: the decision; ``reason`` is a word of ``sorter.decide``.
        open_us, close_us: the opening interval that was planned; None where there is none.
        command_id: the command that carries it out (shared where intervals were merged).
        arrival_ns, arrival_error_ns: predicted arrival at the junction and its half width.
        sightings: kept in the table ``sightings``.
    """

    id: int
    first_exposed_ns: int
    last_exposed_ns: int
    received_ns: int
    decided_ns: int
    diameter_um: float
    circularity: float
    solidity: float
    grey_ratio: float
    velocity_um_s: float
    n_views: int
    double: bool
    split: bool
    touching: bool
    p_unhealthy: float | None
    p_other: float | None
    view_probabilities: bytes
    outlet: str
    reason: str
    open_us: int | None = None
    close_us: int | None = None
    command_id: int | None = None
    arrival_ns: int | None = None
    arrival_error_ns: int | None = None
    sightings: tuple[Sighting, ...] = ()


class ObjectUpdate(Row, frozen=True, array_like=True, tag="r", gc=False):
    """A decision that was taken back later: a command withdrawn or refused, the object to rest.

    The first decision stays in ``outlet`` and ``reason``; this goes beside it.
    """

    id: int
    changed_ns: int
    changed_outlet: str
    changed_reason: str


class CommandRow(Row, frozen=True, array_like=True, tag="c", gc=False):
    """One command.

    Attributes:
        id: the command's id on the wire.
        object_id: the object that it was first sent for.
        outlet, open_us, close_us: what was asked.
        sent_ns: when its last byte was first handed to the port.
        cause_ns: when the frame in whose step it went out was in the host's hands; the step's
            start where there was no frame; None: not known.
        also: further objects that it serves now (merged intervals); kept as their ``command_id``.

    All objects of a command get its ``sent_ns``, ``acknowledged_ns``, ``executed_ns``, ``refused``.
    """

    id: int
    object_id: int
    outlet: str
    open_us: int
    close_us: int
    sent_ns: int
    cause_ns: int | None = None
    also: tuple[int, ...] = ()


class CommandUpdate(Row, frozen=True, array_like=True, tag="u", gc=False):
    """Later news of a command; fields that are None leave the record as it is.

    Attributes:
        id: the command's id.
        acked_ns: host time of the acknowledgement.
        opened_us, closed_us: what the dispenser measured, on its own clock.
        executed_ns: host time at which the execution report came.
        refused: the device's word for why it will never act, or ``cancelled``.
    """

    id: int
    acked_ns: int | None = None
    opened_us: int | None = None
    closed_us: int | None = None
    executed_ns: int | None = None
    refused: str | None = None


class EventRow(Row, frozen=True, array_like=True, tag="e", gc=False):
    """A state transition, a fault, lost frames …; ``name`` is one word, ``text`` a sentence."""

    at_ns: int
    level: Level
    name: str
    text: str


class Crop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A grey crop: ``pixels`` holds height × width bytes, C order."""

    height: int
    width: int
    pixels: bytes


class ObjectWithCrops(Row, frozen=True, array_like=True, tag="O", gc=False):
    """An object with its crops, most telling view first."""

    row: ObjectRow
    crops: tuple[Crop, ...]


class JournalEntry(Row, frozen=True, array_like=True, tag="j", gc=False):
    """What the loop got from outside in one step; opaque to the record."""

    step: int
    blob: bytes


class StatusNow(Row, frozen=True, array_like=True, tag="s", gc=False):
    """The newest counters, as JSON."""

    counters_json: bytes


class End(Row, frozen=True, array_like=True, tag="E", gc=False):
    """The controller ends the record."""

    reason: str
    exit_code: int


Message = (
    FrameRow
    | ObjectWithCrops
    | ObjectUpdate
    | CommandRow
    | CommandUpdate
    | EventRow
    | JournalEntry
    | StatusNow
    | End
)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What the recorder tells the loop: ``ready``, ``done``, or ``error`` with its text."""

    kind: Literal["ready", "done", "error"]
    text: str = ""
