"""The one reader of small files that somebody else may have written: refs, lists, sidecars, markers, pointers.

A drive can hold anything under these names. A fifo, a socket or a device would block a plain `open` for ever, a
sparse file of a terabyte would fill the memory, and a link may lead out of the base: none of them is read.
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path

from modelshelf.domain.outside import parse_json
from modelshelf.errors import BadInput
from modelshelf.store.unnoticed import open_unnoticed

SMALL_BYTES = 2**20
"""The maximum for a marker, a ref or a journal."""
_WITHOUT_BLOCKING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
LIST_BYTES = 256 * 2**20
"""The maximum for a list of files, a sidecar or the meter's results: some million files."""


def read_small_text(path: Path | str, most_bytes: int = SMALL_BYTES) -> str:
    """Return the text of a small regular file.

    Args:
        path: The file; a link isn't followed.
        most_bytes: Its maximum size.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file, is too large, or isn't UTF-8.
    """
    try:
        return read_small_bytes(path, most_bytes).decode()
    except UnicodeDecodeError as err:
        raise BadInput(f"{path} isn't UTF-8.", path=str(path)) from err


def read_small_json(path: Path | str, most_bytes: int = SMALL_BYTES) -> object:
    """Return the value in a small JSON file; see `read_small_text`.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file, is too large, or isn't JSON as `parse_json` takes it.
    """
    return parse_json(read_small_text(path, most_bytes))


def read_small_bytes(path: Path | str, most_bytes: int = SMALL_BYTES) -> bytes:
    """Return the bytes of a small regular file; see `read_small_text`.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file, or is too large.
    """
    fd = open_unnoticed(path, _WITHOUT_BLOCKING)
    try:
        size_bytes = _size_of_regular(fd, path)
        if size_bytes > most_bytes:
            raise BadInput(f"{path} has {size_bytes} bytes; at most {most_bytes} are read.", path=str(path))
        return _read_all(fd, size_bytes, most_bytes)
    finally:
        os.close(fd)


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered, without blocking on anything else with its name.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file.
    """
    file = FileIO(open_unnoticed(path, _WITHOUT_BLOCKING))
    try:
        _size_of_regular(file.fileno(), path)
    except BadInput:
        file.close()
        raise
    return file


def _size_of_regular(fd: int, path: Path | str) -> int:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{path} isn't a regular file.", path=str(path))
    return found.st_size


def _read_all(fd: int, size_bytes: int, most_bytes: int) -> bytes:
    """Return the file's bytes; one that grows meanwhile is cut off at the limit."""
    first = os.read(fd, min(size_bytes + 1, most_bytes, SMALL_BYTES))
    if len(first) == size_bytes < SMALL_BYTES:
        return first  # all of it: more was asked for, and there was no more
    chunks, left = [first], most_bytes - len(first)
    while left and (chunk := os.read(fd, min(left, SMALL_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
