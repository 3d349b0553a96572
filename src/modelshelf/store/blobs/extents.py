"""Where a file's bytes are on the disk, and whether two files already share theirs."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_FIEMAP = 0xC020660B
_HEADER = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_COUNT = 128
_SYNC = 0x1
"""Sync the file first, because until then its new bytes have no place on the disk."""
_LAST, _UNKNOWN, _DELAYED, _INLINE, _UNWRITTEN = 0x1, 0x2, 0x4, 0x200, 0x800


def same(one: Path, other: Path) -> bool:
    """Return whether two files have the same extents; False, too, if the file system doesn't say.

    Source: Linux `Documentation/filesystems/fiemap.rst`.
    """
    try:
        ours, theirs = _extents(one), _extents(other)
    except OSError:
        return False
    return ours is not None and ours == theirs


def _extents(path: Path) -> set[tuple[int, int]] | None:
    """Return the edges of a file's extents as (logical offset, its distance to the physical one); None if unknown.

    Where the next extent continues the last one, there is no edge between them: however the file system cuts the
    same bytes into extents, the edges are the same.
    """
    found: set[tuple[int, int]] = set()
    start = 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while True:
            buffer = bytearray(_HEADER.size + _COUNT * _EXTENT.size)
            _HEADER.pack_into(buffer, 0, start, 2**64 - 1 - start, _SYNC, 0, _COUNT, 0)
            fcntl.ioctl(fd, _FIEMAP, buffer)
            count = _HEADER.unpack_from(buffer)[3]
            for i in range(count):
                logical, physical, length, *_, flags, _, _, _ = _EXTENT.unpack_from(
                    buffer, _HEADER.size + i * _EXTENT.size
                )
                if flags & (_UNKNOWN | _DELAYED | _INLINE):
                    return None
                if not flags & _UNWRITTEN:  # reserved, and read as zeros: a hole in the file that shares the rest
                    found ^= {(logical, physical - logical), (logical + length, physical - logical)}
                start = logical + length
            if not count or flags & _LAST:
                return found
    finally:
        os.close(fd)
