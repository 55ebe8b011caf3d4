"""Are there calibrations, and are they young enough?"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from calibration.store import CalibrationStore
from sorter.doctor.finding import Finding, passed, warning


def check_calibrations(store: Path, now: datetime, max_age_days: float) -> Finding:
    """Look at the newest entry of each kind. Raises `SettingsError` for a file that is none."""
    newest = {entry.kind: entry for entry in CalibrationStore(store).entries()}
    if not newest:
        return warning(
            "calibration", f"there are no entries in {store}", "Run `sorter calibrate background`"
        )
    ages = {kind: now - entry.created for kind, entry in sorted(newest.items())}
    told = ", ".join(f"{kind} {age / timedelta(days=1):.0f} days old" for kind, age in ages.items())
    old = [kind for kind, age in ages.items() if age > timedelta(days=max_age_days)]
    if old:
        return warning(
            "calibration",
            told,
            f"Calibrate again: {', '.join(old)} (older than {max_age_days:g} days)",
        )
    return passed("calibration", told)
