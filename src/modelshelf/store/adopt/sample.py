"""A quick look at a file's bytes, to guess which files are equal before anybody reads them whole."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from modelshelf.store.unnoticed import open_unnoticed

_PIECE_BYTES = 65536


def key_of(path: Path) -> str:
    """Return a key that files of equal bytes share: the size, and a digest of beginning, middle and end.

    Raises:
        OSError: It can't be read.
    """
    fd = open_unnoticed(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(fd).st_size
        found = sha256()
        for at in sorted({0, max(0, size_bytes // 2), max(0, size_bytes - _PIECE_BYTES)}):
            found.update(os.pread(fd, _PIECE_BYTES, at))
    finally:
        os.close(fd)
    return f"{size_bytes}:{found.hexdigest()}"
