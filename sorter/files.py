"""Files are written under a temporary name beside the target, then renamed over it.

A reader sees the old file or the new one, never half of one, whatever dies in between.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from sorter.errors import RunFault, SorterError, UsageError

_USERS_TO_MEND = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path with the suffix of ``path``; on success it becomes ``path``.

    The block writes the temporary file by whatever means. When the block raises, the temporary
    file is removed and ``path`` is as it was.

    Raises:
        UsageError: the folder is missing, or the file may not be written.
        RunFault: the disk is full or failed.
    """
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise  # about some other file that the block touched
        raise _told(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write text (as UTF-8, with newlines as they are) or bytes to ``path``, all or nothing.

    Raises:
        UsageError: the folder is missing, or the file may not be written.
        RunFault: the disk is full or failed.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def _flush(path: Path) -> None:
    """Ask the disk to hold the bytes before the name points at them."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _told(error: OSError, path: Path) -> SorterError:
    reason = (error.strerror or str(error)).lower()
    if isinstance(error, _USERS_TO_MEND):
        return UsageError(
            f"cannot write the file: {reason}",
            on=path,
            do="Check that the folder exists, that you may write to it and that no other program "
            "has the file open",
        )
    return RunFault(
        f"writing the file failed: {reason}",
        on=path,
        do="Free some space on that disk, or choose another one; the old file is untouched",
    )
