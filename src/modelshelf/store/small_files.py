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

SMALL_BYTES = 2**20
"""The maximum for a marker, a ref or a journal."""
LIST_BYTES = 256 * 2**20
"""The maximum for a list of files, a sidecar or the meter's results: some million files."""


def read_small_text(path: Path, most_bytes: int = SMALL_BYTES) -> str:
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


def read_small_json(path: Path, most_bytes: int = SMALL_BYTES) -> object:
    """Return the value in a small JSON file; see `read_small_text`.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file, is too large, or isn't JSON as `parse_json` takes it.
    """
    return parse_json(read_small_text(path, most_bytes))


def read_small_bytes(path: Path, most_bytes: int = SMALL_BYTES) -> bytes:
    """Return the bytes of a small regular file; see `read_small_text`.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file, or is too large.
    """
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > most_bytes:
            raise BadInput(f"{path} has {size_bytes} bytes; at most {most_bytes} are read.", path=str(path))
        return _read_all(file.fileno(), most_bytes)


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered, without blocking on anything else with its name.

    Raises:
        OSError: It doesn't exist, is a link or a socket, or can't be read.
        BadInput: It isn't a regular file.
    """
    file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise BadInput(f"{path} isn't a regular file.", path=str(path))


def _read_all(fd: int, most_bytes: int) -> bytes:
    """Return the file's bytes; one that grows meanwhile is cut off at the limit."""
    chunks, left = [], most_bytes
    while left and (chunk := os.read(fd, min(left, SMALL_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
