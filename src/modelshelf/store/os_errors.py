"""What the operating system's errors mean for a person."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from modelshelf.errors import Conflict, Corrupt, Denied, OutOfSpace, ShelfError, Unavailable
from modelshelf.store.unnoticed import open_unnoticed

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn a full disk and a refused write into our own errors; others pass."""
    try:
        yield
    except OSError as err:
        known = as_shelf_error(err, path)
        if known is err:
            raise
        raise known from err


def as_shelf_error(err: OSError, path: Path) -> ShelfError | OSError:
    """Return our own error for an OSError at `path`, or the error itself if there is none."""
    if not str(err.filename or "").startswith("/") or str(err.filename).startswith("/proc/self/fd/"):
        err.filename = str(path)  # the call was relative to an open folder
    where = err.filename
    if err.errno in FULL:
        entries = err.errno == errno.ENOSPC and has_no_entries(path)
        what = "has no inodes left" if entries else "is full"
        return OutOfSpace(
            f"The disk {what}: {where} could not be written ({os.strerror(err.errno or 0)}).",
            hint=f"Free {'files' if entries else 'some space'} on it: shelf rm NAME --files, or shelf gc. "
            "Then run the same command again: what arrived is kept.",
            path=str(where),
            **({"free_entries": 0} if entries else {}),
        )
    if err.errno in _REFUSED:
        return Denied(
            f"{where} cannot be written ({os.strerror(err.errno or 0)}).",
            hint=f"Check who owns it: ls -ld {path.parent}",
            path=str(where),
        )
    if err.errno == errno.EXDEV:
        return Conflict(
            f"{where} is on another file system than the rest of its base.",
            hint="Mount the base as a whole: its hub and its modelshelf must be on one file system.",
            path=str(where),
        )
    return err


def of_os_error(err: OSError) -> ShelfError:
    """Return our own error for an unexpected OSError; one without a file comes from the output."""
    what = err.filename or "The output"
    if err.errno in FULL:
        return OutOfSpace(f"{what} could not be written: {err.strerror}.", hint="Free some space on its disk.")
    if err.errno in _REFUSED:
        return Denied(
            f"{what}: {err.strerror}.",
            hint=f"Check who owns it and the folders above: namei -l {shlex.quote(str(err.filename or 'PATH'))}",
        )
    return Unavailable(f"{what}: {err.strerror or err}.", hint="Check its disk (shelf doctor), then try again.")


def has_no_entries(path: Path) -> bool:
    """Return whether a path's file system has no free inodes, however many bytes it has."""
    for folder in path.parents:
        with contextlib.suppress(OSError):
            found = os.statvfs(folder)
            return found.f_files > 0 and found.f_favail == 0
    return False


def open_to_read(path: Path) -> FileIO:
    """Open a file of bytes, unbuffered; a fifo in its place doesn't block.

    Raises:
        Unavailable: It was deleted.
        Denied: It can't be read.
        Corrupt: It isn't a regular file.
    """
    try:
        file = FileIO(open_unnoticed(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "r")
    except FileNotFoundError as err:
        raise Unavailable(
            f"{path} vanished while it was needed.", hint="Another program deletes files in this folder; try again."
        ) from err
    except PermissionError as err:
        raise Denied(
            f"{path} cannot be read ({err.strerror}).",
            hint=f"Check who owns it: ls -l {path}",
            path=str(path),
        ) from err
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Corrupt(f"{path} isn't a regular file.", hint="Check what it is, and move it away.", path=str(path))
    return file
