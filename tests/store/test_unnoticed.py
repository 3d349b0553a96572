"""Reading without changing a file's access time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from modelshelf.store.os_errors import open_to_read
from modelshelf.store.small_files import read_small_bytes
from modelshelf.store.unnoticed import open_unnoticed
from tests.store.users import acting_as

LONG_AGO_NS = 1_000_000_000 * 10**9


def unread(path: Path) -> Path:
    """Make a file that was read before it was written last, so that relatime notes the next reading."""
    path.write_bytes(b"weights")
    path.chmod(0o644)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    return path


def was_noticed(path: Path) -> bool:
    """Return whether the file system noted a reading."""
    return path.stat().st_atime_ns != LONG_AGO_NS


def test_a_plain_reading_is_noticed(tmp_path: Path) -> None:
    """Without the flag a reading changes the access time, where the file system keeps it."""
    path = unread(tmp_path / "blob")

    path.read_bytes()

    if not was_noticed(path):
        pytest.skip("this file system keeps no access times")


def test_ours_is_not(tmp_path: Path) -> None:
    """What shelf reads, large or small, keeps the access time that it had."""
    path = unread(tmp_path / "blob")

    with open_to_read(path) as file:
        assert file.read() == b"weights"
    assert read_small_bytes(path) == b"weights"

    assert not was_noticed(path)


def test_another_users_file_is_read_as_usual(tmp_path: Path) -> None:
    """A user who may not ask for that reads the file all the same."""
    path = unread(tmp_path / "blob")
    for folder in (tmp_path, *tmp_path.parents):
        if not (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o001:
            folder.chmod(mode | 0o001)

    with acting_as():
        fd = open_unnoticed(path, os.O_RDONLY)
        assert os.read(fd, 100) == b"weights"
        os.close(fd)
