"""Digests of files whose names don't give them."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from modelshelf.errors import Unavailable
from modelshelf.services.mirror.file_digests import FileDigests

GB = 10**9


def sparse(path: Path, size_bytes: int) -> Path:
    """Make a file that is one hole."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def test_a_small_file_is_answered_at_once(tmp_path: Path) -> None:
    """A file up to 10 MB has a git digest, a larger one sha256; asking again reads nothing."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    large.write_bytes(b"x" * 11_000_000)
    digests = FileDigests()

    assert digests.of(str(small), small.stat()) == hashlib.sha1(b"blob 3\0abc").hexdigest()
    assert digests.of(str(large), large.stat()) == hashlib.sha256(b"x" * 11_000_000).hexdigest()
    found = small.stat()
    small.unlink()
    assert digests.of(str(small), found)


def test_a_large_file_is_read_behind(tmp_path: Path) -> None:
    """A request for a large file's digest is told when to ask again, and other requests are answered meanwhile."""
    large, small = sparse(tmp_path / "large", 200 * 10**6), tmp_path / "small"
    small.write_bytes(b"abc")
    digests = FileDigests()

    with pytest.raises(Unavailable) as caught:
        digests.of(str(large), large.stat())

    assert caught.value.retry_after_s is not None
    assert digests.of(str(small), small.stat())
    tries = iter(range(6000))
    while (digest := _try(digests, large)) is None:
        assert next(tries) is not None
        threading.Event().wait(0.01)
    assert digest == hashlib.sha256(bytes(200 * 10**6)).hexdigest()


def _try(digests: FileDigests, path: Path) -> str | None:
    try:
        return digests.of(str(path), path.stat())
    except Unavailable:
        return None


def test_a_terabyte_of_nothing_is_not_read(tmp_path: Path) -> None:
    """A hole as large as a disk has no digest and isn't read."""
    huge = sparse(tmp_path / "huge", 1000 * GB)

    assert FileDigests().of(str(huge), huge.stat()) is None


@pytest.mark.parametrize("what", ["gone", "link", "fifo"])
def test_what_became_something_else_is_an_error(tmp_path: Path, what: str) -> None:
    """A file that is replaced between the check and the read is an error; nothing follows or waits for it."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    found = path.stat()
    path.unlink()
    if what == "link":
        path.symlink_to("/etc/passwd")
    if what == "fifo":
        os.mkfifo(path)
    digests = FileDigests()

    for _ in range(2):
        with pytest.raises(OSError, match="file"):
            digests.of(str(path), found)
