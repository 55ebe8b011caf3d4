"""Can the record be written, and is there room for it?"""

from __future__ import annotations

import shutil
import tempfile

from sorter.doctor.finding import Finding, failed, passed
from sorter.settings import RigSettings


def check_disk(rig: RigSettings) -> Finding:
    """Write a file into the record's folder, and look at the room that is left."""
    folder = rig.record.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        return failed(
            "disk",
            f"{folder} can't be written: {error.strerror}",
            "Choose another record.folder, or make room",
        )
    if free_mb < rig.watch.disk_free_mb:
        return failed(
            "disk",
            f"{free_mb:.0f} MB free in {folder}, less than watch.disk_free_mb",
            "Free space, or choose another record.folder",
        )
    return passed("disk", f"{free_mb:.0f} MB free in {folder}")
