"""Are there calibrations, do they hold for this rig, and are they young enough?"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from calibration.store import CalibrationStore, Entry, Value
from models.bundle import Manifest, load_bundle
from sorter.doctor.finding import Finding, passed, warning
from sorter.errors import SettingsError
from sorter.settings import RigSettings


def rig_conditions(rig: RigSettings, manifest: Manifest) -> dict[str, Value]:
    """What entries may hold for, as it is on a rig: its frames, its model, how that is asked."""
    camera = rig.camera
    return {
        "height_px": camera.height_px,
        "width_px": camera.width_px,
        "bit_depth": camera.bit_depth,
        "pitch_um": camera.pitch_um,
        "model_sha256": manifest.sha256,
        "min_views": rig.decide.min_views,
        **{f"votes_{name}": value for name, value in manifest.votes.model_dump().items()},
    }


def check_calibrations(
    store: Path, rig: RigSettings, now: datetime, max_age_days: float
) -> Finding:
    """Look at the newest entry of each kind that holds for the rig.

    Raises:
        SettingsError: a file that is no entry. BundleError: the rig's model can't be read.
    """
    kept = CalibrationStore(store)
    kinds = sorted({entry.kind for entry in kept.entries()})
    if not kinds:
        return warning(
            "calibration", f"there are no entries in {store}", "Run `sorter calibrate background`"
        )
    conditions = rig_conditions(rig, load_bundle(rig.model.bundle).manifest)
    told, again = [], []
    for kind in kinds:
        try:
            entry = kept.latest(kind, conditions)
        except SettingsError as error:
            told.append(error.what)
            again.append(kind)
            continue
        told.append(f"{kind} {_age(entry, now) / timedelta(days=1):.0f} days old")
        if _age(entry, now) > timedelta(days=max_age_days):
            again.append(kind)
    if again:
        which = ", ".join(again)
        return warning(
            "calibration",
            ", ".join(told),
            f"Calibrate again: {which} (for this rig, and not older than {max_age_days:g} days)",
        )
    return passed("calibration", ", ".join(told))


def _age(entry: Entry, now: datetime) -> timedelta:
    return now - entry.created
