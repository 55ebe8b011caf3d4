"""All checks of a rig, in the order in which they are of use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from drivers.ports import Clock
from sorter.doctor.calibrations import check_calibrations
from sorter.doctor.camera import check_camera
from sorter.doctor.disk import check_disk
from sorter.doctor.dispenser import check_dispenser
from sorter.doctor.finding import Finding, attempt, broken, passed
from sorter.doctor.model import check_model
from sorter.errors import SorterError
from sorter.guarantees import guarantees_of, refuse_unattended
from sorter.settings import RigSettings


def check_rig(
    rig: RigSettings, clock: Clock, *, store: Path, now: datetime, max_age_days: float
) -> Iterator[Finding]:
    """Each check's finding as soon as it is there; one that fails keeps no other from its turn.

    Args:
        rig: settings that have been read.
        clock: host time.
        store: folder of the calibrations.
        now: the present time, UTC.
        max_age_days: calibrations older than this are told of.
    """
    yield attempt("settings", lambda: _settings(rig))
    yield from _each("camera", lambda: iter([check_camera(rig, clock)]))
    yield from _each("dispenser", lambda: check_dispenser(rig, clock))
    yield from _each("model", lambda: check_model(rig))
    yield attempt("calibration", lambda: check_calibrations(store, rig, now, max_age_days))
    yield attempt("disk", lambda: check_disk(rig))


def _settings(rig: RigSettings) -> Finding:
    refuse_unattended(guarantees_of(rig), rig.run.unattended)
    how = "unattended" if rig.run.unattended else "attended"
    return passed("settings", f"read; {how}, policy {rig.decide.policy}")


def _each(check: str, findings: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a part, and the error that ends it, if one does."""
    try:
        yield from findings()
    except SorterError as error:
        yield broken(check, error)
