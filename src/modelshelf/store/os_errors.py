"""What the operating system's errors mean for a person."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from modelshelf.errors import Conflict, Corrupt, Denied, OutOfSpace, ShelfError, Unavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a refused write into the errors of the house; others pass."""
    try:
        yield
    except OSError as err:
        known = as_shelf_error(err, path)
        if known is err:
            raise
        raise known from err


def as_shelf_error(err: OSError, path: Path) -> ShelfError | OSError:
    """Return what an OSError at `path` means for a person; the error itself when nothing better is known."""
    if not str(err.filename or "").startswith("/") or str(err.filename).startswith("/proc/self/fd/"):
        err.filename = str(path)  # the call said it relative to a folder that it holds open
    where = err.filename
    if err.errno in FULL:
        return OutOfSpace(
            f"The disk is full: {where} could not be written ({os.strerror(err.errno or 0)}).",
            hint="Free some space on it, then run the same command again: what arrived is kept.",
            path=str(where),
        )
    if err.errno in _REFUSED:
        return Denied(
            f"{where} cannot be written ({os.strerror(err.errno or 0)}).",
            hint=f"Check who owns it: ls -ld {path.parent}",
            path=str(where),
        )
    if err.errno == errno.EXDEV:
        return Conflict(
            f"{where} lies on another file system than the rest of its base.",
            hint="Mount the base as a whole: its hub and its modelshelf must lie on one file system.",
            path=str(where),
        )
    return err


def open_to_read(path: Path) -> FileIO:
    """Open a file of bytes, unbuffered; a fifo in its place holds nobody up.

    Raises:
        Unavailable: It vanished.
        Denied: It cannot be read.
        Corrupt: It isn't a regular file.
    """
    try:
        file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "r")
    except FileNotFoundError as err:
        raise Unavailable(
            f"{path} vanished while it was wanted.", hint="Another program deletes in this folder; try again."
        ) from err
    except PermissionError as err:
        raise Denied(
            f"{path} cannot be read ({err.strerror}).",
            hint=f"Check who owns it: ls -l {path}",
            path=str(path),
        ) from err
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Corrupt(f"{path} isn't a regular file.", hint="Look at it, and take it away.", path=str(path))
    return file
