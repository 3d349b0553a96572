"""What the system's errors mean, and opening a file where something else may be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelshelf.errors import Corrupt, Denied, OutOfSpace, ShelfError, Unavailable
from modelshelf.store.os_errors import has_no_entries, of_os_error, open_to_read


@pytest.mark.timeout(30)
def test_a_fifo_in_place_of_a_blob_holds_nobody_up(tmp_path: Path) -> None:
    """A fifo in place of a blob is Corrupt, and nothing waits for a writer."""
    os.mkfifo(tmp_path / "blob")

    with pytest.raises(Corrupt, match="isn't a regular file"):
        open_to_read(tmp_path / "blob")


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, OutOfSpace, "/x could not be written: No space left on device."),
        (errno.EDQUOT, OutOfSpace, "/x could not be written: Disk quota exceeded."),
        (errno.EACCES, Denied, "/x: Permission denied."),
        (errno.EIO, Unavailable, "/x: Input/output error."),
    ],
)
def test_an_error_that_nobody_expected_is_told_plainly(number: int, kind: type[ShelfError], said: str) -> None:
    """A full disk, a refusal and a broken disk each have a class and a hint."""
    found = of_os_error(OSError(number, os.strerror(number), "/x"))

    assert (type(found), found.detail, bool(found.hint)) == (kind, said, True)


def test_a_refusal_names_the_command_for_its_own_path() -> None:
    """The hint of a refusal can be pasted as it is."""
    assert of_os_error(PermissionError(errno.EACCES, "no", "/a b/c")).hint.endswith("namei -l '/a b/c'")


def test_an_error_without_a_file_is_about_the_output() -> None:
    """A system error without a file name is about the output."""
    assert of_os_error(OSError(errno.ENOSPC, "full")).detail == "The output could not be written: full."


def test_a_path_of_which_nothing_is_there_has_entries() -> None:
    """Free inodes of a path without an existing folder are unknown."""
    assert not has_no_entries(Path("gone") / "x")
    assert not has_no_entries(Path())
