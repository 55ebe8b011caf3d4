"""A file is there whole, or as it was."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from sorter.errors import RunFault, UsageError
from sorter.files import replacing, write_atomic


def _write(path: Path, then: Exception) -> None:
    with replacing(path) as temporary:
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        raise then


@pytest.mark.parametrize("data", ["µm/px\n", b"\x00\x01", "", "a\r\nb"])
def test_writes_what_it_was_given(tmp_path: Path, data: str | bytes) -> None:
    path = tmp_path / "out.bin"
    write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)


def test_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    write_atomic(path, "old")
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"):
        _write(path, ValueError("half way"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder exists") as caught:
        write_atomic(tmp_path / "absent" / "a.txt", "x")
    assert caught.value.on == str(tmp_path / "absent" / "a.txt")


def test_a_folder_in_the_way_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError):
        write_atomic(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_full_disk_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RunFault, match="Free some space"):
        _write(tmp_path / "a", OSError(errno.ENOSPC, "No space left on device"))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason=f"no /dev/full on {sys.platform}")
def test_a_really_full_device_is_a_fault(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFault),
        replacing(tmp_path / "a"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_an_error_about_another_file_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), replacing(tmp_path / "a"):
        (tmp_path / "other").read_text()
