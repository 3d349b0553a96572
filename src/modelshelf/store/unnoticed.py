"""Reading without leaving a trace in a file's access time, by which uses of other programs are told."""

from __future__ import annotations

import os


def open_unnoticed(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file to read it and leave its access time as it is; return a descriptor, which the caller closes.

    Only root and the file's owner may do that: others open it as usual, and `domain.reads` is told when they read.

    Raises:
        OSError: It can't be opened.

    Source: Linux `open(2)`, `O_NOATIME`.
    """
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)
